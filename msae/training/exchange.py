"""Exchange: the least useful latent of an SAE starts anew where the error is largest, if that gains more than it is worth.

Gradient descent does not move a latent from one concept to another: between two good places lies a bad one. So an SAE can keep a latent for
something small while something large has none. Reviving dead latents from badly reconstructed inputs is known (Bricken et al. 2023,
"Towards Monosemanticity"); here a living latent moves too, and only where the move pays. Labels are never seen.

Shapes: S SAEs, B inputs, D d_model, N latents.
"""

from __future__ import annotations

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
        x_SBD: inputs. residual_SBD: inputs minus their full reconstructions. power_SN: running mean of each latent's squared activation.

    Returns:
        the moves that gain more than `MARGIN` times what they cost.

    Raises:
        ValueError: shapes that do not fit, or a number that is NaN or infinite.
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
