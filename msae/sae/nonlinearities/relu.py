"""ReLU: all that is positive."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from msae.sae.nonlinearities.base import Nonlinearity, checked_pre


@dataclass(frozen=True)
class ReLU(Nonlinearity):
    """max(0, pre): the article's choice. Its number of active latents is set by the penalty.

    Example:
        >>> import msae, torch
        >>> msae.ReLU()(torch.tensor([[-1.0, 2.0, 0.5]]))
        tensor([[0.0000, 2.0000, 0.5000]])
    """

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        """max(0, pre), of any shape (…, n_latents).

        Args:
            pre: the pre-activations.
            threshold: not looked at.
            training: not looked at.

        Raises:
            ValueError: no real numbers, or a single one.
        """
        return checked_pre(pre).relu()
