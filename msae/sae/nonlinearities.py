"""From pre-activations to latent activations: ReLU, TopK, BatchTopK, JumpReLU.

Each is a small frozen object called with pre-activations (…, batch, n_latents) and the SAE's threshold; `training=True` matters for
BatchTopK alone. Those with `fixes_l0` hold L0 by construction; the others need a sparsity penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msae.support.arguments import number, tensor, whole, yes_or_no


@dataclass(frozen=True)
class ReLU:
    """max(0, pre): the article's choice. Its number of active latents is set by the penalty."""

    fixes_l0 = False
    threshold_shape = "none"

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        return _checked(pre).relu()


@dataclass(frozen=True)
class TopK:
    """The k largest of each input, if positive (Makhzani & Frey 2014; Gao et al. 2024, arXiv:2406.04093)."""

    k: int
    fixes_l0 = True
    threshold_shape = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", whole("k", self.k, 1))

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        pre = _checked(pre)
        check_width(self.k, pre.shape[-1])
        values, indices = pre.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter(-1, indices, values.relu())


@dataclass(frozen=True)
class BatchTopK:
    """The k · batch largest of the batch while training; afterwards all above a fixed threshold, the running mean of the smallest
    activation kept (Bussmann et al. 2024, arXiv:2412.06410). So an input may use more latents than another, k on average.

    In training the latents compete, so all have to be there and k is at most n_latents. Afterwards the threshold alone decides: a prefix
    may have fewer than k latents.
    """

    k: int
    fixes_l0 = True
    threshold_shape = "one"

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", whole("k", self.k, 1))

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        if not yes_or_no("training", training):
            acts = _checked(pre).relu()
            return acts * (acts > _threshold(threshold, acts))
        acts = _checked(pre, least_axes=2).relu()
        check_width(self.k, pre.shape[-1])
        flat = acts.flatten(-2)
        n_dropped = flat.shape[-1] - self.k * pre.shape[-2]
        return acts if n_dropped == 0 else acts * (acts > flat.kthvalue(n_dropped, dim=-1).values[..., None, None])


@dataclass(frozen=True)
class JumpReLU:
    """pre where pre exceeds a learnt threshold of the latent, else 0 (Rajamanoharan et al. 2024, arXiv:2407.14435).

    The threshold has no gradient of its own; a straight-through estimate with a rectangular kernel of width `bandwidth` stands in for it.
    """

    bandwidth: float = 0.1
    fixes_l0 = False
    threshold_shape = "each"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidth", number("bandwidth", self.bandwidth, above=0))

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        pre = _checked(pre)
        acts: Tensor = _Jump.apply(pre, _threshold(threshold, pre).relu(), self)
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
        by_threshold = grad * ctx.jump.threshold_slope(pre, threshold)
        return grad * (pre > threshold), by_threshold.sum_to_size(threshold.shape), None


Nonlinearity = ReLU | TopK | BatchTopK | JumpReLU
NONLINEARITIES: dict[str, type] = {kind.__name__: kind for kind in (ReLU, TopK, BatchTopK, JumpReLU)}


def check_width(k: int, n_latents: int) -> None:
    """Refuse more active latents than there are."""
    if k > n_latents:
        raise ValueError(f"k={k} latents cannot be active among {n_latents}: choose a smaller k or more latents")


def _checked(pre: Tensor, least_axes: int = 1) -> Tensor:
    pre = tensor("pre", pre, numbers="real")
    if pre.ndim < least_axes:
        raise ValueError(f"pre must have the shape (…{', batch' * (least_axes - 1)}, n_latents), got {tuple(pre.shape)}")
    return pre


def _threshold(threshold: Tensor | None, pre: Tensor) -> Tensor:
    threshold = tensor("threshold", threshold, numbers="real")
    if threshold.ndim and threshold.shape[-1] not in (1, pre.shape[-1]):
        raise ValueError(f"threshold must have one entry for each of {pre.shape[-1]} latents, got shape {tuple(threshold.shape)}")
    return threshold.to(pre.device)
