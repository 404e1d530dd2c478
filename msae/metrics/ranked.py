"""A latent as a ranking of tokens: average precision, and recall where it is precise, in every replicate at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

N_THRESHOLDS = 64
"""Thresholds of a latent, with equally many tokens of its concept between them; each of these has its own where there are fewer."""


class Ranked(NamedTuple):
    """How well latents rank the tokens of their concepts; (n_replicates, n_latents) float64 each, NaN where there is no concept."""

    average_precision: Tensor
    """Sum over thresholds of precision times what recall grows by, tokens on which the latent is silent last."""

    recall: Tensor
    """The largest recall of the thresholds with the precision asked for; 0 where none has."""


class Ranking(NamedTuple):
    """The firings of some latents, the strongest of each first."""

    token: Tensor
    """(n_firings,) int64."""

    latent: Tensor
    """(n_firings,) int64, ascending."""

    first: Tensor
    """(n_firings,) int64: where the firings of this latent that are equal to this one begin."""

    n_latents: int

    @classmethod
    def of(cls, acts: Tensor) -> Ranking:
        """Of (n_tokens, n_latents) activations; what is not positive is silent."""
        latent, token = (acts.T > 0).nonzero(as_tuple=True)
        value = acts[token, latent]
        order = value.argsort(descending=True)
        order = order[latent[order].argsort(stable=True)]
        token, latent, value = token[order], latent[order], value[order]
        is_new = torch.ones_like(latent, dtype=torch.bool)
        is_new[1:] = (latent[1:] != latent[:-1]) | (value[1:] != value[:-1])
        return cls(token, latent, is_new.nonzero().squeeze(1)[is_new.cumsum(0) - 1], acts.shape[1])

    def counts(self, concept: Tensor, story: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens at or above each threshold, in each replicate.

        Args:
            concept: (n_tokens, n_latents) bool, of each latent.
            story: (n_tokens,) int64, from 0.
            weights: (n_replicates, n_stories) float64, how often each story is drawn.

        Returns:
            (n_replicates, n_latents, n_thresholds) those of the concept, and all.
        """
        hit = concept[self.token, self.latent]
        n_hits = torch.bincount(self.latent[hit], minlength=self.n_latents)
        before = hit.cumsum(0) - hit.long() - (n_hits.cumsum(0) - n_hits)[self.latent]  # tokens of the concept that rank higher
        before = before[self.first]
        matters = before < n_hits[self.latent]  # what comes after the last of them changes no number
        threshold = before * N_THRESHOLDS // n_hits.clamp_min(N_THRESHOLDS)[self.latent]
        shape = (weights.shape[1], self.n_latents, N_THRESHOLDS)
        place = (story[self.token] * shape[1] + self.latent) * shape[2] + threshold
        found = []
        for kept in (hit, matters):
            counts = torch.bincount(place[kept], minlength=shape[0] * shape[1] * shape[2]).view(shape[0], -1).to(weights)
            found.append((weights @ counts).view(len(weights), *shape[1:]).cumsum(-1))
        return found[0], found[1]


def ranked(found: Tensor, firing: Tensor, concept: Tensor, n: Tensor, precision: float) -> Ranked:
    """Judge a ranking from its counts.

    Args:
        found: (n_replicates, n_latents, n_thresholds) tokens of the concept at or above each threshold.
        firing: likewise, all tokens.
        concept: (n_replicates, n_latents) tokens of the concept.
        n: (n_replicates, 1) tokens.
        precision: what recall asks for.

    Returns:
        both numbers of each replicate and latent.
    """
    recalls, precisions = found / concept[..., None], found / firing.clamp_min(1)
    grows = torch.diff(recalls, dim=-1, prepend=torch.zeros_like(recalls[..., :1]))
    rest = concept / n  # the last threshold is below all: every token is taken
    average = (grows * precisions).sum(-1) + (1 - recalls[..., -1]) * rest
    is_precise = (precisions >= precision * (1 - 1e-9)) & (firing > 0)
    recall = torch.where(is_precise, recalls, 0).amax(-1)
    recall = torch.where(rest >= precision, 1, recall)
    there = concept > 0
    return Ranked(torch.where(there, average, torch.nan), torch.where(there, recall, torch.nan))
