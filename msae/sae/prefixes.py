"""Prefix laws: which prefixes of the latents must reconstruct on their own, and how often.

A law draws `n` prefix lengths a step: always the full one, and n - 1 at random, with replacement. Two views of it are needed:

- `sample`: lengths drawn with a generator of its own, for the article's sampled loss;
- `inclusion`: for each rank, how often the latent of that rank lies in a prefix, for the exact loss over all prefixes.

A law of your own is a frozen dataclass with these two; a random one needs `lengths` alone (`RandomPrefixes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from msae.sae.inclusion import inclusion_of as inclusion_of
from msae.sae.inclusion import inclusion_probability as inclusion_probability
from msae.support import arguments
from msae.support.arguments import number, shown, whole


class PrefixLaw(Protocol):
    """What training asks of a law: a frozen dataclass whose fields are JSON values, which checkpoints and SAEs record.

    Example:
        >>> import msae
        >>> msae.FixedPrefixes([1, 4]).inclusion(4)
        tensor([1.0000, 0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """

    def sample(self, n_latents: int, generator: torch.Generator | None = None) -> Tensor:
        """(n_prefixes,) increasing prefix lengths of one step, 1 to n_latents; the last is n_latents.

        Args:
            n_latents: number of latents.
            generator: of what is random.
        """
        ...

    def inclusion(self, n_latents: int) -> Tensor:
        """(n_latents,) float64: the mean over a step's prefixes of P(the latent of rank r is in the prefix).

        Args:
            n_latents: number of latents.
        """
        ...


@dataclass(frozen=True)
class RandomPrefixes:
    """What the random laws share: the full prefix and n - 1 lengths drawn from `lengths`, which a law of your own gives.

    Attributes:
        n: prefixes per step, the full one included.

    Raises:
        ValueError: n is no whole number of at least 1.
    """

    n: int = 10

    def __post_init__(self) -> None:
        whole("n", self.n, 1, hint="a step needs at least the full prefix")

    def lengths(self, n_latents: int) -> Tensor:
        """(n_latents,) float64 probabilities of a drawn length being 1 … n_latents.

        Args:
            n_latents: number of latents.
        """
        raise NotImplementedError

    def sample(self, n_latents: int, generator: torch.Generator | None = None) -> Tensor:
        """(n,) increasing prefix lengths; the last is n_latents. Equal lengths may occur.

        Args:
            n_latents: number of latents.
            generator: of the drawn lengths; PyTorch's own where None.
        """
        n_latents = _checked(n_latents, generator)
        full = torch.tensor([n_latents])
        if self.n == 1:
            return full
        drawn = torch.multinomial(self.lengths(n_latents), self.n - 1, replacement=True, generator=generator) + 1
        return torch.cat([drawn.sort().values, full])

    def inclusion(self, n_latents: int) -> Tensor:
        """(n_latents,) float64: the mean over a step's prefixes of P(the latent of rank r is in the prefix).

        Args:
            n_latents: number of latents.
        """
        drawn = inclusion_probability(self.lengths(n_latents))
        return 1 / self.n + (1 - 1 / self.n) * drawn


@dataclass(frozen=True)
class SquareRootPrefixes(RandomPrefixes):
    """P(length ≤ L) = √(L / n_latents): what the reference code of Nabeshima 2024 samples; half of the draws are at most n_latents / 4.

    Attributes:
        n: prefixes per step, the full one included.

    Example:
        >>> import msae
        >>> msae.SquareRootPrefixes(n=2).inclusion(4)  # the full prefix, and one of length 1 for half of the steps
        tensor([1.0000, 0.7500, 0.6464, 0.5670], dtype=torch.float64)
    """

    def lengths(self, n_latents: int) -> Tensor:
        n_latents = _checked(n_latents)
        cumulative = (torch.arange(n_latents + 1, dtype=torch.float64) / n_latents).sqrt()
        return cumulative.diff()


@dataclass(frozen=True)
class ParetoPrefixes(RandomPrefixes):
    """A Pareto law on [1, n_latents + 1), rounded down: P(length ≤ L) ∝ 1 - (L + 1)^-alpha.

    The article's words (Nabeshima 2024) name a truncated Pareto law; its code samples `SquareRootPrefixes`. They differ much:
    with alpha 0.5 half of the draws have length 1 to 3, whatever n_latents.

    Attributes:
        n: prefixes per step, the full one included.
        alpha: the larger, the shorter the prefixes.

    Raises:
        ValueError: n is no whole number of at least 1, or alpha no positive number.

    Example:
        >>> import msae
        >>> msae.ParetoPrefixes(n=2).inclusion(4)
        tensor([1.0000, 0.7351, 0.6177, 0.5477], dtype=torch.float64)
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        number("alpha", self.alpha, above=0, hint="the article names 0.5")

    def lengths(self, n_latents: int) -> Tensor:
        n_latents = _checked(n_latents)
        survival = torch.arange(1, n_latents + 2, dtype=torch.float64) ** -self.alpha
        return -survival.diff() / (1 - survival[-1])


@dataclass(frozen=True)
class UniformPrefixes(RandomPrefixes):
    """Every length from 1 to n_latents is equally likely.

    Attributes:
        n: prefixes per step, the full one included.

    Example:
        >>> import msae
        >>> msae.UniformPrefixes(n=2).inclusion(4)
        tensor([1.0000, 0.8750, 0.7500, 0.6250], dtype=torch.float64)
    """

    def lengths(self, n_latents: int) -> Tensor:
        n_latents = _checked(n_latents)
        return torch.full((n_latents,), 1 / n_latents, dtype=torch.float64)


@dataclass(frozen=True)
class FullPrefix:
    """Only the full prefix: a plain SAE.

    Example:
        >>> import msae
        >>> msae.FullPrefix().sample(4)
        tensor([4])
    """

    def sample(self, n_latents: int, generator: torch.Generator | None = None) -> Tensor:
        """(1,) n_latents alone.

        Args:
            n_latents: number of latents.
            generator: not used.
        """
        return torch.tensor([_checked(n_latents, generator)])

    def inclusion(self, n_latents: int) -> Tensor:
        """(n_latents,) float64 ones.

        Args:
            n_latents: number of latents.
        """
        return torch.ones(_checked(n_latents), dtype=torch.float64)


@dataclass(frozen=True)
class FixedPrefixes:
    """The same widths at every step, each counting the same, as in Bussmann et al. 2025 (arXiv:2503.17547).

    Attributes:
        widths: strictly increasing; the last is the number of latents.

    Raises:
        ValueError: widths that are no such list.

    Example:
        >>> import msae
        >>> msae.FixedPrefixes([1, 4]).sample(4)
        tensor([1, 4])
    """

    widths: Sequence[int] = field(default=())

    def __post_init__(self) -> None:
        hint = "for instance [64, 256, 1024]"
        if isinstance(self.widths, str) or not isinstance(self.widths, Iterable):
            raise ValueError(f"widths must be a list of whole numbers, got {shown(self.widths)}; {hint}")
        widths = tuple(whole("each of widths", width, 1, hint=hint) for width in self.widths)
        if not widths or any(b <= a for a, b in pairwise(widths)):
            raise ValueError(f"widths must be strictly increasing, at least one, got {list(widths)}; {hint}")
        object.__setattr__(self, "widths", widths)

    def sample(self, n_latents: int, generator: torch.Generator | None = None) -> Tensor:
        """(n_prefixes,) the widths; a ValueError where the last is not n_latents.

        Args:
            n_latents: number of latents.
            generator: not used.
        """
        if self.widths[-1] != _checked(n_latents, generator):
            raise ValueError(f"the last width must be the number of latents, {n_latents}, got {list(self.widths)}")
        return torch.tensor(self.widths)

    def inclusion(self, n_latents: int) -> Tensor:
        """(n_latents,) float64: the share of the widths that hold the latent of each rank.

        Args:
            n_latents: number of latents.
        """
        return inclusion_of(self.sample(n_latents), n_latents)


@dataclass(frozen=True)
class WeightedPrefixes:
    """The same widths at every step, each with a weight of its own: what the prefixes are worth beside each other.

    The loss is Σ wⱼ · (the loss of the prefix of width j), w summing to 1. Equal weights are `FixedPrefixes`. Chanin et al. 2025
    (arXiv:2505.11756) weigh the losses of the nested SAEs to balance absorption against hedging.

    Attributes:
        widths: strictly increasing; the last is the number of latents.
        weights: one for each width, above 0; only their ratios count.

    Raises:
        ValueError: widths or weights that are no such lists.

    Example:
        >>> import msae
        >>> msae.WeightedPrefixes([1, 4], [3, 1]).inclusion(4)
        tensor([1.0000, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """

    widths: Sequence[int] = field(default=())
    weights: Sequence[float] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", FixedPrefixes(self.widths).widths)
        hint = f"one for each of the {len(self.widths)} widths"
        if isinstance(self.weights, str) or not isinstance(self.weights, Iterable):
            raise ValueError(f"weights must be a list of numbers, got {shown(self.weights)}; {hint}")
        weights = tuple(number("each of weights", weight, above=0) for weight in self.weights)
        if len(weights) != len(self.widths):
            raise ValueError(f"weights must be as many as widths, got {len(weights)} weights; {hint}")
        object.__setattr__(self, "weights", weights)

    def sample(self, n_latents: int, generator: torch.Generator | None = None) -> Tensor:
        """(n_prefixes,) the widths, without their weights: a sampled loss counts all alike, and `TrainConfig` refuses it here.

        Args:
            n_latents: number of latents.
            generator: not used.
        """
        return FixedPrefixes(self.widths).sample(n_latents, generator)

    def inclusion(self, n_latents: int) -> Tensor:
        """(n_latents,) float64: the share of the weight that lies on widths which hold the latent of each rank.

        Args:
            n_latents: number of latents.
        """
        lengths, weights = self.sample(n_latents), torch.tensor(self.weights, dtype=torch.float64)
        return ((lengths > torch.arange(n_latents)[:, None]) * weights).sum(1) / weights.sum()


def _checked(n_latents: int, generator: torch.Generator | None = None) -> int:
    arguments.generator("generator", generator)
    return whole("n_latents", n_latents, 1)
