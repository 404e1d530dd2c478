"""The auxiliary loss for dead latents: its gradients against autograd on the formula, whom it moves, and whom it leaves."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import msae
from msae.toy.tree import orthogonal_directions
from msae.training import run as training_run
from msae.training.auxiliary import add_auxiliary
from msae.training.run import Run

torch.set_num_threads(1)
TREE = msae.FeatureTree.article()
WORLD = orthogonal_directions(20, 20)
STREAM = msae.TreeStream(TREE, WORLD)
CONFIG = msae.TrainConfig(60, TREE.l0, 40, batch_size=100, start_l0=10.0, aux_latents=4, dead_after=300)


def reference(x, residual, params, dead, k, weight):
    """The formula, input by input, with a loop over the k dead latents of largest level; autograd does the rest."""
    leaves = {name: params[name].clone().requires_grad_() for name in ("W_encT", "b_enc", "W_dec")}
    norm = leaves["W_dec"].norm(dim=1)
    error = 0.0 * leaves["W_dec"].sum()
    for x_D, residual_D in zip(x, residual, strict=True):
        level = (leaves["W_encT"] @ x_D + leaves["b_enc"]) * norm
        given_level = level.tolist()
        order = sorted(dead.nonzero().flatten().tolist(), key=lambda i: -given_level[i])
        made = sum((level[i] * leaves["W_dec"][i] / norm[i] for i in order[:k]), torch.zeros_like(x_D))
        error = error + (made - residual_D).square().sum() / len(x)
    (weight * error).backward()
    return error.detach(), {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_dead=st.integers(0, 9),
    k=st.integers(1, 10),
    level=st.sampled_from([-4.0, 0.0, 4.0]),
    n_saes=st.integers(1, 2),
    shared=st.booleans(),
)
def test_its_gradients_are_those_of_the_formula(seed, n_dead, k, level, n_saes, shared):
    random = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(seed)}
    n, d = 9, 5
    params = {name: torch.randn(n_saes, n, d, **random) for name in ("W_encT", "W_dec")} | {
        "b_enc": torch.randn(n_saes, n, **random) + level
    }
    x, residual = torch.randn(1 if shared else n_saes, 7, d, **random), torch.randn(n_saes, 7, d, **random)
    dead = torch.stack([torch.randperm(n, generator=random["generator"]) < n_dead for _ in range(n_saes)])
    before = {name: torch.randn(p.shape, **random) for name, p in params.items()}
    grads = {name: grad.clone() for name, grad in before.items()}
    loss = add_auxiliary((x, residual), dead, params, grads, k=k, weight=0.3)
    for s in range(n_saes):
        its = {name: p[s] for name, p in params.items()}
        error, expected = reference(x[0 if shared else s], residual[s], its, dead[s], k, 0.3)
        assert_close(loss[s], error, rtol=1e-9, atol=1e-9)
        for name in params:
            assert_close(grads[name][s] - before[name][s], expected[name], rtol=1e-8, atol=1e-9)


def test_of_each_input_the_k_largest_take_part():
    params = {"W_encT": torch.eye(3)[None], "b_enc": torch.tensor([[-1.0, -2.0, -3.0]]), "W_dec": torch.eye(3)[None]}
    grads = {name: torch.zeros_like(p) for name, p in params.items()}
    loss = add_auxiliary((torch.zeros(1, 1, 3), torch.zeros(1, 1, 3)), torch.ones(1, 3, dtype=torch.bool), params, grads, k=2, weight=1.0)
    assert loss.item() == 1.0**2 + 2.0**2
    assert grads["b_enc"].tolist() == [[-2.0, -4.0, 0.0]]  # downhill they rise


@pytest.mark.parametrize("nonlinearity", [msae.ReLU(), msae.TopK(2), msae.BatchTopK(2), msae.JumpReLU()], ids=str)
def test_in_training_it_gives_gradients_to_the_dead_alone(nonlinearity):
    config = dataclasses.replace(CONFIG, nonlinearity=nonlinearity, target_l0=nonlinearity.fixed_l0 or TREE.l0, start_l0=None)
    run, x = Run(config, 20, torch.device("cpu")), next(STREAM.batches(100, 0))[None]
    with torch.no_grad():
        run.params["b_enc"][:, :30] -= 100  # they fire on nothing
    for n in (100, 200, 300):
        seen = run.gradients(x)
        silent = run.silent_SN + 100
        before = {name: grad.clone() for name, grad in run.grads.items()}
        run.silent_SN = silent * (seen.power_N == 0)
        run._add_auxiliary(x)
        changed = {name: grad != before[name] for name, grad in run.grads.items()}
        dead = run.silent_SN >= 300
        assert bool(dead[0, :30].all()) == (n == 300)
        for name in ("W_dec", "b_enc"):
            its = changed[name].flatten(2).any(2) if changed[name].ndim == 3 else changed[name]
            assert not its[~dead].any()
            assert bool(its.any()) == (n == 300)
        assert not any(changed[name].any() for name in ("b_dec", "threshold") if name in changed)


def test_a_latent_is_dead_after_so_many_silent_inputs_and_no_more_once_it_fires_or_moves(monkeypatch):
    run = Run(dataclasses.replace(CONFIG, exchange_every=7, exchange_moves=3, start_l0=None, lr=0.1), 20, torch.device("cpu"))
    moved: list[int] = []
    start_anew = training_run.start_anew
    monkeypatch.setattr(training_run, "start_anew", lambda moves, *rest: (moved.extend(moves.latent.tolist()), start_anew(moves, *rest)))
    expected, longest = torch.zeros(1, 60, dtype=torch.long), 0
    for x, _ in zip(STREAM.batches(100, 0), range(40), strict=False):
        fired = run.gradients(x[None]).power_N > 0
        expected, before = (expected + 100) * ~fired, len(moved)
        run.step(x[None])
        expected[0, moved[before:]] = 0
        assert run.silent_SN.equal(expected)
        longest = max(longest, int(expected.max()))
    assert moved
    assert longest > 500


@pytest.mark.parametrize("lazy", [False, True])
def test_it_brings_back_latents_that_nothing_else_does(lazy):
    """Half of twenty latents are silent from the start; with twenty features in the world, each of them is missed."""
    dead = {}
    for k in (0, 4):
        config = dataclasses.replace(CONFIG, n_latents=20, n_steps=300, start_l0=None, prefixes=msae.FullPrefix(), lr=1e-2, lazy_adam=lazy)
        run = Run(dataclasses.replace(config, aux_latents=k, dead_after=1000), 20, torch.device("cpu"))
        with torch.no_grad():
            run.params["b_enc"][:, :10] -= 4
        for x, _ in zip(STREAM.batches(100, 0), range(300), strict=False):
            run.step(x[None])
        dead[k] = msae.metrics.reconstruction(run.finish(STREAM)[0], next(STREAM.batches(4000, 1))).dead
    assert dead[0] >= 0.5
    assert dead[4] <= 0.1
