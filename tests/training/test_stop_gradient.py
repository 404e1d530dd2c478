"""Gradients that are stopped between prefixes, against autograd with `detach` written out, in float64."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from step_forms import KINDS, both_forms
from tiny_saes import case
from torch import Tensor
from torch.testing import assert_close

import msae
from msae.sae.nonlinearities import Nonlinearity
from msae.sae.penalties import PENALTIES, Penalty
from msae.training.dense import blocks
from msae.training.run import Run
from msae.training.step import StepInputs

TREE = msae.FeatureTree.article()


def reference(
    x: Tensor, params: dict[str, Tensor], s_N: Tensor, penalty: Penalty | None, weight: float, kind: Nonlinearity
) -> tuple[Tensor, dict[str, Tensor]]:
    """Each prefix in turn: what the shorter ones left is a constant. b_dec learns from the last."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    norm = leaves["W_dec"].norm(dim=1)
    acts = kind((x @ leaves["W_encT"].T + leaves["b_enc"]) * norm, leaves.get("threshold"), training=True)
    loss, sofar = torch.zeros((), dtype=x.dtype), leaves["b_dec"].detach().expand_as(x)
    for s in s_N.unique().flip(0):  # the latents of a prefix that no shorter one holds have the same s
        new = s_N == s
        sofar = sofar.detach() + acts[:, new] @ (leaves["W_dec"] / norm[:, None])[new]
        loss = loss + s * (x - sofar).square().sum(1).mean()
        if penalty:
            loss = loss + weight * s * penalty(acts[:, new]).mean(0).sum()
    error = (x - sofar.detach() + leaves["b_dec"].detach() - leaves["b_dec"]).square().sum(1).mean()
    (loss + error).backward()  # type: ignore[no-untyped-call]
    return error.detach(), {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 7), st.integers(2, 12), st.integers(1, 6)),
    kind=st.sampled_from(KINDS),
    penalty=st.sampled_from([None, *PENALTIES]),
    level=st.sampled_from([-50.0, -2.0, 0.0, 50.0]),
    n_levels=st.integers(1, 12),
    block=st.sampled_from([1, 3, 100]),
)
def test_every_path_has_the_gradients_of_detach(
    seed: int, shape: tuple[int, int, int], kind: Nonlinearity, penalty: str | None, level: float, n_levels: int, block: int
) -> None:
    batch, n, d = shape
    press = None if kind.fixes_l0 or penalty is None else PENALTIES[penalty]
    x, params, rank, g = case(seed, batch, n, d, kind, level)
    levels = torch.rand(n_levels, dtype=torch.float64, generator=g).clamp(min=0.01)
    levels[0] = 1.0
    by_rank = levels[torch.randint(n_levels, (n,), generator=g)].sort(descending=True).values
    by_rank[0] = 1.0
    error, expected = reference(x, params, by_rank[rank], press, 0.3, kind)

    stacked = {name: tensor[None] for name, tensor in params.items()}
    weight = torch.tensor([0.3], dtype=torch.float64)
    inputs = StepInputs(x[None], stacked, kind, by_rank, rank[None], press, weight, stop_gradient=True)
    for observed in both_forms(inputs, expected, block):
        assert_close(observed.error.squeeze(), error, rtol=1e-9, atol=1e-9)


def test_no_block_cuts_a_level() -> None:
    s = torch.tensor([1.0] * 300 + [0.5] * 500 + torch.linspace(0.4, 0.1, 224).tolist())
    ends = [end for _, end, _ in blocks(s, stop_gradient=True)]
    assert ends == [300, 800, 1024]


@pytest.mark.parametrize("seed", [0, (0, 1)])
def test_later_latents_never_move_earlier_ones(seed: int | tuple[int, ...]) -> None:
    """Ranks held fixed, an SAE of the first eight latents alone learns the same as the first eight of twenty."""
    stream = msae.TreeStream(TREE, msae.toy.orthogonal_directions(20, 20))
    whole = msae.TrainConfig(
        20, None, 40, batch_size=50, prefixes=msae.FixedPrefixes([8, 20]), stop_gradient=True, seed=seed, start_l0=None, clip_norm=1e9
    )
    few = dataclasses.replace(whole, n_latents=8, prefixes=msae.FullPrefix())
    runs = {name: Run(config, 20, torch.device("cpu")) for name, config in (("whole", whole), ("few", few))}
    start = runs["whole"].params
    for name, value in runs["few"].params.items():
        with torch.no_grad():
            value.copy_(start[name] if name == "b_dec" else start[name][:, :8])
    for run in runs.values():
        run._observe = lambda seen: None  # type: ignore[method-assign]
    b_dec = [value.params["b_dec"] for value in runs.values()]
    for _, x in zip(range(40), stream.batches(50, 0), strict=False):
        for run in runs.values():
            run.step(x if x.ndim == 3 else x[None])
            run.params["b_dec"].data.zero_()  # the one thing that is shared
    assert all((value == 0).all() for value in b_dec)
    for name, value in runs["few"].params.items():
        if name != "b_dec":
            assert_close(runs["whole"].params[name][:, :8], value, rtol=1e-4, atol=1e-5)


def test_prefixes_that_fade_are_refused() -> None:
    with pytest.raises(ValueError, match="fade_prefixes must be 0 with stop_gradient"):
        msae.TrainConfig(20, 2.0, 10, stop_gradient=True, fade_prefixes=0.4)
