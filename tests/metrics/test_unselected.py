"""The hole test over all latents, against loops over tokens that are really drawn again."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from msae import metrics
from msae.metrics.intervals import resamples
from msae.metrics.ranked import N_THRESHOLDS

PRECISE = 0.7
LEVELS = (0.0, 0.25, 0.5)


def _activations(seed=0, n_tokens=60, n_stories=6):
    """Of a reference and of a large SAE that holds noisy copies of it; every concept occurs in every story."""
    rng = np.random.default_rng(seed)
    reference = np.where(rng.random((n_tokens, 4)) < 0.5, rng.random((n_tokens, 4)), 0)
    copies = reference * (rng.random((n_tokens, 4)) < 0.7) + np.where(rng.random((n_tokens, 4)) < 0.2, rng.random((n_tokens, 4)), 0)
    large = np.concatenate([copies, np.where(rng.random((n_tokens, 5)) < 0.3, rng.random((n_tokens, 5)), 0)], axis=1)
    return reference, large[:, rng.permutation(9)], np.arange(n_tokens) % n_stories


def _average_precision(concept, score):
    """As scikit-learn's: the sum over distinct scores of what recall grows by, times the precision down to there."""
    total, before = 0.0, 0.0
    for threshold in np.unique(score)[::-1]:
        taken = score >= threshold
        recall = concept[taken].sum() / concept.sum()
        total += (recall - before) * concept[taken].mean()
        before = recall
    return total


def _recall(concept, score):
    found = [(concept[score >= t].sum() / concept.sum(), concept[score >= t].mean()) for t in np.unique(score)]
    return max([recall for recall, precision in found if precision >= PRECISE], default=0.0)


def _numbers(a, b, rows, level):
    """Holes, precision, recall and average precision of one latent and its match on some rows, thresholds from all rows."""
    concept, fires, score = (a > level * a.max())[rows], (b > level * b.max())[rows], b[rows]
    holes, precision = (concept & ~fires).sum() / concept.sum(), (concept & fires).sum() / fires.sum()
    return [holes, precision, _recall(concept, score), _average_precision(concept, score)]


def test_numbers_and_replicates_are_those_of_tokens_drawn_again():
    reference, large, story = _activations()
    found = metrics.unselected_holes(reference, large, story, levels=LEVELS, precision=PRECISE, n_replicates=5)
    corr = np.corrcoef(reference.T, large.T)[:4, 4:]
    assert found.latents.tolist() == corr.argmax(1).tolist()
    np.testing.assert_allclose(found.correlation, corr.max(1))
    for r in range(6):
        stories = np.arange(6) if r == 0 else np.random.default_rng([r, 0]).integers(6, size=6)
        rows = np.concatenate([np.flatnonzero(story == s) for s in stories])
        latents = np.arange(4) if r == 0 else np.random.default_rng([r, 1]).integers(4, size=4)
        pairs = [(reference[:, i], large[:, found.latents[i]]) for i in latents]
        expected = np.mean([np.corrcoef(a[rows], b[rows])[0, 1] for a, b in pairs])
        assert found.replicates["correlation"][r] == pytest.approx(expected)
        for i, level in enumerate(LEVELS):
            expected = np.mean([_numbers(a, b, rows, level) for a, b in pairs], axis=0)
            names = ("holes", "precision", "recall", "average precision")
            np.testing.assert_allclose([found.replicates[f"{name} {level:g}"][r] for name in names], expected, err_msg=f"{r} {level}")
            if r == 0:
                each = np.mean([found.holes[i], found.precision[i], found.recall[i], found.average_precision[i]], axis=1)
                np.testing.assert_allclose(each, expected)


def test_split_half_reads_each_match_where_it_was_not_chosen():
    reference, large, story = _activations(1)
    found = metrics.unselected_holes(reference, large, story, n_replicates=1)
    is_second = (np.random.default_rng(0).permutation(6) % 2 == 1)[story]
    ways = []
    for chosen in (is_second, ~is_second):
        match = np.corrcoef(reference[chosen].T, large[chosen].T)[:4, 4:].argmax(1)
        ways.append([np.corrcoef(reference[~chosen, i], large[~chosen, match[i]])[0, 1] for i in range(4)])
    np.testing.assert_allclose(found.split_half, np.mean(ways, axis=0))
    assert found.replicates["correlation, split-half"][0] == pytest.approx(np.mean(ways))


def test_sparse_and_dense_and_half_precision_give_the_same():
    reference, large, story = (_activations(2)[i] for i in range(3))
    reference, large = np.float16(reference), np.float16(large)
    expected = metrics.unselected_holes(reference, large, story, n_replicates=3)
    sparse = [csr_array(side.astype(np.float32)) for side in (reference, large)]
    tensors = [torch.tensor(side) for side in (reference, large)]
    for a, b in (sparse, tensors, (sparse[0], tensors[1]), (tensors[0], sparse[1])):
        found = metrics.unselected_holes(a, b, torch.tensor(story), n_replicates=3)
        for name, values in expected.replicates.items():
            np.testing.assert_allclose(found.replicates[name], values, rtol=1e-9, err_msg=name)


def test_a_latent_that_fires_everywhere_has_no_holes_and_no_precision():
    rng = np.random.default_rng(0)
    concept = np.where(rng.random((400, 1)) < 0.1, 1.0, 0)
    found = metrics.unselected_holes(concept, 1 + concept + 0.01 * rng.random((400, 1)), n_replicates=1)
    assert found.holes[0, 0] == 0
    assert found.precision[0, 0] == pytest.approx(concept.mean())
    assert found.precision[2, 0] == pytest.approx(concept.mean())
    assert found.average_precision[0, 0] == pytest.approx(1)  # a threshold of its own would mend it


def test_silent_latents_are_left_out():
    reference, large, story = _activations(3)
    reference[:, 2] = 0
    found = metrics.unselected_holes(reference, large, story, n_replicates=4)
    assert found.latents[2] == -1
    assert np.isnan([found.correlation[2], *found.holes[:, 2]]).all()
    assert found.n_concept[:, 2].tolist() == [0] * 4
    without = metrics.unselected_holes(np.delete(reference, 2, axis=1), large, story, n_replicates=1)
    for name in without.replicates:
        assert found.replicates[name][0] == pytest.approx(without.replicates[name][0])


def test_blocks_of_latents_change_nothing(monkeypatch):
    reference, large, story = _activations(4)
    expected = metrics.unselected_holes(reference, large, story, n_replicates=3)
    monkeypatch.setattr("msae.metrics.unselected.BLOCK", 60)
    monkeypatch.setattr("msae.metrics.matches.NUMBERS", 50)
    found = metrics.unselected_holes(torch.tensor(reference), torch.tensor(large), story, n_replicates=3)
    for name, values in expected.replicates.items():
        np.testing.assert_allclose(found.replicates[name], values, err_msg=name)


def test_thresholds_between_many_firings_hardly_change_the_ranking():
    rng = np.random.default_rng(0)
    score = rng.random(20 * N_THRESHOLDS)
    score[score < 0.2] = 0
    for power, most in ((1, 0.004), (40, 0.02)):  # a broad concept, and one of a fortieth of the tokens
        concept = rng.random(len(score)) < score**power
        found = metrics.unselected_holes(concept[:, None].astype(float), score[:, None], np.arange(len(score)) % 9, precision=PRECISE)
        assert found.average_precision[0, 0] == pytest.approx(_average_precision(concept, score), abs=most)
        assert found.recall[0, 0] == pytest.approx(_recall(concept, score), abs=0.03)


def test_replicates_have_the_stories_of_their_number():
    sums = np.random.default_rng(0).random((7, 2))
    found = metrics.replicates(metrics.ratio, sums, n_replicates=3)
    for r in (1, 2, 3):
        drawn = sums[np.random.default_rng([r, 0]).integers(7, size=7)].sum(0)
        assert found[r] == pytest.approx(drawn[0] / drawn[1])
    assert found[0] == pytest.approx(sums[:, 0].sum() / sums[:, 1].sum())
    assert metrics.replicates(metrics.ratio, sums, n_replicates=9)[:4].tolist() == found.tolist()


def test_a_ranking_of_one_latent_is_that_of_drawn_stories():
    rng = np.random.default_rng(6)
    story = np.arange(90) % 9
    concept, score = rng.random(90) < 0.3, np.where(rng.random(90) < 0.5, rng.random(90), 0)
    score += concept * (rng.random(90) < 0.6)
    found = metrics.concept_ranking(np.stack([score, score], axis=1), 1, concept, story=story, precision=PRECISE)
    assert found.n_concept == concept.sum()
    drawn = []
    for weights in np.concatenate(list(resamples(9))):
        rows = np.concatenate([np.flatnonzero(story == s) for s, n in enumerate(weights) for _ in range(int(n))])
        drawn.append((_average_precision(concept[rows], score[rows]), _recall(concept[rows], score[rows])))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0, method="inverted_cdf")
    for i, (interval, measure) in enumerate(((found.average_precision, _average_precision), (found.recall, _recall))):
        np.testing.assert_allclose(interval, [measure(concept, score), low[i], high[i]])


def test_places_that_do_not_count_do_not_count_in_a_ranking():
    rng = np.random.default_rng(7)
    mask, acts = rng.random((6, 8)) < 0.7, rng.random((6, 8, 2)).astype(np.float32)
    concept = (rng.random((6, 8)) < 0.4) & mask
    found = metrics.concept_ranking(metrics.Firings.of_dense(acts, mask), 0, concept)
    assert found.average_precision.value == pytest.approx(_average_precision(concept[mask], acts[mask][:, 0]), rel=1e-6)


def test_one_story_has_numbers_and_no_halves():
    reference, large, _ = _activations(8)
    for sides in ((reference, large), (csr_array(reference), csr_array(large))):
        found = metrics.unselected_holes(*sides, np.zeros(60, dtype=int), n_replicates=3)
        np.testing.assert_allclose(found.replicates["holes 0"][0], metrics.unselected_holes(reference, large).replicates["holes 0"][0])
        assert np.isnan(found.split_half).all()
