"""TopK: the latents of an input compete for k places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from msae.sae.nonlinearities.base import Candidates, Found, Nonlinearity, checked_pre
from msae.support.arguments import whole


@dataclass(frozen=True)
class TopK(Nonlinearity):
    """The k largest of each input, if positive (Makhzani & Frey 2014; Gao et al. 2024, arXiv:2406.04093).

    Attributes:
        k: the most latents that an input can have.

    Raises:
        ValueError: k is no whole number of at least 1.

    Example:
        >>> import msae, torch
        >>> msae.TopK(1)(torch.tensor([[-1.0, 2.0, 0.5]]))
        tensor([[0., 2., 0.]])
    """

    k: int
    latents_compete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", whole("k", self.k, 1))

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        """The k largest of each input, 0 where they are negative; the others 0.

        Args:
            pre: (…, n_latents) pre-activations.
            threshold: not looked at.
            training: not looked at.

        Raises:
            ValueError: no real numbers, or fewer than k latents.
        """
        pre = checked_pre(pre)
        self.check_width(pre.shape[-1])
        values, indices = pre.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter(-1, indices, values.relu())

    @property
    def fixed_l0(self) -> float:
        """k."""
        return self.k

    def check_width(self, n_latents: int) -> None:
        """Refuse more active latents than there are, with a ValueError."""
        check_width(self.k, n_latents)

    def select(self, candidates: Candidates[Found], threshold: Tensor | None) -> Found:
        """The k largest of each input, positive or not, so that the host need not ask how many they are."""
        return candidates.largest_of_each(self.k)


def check_width(k: int, n_latents: int) -> None:
    """Refuse more active latents than there are."""
    if k > n_latents:
        raise ValueError(f"k={k} latents cannot be active among {n_latents}: choose a smaller k or more latents")
