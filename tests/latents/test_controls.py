"""Controls: thresholds against sorting, a frozen SAE against its counts, independent components against known sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import msae
from msae.firings.firings import Firings
from msae.latents import frozen_sae, independent_components, some_latents, strongest_inputs


def test_directions_fire_on_their_strongest_inputs():
    scores = np.random.default_rng(0).normal(size=(50, 4))
    mask = np.zeros((6, 10), dtype=bool)
    mask.reshape(-1)[np.random.default_rng(1).permutation(60)[:50]] = True
    found = strongest_inputs(torch.from_numpy(scores), [0, 1, 7, 49], mask=mask)
    assert found.places == (6, 10)
    assert found.counts.tolist() == [0, 1, 7, 49]
    where = np.flatnonzero(mask)
    for k, n in enumerate((0, 1, 7, 49)):
        order = np.argsort(-scores[:, k])
        positions, values = found.of(k)
        assert set(positions) == set(where[order[:n]])
        np.testing.assert_allclose(values, scores[np.searchsorted(where, positions), k] - scores[order[n], k], rtol=1e-4, atol=1e-6)


def test_equal_scores_at_the_threshold_are_silent():
    assert strongest_inputs([[0.0], [0.0], [1.0], [0.0]], [2]).counts.tolist() == [1]


def test_a_frozen_sae_fires_as_often_as_it_is_told_to_and_its_rows_are_random():
    x = torch.randn(400, 8, generator=torch.Generator().manual_seed(1)) + 3
    counts = [0, 1, 40, 399]
    sae, other = (frozen_sae(x, counts, seed=seed, hook_name="here") for seed in (0, 1))
    assert (sae.encode(x) > 0).sum(0).tolist() == counts
    assert sae.hook_name == "here"
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(sae.W_enc, sae.W_dec.T)
    assert (sae.W_dec @ other.W_dec.T).diagonal().abs().max() < 0.95


@pytest.mark.parametrize("seed", range(3))
def test_independent_components_are_the_sources(seed):
    g = torch.Generator().manual_seed(seed)
    sources = -torch.rand(4000, 5, generator=g).double().log()  # exponential: a long tail on the positive side
    mixed = sources @ torch.randn(5, 5, generator=g).double() + 7
    rows = independent_components(mixed, seed=seed)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))
    cross = np.corrcoef(sources.numpy().T, (mixed @ rows.double().T).numpy().T)[:5, 5:]
    assert (cross.max(1) > 0.98).all(), "each source has a component, with its sign"
    assert sorted(cross.argmax(1)) == list(range(5))


def test_a_direction_without_variance_is_refused():
    flat = torch.randn(30, 3) * torch.tensor([1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="does not vary"):
        independent_components(flat)


def test_a_frozen_sae_can_be_read_as_any_other():
    x = torch.randn(60, 4)
    sae = frozen_sae(x, [5, 6])
    assert Firings.of_dense(sae.encode(x).detach()[:, None]).counts.tolist() == [5, 6]


@pytest.mark.parametrize("kind", [msae.ReLU(), msae.JumpReLU()])
def test_some_latents_fire_as_they_do_in_the_whole(kind):
    sae = msae.SAE(6, 20, kind, hook_name="here", generator=torch.Generator().manual_seed(0))
    sae.b_enc.data = torch.linspace(-1, 1, 20)
    if sae.threshold is not None:
        sae.threshold.data = torch.linspace(0, 1, 20)
    x = torch.randn(50, 6)
    part = some_latents(sae, np.array([7, 3, 19]))
    torch.testing.assert_close(part.encode(x), sae.encode(x)[:, [7, 3, 19]])
    torch.testing.assert_close(part.W_dec, sae.W_dec[[7, 3, 19]])
    assert part.hook_name == "here"
