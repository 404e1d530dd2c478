"""What one training step reads and what it saw: the words that the sparse form, the dense form and the run share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from msae.sae.nonlinearities.base import Nonlinearity
from msae.sae.penalties import Penalty


class StepInputs(NamedTuple):
    """What a step reads. Every tensor has the leading axis S of seeds, but for that of `one()`.

    Shapes: S seeds, B inputs, D d_model, N latents.
    """

    x: Tensor
    """(S, B, D), or (1, B, D) shared by all seeds."""

    params: dict[str, Tensor]
    """W_encT (S, N, D), b_enc (S, N), W_dec (S, N, D) rows of any norm, b_dec (S, D), and threshold (S, N) where there are any."""

    nonlinearity: Nonlinearity

    inclusion_by_rank: Tensor
    """(N,) s, how often the latent of each rank lies in a prefix; no axis of seeds."""

    rank: Tensor
    """(S, N) each latent's rank."""

    penalty: Penalty | None
    """None for a nonlinearity that fixes L0."""

    weight: Tensor
    """(S,) λ, the penalty's weight."""

    stop_gradient: bool = False
    """No latent learns from a prefix longer than the shortest that holds it."""

    def one(self) -> StepInputs:
        """Those of the first seed, without the axis of seeds."""
        params = {name: tensor[0] for name, tensor in self.params.items()}
        return self._replace(x=self.x[0], params=params, rank=self.rank[0], weight=self.weight[0])

    def encode(self, x_SBD: Tensor, norm_SN: Tensor) -> tuple[Tensor, Tensor]:
        """(S, B, N) pre-activations and activations, both in units of unit-norm decoder rows, as in training."""
        params, threshold = self.params, self.params.get("threshold")
        pre = torch.baddbmm(params["b_enc"][:, None], x_SBD.expand(len(norm_SN), -1, -1), params["W_encT"].mT)
        level = pre * norm_SN[:, None]
        return level, self.nonlinearity(level, None if threshold is None else threshold[:, None], training=True)


class Observed(NamedTuple):
    """What a step saw; with a leading axis of seeds where several SAEs are trained at once."""

    error: Tensor
    """Mean expected ‖x - x̂‖²; that of all latents where the gradient is stopped."""

    l0: Tensor
    """Mean number of active latents per input."""

    power_N: Tensor
    """Mean squared activation of each latent: what ranks them."""

    smallest: Tensor
    """The smallest activation that is not 0, infinity where there is none; only for a nonlinearity that observes it (BatchTopK)."""
