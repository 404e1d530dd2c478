"""From pre-activations to latent activations: ReLU, TopK, BatchTopK, JumpReLU.

Each is a small frozen object called with pre-activations (…, batch, n_latents) and the SAE's threshold; `training=True` matters for
BatchTopK alone. Those with `fixes_l0` hold L0 by construction; the others need a sparsity penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ReLU:
    """max(0, pre): the article's choice. Its number of active latents is set by the penalty."""

    fixes_l0 = False
    threshold_shape = "none"

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        return pre.relu()


@dataclass(frozen=True)
class TopK:
    """The k largest of each input, if positive (Makhzani & Frey 2014; Gao et al. 2024, arXiv:2406.04093)."""

    k: int
    fixes_l0 = True
    threshold_shape = "none"

    def __post_init__(self) -> None:
        _check_k(self.k)

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        _check_width(self.k, pre)
        values, indices = pre.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter(-1, indices, values.relu())


@dataclass(frozen=True)
class BatchTopK:
    """The k · batch largest of the batch while training; afterwards all above a fixed threshold, the running mean of the smallest
    activation kept (Bussmann et al. 2024, arXiv:2412.06410). So an input may use more latents than another, k on average."""

    k: int
    fixes_l0 = True
    threshold_shape = "one"

    def __post_init__(self) -> None:
        _check_k(self.k)

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        _check_width(self.k, pre)
        acts = pre.relu()
        if training:
            flat = acts.flatten(-2)
            n_dropped = flat.shape[-1] - self.k * pre.shape[-2]
            if n_dropped == 0:
                return acts
            cut = flat.kthvalue(n_dropped, dim=-1).values[..., None, None]
        else:
            assert threshold is not None
            cut = threshold
        return acts * (acts > cut)


@dataclass(frozen=True)
class JumpReLU:
    """pre where pre exceeds a learnt threshold of the latent, else 0 (Rajamanoharan et al. 2024, arXiv:2407.14435).

    The threshold has no gradient of its own; a straight-through estimate with a rectangular kernel of width `bandwidth` stands in for it.
    """

    bandwidth: float = 0.1
    fixes_l0 = False
    threshold_shape = "each"

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        assert threshold is not None
        acts: Tensor = _Jump.apply(pre, threshold.relu(), self)
        return acts

    def threshold_slope(self, pre: Tensor, threshold: Tensor) -> Tensor:
        """∂ acts / ∂ threshold as Eq. 11 of the paper estimates it: -threshold / bandwidth within half a bandwidth of the threshold."""
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
        by_threshold = (grad * ctx.jump.threshold_slope(pre, threshold)).sum(-2, keepdim=pre.ndim == threshold.ndim)
        return grad * (pre > threshold), by_threshold.reshape(threshold.shape), None


Nonlinearity = ReLU | TopK | BatchTopK | JumpReLU
NONLINEARITIES: dict[str, type] = {kind.__name__: kind for kind in (ReLU, TopK, BatchTopK, JumpReLU)}


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")


def _check_width(k: int, pre: Tensor) -> None:
    if k > pre.shape[-1]:
        raise ValueError(f"k={k} latents cannot be active among {pre.shape[-1]}: choose a smaller k or more latents")
