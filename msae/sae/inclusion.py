"""From prefix lengths, or how likely each is, to how often the latent of each rank lies in a prefix."""

from __future__ import annotations

import torch
from torch import Tensor

from msae.support.arguments import tensor, whole


def inclusion_probability(lengths: Tensor) -> Tensor:
    """How likely the latent of each rank is to lie in a random prefix.

    Args:
        lengths: (n_latents,) probabilities of the prefix lengths 1 … n_latents, summing to 1.

    Returns:
        (n_latents,) non-increasing; entry r is P(length > r).

    Raises:
        ValueError: numbers that are no probabilities, or do not sum to 1.

    Example:
        >>> import torch
        >>> from msae.sae.prefixes import inclusion_probability
        >>> inclusion_probability(torch.tensor([0.5, 0.25, 0.25]))
        tensor([1.0000, 0.5000, 0.2500])
    """
    lengths = tensor("lengths", lengths, ("n_latents",), numbers="real", finite=True)
    if not len(lengths) or lengths.min() < 0 or abs(lengths.sum(dtype=torch.float64).item() - 1) > 1e-2:
        raise ValueError(f"lengths must be probabilities that sum to 1, got a sum of {lengths.sum(dtype=torch.float64).item():g}")
    return lengths.flip(0).cumsum(0).flip(0)


def inclusion_of(lengths: Tensor, n_latents: int) -> Tensor:
    """(n_latents,) float64: the share of some prefix lengths that hold the latent of each rank.

    Args:
        lengths: (n_prefixes,) each 1 to n_latents, at least one.
        n_latents: number of latents.

    Raises:
        ValueError: no such lengths.

    Example:
        >>> import torch
        >>> from msae.sae.prefixes import inclusion_of
        >>> inclusion_of(torch.tensor([1, 4]), 4)
        tensor([1.0000, 0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    n_latents = whole("n_latents", n_latents, 1)
    lengths = tensor("lengths", lengths, ("n_prefixes",), numbers="whole").cpu()
    if not len(lengths) or lengths.min() < 1 or lengths.max() > n_latents:
        raise ValueError(f"lengths must be prefix lengths from 1 to {n_latents:,}, at least one, got {lengths.tolist()[:12]}")
    return (lengths[:, None] > torch.arange(n_latents)).double().mean(0)
