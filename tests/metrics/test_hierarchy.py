"""Intervals over seeds, references and stories, against a bootstrap that draws everything itself, and by how often they hold."""

import numpy as np
import pytest

from msae import metrics


def _world(rng, *, seeds, references, n_stories=80, spread=(0.02, 0.01, 0.2)):
    """(seeds, references, n_stories) numbers around 0.3 whose mean over stories is measured; the same stories are hard for all."""
    of_seed, of_reference, of_story = spread
    numbers = 0.3 + rng.normal(0, of_seed, (seeds, 1, 1)) + rng.normal(0, of_reference, (1, references, 1))
    numbers = numbers + rng.normal(0, of_story, n_stories) + rng.normal(0, of_story / 2, (seeds, references, n_stories))
    return numbers


def _replicates(numbers, n=200):
    """(seeds, references, 1 + n), through the public function."""
    ones = np.ones(numbers.shape[-1])
    return np.array(
        [[metrics.replicates(metrics.ratio, np.stack([pair, ones], axis=1), n_replicates=n) for pair in row] for row in numbers]
    )


def _brute_force(rng, numbers, other=None, n=2000):
    """Middle 95 % of means, everything drawn anew; seeds of each kind for itself, references and stories together."""
    drawn = []
    for _ in range(n):
        references, stories = (rng.integers(size, size=size) for size in numbers.shape[1:])
        means = [
            kind[rng.integers(len(kind), size=len(kind))][:, references][:, :, stories].mean()
            for kind in ([numbers] if other is None else [numbers, other])
        ]
        drawn.append(means[0] - sum(means[1:]))
    return np.quantile(drawn, [0.025, 0.975])


def test_of_many_seeds_it_is_the_bootstrap_that_draws_everything_itself():
    rng = np.random.default_rng(0)
    one, two = _world(rng, seeds=30, references=25), _world(rng, seeds=40, references=25, spread=(0.05, 0.01, 0.2))
    for other, expected in ((None, _brute_force(rng, one)), (two, _brute_force(rng, one, two))):
        found = metrics.hierarchical(_replicates(one), None if other is None else _replicates(other)).interval
        width = expected[1] - expected[0]
        assert found.low == pytest.approx(expected[0], abs=0.12 * width)
        assert found.high == pytest.approx(expected[1], abs=0.12 * width)


@pytest.mark.parametrize(("seeds", "references"), [(5, 3), (3, 1), (5, 8)])
def test_of_few_seeds_it_holds_the_truth_as_often_as_it_says(seeds, references):
    rng, hits, n = np.random.default_rng(1), np.zeros(3), 80
    spread = (0.02, 0.01 if references > 1 else 0, 0.1)  # of one reference the spread is not known
    for _ in range(n):
        one, two = (_replicates(_world(rng, seeds=seeds, references=references, n_stories=40, spread=spread), 60) for _ in range(2))
        found = [metrics.hierarchical(one), metrics.hierarchical(one, two), metrics.hierarchical(one, two, compare="ratio")]
        hits += [each.interval.low <= truth <= each.interval.high for each, truth in zip(found, (0.3, 0, 1))]
    assert (hits / n >= 0.9).all(), hits / n


def test_a_paired_difference_does_not_see_what_both_share():
    rng = np.random.default_rng(2)
    shared = _replicates(_world(rng, seeds=5, references=4, spread=(0.1, 0.05, 0.3)))
    shifted = shared + 0.01 + rng.normal(0, 0.0005, (5, 1, 1))
    paired, apart = (metrics.hierarchical(shifted, shared, paired=paired) for paired in (True, False))
    assert 0.005 < paired.interval.low < 0.01 < paired.interval.high < 0.015
    assert apart.interval.low < 0 < apart.interval.high
    assert (paired.units["seeds"], apart.units["seeds"]) == (5, (5, 5))


def test_a_ratio_is_that_of_the_means():
    rng = np.random.default_rng(3)
    one, two = (_replicates(_world(rng, seeds=4, references=3)) for _ in range(2))
    found = metrics.hierarchical(one, two, compare="ratio").interval
    assert found.value == pytest.approx(one[..., 0].mean() / two[..., 0].mean())
    assert found.low < found.value < found.high
    twice = metrics.hierarchical(2 * one, two, compare="ratio").interval
    np.testing.assert_allclose(np.array(twice), 2 * np.array(found))


def test_the_bias_of_resamples_is_taken_off():
    values = np.full((4, 2, 201), 0.5) + np.random.default_rng(4).normal(0, 0.01, (4, 2, 201))
    values[..., 1:] -= 0.1  # resamples read too little
    assert metrics.hierarchical(values).interval.low > 0.55


def test_without_references_and_in_print():
    values = np.random.default_rng(5).normal(1, 0.1, (3, 50))
    found = metrics.hierarchical(values, also={"latents": 1, "stories": 7})
    assert found.units == {"seeds": 3, "latents": 1, "stories": 7}
    assert str(found).endswith("(3 seeds, 1 latent, 7 stories)")
    np.testing.assert_allclose(found.interval, metrics.hierarchical(values[:, None]).interval)
    assert f"{metrics.hierarchical(np.ones((1, 1, 3))):.1f}" == "1.0 [?, ?] (1 seed, 1 reference seed)"


def test_one_replicate_tells_what_the_seeds_do_and_nothing_of_the_stories(recwarn):
    found = metrics.hierarchical(np.random.default_rng(0).random((5, 4, 2)))
    assert found.interval.low < found.interval.value < found.interval.high
    assert not recwarn
