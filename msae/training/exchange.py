"""Exchange: the least useful latents of an SAE start anew where the error is largest, if that gains more than they are worth.

Gradient descent does not move a latent from one concept to another: between two good places lies a bad one. So an SAE can keep a latent for
something small while something large has none. Reviving dead latents from badly reconstructed inputs is known (Bricken et al. 2023,
"Towards Monosemanticity"); here a living latent moves too, and only where the move pays. Labels are never seen.

Shapes: S SAEs, B inputs, D d_model, N latents; M moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from msae.support.arguments import tensor, whole

MARGIN = 1.5
"""How many times its own worth a move must gain; above 1, because both are estimates from few inputs."""


class Moves(NamedTuple):
    """Latents to start anew, M of them, SAE after SAE, the one that gains most first."""

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
def find_moves(x_SBD: Tensor, residual_SBD: Tensor, power_SN: Tensor, *, most: int = 1) -> Moves:
    """Compare what the weakest latents of each SAE are worth with what new ones would gain.

    Without a latent of activation z and unit decoder row D, the squared error grows by 2 z ⟨e, D⟩ + z², e being the residual. At a minimum
    e is at right angles to D where z > 0, so a latent's worth is the mean of z²: the number that already ranks the latents. Each input
    proposes a new latent: along its residual, with a bias that makes it answer there with the residual's length, and silent on the mean
    input: else where a reconstruction overshoots, the proposal would answer to everything.

    Several moves are found one after the other: the best proposal takes its share of the residual, and the others gain what they gain on
    what is left. So alike inputs, which propose alike latents, do not all get one.

    Args:
        x_SBD: inputs, of one SAE for all, or of each.
        residual_SBD: inputs minus their full reconstructions.
        power_SN: running mean of each latent's squared activation.
        most: moves of an SAE at once, at most.

    Returns:
        the moves that gain more than `MARGIN` times what they cost; those of an SAE end at its first that does not.

    Raises:
        ValueError: shapes that do not fit, a number that is NaN or infinite, or a `most` below 1.

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
    most = whole("most", most, 1)
    if len(x_SBD) not in (1, n_saes) or not residual_SBD.numel() or not power_SN.numel():
        raise ValueError(f"x_SBD, residual_SBD must hold inputs of {n_saes} SAEs, got {tuple(x_SBD.shape)}, {tuple(residual_SBD.shape)}")
    return find_checked_moves(x_SBD.to(residual_SBD.device), residual_SBD, power_SN.to(residual_SBD.device), most=most)


@torch.no_grad()
def find_checked_moves(x_SBD: Tensor, residual_SBD: Tensor, power_SN: Tensor, *, most: int = 1) -> Moves:
    """`find_moves` of what needs no check, as in training: on a device each look at a number costs a stall. The host reads once."""
    size_SB = residual_SBD.norm(dim=-1)
    unit_SBD = residual_SBD / size_SB.clamp(min=1e-12).unsqueeze(-1)
    read_SBB = x_SBD @ unit_SBD.mT  # input i along the direction that input j proposes
    bias_SB = torch.minimum(size_SB - read_SBB.diagonal(dim1=1, dim2=2), -read_SBB.mean(1))
    acts_SBB = (read_SBB + bias_SB.unsqueeze(1)).relu()
    gain_SB = (2 * acts_SBB * (residual_SBD @ unit_SBD.mT) - acts_SBB.square()).mean(1)
    worth_SM, latent_SM = (part[:, :most] for part in power_SN.sort(stable=True))
    gain_SM, proposal_SM = _best(gain_SB, acts_SBB, unit_SBD, min(latent_SM.shape[1], gain_SB.shape[1]))
    pays_SM = gain_SM > MARGIN * worth_SM[:, : gain_SM.shape[1]]
    sae, nth = pays_SM.cumprod(1).nonzero().unbind(1)
    proposal = proposal_SM[sae, nth]
    power = acts_SBB[sae, :, proposal].square().mean(1)
    return Moves(sae, latent_SM[sae, nth], unit_SBD[sae, proposal], bias_SB[sae, proposal], power)


def _best(gain_SB: Tensor, acts_SBB: Tensor, unit_SBD: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(S, n) gains and proposals, each the best once those before it have taken their share; no number reaches the host."""
    batch, found = gain_SB.shape[1], []
    for _ in range(n):
        best_S1, at_S1 = gain_SB.max(1, keepdim=True)
        found.append((best_S1, at_S1))
        if len(found) < n:
            # The residual of input i falls by a_i D, so a proposal (a', D') gains 2 · mean(a a') ⟨D, D'⟩ less.
            acts_SB1 = acts_SBB.gather(2, at_S1[:, None].expand(-1, batch, -1))
            unit_S1D = unit_SBD.gather(1, at_S1[..., None].expand(-1, -1, unit_SBD.shape[2]))
            taken_S1B = (acts_SB1.mT @ acts_SBB) * (unit_S1D @ unit_SBD.mT)
            gain_SB = (gain_SB - 2 / batch * taken_S1B.squeeze(1)).scatter(1, at_S1, -torch.inf)
    gains, proposals = zip(*found, strict=True)
    return torch.cat(gains, 1), torch.cat(proposals, 1)


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
