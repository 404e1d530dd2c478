"""Specificity and completeness against loops over tokens."""

from __future__ import annotations

import numpy as np
import pytest

from msae import metrics

G = np.random.default_rng(0)
ACTS = (G.random((300, 6)) * (G.random((300, 6)) < 0.4)).astype(np.float32)
CONCEPT = (ACTS[:, 2] > 0.3) ^ (G.random(300) < 0.1)
STORY = np.arange(300) // 10


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_specificity_is_the_ratio_of_two_shares(level):
    found = metrics.specificity(ACTS, 2, CONCEPT, story=STORY, level=level)
    fires = ACTS[:, 2] > level * ACTS[:, 2].max()
    assert np.isclose(found.ratio.value, np.log(fires[CONCEPT].mean() / fires.mean()))
    assert np.isclose(found.ratio.value, np.log(CONCEPT[fires].mean() / CONCEPT.mean())), "by Bayes' rule"
    assert np.isclose(found.most, -np.log(CONCEPT.mean()))
    assert found.sensitivity == metrics.concept_score(ACTS, 2, CONCEPT, story=STORY, level=level).recall
    assert found.ratio.low < found.ratio.value < found.ratio.high <= found.most + 0.5


def test_bands_hold_each_firing_once():
    found = metrics.specificity(ACTS, 2, CONCEPT, begins=(0.0, 0.3, 0.9)).bands
    share = ACTS[:, 2] / ACTS[:, 2].max()
    for band, below in zip(found, (0.3, 0.9, 1.1)):
        here = (share > band.above) & (share <= below)
        assert band.n_firing == here.sum()
        assert np.isclose(band.share, CONCEPT[here].mean())
        with np.errstate(divide="ignore"):
            assert np.isclose(band.ratio, np.log(CONCEPT[here].mean() / CONCEPT.mean()))


def test_a_latent_that_never_fires_on_the_concept_or_at_all():
    acts, concept = [[1.0, 0.0], [0.0, 0.0]], [False, True]
    assert metrics.specificity(acts, 0, concept).ratio.value == -np.inf
    silent = metrics.specificity(acts, 1, concept)
    assert np.isnan(silent.ratio.value)
    assert [band.n_firing for band in silent.bands] == [0, 0, 0, 0]


def test_a_ratio_is_the_same_for_every_concept_that_the_latent_finds_whole():
    fires = ACTS[:, 0] > 0
    part = fires & (np.arange(300) % 3 == 0)
    found = [metrics.specificity(ACTS, 0, concept) for concept in (fires, part)]
    assert np.isclose(found[0].ratio.value, found[1].ratio.value)
    assert found[0].most < found[1].most


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_completeness_counts_concepts_with_a_latent(level):
    concepts = {str(k): (ACTS[:, k] > 0.1 * k) ^ (G.random(300) < 0.05 * k) for k in range(6)} | {"rare": np.arange(300) < 5}
    found = metrics.completeness(ACTS, concepts, level=level, least_f1=0.7)
    assert found.rare == ["rare"]
    assert list(found.best) == [str(k) for k in range(6)]
    for name, (latent, f1) in found.best.items():
        scores = metrics.concept_scores(ACTS, concepts[name], level=level)
        assert latent == scores.best
        assert np.isclose(f1, scores.f1.max(), atol=1e-6)
    assert np.isclose(found.share.value, np.mean([f1 >= 0.7 for _, f1 in found.best.values()]))
    assert 0 < found.share.low <= found.share.value <= found.share.high


def test_a_prefix_has_no_more_than_the_whole_and_keeps_its_numbers():
    firings, concepts = metrics.as_firings(ACTS), {str(k): ACTS[:, k] > 0.2 for k in range(6)}
    shares = [metrics.completeness(firings.take(np.arange(m)), concepts).share.value for m in (1, 3, 6)]
    assert shares == [pytest.approx(m / 6) for m in (1, 3, 6)]
    assert metrics.completeness(firings.take(np.array([2, 5])), concepts).best["5"][0] == 5


def test_where_all_are_rare_there_is_no_share():
    found = metrics.completeness(ACTS, {"a": np.arange(300) < 5})
    assert np.isnan(found.share.value)
    assert found.best == {}
    assert found.rare == ["a"]
