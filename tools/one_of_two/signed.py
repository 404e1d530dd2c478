"""An SAE whose latents have two sides: the k pre-activations that are largest by size stay, with their signs (AbsTopK).

Training in `msae` rests on activations that are 0 or above, so this one has a trainer of its own, in plain PyTorch: same start, same Adam,
same schedule, same clipping. With `signed=False` it keeps the k largest if positive: an ordinary TopK SAE, to compare with.

Shapes: S seeds, B inputs, D d_model, N latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from msae.support.schedules import trapezoid


def keep_largest(pre: Tensor, k: int, signed: bool) -> Tensor:
    """Of each input the k latents that are largest, by size or as they are; the others, and what is negative and unsigned, 0."""
    at = (pre.abs() if signed else pre).topk(k, dim=-1, sorted=False).indices
    kept = pre.gather(-1, at)
    return torch.zeros_like(pre).scatter(-1, at, kept if signed else kept.relu())


def train_signed(
    params: dict[str, Tensor], batches: Iterator[Tensor], n_steps: int, *, k: int, signed: bool, look: Callable[[int], None]
) -> None:
    """Train S SAEs in place.

    Args:
        params: `W_encT`, `W_dec` (S, N, D), `b_enc` (S, N), `b_dec` (S, D).
        batches: (S, B, D).
        n_steps: how many.
        k: active latents of an input.
        signed: whether latents have two sides.
        look: called with the number of steps taken, before each step and at the end.
    """
    learnt = [p.requires_grad_() for p in params.values()]
    optimizer = torch.optim.Adam(learnt, lr=3e-3, betas=(0.9, 0.99))
    for step in range(n_steps):
        look(step)
        x_SBD = next(batches)
        W_dec = params["W_dec"] / params["W_dec"].norm(dim=2, keepdim=True)
        acts = keep_largest(pre_activations(params, x_SBD), k, signed)
        loss_S = (x_SBD - acts @ W_dec - params["b_dec"][:, None]).square().sum(2).mean(1)
        optimizer.zero_grad()
        loss_S.sum().backward()
        norm_S = torch.stack([p.grad.flatten(1).norm(dim=1) for p in learnt]).square().sum(0).sqrt()
        for p in learnt:
            p.grad.mul_((1 / (norm_S + 1e-6)).clamp(max=1).view(-1, *[1] * (p.ndim - 1)))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * trapezoid(step, n_steps)
        optimizer.step()
    for p in learnt:
        p.requires_grad_(False)
    look(n_steps)


def pre_activations(params: dict[str, Tensor], x_SBD: Tensor) -> Tensor:
    """(S, B, N), in units of unit-norm decoder rows."""
    pre = torch.baddbmm(params["b_enc"][:, None], x_SBD, params["W_encT"].mT)
    return pre * params["W_dec"].norm(dim=2)[:, None]
