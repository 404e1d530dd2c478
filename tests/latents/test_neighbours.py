"""Neighbours by direction and by firing, against loops; a map against the covariance of the directions."""

from __future__ import annotations

import numpy as np
import torch

from msae import metrics
from msae.latents import nearest, principal_components

G = np.random.default_rng(0)
ROWS = G.normal(size=(30, 5)) * G.lognormal(size=(30, 1))


def test_nearest_directions_are_those_with_the_largest_cosine():
    found = nearest(torch.from_numpy(ROWS), k=4)
    for i, its in enumerate(found):
        cosines = {j: ROWS[i] @ ROWS[j] / np.linalg.norm(ROWS[i]) / np.linalg.norm(ROWS[j]) for j in range(30) if j != i}
        expected = sorted(cosines, key=lambda j: -cosines[j])[:4]
        assert [j for j, _ in its] == expected
        np.testing.assert_allclose([cosine for _, cosine in its], [cosines[j] for j in expected], atol=6e-4)


def test_all_others_are_neighbours_where_so_many_are_asked_for_even_opposite_ones():
    assert nearest([[1.0, 0.0], [-1.0, 0.0]], k=9) == [[(1, -1.0)], [(0, -1.0)]]
    assert nearest([[1.0, 0.0]]) == [[]]


def test_nearest_by_firing_is_both_over_either():
    acts = G.random((200, 8)) * (G.random((200, 8)) < 0.3)
    fires = acts > 0
    for i, its in enumerate(nearest(metrics.as_firings(acts), k=3)):
        shares = {j: (fires[:, i] & fires[:, j]).sum() / (fires[:, i] | fires[:, j]).sum() for j in range(8) if j != i}
        np.testing.assert_allclose([share for _, share in its], sorted(shares.values())[:-4:-1], atol=6e-4)
        assert all(abs(shares[j] - share) < 6e-4 for j, share in its)


def test_a_map_has_the_variances_of_the_covariance():
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    sizes, axes = np.linalg.eigh(np.cov(unit.T, bias=True))
    found = principal_components(ROWS, n_dims=3)
    np.testing.assert_allclose(found.points.var(0), sizes[::-1][:3], rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.points), np.abs((unit - unit.mean(0)) @ axes[:, ::-1][:, :3]), atol=1e-9)
    assert np.isclose(found.explained, sizes[::-1][:3].sum() / sizes.sum())
    assert (found.points[np.abs(found.points).argmax(0), range(3)] > 0).all()


def test_equal_directions_lie_on_one_point():
    found = principal_components(np.ones((3, 4)), n_dims=1)
    np.testing.assert_allclose(found.points, 0, atol=1e-12)
