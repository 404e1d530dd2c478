"""Lazy Adam: torch's Adam for what fires, and for what does not fire nothing moves."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

import msae
from msae.toy.tree import orthogonal_directions
from msae.training.lazy_adam import LazyAdam
from msae.training.run import Run

torch.set_num_threads(1)


def grads(n_steps, shape, share, seed=0):
    """Gradients of which a share of the rows are zero."""
    g = torch.Generator().manual_seed(seed)
    rows = shape[:-1] if len(shape) == 3 else shape
    for _ in range(n_steps):
        mask = torch.rand(rows, generator=g) >= share
        yield torch.randn(shape, generator=g) * (mask[..., None] if len(shape) == 3 else mask)


@pytest.mark.parametrize("shape", [(2, 700, 100), (1, 5, 3), (3, 9)], ids=str)
def test_it_is_torchs_adam_where_every_row_has_a_gradient(shape):
    ours, theirs = (torch.ones(shape, requires_grad=True) for _ in range(2))
    adams = LazyAdam([ours], lr=0.01, betas=(0.9, 0.99)), torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99))
    for grad in grads(20, shape, 0.0):
        ours.grad = theirs.grad = grad
        for adam in adams:
            adam.step()
    assert_close(ours, theirs)
    for key in ("exp_avg", "exp_avg_sq", "step"):
        assert_close(adams[0].state[ours][key], adams[1].state[theirs][key])


def test_it_is_torchs_sparse_adam_where_some_rows_have_none():
    """`SparseAdam` skips the rows that are not in the gradient; it knows only one table of rows."""
    ours, theirs = (torch.ones(60, 40, requires_grad=True) for _ in range(2))
    lazy, sparse = LazyAdam([ours3 := ours.detach()[None].requires_grad_()], lr=0.01), torch.optim.SparseAdam([theirs], lr=0.01)
    for grad in grads(30, (1, 60, 40), 0.8):
        ours3.grad = grad
        at = grad[0].any(1).nonzero().flatten()
        theirs.grad = torch.sparse_coo_tensor(at[None], grad[0, at], (60, 40), check_invariants=True)
        lazy.step()
        sparse.step()
    assert_close(ours3[0], theirs)


def test_a_row_without_a_gradient_stays_to_the_bit():
    p = torch.ones(1, 6, 4, requires_grad=True)
    adam = LazyAdam([p], lr=0.01)
    for grad in grads(5, (1, 6, 4), 0.0):
        p.grad = grad
        adam.step()
    before = [value.detach().clone() for value in (p, adam.state[p]["exp_avg"], adam.state[p]["exp_avg_sq"])]
    p.grad = torch.zeros_like(p)
    p.grad[0, 2] = 1.0
    adam.step()
    others = [0, 1, 3, 4, 5]
    for old, new in zip(before, (p, adam.state[p]["exp_avg"], adam.state[p]["exp_avg_sq"]), strict=True):
        assert torch.equal(old[0, others], new[0, others])
        assert not torch.equal(old[0, 2], new[0, 2])


@pytest.mark.parametrize("nonlinearity", [msae.ReLU(), msae.TopK(2), msae.JumpReLU()], ids=str)
def test_in_training_a_latent_that_does_not_fire_does_not_move(nonlinearity):
    tree, world = msae.FeatureTree.article(), orthogonal_directions(20, 20)
    config = msae.TrainConfig(200, nonlinearity.fixed_l0 or tree.l0, 30, batch_size=8, nonlinearity=nonlinearity, start_l0=10.0)
    moved = {}
    for lazy in (False, True):
        run, n_moved = Run(dataclasses.replace(config, lazy_adam=lazy), 20, torch.device("cpu")), 0
        for x, _ in zip(msae.TreeStream(tree, world).batches(8, 0), range(30), strict=False):
            before = run.params["W_encT"].detach().clone()
            run.step(x[None])
            idle = ~run.grads["W_encT"].any(-1)
            n_moved += int((run.params["W_encT"] != before).any(-1)[idle].sum())
        moved[lazy] = n_moved
    assert moved[True] == 0 < moved[False]
