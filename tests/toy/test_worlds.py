"""Worlds beside the article's tree: what is drawn is what each of them says."""

import itertools

import pytest
import torch
from torch.testing import assert_close

import msae
from msae.toy.worlds import FeatureGraph, World, toy_worlds

TREE = msae.FeatureTree.article()
WORLDS = toy_worlds()


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_gives_batches_of_its_features_and_resumes(name):
    world = WORLDS[name]
    stream = world.stream((0, 1))
    first, second = itertools.islice(stream.batches(5, seed=3), 2)
    assert first.shape == (2, 5, world.d_model or world.tree.n_features)
    assert torch.equal(second, next(stream.batches(5, seed=3, skip=1)))
    assert all(world.tree.children(parent) for parent in world.tree.parents)


@pytest.mark.parametrize("name", WORLDS)
def test_the_probabilities_are_those_of_the_draws(name):
    tree = WORLDS[name].tree
    drawn = tree.sample_features((50_000,), torch.Generator().manual_seed(5))
    assert_close(drawn.double().mean(0), tree.probability, atol=0.01, rtol=0)


def test_jitter_and_noise_have_the_spread_that_is_asked_for_and_leave_the_features():
    directions, g = torch.eye(20), torch.Generator
    plain, features = TREE.sample(40_000, directions, g().manual_seed(0))
    moved, same = TREE.sample(40_000, directions, g().manual_seed(0), jitter=0.05)
    noisy, _ = TREE.sample(40_000, directions, g().manual_seed(0), noise=0.2)
    assert torch.equal(same, features)
    assert torch.equal(plain, features)
    assert (moved[features == 0] == 0).all()
    assert moved[features == 1].mean().item() == pytest.approx(1, abs=0.002)
    assert moved[features == 1].std().item() == pytest.approx(0.05, rel=0.03)
    assert (noisy - plain).std().item() == pytest.approx(0.2, rel=0.03)


def test_a_child_of_two_parents_has_both_active():
    tree = WORLDS["two parents a child"].tree
    features = tree.sample_features((20_000,), torch.Generator().manual_seed(0)).bool()
    for parent in tree.parents:
        assert len(tree.children(parent)) == 3
        for child in tree.children(parent):
            assert features[features[:, child], parent].all()
    assert (features[:, :4].sum(1) == 1).any(), "parents come without their children, too"


def test_a_tenth_of_the_children_is_without_the_parent():
    graph = FeatureGraph.of(TREE, apart=0.1)
    features = graph.sample_features((100_000,), torch.Generator().manual_seed(0)).bool()
    with_child = features[:, TREE.children(0)].any(1)
    assert (~features[with_child, 0]).float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_strengths_are_the_lengths_of_the_directions():
    lengths = World(TREE, child_strength=1.4).directions(0).norm(dim=1)
    children = [child for parent in TREE.parents for child in TREE.children(parent)]
    expected = torch.ones(20)
    expected[children] = 1.4
    assert_close(lengths, expected)
    spread = torch.cat([World(TREE, spread=2.0).directions(seed).norm(dim=1) for seed in range(40)])
    assert 0.5 <= spread.min() < 0.53
    assert 1.9 < spread.max() <= 2
    assert spread.log().mean().item() == pytest.approx(0, abs=0.05)
    assert World(TREE, d_model=14).directions(0).shape == (20, 14)
