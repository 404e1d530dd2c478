"""Measures against counting by hand and against other libraries."""

import itertools

import numpy as np
import pytest
import torch

from msae import metrics


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
    assert tuple(metrics.match(acts, features).tolist()) == best
    with pytest.raises(ValueError, match="3 latents cannot be matched to 4"):
        metrics.match(acts[:, :3], features)


def test_holes_by_hand():
    #          parent, child a, child b
    features = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]])
    acts = torch.tensor([[2.0, 0, 0], [0, 3, 0], [1, 3, 0], [0, 0, 4], [9, 0, 0]])
    holes = metrics.holes(acts, features, latent=0, parent=0, children=[1, 2])
    assert holes.rate == pytest.approx(2 / 3)
    assert holes.by_child == {1: 0.5, 2: 1.0}
    assert holes.filled_by == {1: 0.5, 2: 0.5}
    assert holes.n_present == 3
    assert metrics.holes(acts, features, 0, 0, [1, 2], threshold=1.5).rate == 1
    with pytest.raises(ValueError, match="no input has feature 0 together"):
        metrics.holes(acts[:1], features[:1], 0, 0, [1, 2])
    with pytest.raises(ValueError, match="latents 0 to 2, got 3"):
        metrics.holes(acts, features, 3, 0, [1, 2])


def test_one_to_one_matching_can_invent_holes_where_the_closest_latent_has_none():
    """The situation of some toy seeds: one child has no latent, and a latent fires on "parent, but no child" instead."""
    kinds = torch.tensor([[1, 0, 0, 0]] * 8 + [[1, 1, 0, 0]] * 4 + [[1, 0, 1, 0]] * 4 + [[1, 0, 0, 1]] * 4)
    parent_only = (kinds[:, 1:].sum(1) == 0).float()
    acts = torch.stack([torch.ones(20), kinds[:, 1].float(), kinds[:, 2].float(), parent_only], dim=1)
    matched, closest = metrics.match(acts, kinds.float()), metrics.closest(acts, kinds.float())
    assert closest[0] == 0
    assert metrics.holes(acts, kinds, int(closest[0]), 0, [1, 2, 3]).rate == 0
    assert matched[0] == 3
    assert metrics.holes(acts, kinds, int(matched[0]), 0, [1, 2, 3]).rate == 1


def test_cosines_against_numpy():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 3))
    expected = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    assert np.allclose(metrics.cosines(torch.tensor(a), torch.tensor(b)).numpy(), expected)
    assert metrics.cosines(torch.zeros(1, 3), torch.ones(1, 3)).item() == 0
