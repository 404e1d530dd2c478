"""Exchange: the least useful latent of an SAE starts anew where the error is largest, if that gains more than it is worth.

Gradient descent does not move a latent from one concept to another: between two good places lies a bad one. So an SAE can keep a latent for
something small while something large has none. Reviving dead latents from badly reconstructed inputs is known (Bricken et al. 2023,
"Towards Monosemanticity"); here a living latent moves too, and only where the move pays. Labels are never seen.

Shapes: S SAEs, B inputs, D d_model, N latents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from msae.support.arguments import tensor

MARGIN = 1.5
"""How many times its own worth a move must gain; above 1, because both are estimates from few inputs."""


class Moves(NamedTuple):
    """Latents to start anew, M of them; at most one for each SAE."""

    sae: Tensor
    """(M,) which SAE."""

    latent: Tensor
    """(M,) which of its latents."""

    direction: Tensor
    """(M, D) unit vectors: the new decoder row, and the new encoder column."""

    bias: Tensor
    """(M,) the new encoder bias."""

    power: Tensor
    """(M,) mean squared activation of the new latent on these inputs."""


@torch.no_grad()
def find_moves(x_SBD: Tensor, residual_SBD: Tensor, power_SN: Tensor) -> Moves:
    """Compare what the weakest latent of each SAE is worth with what a new one would gain.

    Without a latent of activation z and unit decoder row D, the squared error grows by 2 z ⟨e, D⟩ + z², e being the residual. At a minimum
    e is at right angles to D where z > 0, so a latent's worth is the mean of z²: the number that already ranks the latents. Each input
    proposes a new latent: along its residual, with a bias that makes it answer there with the residual's length, and silent on the mean
    input: else where a reconstruction overshoots, the proposal would answer to everything.

    Args:
        x_SBD: inputs, of one SAE for all, or of each.
        residual_SBD: inputs minus their full reconstructions.
        power_SN: running mean of each latent's squared activation.

    Returns:
        the moves that gain more than `MARGIN` times what they cost.

    Raises:
        ValueError: shapes that do not fit, or a number that is NaN or infinite.

    Example:
        >>> import torch
        >>> from msae.training.exchange import find_moves
        >>> x = torch.eye(4)[None]
        >>> residual = torch.zeros(1, 4, 4)
        >>> residual[0, 2, 2] = 1.0  # one input of four is not reconstructed, and latent 1 is of no use
        >>> moves = find_moves(x, residual, torch.tensor([[0.5, 0.0, 0.5]]))
        >>> moves.latent.tolist(), moves.direction.tolist()
        ([1], [[0.0, 0.0, 1.0, 0.0]])
    """
    residual_SBD = tensor("residual_SBD", residual_SBD, ("S", "B", "D"), numbers="real", finite=True)
    n_saes, batch, d_model = residual_SBD.shape
    x_SBD = tensor("x_SBD", x_SBD, ("S", batch, d_model), numbers="real", finite=True)
    power_SN = tensor("power_SN", power_SN, (n_saes, "N"), numbers="real", finite=True)
    if len(x_SBD) not in (1, n_saes) or not residual_SBD.numel() or not power_SN.numel():
        raise ValueError(f"x_SBD, residual_SBD must hold inputs of {n_saes} SAEs, got {tuple(x_SBD.shape)}, {tuple(residual_SBD.shape)}")
    return find_checked_moves(x_SBD.to(residual_SBD.device), residual_SBD, power_SN.to(residual_SBD.device))


@torch.no_grad()
def find_checked_moves(x_SBD: Tensor, residual_SBD: Tensor, power_SN: Tensor) -> Moves:
    """`find_moves` of what needs no check, as in training: on a device each look at a number costs a stall. The host reads once."""
    size_SB = residual_SBD.norm(dim=-1)
    unit_SBD = residual_SBD / size_SB.clamp(min=1e-12).unsqueeze(-1)
    read_SBB = x_SBD @ unit_SBD.mT  # input i along the direction that input j proposes
    bias_SB = torch.minimum(size_SB - read_SBB.diagonal(dim1=1, dim2=2), -read_SBB.mean(1))
    acts_SBB = (read_SBB + bias_SB.unsqueeze(1)).relu()
    gain_SB = (2 * acts_SBB * (residual_SBD @ unit_SBD.mT) - acts_SBB.square()).mean(1)
    best_S, proposal_S = gain_SB.max(1)
    worth_S, latent_S = power_SN.min(1)
    sae = (best_S > MARGIN * worth_S).nonzero().flatten()
    proposal = proposal_S[sae]
    power = acts_SBB[sae, :, proposal].square().mean(1)
    return Moves(sae, latent_S[sae], unit_SBD[sae, proposal], bias_SB[sae, proposal], power)


@torch.no_grad()
def start_anew(moves: Moves, params: Mapping[str, Tensor], norm_SN: Tensor, moments: Iterable[Tensor]) -> None:
    """Give moved latents their new rows, in place, and nothing of their past.

    Args:
        moves: which latents, and where to.
        params: `W_encT` and `W_dec` (S, N, D), `b_enc` (S, N).
        norm_SN: norms of the decoder rows; a new row has the mean norm of its SAE.
        moments: what the optimizer remembers of each latent, (S, N, …).
    """
    at = moves.sae, moves.latent
    norm_M = norm_SN[moves.sae].mean(1)
    params["W_dec"][at] = moves.direction * norm_M[:, None]
    params["W_encT"][at] = moves.direction / norm_M[:, None]
    params["b_enc"][at] = moves.bias / norm_M
    for moment in moments:
        moment[at] = 0
