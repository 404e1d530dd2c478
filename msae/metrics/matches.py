"""For each latent of a reference the latent of a large SAE that correlates with it most: on all stories, and on either half of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Side: TypeAlias = "Tensor | csr_array"
"""(n_tokens, n_latents) activations: dense on any device, or sparse rows."""

NUMBERS = 2**27
"""Numbers of the large SAE's activations that are held in float64 at a time: 1 GB."""


class Moments(NamedTuple):
    """Sums over tokens, float64: what a correlation is made of."""

    n: Tensor
    ab: Tensor
    a: Tensor
    aa: Tensor
    b: Tensor
    bb: Tensor


def pearson(sums: Moments) -> Tensor:
    """Correlation; NaN where a variance is zero, or so small that it is rounding."""
    n, ab, a, aa, b, bb = sums
    spread_a, spread_b = aa - a * a / n, bb - b * b / n
    varies = (spread_a > 1e-12 * aa) & (spread_b > 1e-12 * bb)
    return torch.where(varies, (ab - a * b / n) / (spread_a * spread_b).clamp_min(0).sqrt(), torch.nan)


def best_matches(reference: Tensor, large: Side, half: Tensor) -> Tensor:
    """The latents of the large SAE that correlate most with each of a reference.

    Args:
        reference: (n_tokens, n_ref) activations.
        large: (n_tokens, n_large) activations; dense ones lie where the reference's do.
        half: (n_tokens,) bool: which half of the stories a token is of.

    Returns:
        (3, n_ref) latents, -1 where there is none: by all tokens, by those where half is False, and by those where it is True.
    """
    parts = [_moments(reference, large, rows) for rows in (~half, half)]
    both = Moments(*(one + other for one, other in zip(*parts)))
    return torch.stack([_largest(pearson(part)) for part in (both, *parts)])


def _largest(correlation: Tensor) -> Tensor:
    best, latents = correlation.nan_to_num(nan=-torch.inf).max(dim=1)
    return torch.where(best > -torch.inf, latents, -1)


def _moments(reference: Tensor, large: Side, rows: Tensor) -> Moments:
    """Of some tokens: each pair's product (n_ref, n_large), the reference's sums as (n_ref, 1), the large SAE's as (1, n_large)."""
    a = reference[rows].double()
    of_a = a.sum(0)[:, None], a.square().sum(0)[:, None]
    if isinstance(large, Tensor):
        n_large, at = large.shape[1], rows.nonzero().squeeze(1)
        ab = torch.zeros(a.shape[1], n_large, dtype=torch.float64, device=a.device)
        b, bb = torch.zeros(2, 1, n_large, dtype=torch.float64, device=a.device)
        size = max(1, NUMBERS // n_large)
        for some_a, some in zip(a.split(size), at.split(size)):
            some_b = large[some].double()
            ab += some_a.T @ some_b
            b += some_b.sum(0)
            bb += some_b.square_().sum(0)
    else:
        from scipy.sparse import csr_array

        part = large[rows.cpu().numpy()].astype(float)
        products = (csr_array(a.cpu().numpy()).T.tocsr() @ part).toarray()
        ab, b, bb = (torch.as_tensor(each, device=a.device) for each in (products, part.sum(0)[None], part.power(2).sum(0)[None]))
    return Moments(torch.tensor(float(len(a)), dtype=torch.float64, device=a.device), ab, *of_a, b, bb)
