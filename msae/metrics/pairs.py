"""Latents of a reference beside their matches: every number is made of sums over stories, so all replicates are one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from msae.metrics.matches import Moments, pearson
from msae.metrics.ranked import Ranking, ranked


class Stories(NamedTuple):
    """The stories of some tokens, and how often each is drawn."""

    of: Tensor
    """(n_tokens,) int64: the story of each token, from 0."""

    half: Tensor
    """(n_stories,) bool: which half a story belongs to."""

    weights: Tensor
    """(1 + n_replicates, n_stories) float64: how often each story is drawn; once in the first row."""


class Pair(NamedTuple):
    """Some latents of a reference, and for each the latent of a large SAE that is its match."""

    reference: Tensor
    """(n_tokens, n) activations."""

    matches: Sequence[Tensor]
    """(n_tokens, n) each: of the match by all stories, by the first half (`half` is False) and by the second."""

    stories: Stories

    def correlations(self) -> dict[str, Tensor]:
        """(1 + n_replicates, n) float64 each: of the match by all stories; and of one half's match, on the other, the mean both ways."""
        a, b = self.reference.double(), self.matches[0].double()
        n, of_a = self._sums(torch.ones_like(a[:, :1])), (self._sums(a), self._sums(a * a))
        weights = self.stories.weights
        found = pearson(Moments(*(weights @ each for each in (n, self._sums(a * b), *of_a, self._sums(b), self._sums(b * b)))))
        other = torch.where(self.stories.half[self.stories.of][:, None], self.matches[1], self.matches[2]).double()
        sums = (n, self._sums(a * other), *of_a, self._sums(other), self._sums(other * other))
        ways = [pearson(Moments(*((weights * of) @ each for each in sums))) for of in (self.stories.half, ~self.stories.half)]
        return {"correlation": found, "correlation, split-half": torch.stack(ways).nanmean(0)}

    def at_levels(self, levels: Sequence[float], precision: float) -> dict[str, Tensor]:
        """(n_levels, 1 + n_replicates, n) float64 each: size of the concept, holes, precision, recall and average precision."""
        a, b = self.reference, self.matches[0]
        ranking, n = Ranking.of(b), self._drawn(torch.ones_like(a[:, :1]))
        found = []
        for level in levels:
            concept, fires = (side > level * side.amax(0).clamp_min(0) for side in (a, b))
            n_concept, n_fires, n_both = (self._drawn(each) for each in (concept, fires, concept & fires))
            counts = ranking.counts(concept, self.stories.of, self.stories.weights)
            how = ranked(*counts, n_concept, n, precision)
            shares = (1 - n_both / n_concept, n_both / n_fires)  # NaN where there is neither
            found.append((n_concept, *shares, how.recall, how.average_precision))
        names = ("n_concept", "holes", "precision", "recall", "average precision")
        return {name: torch.stack(each) for name, each in zip(names, zip(*found))}

    def _sums(self, values: Tensor) -> Tensor:
        """(n_stories, n) float64, of (n_tokens, n) numbers or marks."""
        total = torch.zeros(len(self.stories.half), values.shape[1], dtype=torch.float64, device=values.device)
        return total.index_add_(0, self.stories.of, values.double())

    def _drawn(self, values: Tensor) -> Tensor:
        """(1 + n_replicates, n) float64: the sum over each replicate's stories."""
        return self.stories.weights @ self._sums(values)
