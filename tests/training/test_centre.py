"""Training on inputs that lie off centre: with `centre` it makes no difference where they lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import msae

TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, msae.toy.orthogonal_directions(20, 20))
CONFIG = msae.TrainConfig(40, TREE.l0, 30, batch_size=100, start_l0=10.0, lr=0.01, centre=True)
KINDS = {
    "relu": {},
    "plain": {"prefixes": msae.FullPrefix()},
    "exchange": {"exchange_every": 5, "exchange_moves": 2, "lazy_adam": True},
    "aux": {"aux_latents": 4, "dead_after": 300},
    "topk": {"nonlinearity": msae.TopK(2), "target_l0": 2},
    "jumprelu": {"nonlinearity": msae.JumpReLU()},
}


class Shifted:
    """The tree's inputs with a constant added."""

    hook_name, scale, d_model = None, 1.0, 20

    def __init__(self, shift: float):
        self.shift = shift * torch.linspace(-1, 2, 20)

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        for x in STREAM.batches(batch_size, seed, skip):
            yield x + self.shift


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", [0, (0, 1)])
def test_where_inputs_lie_makes_no_difference(name: str, seed: int | tuple[int, ...]) -> None:
    config, at_0, apart = dataclasses.replace(CONFIG, seed=seed, **KINDS[name]), Shifted(0.0), Shifted(3.0)
    here, there = (msae.train(config, stream, progress=False).saes for stream in (at_0, apart))
    x = next(iter(at_0.batches(200, 7)))[0]
    for one, other in zip(here, there, strict=True):
        assert_close(other.encode(x + apart.shift), one.encode(x), atol=2e-3, rtol=2e-3)
        assert_close(other(x + apart.shift) - apart.shift, one(x), atol=2e-3, rtol=2e-3)


def test_without_it_makes_one() -> None:
    config = dataclasses.replace(CONFIG, centre=False)
    here, there = (msae.train(config, Shifted(shift), progress=False).sae for shift in (0.0, 3.0))
    x = next(iter(Shifted(0.0).batches(200, 7)))[0]
    assert (there(x + Shifted(3.0).shift) - Shifted(3.0).shift - here(x)).abs().max() > 0.05
