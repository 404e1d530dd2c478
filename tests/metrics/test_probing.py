"""Probes against Newton's method and the conditions of an optimum; absorption by probes against absorption that was planted."""

import numpy as np
import pytest
import scipy
import torch

import msae
from msae import metrics
from msae.toy import orthogonal_directions


def data(n=300, d=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) + 2
    return x, x @ rng.normal(size=d) + rng.normal(size=n) > 1.5


def newton(x, y, l2):
    """The same probe by Newton's method: weights of the bias last."""
    ones = np.hstack([x, np.ones((len(x), 1))])
    cost, ridge = np.where(y, (~y).sum() / y.sum(), 1) / len(y), l2 * np.diag([1] * x.shape[1] + [0])
    w = np.zeros(x.shape[1] + 1)
    for _ in range(60):
        p = 1 / (1 + np.exp(-ones @ w))
        hessian = (ones.T * (cost * p * (1 - p))) @ ones + ridge
        w -= np.linalg.solve(hessian, ones.T @ (cost * (p - y)) + ridge @ w)
    return w


@pytest.mark.parametrize("l2", [0.001, 0.1])
def test_a_probe_is_newtons(l2):
    x, y = data()
    found = metrics.linear_probe(x, y, l2=l2)
    expected = newton(x, y, l2)
    assert found.weight == pytest.approx(expected[:-1], abs=1e-3)
    assert found.bias == pytest.approx(expected[-1], abs=1e-3)
    assert found.scores(x) == pytest.approx(x @ found.weight + found.bias)


def test_a_probe_of_tensors_and_of_sparse_rows_is_the_same():
    x, y = data()
    x = np.where(x > 2, x, 0).astype(np.float32)
    dense = metrics.linear_probe(x, y, l2=0.01)
    for other in (torch.from_numpy(x), scipy.sparse.csr_array(x), x.tolist()):
        found = metrics.linear_probe(other, y, l2=0.01)
        assert found.weight == pytest.approx(dense.weight, abs=1e-3)
        assert found.scores(other) == pytest.approx(dense.scores(x), abs=1e-2)


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e15, 1e100])
def test_a_probe_reads_numbers_of_any_size(size):
    x, y = data()
    found = metrics.linear_probe(x * size, y, l2=0.01 * size**2)
    expected = newton(x, y, 0.01)
    assert found.weight * size == pytest.approx(expected[:-1], rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_probe_reads_half_precision(dtype):
    x, y = data()
    half = torch.from_numpy(x).to(dtype)
    assert metrics.linear_probe(half, y, l2=0.01).weight == pytest.approx(metrics.linear_probe(half.double(), y, l2=0.01).weight)


@pytest.mark.parametrize("l1", [0.02, 0.2])
def test_a_sparse_probe_is_where_no_weight_wants_to_move(l1):
    x, y = data(d=8)
    found = metrics.linear_probe(x, y, l1=l1, l2=0)
    cost = np.where(y, (~y).sum() / y.sum(), 1) / len(y)
    slope = x.T @ (cost * (1 / (1 + np.exp(-found.scores(x))) - y))
    zero = found.weight == 0
    assert 0 < zero.sum() < 8
    assert (np.abs(slope[zero]) <= l1 + 1e-4).all()
    assert slope[~zero] == pytest.approx(-l1 * np.sign(found.weight[~zero]), abs=1e-3)


def test_latents_count_as_long_as_each_raises_f1():
    """Three latents hold 60, 30 and 2 of 92 tokens of a concept; the third is a split too small to count."""
    which = np.concatenate([np.repeat([0, 1, 2], [60, 30, 2]), np.full(200, 3)])
    acts, concept = np.tile(3 * np.eye(4)[which][:, :3], (2, 1)), np.tile(which < 3, 2)
    train = np.arange(len(acts)) < len(which)  # both halves hold the same tokens
    found = metrics.sparse_probe(acts, concept, train=train, l1=0.002)
    assert found.latents[:2] == [0, 1]
    assert found.split == [0, 1]
    assert [each.value for each in found.f1] == pytest.approx([2 * 60 / 152, 2 * 90 / 182, 1.0])
    assert metrics.sparse_probe(acts, concept, train=train, l1=0.002, min_gain=0.01).n_latents == 3
    assert metrics.sparse_probe(acts, concept, train=train, l1=0.002, n_most=1).split == [0]


def planted(n_children, absorbed, n=4000):
    """Inputs of a parent (direction 0) that has one of n_children in 4 of 5 cases, and an SAE that absorbs it into some of these."""
    d = n_children + 3
    rng = np.random.default_rng(3)
    parent = rng.random(n) < 0.5
    child = np.where(parent & (rng.random(n) < 0.8), rng.integers(1, n_children + 1, n), 0)
    x = np.zeros((n, d), dtype=np.float32)
    x[:, 0], x[:, d - 1] = parent, rng.random(n) < 0.3
    x[np.flatnonzero(child), child[child > 0]] = 1
    sae = msae.SAE(d, d)
    with torch.no_grad():
        for weight in (sae.W_enc, sae.W_dec):
            weight.copy_(torch.eye(d))
        sae.b_enc.zero_(), sae.b_dec.zero_()
        for k in absorbed:  # the parent's latent falls silent, and the child's row says both
            sae.W_enc[k, 0] = -1
            sae.W_dec[k] = torch.eye(d)[0] + torch.eye(d)[k]
            sae.W_dec[k] /= sae.W_dec[k].norm()
            sae.W_enc[k, k] = 2**0.5
    return torch.from_numpy(x), parent, child, sae


def test_planted_absorption_is_found():
    x, parent, child, sae = planted(40, absorbed=range(1, 11))
    train = np.arange(len(x)) < 2000
    found = metrics.absorption_by_probe(sae, x, parent, train=train)
    holes = np.isin(child, range(1, 11))[parent & ~train].mean()
    assert 0.15 < holes < 0.25
    assert found.sparse.split == [0]
    assert found.f1.value == 1
    assert abs(found.probe.weight[0]) > 5 * np.abs(found.probe.weight[1:]).max()
    assert found.absorption.full.value == pytest.approx(holes)
    assert found.absorption.fraction.value == pytest.approx(holes)
    assert metrics.hole_rate(metrics.encode(sae, x[~train]), 0, parent[~train]).rate.value == pytest.approx(holes)
    truth = metrics.absorption_by_probe(planted(40, absorbed=[])[3], x, parent, train=train, probe=found.probe)
    assert (truth.absorption.full.value, truth.absorption.fraction.value) == (0, 0)


def test_absorption_into_few_large_children_is_called_splitting():
    """Each of three children is worth more than 0.03 of F1, so all count as the parent's own: nothing is left to absorb it."""
    x, parent, child, sae = planted(3, absorbed=[1, 2, 3])
    train = np.arange(len(x)) < 2000
    found = metrics.absorption_by_probe(sae, x, parent, train=train)
    assert sorted(found.sparse.split) == [0, 1, 2, 3]
    assert found.absorption.fraction.value == 0
    alone = metrics.absorption(sae, x[~train], parent[~train], latents=[0], direction=torch.eye(6)[0])
    assert alone.full.value == pytest.approx((child > 0)[parent & ~train].mean())


def test_a_plain_sae_of_the_toy_tree_absorbs_and_a_matryoshka_sae_does_not():
    tree = msae.FeatureTree.article()
    stream = msae.TreeStream(tree, orthogonal_directions(20, 20))
    shared = {"n_latents": 20, "n_steps": 1000, "batch_size": 200, "lr": 1e-2, "sparsify": 0.2, "penalty": "l1", "seed": 1}
    plain = msae.TrainConfig(**shared, prefixes=msae.FullPrefix(), target_l0=None, penalty_weight=0.05)
    trained = msae.train({"plain": plain, "all": msae.TrainConfig(**shared, target_l0=tree.l0)}, stream, progress=False)
    x, features = tree.sample(6000, stream.directions, torch.Generator().manual_seed(0))
    parent = tree.parents[0]
    present, train = features[:, parent].numpy() > 0, np.arange(6000) < 3000
    shares = {}
    for name, result in trained.items():
        acts = result.sae.encode(x).detach()
        own = int(metrics.closest(acts, features)[parent])
        probe = metrics.linear_probe(x[:3000], present[:3000])
        found = metrics.absorption(result.sae, x[3000:], present[3000:], latents=[own], direction=torch.from_numpy(probe.weight))
        holes = metrics.hole_rate(acts[3000:], own, present[3000:]).rate.value
        assert found.full.value == pytest.approx(holes, abs=0.02)
        shares[name] = found.full.value
        by_probe = metrics.absorption_by_probe(result.sae, x, present, train=train, probe=probe, acts=acts)
        assert (by_probe.sparse.n_latents > 1) == (name == "plain")
    assert shares["plain"] > 0.4
    assert shares["all"] < 0.02


def test_acts_that_are_known_change_nothing():
    x, parent, _, sae = planted(40, absorbed=range(1, 11), n=1000)
    train = np.arange(1000) < 500
    asked = {"train": train, "story": np.arange(1000) // 20}
    found = metrics.absorption_by_probe(sae, x, parent, **asked)
    firings = metrics.as_firings(sae.encode(x).detach())
    again = metrics.absorption_by_probe(sae, x, parent, **asked, acts=firings, probe=found.probe)
    assert again.sparse == found.sparse
    assert again.absorption == found.absorption
    with pytest.raises(ValueError, match="acts must be of the SAE's 43 latents on the 1,000 rows"):
        metrics.absorption_by_probe(sae, x, parent, **asked, acts=firings.take([0, 1]))


def test_a_concept_that_no_half_holds_is_refused():
    x, parent, _, sae = planted(3, [], n=100)
    for wrong, message in [
        ({"train": parent}, "concept must be true on some of the inputs that train and false on others, got 47 of 47"),
        ({"train": np.ones(100, bool)}, "on none of the inputs that do not train"),
        ({"train": np.zeros(100, bool)}, "got 0 of 0"),
        ({"train": np.arange(100) < 50, "probe": metrics.Probe(np.zeros(6), -1.0)}, "the probe finds it on none"),
        ({"train": np.arange(100) < 50, "probe": metrics.Probe(np.zeros(5), 1.0)}, "x must have the width 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            metrics.absorption_by_probe(sae, x, parent, **wrong)
    with pytest.raises(ValueError, match="no latent fires more on it"):
        metrics.sparse_probe([[0.0], [1.0], [0.0], [1.0]], [True, False] * 2, train=[True, True, False, False])
