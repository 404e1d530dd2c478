"""JumpReLU: each latent learns its own threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from msae.sae.nonlinearities.base import Candidates, Found, Nonlinearity, checked_pre, checked_threshold
from msae.support.arguments import number


@dataclass(frozen=True)
class JumpReLU(Nonlinearity):
    """pre where pre exceeds a learnt threshold of the latent, else 0 (Rajamanoharan et al. 2024, arXiv:2407.14435).

    The threshold has no gradient of its own; a straight-through estimate with a rectangular kernel of width `bandwidth` stands in for it.

    Attributes:
        bandwidth: the width, in units of x · scale.

    Raises:
        ValueError: bandwidth is no positive number.

    Example:
        >>> import msae, torch
        >>> msae.JumpReLU()(torch.tensor([[0.2, 2.0, 0.5]]), threshold=torch.tensor([0.3, 0.3, 0.3]))
        tensor([[0.0000, 2.0000, 0.5000]])
    """

    bandwidth: float = 0.1
    learns_threshold: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidth", number("bandwidth", self.bandwidth, above=0))

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        """pre where it exceeds the threshold, or 0 where the threshold is negative; else 0. Autograd sees `threshold_slope`.

        Args:
            pre: (…, n_latents) pre-activations.
            threshold: one number, or one for each latent.
            training: not looked at.

        Raises:
            ValueError: no real numbers, or shapes that do not fit.
        """
        pre = checked_pre(pre)
        acts: Tensor = _Jump.apply(pre, self.lowest(checked_threshold(threshold, pre)), self)  # type: ignore[no-untyped-call]
        return acts

    @property
    def start_threshold(self) -> float:
        """A quarter of the bandwidth: at 0 the estimated gradient is 0, and it would stay there."""
        return self.bandwidth / 4

    def lowest(self, threshold: Tensor | None) -> Tensor:
        """The threshold; 0 where it is negative."""
        assert threshold is not None
        return threshold.relu()

    def select(self, candidates: Candidates[Found], threshold: Tensor | None) -> Found | None:
        """All down to half a bandwidth below the threshold: its gradient rests on them."""
        assert threshold is not None
        return candidates.above(torch.where(threshold > 0, threshold - self.bandwidth / 2, 0))

    def threshold_slope(self, pre: Tensor, threshold: Tensor) -> Tensor:
        """∂ acts / ∂ threshold as Eq. 11 of the paper estimates it: -threshold / bandwidth within half a bandwidth of the threshold.

        Args:
            pre: pre-activations of any shape.
            threshold: of a shape that fits them, 0 or above.
        """
        return -threshold / self.bandwidth * ((pre - threshold).abs() < self.bandwidth / 2)


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pre, threshold, jump):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(pre, threshold)
        ctx.jump = jump
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        pre, threshold = ctx.saved_tensors
        by_threshold = grad * ctx.jump.threshold_slope(pre, threshold)
        return grad * (pre > threshold), by_threshold.sum_to_size(threshold.shape), None
