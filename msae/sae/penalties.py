"""Sparsity penalties of one activation a ≥ 0, in units of unit-norm decoder rows, each with its slope; all are 0 at 0 and rise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from msae.support.arguments import tensor
from msae.support.sums import wide


class Penalty(NamedTuple):
    """Call it on activations of any shape and precision.

    Example:
        >>> import msae, torch
        >>> msae.PENALTIES["l1"](torch.tensor([0.0, 2.0]))
        tensor([0., 2.])
    """

    value: Callable[[Tensor], Tensor]
    """The penalty of each activation."""

    slope: Callable[[Tensor], Tensor]
    """Its derivative, written out because a training step needs it on the active latents alone."""

    def __call__(self, acts: Tensor) -> Tensor:
        """The penalty of each activation.

        Args:
            acts: activations.

        Raises:
            ValueError: one is negative, NaN or infinite.
        """
        acts = tensor("acts", acts, numbers="real", finite=True)
        if acts.numel() and acts.min() < 0:
            raise ValueError(f"acts must not be negative, got {acts.min().item():g}")
        return self.value(wide(acts)).to(acts.dtype)


LOG_SCALE = 0.1
SQRT_FLOOR = 1e-3

PENALTIES: dict[str, Penalty] = {
    "l1": Penalty(lambda a: a, torch.ones_like),
    "log": Penalty(lambda a: torch.log1p(a / LOG_SCALE), lambda a: 1 / (a + LOG_SCALE)),
    "sqrt": Penalty(lambda a: a / ((a + SQRT_FLOOR).sqrt() + SQRT_FLOOR**0.5), lambda a: 0.5 * (a + SQRT_FLOOR).rsqrt()),
    "tanh": Penalty(torch.tanh, lambda a: 1 - a.tanh().square()),
}
"""By name: "l1", the classic, is a itself and also shrinks activations; "log", the article's, is log(1 + a / 0.1), which presses on weak
activations and hardly on strong ones; "sqrt" is √(a + 0.001) - √0.001, written so that it is exactly 0 at 0: the floor keeps the slope
finite there; "tanh" is tanh(a), which is bounded: strong activations are not shrunk (Jermyn et al. 2024)."""
