"""An auxiliary loss for dead latents: they are asked to reconstruct what the SAE leaves over (AuxK of Gao et al. 2024, arXiv:2406.04093).

A latent that fires on no input of a batch gets no gradient from it, so nothing brings a dead one back. AuxK gives the dead ones a task of
their own: on each input the k of them with the largest pre-activations reconstruct the residual e = x - x̂,

    weight · mean ‖e - ê‖²,     ê = Σ a_i D_i / ‖D_i‖     over those k latents.

Here a_i is the pre-activation itself, times ‖D_i‖: positive or not, before any ReLU and threshold. Gao et al. put it through a ReLU,
which changes nothing for a TopK SAE while k of its dead latents are positive: they only lose against larger ones. A dead latent of a ReLU
SAE is negative everywhere, so that a ReLU would leave it without a gradient once more. Without one, the pre-activation is drawn to what the
residual needs; where that is positive, the latent soon fires, and is dead no more.

The residual is taken as given: no gradient flows through it, nor to latents that live, to b_dec or to thresholds. That of a Matryoshka SAE
is what its full prefix leaves, so the rank of a dead latent does not matter. Adam divides a latent's gradient by its own size: where it has
no other, `weight` matters little.

Shapes: S SAEs, B inputs, D d_model, N latents; M dead latents of one SAE.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def add_auxiliary(
    inputs: tuple[Tensor, Tensor], dead_SN: Tensor, params: Mapping[str, Tensor], grads: Mapping[str, Tensor], *, k: int, weight: float
) -> Tensor:
    """Add the gradients of the auxiliary loss, SAE by SAE.

    Args:
        inputs: x_SBD, of one SAE for all or of each, and residual_SBD, what each SAE's full reconstruction leaves of it.
        dead_SN: which latents are dead.
        params: `W_encT` and `W_dec` (S, N, D), `b_enc` (S, N).
        grads: of the same shapes; what is there is kept.
        k: dead latents of an input, at most.
        weight: of the loss.

    Returns:
        (S,) the loss without its weight; that of ê = 0 where none is dead.
    """
    x_SBD, residual_SBD = inputs
    loss_S = residual_SBD.square().sum(2).mean(1)
    for s, dead_N in enumerate(dead_SN):
        at = dead_N.nonzero().squeeze(1)
        if not len(at):
            continue
        x, residual = x_SBD[min(s, len(x_SBD) - 1)], residual_SBD[s]
        W_encT, b_enc, W_dec = (params[name][s][at] for name in ("W_encT", "b_enc", "W_dec"))
        norm_M = torch.linalg.vector_norm(W_dec, dim=1)
        unit = W_dec / norm_M[:, None]
        pre = torch.addmm(b_enc, x, W_encT.T)
        level = pre * norm_M
        chosen = level >= level.topk(min(k, len(at)), dim=1).values[:, -1:]
        acts = level * chosen
        over = acts @ unit - residual
        loss_S[s] = over.square().sum(1).mean()
        over *= 2 * weight / len(x)
        d_level = (over @ unit.T) * chosen
        d_unit = acts.T @ over
        d_pre = d_level * norm_M
        along = (d_level * pre).sum(0) - (d_unit * unit).sum(1) / norm_M
        grads["W_dec"][s].index_add_(0, at, d_unit / norm_M[:, None] + along[:, None] * unit)
        grads["W_encT"][s].index_add_(0, at, d_pre.T @ x)
        grads["b_enc"][s].index_add_(0, at, d_pre.sum(0))
    return loss_S
