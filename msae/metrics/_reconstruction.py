"""How sparse and how faithful: L0, the variance left unexplained, latents that never fire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.metrics._bootstrap import Interval, bootstrap, ratio
from msae.metrics._firings import as_firings

if TYPE_CHECKING:
    from msae.sae import SAE


def l0(acts: Tensor) -> float:
    """Mean number of active latents per input; acts (…, n_latents)."""
    return (acts > 0).sum(-1).double().mean().item()


def fvu(x: Tensor, x_hat: Tensor) -> float:
    """Fraction of variance unexplained: Σ‖x - x̂‖² / Σ‖x - mean(x)‖², for x (n, d_model); 0 is perfect, 1 no better than the mean."""
    if x.shape != x_hat.shape or x.ndim != 2 or len(x) < 2:
        raise ValueError(f"expected x and x_hat (n, d_model) with n ≥ 2 and equal shapes, got {tuple(x.shape)} and {tuple(x_hat.shape)}")
    return ((x - x_hat).square().sum() / (x - x.mean(0)).square().sum()).item()


def cosines(rows: Tensor, columns: Tensor) -> Tensor:
    """(…, n, m) cosine of each of the vectors rows (…, n, d) with each of columns (…, m, d); 0 for a zero vector."""
    return torch.nn.functional.normalize(rows, dim=-1) @ torch.nn.functional.normalize(columns, dim=-1).mT


def dead(acts: Any, at_most: float = 0.0) -> np.ndarray:
    """(n_latents,) bool: latents that fire on no input, or on a share of `at_most` of them; acts as for `as_firings`.

    Whether a latent that was silent on these inputs is silent on all is not told by resampling them: there is no interval. Say on how
    many inputs it was silent: after none in n, the rate is below 3 / n with 95 % confidence (the rule of three).
    """
    firings = as_firings(acts)
    (fired,), _ = firings.counts(firings.present, [0.0])
    return np.asarray(fired <= at_most * firings.present.sum())


class Reconstruction(NamedTuple):
    """How an SAE does on inputs, by stories."""

    l0: Interval
    """Mean number of active latents per input."""

    fvu: Interval
    """Fraction of variance unexplained."""

    dead: float
    """Share of the latents that fire on none of the inputs."""

    density: Tensor
    """(n_latents,) float64: share of the inputs on which each latent fires."""

    n_inputs: int
    """How many inputs all this was measured on."""


@torch.no_grad()
def reconstruction(sae: SAE, x: Tensor, story: Tensor | None = None, chunk: int | None = None) -> Reconstruction:
    """L0, FVU and dead latents of an SAE, some rows at a time.

    Args:
        x: (n, d_model) raw activations, in any precision, memory-mapped or not.
        story: (n,) the story of each row, for the intervals (`activations.x_story`); each row is its own if left out.
        chunk: rows at a time; as many as take 128 MB if left out.

    Raises:
        ValueError: fewer than two rows, or not one story per row.
    """
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"expected x (n, d_model) with n ≥ 2, got {tuple(x.shape)}")
    if story is not None and story.shape != (len(x),):
        raise ValueError(f"expected one story per row of x, ({len(x)},), got {tuple(story.shape)}")
    number = torch.arange(len(x)) if story is None else torch.unique(story, return_inverse=True)[1]
    chunk = chunk or max(1, 2**25 // sae.n_latents)
    device = sae.W_enc.device
    # Columns: number of rows, their L0, their squared error, their squared length, and the sum of the vectors. Lengths are taken from a
    # point near the mean, so that the variance is no small difference of large sums.
    sums = torch.zeros(int(number.max()) + 1, 4 + x.shape[1], dtype=torch.float64, device=device)
    fired = torch.zeros(sae.n_latents, dtype=torch.float64, device=device)
    near = x[:chunk].to(device).float().mean(0)
    for part, numbers in zip(x.split(chunk), number.to(device).split(chunk)):
        part = part.to(sae.W_enc)
        acts = sae.encode(part)
        active = acts > 0
        error = (part - sae.decode(acts)).square().sum(1, dtype=torch.float64)
        shifted = (part - near).double()
        columns = [torch.ones_like(error), active.sum(1).double(), error, shifted.square().sum(1)]
        sums.index_add_(0, numbers, torch.cat([torch.stack(columns, 1), shifted], 1))
        fired += active.sum(0)
    table = sums.cpu().numpy()
    return Reconstruction(
        bootstrap(ratio, table[:, [1, 0]]),
        bootstrap(lambda s: s[..., 2] / (s[..., 3] - np.square(s[..., 4:]).sum(-1) / s[..., 0]), table),
        (fired == 0).double().mean().item(),
        (fired / len(x)).cpu(),
        len(x),
    )
