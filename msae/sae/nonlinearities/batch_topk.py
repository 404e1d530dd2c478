"""BatchTopK: all latents and inputs of a batch compete; afterwards a threshold stands in for the others of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from msae.sae.nonlinearities.base import Candidates, Found, Nonlinearity, checked_pre, checked_threshold
from msae.sae.nonlinearities.topk import check_width
from msae.support.arguments import whole, yes_or_no

NEWEST = 0.01
"""Share of the newest step in the running threshold."""


@dataclass(frozen=True)
class BatchTopK(Nonlinearity):
    """The k · batch largest of the batch while training; afterwards all above a fixed threshold, the running mean of the smallest
    activation kept (Bussmann et al. 2024, arXiv:2412.06410). So an input may use more latents than another, k on average.

    In training the latents compete, so all have to be there and k is at most n_latents. Afterwards the threshold alone decides: a prefix
    may have fewer than k latents.

    Attributes:
        k: mean number of active latents per input.

    Raises:
        ValueError: k is no whole number of at least 1.

    Example:
        >>> import msae, torch
        >>> pre = torch.tensor([[3.0, 2.0, 0.5], [1.0, -1.0, 0.1]])
        >>> msae.BatchTopK(1)(pre, training=True)
        tensor([[3., 2., 0.],
                [0., 0., 0.]])
        >>> msae.BatchTopK(1)(pre, threshold=torch.tensor(0.7))
        tensor([[3., 2., 0.],
                [1., 0., 0.]])
    """

    k: int
    observes_smallest: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", whole("k", self.k, 1))

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        """The largest of the batch, or all above the threshold.

        Args:
            pre: (…, n_latents) pre-activations; (…, batch, n_latents) in training.
            threshold: one number, or one for each latent; not looked at in training.
            training: whether the batch competes.

        Raises:
            ValueError: no real numbers, shapes that do not fit, or, in training, fewer than k latents.
        """
        if not yes_or_no("training", training):
            acts = checked_pre(pre).relu()
            return acts * (acts > checked_threshold(threshold, acts))
        acts = checked_pre(pre, least_axes=2).relu()
        check_width(self.k, pre.shape[-1])
        flat = acts.flatten(-2)
        n_dropped = flat.shape[-1] - self.k * pre.shape[-2]
        return acts if n_dropped == 0 else acts * (acts > flat.kthvalue(n_dropped, dim=-1).values[..., None, None])

    @property
    def fixed_l0(self) -> float:
        """k."""
        return self.k

    @property
    def start_threshold(self) -> float:
        """0: nothing has been observed."""
        return 0.0

    def select(self, candidates: Candidates[Found], threshold: Tensor | None) -> Found:
        """The k · batch largest; the running threshold tells about where they begin."""
        assert threshold is not None
        return candidates.largest_of_all(self.k * candidates.n_inputs, threshold)

    def observe(self, threshold_SN: Tensor, smallest_S: Tensor, mass: float) -> float:
        """Move the threshold to the running mean of the smallest activation kept, corrected for its start at 0.

        Args:
            threshold_SN: (n_seeds, n_latents), the same number for all latents of a seed.
            smallest_S: (n_seeds,) the smallest activation kept; infinity, where there was none, leaves the threshold as it is.
            mass: the weight of all steps so far, 0 at first.

        Returns:
            the weight with this step.
        """
        mass = (1 - NEWEST) * mass + NEWEST
        smallest_S = torch.where(smallest_S.isfinite(), smallest_S, threshold_SN[:, 0])
        threshold_SN.lerp_(smallest_S[:, None].expand_as(threshold_SN), NEWEST / mass)
        return mass
