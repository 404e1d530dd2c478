"""One training step in both of its forms, each held to the gradients that are expected of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import msae
from msae.training import dense
from msae.training.dense import dense_step
from msae.training.sparse import sparse_step
from msae.training.step import Observed, StepInputs

KINDS = [msae.ReLU(), msae.TopK(2), msae.BatchTopK(2), msae.JumpReLU(bandwidth=0.8)]


def both_forms(inputs: StepInputs, expected: Mapping[str, Tensor], block: int) -> tuple[Observed, Observed]:
    """What the sparse and the dense form of a step saw, once their gradients are those expected of the parameters that are learnt.

    Args:
        inputs: of one SAE, with the axis of seeds.
        expected: gradients, without that axis.
        block: latents of a block of the dense form.
    """
    one = inputs.one()
    learnt = [name for name in one.params if name != "threshold" or inputs.nonlinearity.learns_threshold]
    sparse = {name: torch.full_like(one.params[name], torch.nan) for name in learnt}
    seen = sparse_step(one, sparse, max_mean=float("inf"))
    dense_grads = {name: torch.full_like(one.params[name], torch.nan)[None] for name in learnt}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "BLOCK", block)
        seen_dense = dense_step(inputs, dense_grads)
    for name in learnt:
        assert_close(sparse[name], expected[name], rtol=1e-9, atol=1e-9, msg=lambda m, name=name: f"sparse {name}: {m}")
        assert_close(dense_grads[name][0], expected[name], rtol=1e-9, atol=1e-9, msg=lambda m, name=name: f"dense {name}: {m}")
    assert seen is not None
    return seen, seen_dense
