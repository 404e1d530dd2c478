"""What can be done to latents: switch them off, hold them at a value, drown them in noise, add to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from msae.support import arguments
from msae.support.arguments import items, number, shown, whole


class Change(NamedTuple):
    """Some latents, and what becomes of their activations: what `spliced` does while it lasts.

    Example:
        >>> import msae, torch
        >>> half = msae.interventions.Change((66,), lambda acts: acts / 2)
        >>> half.of(torch.tensor([[1.0]]))
        tensor([[0.5000]])
    """

    latents: tuple[int, ...]
    """Their numbers, each once."""

    of: Callable[[Tensor], Tensor]
    """From their activations (..., len(latents)) to new ones of the same shape. They may be negative, which no SAE's own are."""


def ablate(latents: Sequence[int]) -> Change:
    """Switch latents off: their activations become 0.

    Args:
        latents: their numbers.

    Returns:
        the change, for `spliced`.

    Raises:
        ValueError: no latent, a number that is none, or the same one twice.

    Example:
        >>> import msae, torch
        >>> msae.interventions.ablate([66]).of(torch.tensor([[1.5]]))
        tensor([[0.]])
    """
    return Change(_numbers(latents), torch.zeros_like)


def clamp(latents: Sequence[int], value: float, *, only_active: bool = False) -> Change:
    """Hold latents at one value, wherever they are.

    For a multiple of a latent's largest activation, multiply: of `Firings`, `acts.max[acts.column(66)]` is the largest.

    Args:
        latents: their numbers.
        value: what their activations become, in units of the stream; 0 is `ablate`.
        only_active: leave them silent where they are.

    Returns:
        the change, for `spliced`.

    Raises:
        ValueError: no latent, a number that is none, the same one twice, or a value that is not finite.

    Source: clamped features as in Templeton et al. 2024, "Scaling Monosemanticity".

    Example:
        >>> import msae, torch
        >>> msae.interventions.clamp([66], 3.0, only_active=True).of(torch.tensor([[0.0], [1.5]])).tolist()
        [[0.0], [3.0]]
    """
    value, only_active = number("value", value), arguments.yes_or_no("only_active", only_active)

    def of(acts: Tensor) -> Tensor:
        held = torch.full_like(acts, value)
        return torch.where(acts > 0, held, acts) if only_active else held

    return Change(_numbers(latents), of)


def add_noise(latents: Sequence[int], size: float, *, generator: torch.Generator | None = None) -> Change:
    """Add to each activation a number drawn anew from a normal distribution around 0.

    Args:
        latents: their numbers.
        size: the standard deviation of what is added, in units of the stream.
        generator: draws it; seeded with 0 where it is left out.

    Returns:
        the change, for `spliced`. It draws on from pass to pass: for the same noise once more, make it once more.

    Raises:
        ValueError: no latent, a number that is none, the same one twice, or a size below 0 or not finite.

    Example:
        >>> import msae, torch
        >>> noise = msae.interventions.add_noise([66], 0.5)
        >>> float(noise.of(torch.zeros(1000, 1)).std()) > 0.4
        True
    """
    size, generator = number("size", size, least=0), arguments.generator("generator", generator)
    source = torch.Generator().manual_seed(0) if generator is None else generator

    def of(acts: Tensor) -> Tensor:
        return acts + size * torch.randn(acts.shape, generator=source).to(acts)

    return Change(_numbers(latents), of)


def steer(latents: Sequence[int], strength: float) -> Change:
    """Push the stream along the latents' decoder rows: at each place strength · dᵢ is added, whether the latent fires there or not.

    Args:
        latents: their numbers.
        strength: how much, in units of the stream, since a trained SAE's rows have norm 1; below 0 pushes away.

    Returns:
        the change, for `spliced`.

    Raises:
        ValueError: no latent, a number that is none, the same one twice, or a strength that is not finite.

    Example:
        >>> import msae, torch
        >>> msae.interventions.steer([66], 2.0).of(torch.tensor([[0.0], [1.5]])).tolist()
        [[2.0], [3.5]]
    """
    strength = number("strength", strength)
    return Change(_numbers(latents), lambda acts: acts + strength)


def _numbers(latents: Sequence[int]) -> tuple[int, ...]:
    numbers = tuple(whole("each of latents", latent, 0) for latent in items("latents", latents))
    if not numbers:
        raise ValueError("latents must name at least one latent, got none")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"latents must name each latent once, got {shown(latents)}")
    return numbers
