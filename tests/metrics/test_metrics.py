"""Measures against counting by hand and against other libraries."""

import copy
import itertools

import numpy as np
import pytest
import scipy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_language_model

import msae
from msae import metrics
from msae.activations.rows import read_texts
from msae.explore import LatentActivations
from msae.lm.bridge import plain_transformer
from msae.metrics import correlation as _correlation
from msae.metrics.intervals import ratio, resamples


def test_fvu_and_l0_against_numpy():
    x, noise = torch.randn(200, 5), torch.randn(200, 5) * 0.1
    expected = (noise.numpy() ** 2).sum() / (200 * x.numpy().var(0).sum())
    assert metrics.fvu(x, x + noise) == pytest.approx(expected, rel=1e-4)
    assert metrics.fvu(x, x.mean(0).expand_as(x)) == pytest.approx(1)
    assert metrics.l0(torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0]])) == 1.5
    with pytest.raises(ValueError, match="n ≥ 2"):
        metrics.fvu(x[:1], x[:1])


def test_match_is_the_best_assignment_of_all():
    generator = torch.Generator().manual_seed(0)
    acts, features = torch.rand(50, 5, generator=generator), torch.rand(50, 4, generator=generator)
    similarity = metrics.cosines(features.T, acts.T).numpy()
    best = max(itertools.permutations(range(5), 4), key=lambda choice: sum(similarity[f, latent] for f, latent in enumerate(choice)))
    assert tuple(metrics.assign(acts, features).tolist()) == best
    with pytest.raises(ValueError, match="3 latents cannot be matched to 4"):
        metrics.assign(acts[:, :3], features)


def test_holes_by_hand():
    #          parent, child a, child b
    features = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]])
    acts = torch.tensor([[2.0, 0, 0], [0, 3, 0], [1, 3, 0], [0, 0, 4], [9, 0, 0]])
    holes = metrics.holes(acts, features, latent=0, parent=0, children=[1, 2])
    assert holes.rate == pytest.approx(2 / 3)
    assert holes.by_child == {1: 0.5, 2: 1.0}
    assert holes.filled_by == {1: 0.5, 2: 0.5}
    assert holes.n_present == 3
    assert metrics.holes(acts, features, 0, parent=0, children=[1, 2], level=0.2).rate == 1
    with pytest.raises(ValueError, match="no input has feature 0 together"):
        metrics.holes(acts[:1], features[:1], 0, parent=0, children=[1, 2])
    with pytest.raises(ValueError, match="latents 0 to 2, got 3"):
        metrics.holes(acts, features, 3, parent=0, children=[1, 2])


def test_holes_of_a_tree_are_those_of_hole_rate():
    rng = np.random.default_rng(1)
    acts = torch.from_numpy(sparse_acts(300, 9, 1))
    features = torch.from_numpy(rng.random((300, 4)) < 0.3)
    features[:, 0] |= features[:, 1:].any(1)
    for level in (0.0, 0.25):
        holes = metrics.holes(acts, features, 5, parent=0, children=[1, 2, 3], level=level)
        fires = acts > level * acts.max(0).values
        present = features[:, 0] & features[:, 1:].any(1)
        missed = present & ~fires[:, 5]
        assert holes.rate == pytest.approx(missed.sum().item() / present.sum().item(), rel=1e-12)
        for child in (1, 2, 3):
            assert holes.by_child[child] == pytest.approx((missed & features[:, child]).sum().item() / features[:, child].sum().item())
        shares = fires[missed].double().mean(0)
        shares[5] = 0
        assert holes.filled_by == pytest.approx({i: shares[i].item() for i in range(9) if shares[i] > 0})
        assert list(holes.filled_by.values()) == sorted(holes.filled_by.values(), reverse=True)
        assert holes.rate == metrics.hole_rate(acts, 5, present, level=level).rate.value
    nowhere = metrics.holes(acts[:1], torch.tensor([[1, 1, 0, 0]]), 5, parent=0, children=[1, 2])
    assert np.isnan(nowhere.by_child[2])
    assert nowhere.n_present == 1


def test_former_names_are_there_for_one_release():
    acts = sparse_acts(50, 4, 0)
    found = metrics.mean_max_correlation(acts, acts)
    assert metrics.match is metrics.assign
    assert found.match is found.latents


def test_one_to_one_matching_can_invent_holes_where_the_closest_latent_has_none():
    """The situation of some toy seeds: one child has no latent, and a latent fires on "parent, but no child" instead."""
    kinds = torch.tensor([[1, 0, 0, 0]] * 8 + [[1, 1, 0, 0]] * 4 + [[1, 0, 1, 0]] * 4 + [[1, 0, 0, 1]] * 4)
    parent_only = (kinds[:, 1:].sum(1) == 0).float()
    acts = torch.stack([torch.ones(20), kinds[:, 1].float(), kinds[:, 2].float(), parent_only], dim=1)
    matched, closest = metrics.assign(acts, kinds.float()), metrics.closest(acts, kinds.float())
    assert closest[0] == 0
    assert metrics.holes(acts, kinds, int(closest[0]), parent=0, children=[1, 2, 3]).rate == 0
    assert matched[0] == 3
    assert metrics.holes(acts, kinds, int(matched[0]), parent=0, children=[1, 2, 3]).rate == 1


def test_cosines_against_numpy():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 3))
    expected = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    assert np.allclose(metrics.cosines(torch.tensor(a), torch.tensor(b)).numpy(), expected)
    assert metrics.cosines(torch.zeros(1, 3), torch.ones(1, 3)).item() == 0


# --- intervals -----------------------------------------------------------------------------------------------------------------------


def stories_of(n_stories, n_inputs, seed=0):
    """Sorted story numbers with gaps, each story of another length."""
    return np.sort(np.random.default_rng(seed).integers(n_stories, size=n_inputs)) * 3


def brute_interval(measure, story, seed=0, n_resamples=1000):
    """Draw stories, put their inputs together, measure: what every interval stands for."""
    names = np.unique(story)
    found = []
    for weights in np.concatenate(list(resamples(len(names), n_resamples, seed))):
        rows = np.concatenate([np.flatnonzero(story == name) for name, n in zip(names, weights) for _ in range(int(n))])
        found.append(measure(rows))
    return np.nanquantile(found, [0.025, 0.975], method="inverted_cdf")


def test_bootstrap_is_drawing_stories_with_replacement():
    rng = np.random.default_rng(1)
    sums = rng.gamma(2, 2, (30, 2))
    found = metrics.bootstrap(ratio, sums, seed=4)
    drawn = np.random.default_rng(4).integers(30, size=(1000, 30))
    values = [sums[rows, 0].sum() / sums[rows, 1].sum() for rows in drawn]
    assert found.value == pytest.approx(sums[:, 0].sum() / sums[:, 1].sum())
    assert found[1:] == pytest.approx(np.quantile(values, [0.025, 0.975], method="inverted_cdf"))


@pytest.mark.parametrize(
    "statistic", [lambda s: s[0] / s[1], lambda s: s.sum(), lambda s: 1.0, lambda s: s[..., 0] * 1j, lambda s: None, lambda s: s[0] - s[-1]]
)
@pytest.mark.parametrize("n_resamples", [1, 2, 1000])
def test_a_statistic_that_mixes_resamples_up_is_refused(statistic, n_resamples):
    with pytest.raises(ValueError, match=r"statistic must .* quantities lie along the last axis"):
        metrics.bootstrap(statistic, np.array([[1.0, 2.0], [3.0, 4.0]]), n_resamples=n_resamples)


def test_bootstrap_against_scipy():
    sums = np.random.default_rng(2).gamma(2, 2, (200, 2))

    def statistic(a, b, axis):
        return a.sum(axis) / b.sum(axis)

    expected = scipy.stats.bootstrap(tuple(sums.T), statistic, paired=True, method="percentile", n_resamples=5000, rng=0)
    found = metrics.bootstrap(ratio, sums, n_resamples=5000)
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.06 * width)


def test_an_interval_holds_the_truth_as_often_as_it_says():
    """Stories whose tokens are all alike: an interval over tokens would be far too narrow, one over stories is not."""
    rng = np.random.default_rng(0)
    held = 0
    for i in range(200):
        value, length = rng.normal(5, 1, 60), rng.integers(1, 20, 60)
        interval = metrics.bootstrap(ratio, np.stack([value * length, length], 1), n_resamples=400, seed=i)
        held += interval.low <= 5 <= interval.high
    assert 0.88 <= held / 200 <= 0.99


def test_resamples_in_parts_are_as_many_and_as_large():
    weights = np.concatenate(list(resamples(2**18, 40)))
    assert weights.shape == (40, 2**18)
    assert (weights.sum(1) == 2**18).all()
    assert weights.var() == pytest.approx(1, rel=0.01)  # of a count that is nearly Poisson


def test_an_interval_of_one_story_is_not_known():
    interval = metrics.bootstrap(ratio, np.ones((1, 2)))
    assert interval.value == 1
    assert np.isnan(interval.low)
    assert str(metrics.Interval(0.123456, 0.1, 0.2)) == "0.123 [0.1, 0.2]"


def test_an_interval_takes_a_format():
    share, count = metrics.Interval(0.3812, 0.35, 0.4149), metrics.Interval(12.0, 9.0, np.inf)
    assert f"{share:.2f}" == "0.38 [0.35, 0.41]"
    assert f"{share:.0%}" == "38% [35%, 41%]"
    assert f"{share}" == str(share) == "0.381 [0.35, 0.415]"
    assert f"{count:.0f}" == "12 [9, never]", "infinite: what is never reached"
    assert f"{metrics.Interval(np.inf, np.inf, np.inf):.2f}" == "never"
    assert f"{metrics.Interval(1.0, 1.0, 1.0):.0f}" == "1", "no resample changes it"
    assert f"{metrics.Interval(0.42, 0.418, 0.422):.2f}" == "0.42 [0.42, 0.42]", "narrow is not nothing"
    assert f"{metrics.Interval(0.5, np.nan, np.nan):.2f}" == "0.50 [?, ?]", "one story alone tells no interval"
    assert f"{metrics.Interval(0.5, None, None):.2f}" == "0.50 [?, ?]", "null, as a table in JSON has it"
    assert f"{metrics.Interval(*np.float32([0.5, 0.25, 0.75])):.1f}" == "0.5 [0.2, 0.8]"
    with pytest.raises(ValueError, match="format"):
        f"{share:d}"
    with pytest.raises(ValueError, match="n_stories, n_quantities"):
        metrics.bootstrap(ratio, np.ones(3))


# --- reconstruction ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sae():
    generator = torch.Generator().manual_seed(0)
    sae = msae.SAE(6, 20, generator=generator)
    with torch.no_grad():
        sae.b_enc -= 0.5
        sae.b_enc[3] = -100
        sae.b_dec += 0.3
    return sae


X = torch.randn(400, 6, generator=torch.Generator().manual_seed(1)) * torch.tensor([3.0, 1, 1, 1, 1, 1]) + 50


@torch.no_grad()
def test_reconstruction_against_the_plain_measures(sae):
    x, story = X - 49, stories_of(25, 400)
    found = metrics.reconstruction(sae, x.half(), story=torch.from_numpy(story), chunk=70)
    x = x.half().float()
    assert found.l0.value == pytest.approx(metrics.l0(sae.encode(x)))
    assert found.fvu.value == pytest.approx(metrics.fvu(x, sae(x)), rel=1e-4)
    assert found.fvu[1:] == pytest.approx(brute_interval(lambda rows: metrics.fvu(x[rows], sae(x[rows])), story), rel=1e-3)
    assert found.l0[1:] == pytest.approx(brute_interval(lambda rows: metrics.l0(sae.encode(x[rows])), story), rel=1e-6)
    fires = (sae.encode(x) > 0).double()
    assert torch.allclose(found.density, fires.mean(0))
    assert found.dead == (fires.sum(0) == 0).double().mean() >= 1 / 20
    assert found.n_inputs == 400


def test_the_variance_of_vectors_far_from_zero_is_exact(sae):
    x = X + 5000
    expected = (x.double() - sae(x).double()).square().sum() / (x.double() - x.double().mean(0)).square().sum()
    assert metrics.reconstruction(sae, x).fvu.value == pytest.approx(expected.item(), rel=1e-5)


def test_two_reconstructions_are_compared_story_by_story(sae):
    x, story = torch.randn(60, sae.d_model, generator=torch.Generator().manual_seed(7)), np.arange(60) // 6
    other = msae.SAE(sae.d_model, 9, generator=torch.Generator().manual_seed(8))
    ours, theirs = (metrics.reconstruction(each, x, story=story) for each in (sae, other))
    errors = [(x.double() - each.double()(x.double())).square().sum(1).detach().numpy() for each in (copy.deepcopy(sae), other)]
    ratio = ours.against(theirs)
    assert ratio.value == pytest.approx(ours.fvu.value / theirs.fvu.value, rel=1e-5)
    assert ratio[1:] == pytest.approx(brute_interval(lambda rows: errors[0][rows].sum() / errors[1][rows].sum(), story), rel=1e-4)
    assert ours.sums[:, 2] == pytest.approx(np.bincount(story, weights=errors[0]), rel=1e-5)


def test_reconstruction_refuses_what_does_not_fit(sae):
    with pytest.raises(ValueError, match="n ≥ 2"):
        metrics.reconstruction(sae, X[:1])
    with pytest.raises(ValueError, match=r"one story per row of x, \(400,\), got \(3,\)"):
        metrics.reconstruction(sae, X, story=torch.zeros(3))


def test_dead_latents():
    acts = torch.zeros(10, 3)
    acts[0, 1], acts[:5, 2] = 1, 1
    assert metrics.dead(acts).tolist() == [True, False, False]
    assert metrics.dead(acts, at_most=0.1).tolist() == [True, True, False]


# --- input ---------------------------------------------------------------------------------------------------------------------------


def sparse_acts(n_inputs, n_latents, seed, density=0.2):
    rng = np.random.default_rng(seed)
    return (rng.gamma(2, 1, (n_inputs, n_latents)) * (rng.random((n_inputs, n_latents)) < density)).astype(np.float32)


def test_numbers_of_another_machine_are_read_and_stories_may_have_names():
    rng = np.random.default_rng(0)
    acts, concept, story = sparse_acts(60, 7, 0), rng.random(60) < 0.5, rng.integers(0, 9, 60)
    for dtype in ("f2", "f4", "f8"):
        expected = metrics.concept_score(acts.astype(dtype), 2, concept, story=story, level=0.25)
        assert (
            metrics.concept_score(acts.astype(f">{dtype}"), 2, concept.astype(f">{dtype}"), story=story.astype(">i4"), level=0.25)
            == expected
        )
    named = np.array([f"story {number}" for number in story], dtype=object)  # as a column of pandas
    assert metrics.concept_score(acts, 2, concept, story=named) == metrics.concept_score(acts, 2, concept, story=story)


# --- mean max correlation ------------------------------------------------------------------------------------------------------------


def brute_correlations(a, b):
    with np.errstate(invalid="ignore"):
        return np.corrcoef(a, b, rowvar=False)[: a.shape[1], a.shape[1] :]


@pytest.mark.parametrize("memory", [1, 8 * 30 * 4, 2**30])
def test_mean_max_correlation_against_numpy(memory, monkeypatch):
    monkeypatch.setattr(_correlation, "ROWS", 111)
    monkeypatch.setattr(_correlation, "PAIRS", 3)
    a, b = sparse_acts(500, 11, 0), sparse_acts(500, 30, 1, 0.05)
    b[:, 4] = a[:, 2] * 3 + sparse_acts(500, 1, 2, 0.1)[:, 0]
    a[:, 7], b[:, 9] = 0, 0
    story = stories_of(40, 500)
    found = metrics.mean_max_correlation(a, b, story=story, memory=memory)
    expected = brute_correlations(a.astype(np.float64), b.astype(np.float64))
    alive = np.arange(11) != 7
    assert found.best[alive] == pytest.approx(np.nanmax(expected[alive], 1), abs=1e-9)
    assert (found.latents[alive] == np.nanargmax(expected[alive], 1)).all()
    assert found.latents[2] == 4
    assert np.isnan(found.best[7])
    assert found.latents[7] == -1
    assert found.mean.value == pytest.approx(np.nanmax(expected[alive], 1).mean())


def test_intervals_of_mean_max_correlation_keep_the_matches():
    a, b = sparse_acts(300, 3, 0), sparse_acts(300, 8, 1)
    b[:, 4] += a[:, 2]
    story = stories_of(20, 300)
    found = metrics.mean_max_correlation(a, b, story=story)

    def best(rows):
        with np.errstate(invalid="ignore"):
            return np.array([np.corrcoef(a[rows, k], b[rows, found.latents[k]])[0, 1] for k in range(3)])

    low, high = brute_interval(lambda rows: best(rows).mean(), story)
    assert found.mean[1:] == pytest.approx((2 * found.mean.value - high, 2 * found.mean.value - low), abs=1e-6)
    assert (found.low[2], found.high[2]) == pytest.approx(tuple(brute_interval(lambda rows: best(rows)[2], story)), abs=1e-6)


def test_mean_max_correlation_of_saes_runs_them(sae):
    small = msae.SAE(6, 5, generator=torch.Generator().manual_seed(5))
    x = X - 49
    found = metrics.mean_max_correlation(small, sae, x)
    expected = metrics.mean_max_correlation(small.encode(x), sae.encode(x))
    assert np.allclose(found.best, expected.best)
    assert metrics.mean_max_correlation(sae, sae, x).mean.value == pytest.approx(1)
    with pytest.raises(ValueError, match="an SAE needs x"):
        metrics.mean_max_correlation(sae, sae)
    with pytest.raises(ValueError, match="got 400 and 399"):
        metrics.mean_max_correlation(small.encode(x), sae.encode(x[1:]))


def test_padding_does_not_count_in_correlations():
    acts, mask = sparse_acts(60, 7, 0).reshape(6, 10, 7), np.random.default_rng(1).random((6, 10)) < 0.6
    a, b = LatentActivations.from_dense(acts[..., :3], mask), LatentActivations.from_dense(acts[..., 3:], mask)
    expected = brute_correlations(acts[mask][:, :3], acts[mask][:, 3:])
    story = np.array([0, 0, 1, 2, 2, 3])
    found = metrics.mean_max_correlation(a, b, story=story)
    assert found.best == pytest.approx(expected.max(1), abs=1e-6)
    flat = metrics.mean_max_correlation(acts[mask][:, :3], acts[mask][:, 3:], story=np.repeat(story, mask.sum(1)))
    assert found.mean == pytest.approx(flat.mean, abs=1e-9)


# --- concepts ------------------------------------------------------------------------------------------------------------------------


def case(seed, n_inputs=240, n_latents=12):
    """Activations of which some follow a concept, the concept, its two parts, and stories."""
    rng = np.random.default_rng(seed)
    parts = rng.integers(4, size=n_inputs)  # 0 and 1: the concept
    acts = sparse_acts(n_inputs, n_latents, seed, 0.06)
    for latent in range(n_latents // 2):
        acts[:, latent] += (rng.random(n_inputs) < [0.7, 0.3, 0, 0][latent % 2 :][0]) * (parts == latent % 2) * rng.gamma(2, 1, n_inputs)
    return acts, parts < 2, {"a": parts == 0, "b": parts == 1}, stories_of(30, n_inputs, seed)


@pytest.mark.parametrize(("seed", "level"), [(0, 0), (1, 0.1), (2, 0.25)])
def test_concept_scores_against_counting(seed, level):
    acts, concept, _, story = case(seed)
    fires = acts > level * acts.max(0)

    def counted(latent, rows=slice(None)):
        both = sum(f and c for f, c in zip(fires[rows, latent], concept[rows]))
        recall, precision = both / max(1, concept[rows].sum()), both / max(1, fires[rows, latent].sum())
        return recall, precision, 2 * recall * precision / (recall + precision) if both else 0.0

    every = metrics.concept_scores(acts, concept, level=level)
    for latent in range(12):
        assert (every.recall[latent], every.precision[latent], every.f1[latent]) == pytest.approx(counted(latent))
    assert every.best == max(range(12), key=lambda latent: counted(latent)[2])
    one = metrics.concept_score(acts, every.best, concept, story=story, level=level)
    assert (one.recall.value, one.precision.value, one.f1.value) == pytest.approx(counted(every.best))
    assert (one.n_concept, one.n_firing) == (concept.sum(), fires[:, every.best].sum())
    for k, interval in enumerate(one[:3]):
        expected = brute_interval(lambda rows, k=k: counted(every.best, rows)[k], story, n_resamples=1000)
        assert interval[1:] == pytest.approx(expected)


@pytest.mark.parametrize(("seed", "level"), [(0, 0), (1, 0.1), (2, 0.25)])
def test_hole_rate_against_counting(seed, level):
    acts, concept, parts, story = case(seed)
    latent = metrics.concept_scores(acts, concept, level=level).best
    found = metrics.hole_rate(acts, latent, concept, parts=parts, story=story, level=level)
    fires = acts > level * acts.max(0)
    silent = [i for i in range(len(acts)) if concept[i] and not fires[i, latent]]
    assert found.rate.value == pytest.approx(len(silent) / concept.sum())
    assert found.rate.value == pytest.approx(1 - metrics.concept_score(acts, latent, concept, level=level).recall.value)
    for name, part in parts.items():
        assert found.by_part[name].value == pytest.approx(sum(part[i] for i in silent) / part.sum())
        with np.errstate(invalid="ignore"):
            expected = brute_interval(lambda rows, part=part: (~fires[rows, latent])[part[rows]].mean(), story)
        assert found.by_part[name][1:] == pytest.approx(expected)
    about = [k for k in range(12) if k != latent and concept[fires[:, k]].mean() >= 0.5]
    expected = {k: np.mean([fires[i, k] for i in silent]) for k in about}
    assert found.filled_by == pytest.approx({k: share for k, share in expected.items() if share > 0})
    assert list(found.filled_by.values()) == sorted(found.filled_by.values(), reverse=True)
    assert found.unfilled == pytest.approx(np.mean([not any(fires[i, k] for k in about) for i in silent]))


def test_concepts_on_texts_are_concepts_on_their_tokens():
    acts, concept, parts, _ = case(0)
    grid, mask = acts.reshape(24, 10, 12), np.random.default_rng(0).random((24, 10)) < 0.7
    sparse, flat = LatentActivations.from_dense(grid, mask), mask.reshape(-1)
    story = np.repeat(np.arange(24), 10)[flat]
    found = metrics.hole_rate(sparse, 2, concept.reshape(24, 10), parts={k: part.reshape(24, 10) for k, part in parts.items()})
    assert found == metrics.hole_rate(acts[flat], 2, concept[flat], parts={k: part[flat] for k, part in parts.items()}, story=story)
    assert metrics.concept_score(sparse, 2, concept) == metrics.concept_score(acts[flat], 2, concept[flat], story=story)
    assert metrics.fragmentation(sparse, concept) == metrics.fragmentation(acts[flat], concept[flat], story=story)
    some = LatentActivations.from_dense(grid[..., [2]], mask)
    some.latents = np.array([77])
    some._index = {77: 0}
    assert metrics.concept_score(some, 77, concept) == metrics.concept_score(sparse, 2, concept)


def test_what_does_not_fit_a_concept_is_refused():
    acts, concept, parts, _ = case(0)
    for call, message in [
        (lambda: metrics.concept_score(acts, 99, concept), "no latent 99 here; there are 12, from 0 to 11"),
        (lambda: metrics.concept_score(acts, 0, concept[1:]), r"one truth value per input, \(240,\), got a mask of shape \(239,\)"),
        (lambda: metrics.concept_score(acts, 0, concept & False), "none of the 240 inputs"),
        (lambda: metrics.concept_score(acts, 0, concept, story=np.zeros(3)), r"one story number per input or per text, \(240,\)"),
        (lambda: metrics.hole_rate(acts, 0, parts["a"], parts=parts), "the part 'b' has none of the concept's tokens"),
        (lambda: metrics.concept_score(acts, 0, concept, level=25), r"\[0, 1\), got 25; 0.25 is usual"),
        (lambda: metrics.concept_scores(acts, concept, level=-0.1), r"\[0, 1\), got -0.1"),
        (lambda: metrics.fragmentation(acts, concept, share=0), r"\(0, 1\], got 0"),
        (lambda: metrics.fragmentation(acts, concept, levels=(0.5, 1.0)), r"\[0, 1\), got 1.0"),
        (lambda: metrics.fragmentation(acts, concept, levels=()), "levels must name at least one"),
        (lambda: metrics.splitting(np.zeros((240, 2)), concept), "no latent fires on any token"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


# --- fragmentation and splitting -----------------------------------------------------------------------------------------------------


def smallest_cover(sets, needed):
    for k in range(1, len(sets) + 1):
        if any(len(set().union(*choice)) >= needed for choice in itertools.combinations(sets, k)):
            return k
    return np.inf


@pytest.mark.parametrize("seed", range(8))
def test_fragmentation_against_trying_every_choice(seed):
    acts, concept, _, story = case(seed, n_inputs=120, n_latents=10)
    tokens = np.flatnonzero(concept)
    sets = {k: set(tokens[acts[tokens, k] > 0]) for k in range(10) if concept[acts[:, k] > 0].mean() >= 0.5}
    for share in (0.3, 0.6, 1.0):
        found = metrics.fragmentation(acts, concept, story=story, share=share)
        needed = int(np.ceil(share * len(tokens)))
        smallest = smallest_cover(list(sets.values()), needed)
        left, covered, order = dict(sets), set(), []
        while len(covered) < needed and left:  # greedy, as the definition says it
            k = max(left, key=lambda k: (len(left[k] - covered), -k))
            if not left[k] - covered:
                break
            covered |= left.pop(k)
            order.append(k)
        greedy = len(order) if len(covered) >= needed else np.inf
        assert found.n_latents.value == greedy
        assert found.latents[: len(order)] == order
        assert found.at_least <= smallest <= greedy
        assert found.n_candidates == len(sets)
        if greedy < np.inf:
            assert greedy <= smallest * (1 + np.log(needed))
            assert found.covered[greedy - 1] == pytest.approx(len(covered) / len(tokens))


small_integers = st.lists(st.lists(st.sampled_from([0, 0, 1, 2, 3, 4, 8]), min_size=4, max_size=4), min_size=2, max_size=12)
shares = st.sampled_from([0.2, 0.5, 0.9, 1.0])


@given(small_integers, st.integers(1, 2**12 - 1), st.permutations([0.0, 0.25, 0.5, 0.75]), st.integers(1, 4), shares, shares)
@settings(max_examples=100, deadline=None)
def test_each_latent_counts_from_the_lowest_level_that_makes_it_precise(rows, bits, levels, n_levels, min_precision, share):
    acts, concept = np.array(rows, dtype=np.float32), np.array([bits >> i & 1 for i in range(len(rows))], dtype=bool)
    concept[0] |= not concept.any()
    tokens, levels = set(np.flatnonzero(concept).tolist()), levels[:n_levels]
    sets, counted_at = {}, {}
    for k in range(4):
        for level in sorted(levels):
            fires = {i for i in range(len(rows)) if rows[i][k] > level * max(row[k] for row in rows)}
            if fires and len(fires & tokens) / len(fires) >= min_precision:
                sets[k], counted_at[k] = fires & tokens, level
                break
    found = metrics.fragmentation(acts, concept, share=share, min_precision=min_precision, levels=levels)
    assert found.n_candidates == len(sets)
    assert found.levels == [counted_at[k] for k in found.latents]
    left = set(tokens)
    for k, covered in zip(found.latents, found.covered):
        gains = {other: len(each & left) for other, each in sets.items()}
        assert gains[k] == max(gains.values()) > 0
        assert k == min(other for other, gain in gains.items() if gain == gains[k])
        left -= sets[k]
        assert covered == pytest.approx(1 - len(left) / len(tokens))
    enough = [k + 1 for k, covered in enumerate(found.covered) if covered >= share - 1e-9]
    assert found.n_latents.value == min(enough, default=np.inf)
    if not enough:
        assert left == tokens - set().union(*sets.values())
    assert found.at_least <= smallest_cover(list(sets.values()), int(np.ceil(share * len(tokens) - 1e-9))) <= found.n_latents.value


def test_a_concept_in_pieces_is_counted_in_pieces():
    piece = np.arange(100) // 10  # ten pieces of ten tokens; the last five are something else
    acts = np.zeros((100, 12))
    acts[np.arange(100), piece] = 1
    acts[:, 10] = 1  # fires on everything: half its firings are outside, so with a stricter precision it is no candidate
    acts[:5, 11] = 1
    found = metrics.fragmentation(acts, piece < 5, story=np.arange(100) % 20, min_precision=0.6)
    assert (found.n_latents.value, found.at_least, found.latents) == (5, 5, [0, 1, 2, 3, 4])
    assert metrics.fragmentation(acts, piece < 5).n_latents.value == 1
    assert metrics.fragmentation(acts, piece < 5, share=0.8, min_precision=0.6).n_latents.value == 4
    assert metrics.fragmentation(acts[:, [0, 1]], piece < 5).n_latents.value == np.inf
    assert metrics.fragmentation(acts[:, [7]], piece < 5).n_latents.value == np.inf


@pytest.mark.parametrize(("levels", "min_precision"), [((0.0,), 0.5), ((0.0, 0.1, 0.25, 0.5), 0.85)])
def test_the_interval_of_fragmentation_keeps_the_order(levels, min_precision):
    acts, concept, _, story = case(3)
    found = metrics.fragmentation(acts, concept, story=story, share=0.6, min_precision=min_precision, levels=levels)
    fires = acts[:, found.latents] > found.levels * acts[:, found.latents].max(0)
    assert max(found.levels) == max(levels)

    def needed(rows):
        rows = rows[concept[rows]]
        covered = [fires[rows, : k + 1].any(1).mean() for k in range(len(found.latents))]
        return next((k + 1 for k, share in enumerate(covered) if share >= 0.6 - 1e-9), np.inf)

    assert found.n_latents.value == needed(np.arange(len(acts)))
    assert found.n_latents[1:] == pytest.approx(brute_interval(needed, story))


@pytest.mark.parametrize(("seed", "level"), [(0, 0), (1, 0), (2, 0.1), (3, 0.25)])
def test_splitting_against_adding_latents_one_by_one(seed, level):
    acts, concept, _, story = case(seed)
    fires = acts > level * acts.max(0)

    def f1(latents, rows=slice(None)):
        union = fires[rows][:, latents].any(1)
        return 2 * (union & concept[rows]).sum() / (union.sum() + concept[rows].sum())

    order, scores = [], [0.0]
    while True:
        best = max((k for k in range(12) if k not in order), key=lambda k: (f1([*order, k]), -k))
        if order and f1([*order, best]) <= scores[-1] + 0.01:
            break
        order.append(best)
        scores.append(f1(order))
    gains = np.diff(scores)
    n = next((k for k, gain in enumerate(gains) if k and gain <= 0.03), len(gains))
    found = metrics.splitting(acts, concept, story=story, level=level)
    assert found.latents == order
    assert found.f1 == pytest.approx(scores[1:])
    assert found.n_latents.value == n

    def resampled(rows):
        steps = np.diff([f1(order[: k + 1], rows) for k in range(len(order))])
        return next((k + 1 for k, gain in enumerate(steps) if gain <= 0.03), len(order))

    assert found.n_latents[1:] == pytest.approx(brute_interval(resampled, story))


def test_a_concept_of_two_halves_is_split_in_two():
    half = np.arange(100) // 25
    acts = np.eye(4)[half]
    assert metrics.splitting(acts, half < 2).n_latents.value == 2
    assert metrics.splitting(acts, half < 2).latents == [0, 1]
    assert metrics.splitting(acts, half < 2, n_most=1).n_latents.value == 1


# --- absorption ----------------------------------------------------------------------------------------------------------------------


def absorption_of(acts, W_dec, p, t, own, min_share=0.4):
    """One token, word for word as the definition."""
    cosine = [float(row @ p / np.linalg.norm(row)) for row in W_dec]
    carried = [float(a * (row @ p)) for a, row in zip(acts, W_dec)]
    m = sum(carried[i] for i in own)
    others = sorted([carried[i] for i in range(len(acts)) if i not in own and cosine[i] >= 0.1], reverse=True)[:3]
    q = sum(value for value in others if value > 0)
    if m >= t or t <= 0 or q < min_share * t:
        fraction = 0.0
    elif m <= 0:
        fraction = 1.0
    else:
        r = min(q, t - m)
        fraction = r / (r + m)
    top = int(np.argmax(carried))
    silent = all(acts[i] <= 0 for i in own)
    full = silent and t > 0 and cosine[top] >= 0.025 and carried[top] / t >= min_share
    return fraction, full, not silent and fraction > 0


@pytest.mark.parametrize("own", [[2], [0, 5]])
@torch.no_grad()
def test_absorption_against_the_definition(sae, own):
    x, story = X - 49, stories_of(25, 400)
    concept = ((x[:, 0] > 1) & (torch.arange(400) % 3 > 0)).numpy()
    found = metrics.absorption(sae, x, concept, latents=own, story=story, chunk=37)
    p = x[concept].double().mean(0) - x[~concept].double().mean(0)
    assert torch.allclose(metrics.mean_difference(x, concept, chunk=90).double(), p, atol=1e-5)
    p = (p / p.norm()).numpy()
    acts, W_dec, t = sae.encode(x).numpy(), sae.W_dec.numpy(), ((x - sae.b_dec).numpy() @ p)
    expected = np.full((400, 3), np.nan)
    for i in np.flatnonzero(concept):
        expected[i] = absorption_of(acts[i], W_dec, p, t[i], own)
    assert 0 < np.nanmean(expected[:, 2]) < 1  # there is something to measure
    for k, name in enumerate(("fraction", "full", "partial")):
        interval = getattr(found, name)
        assert interval.value == pytest.approx(np.nanmean(expected[:, k]), abs=1e-5)
        low_high = brute_interval(lambda rows, k=k: np.nanmean(expected[rows, k]), story)
        assert interval[1:] == pytest.approx(low_high, abs=1e-5)
    assert found.n_concept == concept.sum()
    assert not set(found.absorbers) & set(own)


@torch.no_grad()
def test_a_latent_that_fires_but_weakly_is_partly_absorbed():
    """Parent direction e0. On token 0 its latent carries all, on 1 a quarter (a child's latent the rest), on 2 nothing."""
    sae = msae.SAE(3, 3)
    child = torch.tensor([0.8, 0.6, 0.0])
    sae.W_dec.copy_(torch.stack([torch.tensor([1.0, 0, 0]), child, torch.tensor([0.0, 0, 1])]))
    sae.encode = lambda x: torch.tensor([[4.0, 0, 0], [1, 3.75, 0], [0, 5, 0], [0, 0, 4]])[x[:, 2].long()]
    x = torch.tensor([[4.0, 0, 0], [4, 2.25, 1], [4, 3, 2], [4, 0, 3]])
    found = metrics.absorption(sae, x, np.ones(4, bool), latents=[0], direction=torch.tensor([2.0, 0, 0]))
    assert found.fraction.value == pytest.approx((0 + 0.75 + 1 + 0) / 4)  # the last: silent, but nobody carries the direction instead
    assert (found.full.value, found.partial.value) == (0.25, 0.25)
    assert found.absorbers == {1: 1.0}


def test_absorption_refuses_what_does_not_fit(sae):
    for wrong, message in [
        ({"latents": [20]}, "latents 0 to 19"),
        ({"latents": []}, r"got latents=\[\]"),
        ({"concept": np.zeros(400, bool)}, "none of the 400 rows"),
        ({"concept": np.ones(3, bool)}, "one truth value per row"),
        ({"direction": torch.zeros(6)}, "other than zero"),
    ]:
        with pytest.raises(ValueError, match=message):
            metrics.absorption(sae, X, **({"latents": [0], "concept": np.arange(400) < 9} | wrong))


# --- splicing ------------------------------------------------------------------------------------------------------------------------

STORIES = ["Lily has a cat.", "Sue sees Lily and she is very happy today because of the cat.", "She runs.", "Lily and Sue and Lily."]
HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return tiny_language_model(tmp_path_factory.mktemp("lm"), STORIES, d_model=8, n_layers=2)


@torch.no_grad()
def test_splicing_against_a_straight_forward_pass(lm):
    model = plain_transformer(lm)
    sae = msae.SAE(8, 12, hook_name=HOOK, generator=torch.Generator().manual_seed(3))
    sae.b_dec += 0.1
    texts = read_texts(lm, STORIES, n_ctx=9)
    embedded = [model.layers[0](model.tok_embed(tokens[None]), model.rotation[:9])[0] for tokens in texts.tokens]
    mean = torch.cat([x[mask] for x, mask in zip(embedded, texts.mask)]).mean(0)
    rows = []  # story, loss as it is, spliced, ablated, mean-ablated, KL
    for tokens, mask, story in zip(*texts):
        x = model.tok_embed(tokens[None])
        x = model.layers[0](x, model.rotation[:9])
        logits = []
        for value in (x, sae(x), torch.zeros_like(x), mean.expand_as(x)):
            value = torch.where(mask[None, :, None], value, x)
            logits.append(model.head(model.ln_out(model.layers[1](value, model.rotation[:9])))[0])
        for i in range(8):
            if mask[i] and mask[i + 1]:
                p = [scipy.special.softmax(each[i].double().numpy()) for each in logits]
                rows.append([int(story), *(-np.log(each[tokens[i + 1]]) for each in p), scipy.stats.entropy(p[0], p[1])])
    rows = np.array(rows)
    found = metrics.splice(lm, sae, texts, batch_size=2)
    clean, spliced, ablated, mean_ablated, kl = rows[:, 1:].mean(0)
    assert found.n_tokens == len(rows)
    assert (found.loss.value, found.loss_spliced.value, found.loss_ablated.value) == pytest.approx((clean, spliced, ablated), rel=1e-5)
    assert found.kl.value == pytest.approx(kl, rel=1e-4)
    assert found.loss_recovered.value == pytest.approx((ablated - spliced) / (ablated - clean), rel=1e-3)
    assert found.loss_mean_ablated.value == pytest.approx(mean_ablated, rel=1e-5)
    assert found.recovered_from_mean.value == pytest.approx((mean_ablated - spliced) / (mean_ablated - clean), rel=1e-3)
    assert found.kl[1:] == pytest.approx(brute_interval(lambda drawn: rows[drawn, 5].mean(), rows[:, 0]), rel=1e-4)
    by_story = [[len(of), *of[:, 1:].sum(0)] for of in (rows[rows[:, 0] == story] for story in np.unique(rows[:, 0]))]
    assert found.sums == pytest.approx(np.array(by_story), rel=1e-4)


@torch.no_grad()
def test_two_saes_are_compared_story_by_story(lm):
    saes = {name: msae.SAE(8, 12, hook_name=HOOK, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("ab")}
    found = metrics.splice(lm, saes, read_texts(lm, STORIES, n_ctx=9))
    one, other = found["a"], found["b"]
    ratio = one.against(other)
    assert ratio.kl.value == pytest.approx(one.kl.value / other.kl.value)
    extra = [each.loss_spliced.value - each.loss.value for each in (one, other)]
    assert ratio.extra_loss.value == pytest.approx(extra[0] / extra[1])
    story = np.arange(len(STORIES))
    by_hand = brute_interval(lambda drawn: one.sums[drawn, 5].sum() / other.sums[drawn, 5].sum(), story)
    assert ratio.kl[1:] == pytest.approx(by_hand, rel=1e-4)
    assert tuple(one.against(one)) == ((1, 1, 1), (1, 1, 1), len(STORIES))
    elsewhere = metrics.splice(lm, saes["a"], read_texts(lm, [*STORIES[:3], "She is here."], n_ctx=9))
    with pytest.raises(ValueError, match="other stories"):
        one.against(elsewhere)


def test_some_texts_are_drawn_from_all_of_them(lm):
    sae, texts = msae.SAE(8, 12, hook_name=HOOK), read_texts(lm, STORIES * 5, n_ctx=9)
    n = len(texts.tokens)
    drawn = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:6].sort().values
    found = metrics.splice(lm, sae, texts, n_texts=6)
    assert int(drawn.max()) > n / 2
    np.testing.assert_allclose(found.sums, metrics.splice(lm, sae, texts.pick(drawn)).sums, rtol=1e-4)
    assert metrics.splice(lm, sae, texts, n_texts=n + 1).n_tokens == metrics.splice(lm, sae, texts).n_tokens


@torch.no_grad()
def test_splicing_nothing_and_everything(lm):
    whole, nothing = (msae.SAE(8, 16, hook_name=HOOK) for _ in range(2))
    eye = torch.eye(8)
    whole.W_dec.copy_(torch.cat([eye, -eye]))  # x = relu(x) - relu(-x)
    whole.W_enc.copy_(torch.cat([eye, -eye]).T)
    nothing.b_enc.fill_(-1e6)
    before = lm(lm.to_tokens("Lily"))
    found = metrics.splice(lm, {"whole": whole, "nothing": nothing}, read_texts(lm, STORIES, n_ctx=12))
    assert found["whole"].loss_recovered.value == pytest.approx(1, abs=1e-5)
    assert found["whole"].kl.value == pytest.approx(0, abs=1e-6)
    assert found["nothing"].loss_recovered.value == pytest.approx(0, abs=1e-6)
    assert found["nothing"].loss == found["whole"].loss
    assert torch.equal(lm(lm.to_tokens("Lily")), before)


def test_a_batch_without_a_prediction_is_passed_over(lm):
    sae, texts = msae.SAE(8, 4, hook_name=HOOK), read_texts(lm, STORIES, n_ctx=9)
    texts.mask[0] = False
    texts.mask[1, 2:] = False
    some = texts.pick(torch.arange(2, len(texts.tokens)))
    found = metrics.splice(lm, sae, texts, batch_size=1)
    assert found.n_tokens == metrics.splice(lm, sae, some).n_tokens
    assert found.kl.value == pytest.approx(metrics.splice(lm, sae, some).kl.value)


def test_a_story_without_a_prediction_is_no_unit(lm):
    """Of stories that few texts are drawn from, all that is left may be one token."""
    sae, texts = msae.SAE(8, 4, hook_name=HOOK), read_texts(lm, STORIES, n_ctx=9)
    left = texts.pick((texts.story != texts.story[0]).nonzero()[:, 0])
    texts.mask[texts.story == texts.story[0], 2:] = False
    found, of_left = metrics.splice(lm, sae, texts), metrics.splice(lm, sae, left)
    assert len(found.sums) == len(of_left.sums) == len(torch.unique(left.story))
    assert (found.sums[:, 0] > 0).all()


def test_tokens_that_the_model_rules_out_do_not_count_in_the_divergence(lm, monkeypatch):
    """Logits of -∞ have the probability 0, and 0 log 0 is 0."""
    sae, texts = msae.SAE(8, 4, hook_name=HOOK), read_texts(lm, STORIES, n_ctx=9)
    run, never = lm.run_with_hooks, torch.arange(lm.cfg.d_vocab) >= lm.cfg.d_vocab - 3
    never &= ~torch.isin(torch.arange(lm.cfg.d_vocab), texts.tokens)
    found = []
    for ruled_out in (-30.0, -torch.inf):
        monkeypatch.setattr(lm, "run_with_hooks", lambda *a, value=ruled_out, **k: run(*a, **k).masked_fill(never, value))
        found.append(metrics.splice(lm, sae, texts).kl.value)
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_splicing_refuses_what_does_not_fit(lm):
    texts = read_texts(lm, STORIES, n_ctx=9)
    with pytest.raises(ValueError, match="'sae' names no hook"):
        metrics.splice(lm, msae.SAE(8, 4), texts)
    with pytest.raises(ValueError, match=r"no hook 'blocks\.9"):
        metrics.splice(lm, msae.SAE(8, 4, hook_name="blocks.9.hook_resid_pre"), texts)
    with pytest.raises(ValueError, match="no prediction to measure"):
        metrics.splice(lm, msae.SAE(8, 4, hook_name=HOOK), read_texts(lm, STORIES, n_ctx=2))
