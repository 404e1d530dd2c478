"""Absorption: other latents carry a concept's direction where its own latent is silent, or fires but weakly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.firings.reading import checked_sae, checked_vectors, latent_number, rows_at_once, run, story_numbers, truth
from msae.metrics.fidelity import cosines
from msae.metrics.given import Numbers
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.sae.sae import SAE
from msae.support.arguments import all_finite, items, number, shown, tensor, whole
from msae.support.renamed import by_name
from msae.support.sums import parts, wide


class Absorption(NamedTuple):
    """How much of a concept other latents than its own carry.

    On each token of the concept, t = p·(x - b_dec) is what there is of the concept's direction p, and a_i p·d_i what latent i carries of it
    (d_i its decoder row of norm 1, a_i its activation). m is the sum of this over the concept's own latents; q the sum of the largest
    `n_absorbing` among the others with p·d_i ≥ `min_cosine`. The absorption fraction is

        0                      where m ≥ t, or q < min_share · t,
        1                      where m ≤ 0,
        r / (r + m), with r = min(q, t - m), elsewhere.

    Example:
        >>> from msae.metrics import Absorption, Interval
        >>> found = Absorption(Interval(0.2, 0.1, 0.3), Interval(0.1, 0, 0.2), Interval(0.1, 0, 0.2), {7: 0.9}, 50)
        >>> f"{found.fraction:.0%}"
        '20% [10%, 30%]'
    """

    fraction: Interval
    """Mean absorption fraction over the concept's tokens, 0 to 1: of the concept's direction, as far as its own latents and up to three
    others account for it, the share of the others."""

    full: Interval
    """Share of the tokens on which the concept's latents are silent, and one other latent carries at least 40 % of the direction."""

    partial: Interval
    """Share of the tokens on which the concept's latents fire, but weakly: the absorption fraction is above 0 all the same."""

    absorbers: dict[int, float]
    """Share of the tokens with an absorption fraction above 0 on which each other latent is among the absorbing; the largest first."""

    n_concept: int
    """Tokens of the concept."""


@by_name()
@torch.no_grad()
def absorption(
    sae: SAE,
    x: Tensor,
    concept: Numbers,
    *,
    latents: Sequence[int],
    direction: Tensor | None = None,
    story: Numbers | None = None,
    min_cosine: float = 0.1,
    min_cosine_full: float = 0.025,
    min_share: float = 0.4,
    n_absorbing: int = 3,
    chunk: int | None = None,
) -> Absorption:
    """Full and partial absorption of a concept, measured along its direction p as `Absorption` defines it.

    Args:
        sae: the SAE.
        x: (n, d_model) raw activations.
        concept: (n,) truth values.
        latents: the concept's own, for example `[concept_scores(...).best]`, or those of `splitting`.
        direction: p, (d_model,), of any length; `mean_difference(x, concept)` if left out.
        story: (n,) the story of each row, for the intervals; each row is its own if left out.
        min_cosine: between p and the decoder row of a latent that may absorb.
        min_cosine_full: likewise, of the latent that carries the direction in full absorption.
        min_share: of the direction, 0 to 1: what others must carry of it to count.
        n_absorbing: latents that may absorb together.
        chunk: rows at a time; as many as take 128 MB if left out.

    Returns:
        shares of the concept's tokens, 0 to 1.

    Raises:
        ValueError: shapes that do not fit, no such latent, or a concept that is nowhere.

    Source: the absorption fraction of SAEBench (Karvonen et al. 2025, arXiv:2503.09532), with its thresholds; full absorption as there,
    after Chanin et al. 2024, "A is for Absorption" (arXiv:2409.14507). They project x, not x - b_dec, and take the direction from a
    logistic regression; we count all of the concept's tokens, they those that the regression finds. `absorption_by_probe` does as they do.

    Example:
        >>> import msae, torch
        >>> msae.metrics.absorption(msae.SAE(4, 8), torch.eye(4), [True, True, False, False], latents=[3]).n_concept
        2
    """
    sae = checked_sae(sae)
    x = checked_vectors("x", x, sae.d_model)
    mask, own = _checked(sae, x, concept, latents)
    stories = story_numbers(story, (len(x),), "one story per row of x")[mask]
    asked = _Asked(min_cosine, min_cosine_full, min_share, n_absorbing)
    asked.check()
    rows_at_once(sae, chunk)
    p = mean_difference(x, mask) if direction is None else tensor("direction", direction, numbers="real")
    probe = _Probe.along(sae, _unit(p, sae), own, asked)
    parts = [probe.measure(part, acts) for part, acts in run(sae, x, chunk, torch.from_numpy(np.flatnonzero(mask)))]
    return _absorption_of(torch.cat([table for table, _ in parts]).numpy(), np.sum([counts for _, counts in parts], axis=0), stories)


class _Asked(NamedTuple):
    """The thresholds of a measurement, as for `absorption`."""

    min_cosine: float
    min_cosine_full: float
    min_share: float
    n_absorbing: int

    def check(self) -> None:
        for name in ("min_cosine", "min_cosine_full"):
            number(name, getattr(self, name), -1, 1)
        number("min_share", self.min_share, 0, 1)
        whole("n_absorbing", self.n_absorbing, 1)


def _checked(sae: SAE, x: Tensor, concept: Numbers, latents: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """(n,) bool where the concept is, and the numbers of its own latents."""
    mask = truth("concept", concept, [(len(x),)], "row")
    if not mask.any():
        raise ValueError(f"the concept is on none of the {len(x):,} rows: give more stories, or another pattern")
    own = [latent_number(latent, "each of latents") for latent in items("latents", latents)]
    if not own or max(own) >= sae.n_latents:
        raise ValueError(f"the SAE has the latents 0 to {sae.n_latents - 1}, got latents={shown(own)}")
    return mask, own


def _unit(p: Tensor, sae: SAE) -> Tensor:
    """A direction in float64, of length 1, where the SAE is."""
    if p.shape != (sae.d_model,) or not torch.isfinite(p).all() or not p.any():
        raise ValueError(f"expected a direction of length {sae.d_model} other than zero, and finite, got {shown(p)}")
    p = p.to(sae.W_enc.device, torch.float64)
    p = p / p.abs().max()
    return p / p.norm()


class _Probe(NamedTuple):
    """A concept's direction beside the decoder of an SAE."""

    sae: SAE

    p: Tensor
    """(d_model,) of length 1."""

    carries: Tensor
    """(n_latents,) p·d_i: what each latent's decoder row has of the direction."""

    cosine: Tensor
    """(n_latents,) between the two."""

    own: Tensor
    """The concept's own latents."""

    candidates: Tensor
    """Those that may absorb."""

    asked: _Asked

    @classmethod
    def along(cls, sae: SAE, p: Tensor, own: list[int], asked: _Asked) -> _Probe:
        W_dec = sae.W_dec.double()
        cosine = cosines(p[None], W_dec)[0]
        others = torch.ones(sae.n_latents, dtype=torch.bool)
        others[own] = False
        candidates = (others.to(p.device) & (cosine >= asked.min_cosine)).nonzero().squeeze(1)
        own_there = torch.tensor(own).to(p.device)
        return cls(sae, p, carries=W_dec @ p, cosine=cosine, own=own_there, candidates=candidates, asked=asked)

    def fraction(self, t: Tensor, m: Tensor, q: Tensor) -> Tensor:
        """The absorption fraction of each token, in the letters of `Absorption`."""
        r = torch.minimum(q, t - m)
        fraction = torch.where(m <= 0, 1.0, r / (r + m))
        return torch.where((m >= t) | (q < self.asked.min_share * t) | (t <= 0), 0.0, fraction)

    def measure(self, x: Tensor, acts: Tensor) -> tuple[Tensor, np.ndarray]:
        """(n, 4) float64 of some tokens of the concept: their fraction, and whether absorption is full, is partial, and is above 0; and
        (n_latents,) on how many of them each latent absorbs."""
        carried = acts * self.carries.to(acts.dtype)
        t, m = (x.double() - self.sae.b_dec) @ self.p, (acts[:, self.own].double() * self.carries[self.own]).sum(1)
        top = carried[:, self.candidates].relu().topk(min(self.asked.n_absorbing, len(self.candidates)), dim=1)
        fraction = self.fraction(t, m, top.values.sum(1, dtype=torch.float64))
        best = carried.max(1)
        silent = (acts[:, self.own] <= 0).all(1)
        full = silent & (t > 0) & (best.values >= self.asked.min_share * t) & (self.cosine[best.indices] >= self.asked.min_cosine_full)
        partial = ~silent & (fraction > 0)
        table = torch.stack([fraction, full.to(fraction), partial.to(fraction), (fraction > 0).to(fraction)], 1)
        taken = top.indices[(top.values > 0) & (fraction > 0)[:, None]]
        return table.cpu(), torch.bincount(self.candidates[taken], minlength=self.sae.n_latents).cpu().numpy()


def _absorption_of(table: np.ndarray, absorbing: np.ndarray, stories: np.ndarray) -> Absorption:
    """From (n, 4) for each token of the concept, the number of tokens on which each latent absorbs, and the story of each token."""
    sums = sum_by_story(stories, *table.T, np.ones(len(table)))
    mean, full, partial = (bootstrap(ratio, sums[:, [i, -1]]) for i in range(3))
    order = np.argsort(-absorbing, kind="stable")
    shares = absorbing / max(1.0, table[:, 3].sum())
    return Absorption(mean, full, partial, {int(i): float(shares[i]) for i in order if absorbing[i] > 0}, len(table))


@by_name()
@torch.no_grad()
def mean_difference(x: Tensor, concept: Numbers, *, chunk: int | None = None) -> Tensor:
    """The mean of vectors on a concept minus the mean elsewhere, a linear probe without training.

    Args:
        x: (n, d_model) raw activations.
        concept: (n,) truth values.
        chunk: rows at a time; as many as take 32 MB if left out.

    Returns:
        (d_model,).

    Raises:
        ValueError: a concept that is nowhere, or everywhere; a number of x that is NaN or infinite.

    Example:
        >>> import torch
        >>> from msae.metrics import mean_difference
        >>> mean_difference(torch.tensor([[1.0, 5.0], [3.0, 5.0], [0.0, 5.0]]), [True, True, False]).tolist()
        [2.0, 0.0]
    """
    x = tensor("x", x, ("n", "d_model"), numbers="real")
    mask = truth("concept", concept, [(len(x),)], f"each of {len(x):,} rows")
    if not mask.any() or mask.all():
        raise ValueError(f"the concept must be true on some of the {len(x):,} rows of x and false on others, got {int(mask.sum()):,}")
    here, sums = torch.from_numpy(mask).to(x.device), torch.zeros(2, x.shape[1], dtype=torch.float64, device=x.device)
    begin = 0
    for some in x.split(len(x) if chunk is None else whole("chunk", chunk, 1)):
        for (part,) in parts(some):
            sums.index_add_(0, here[begin : begin + len(part)].long(), part)
            begin += len(part)
    if not torch.isfinite(sums).all():
        all_finite("x", x)
    n = int(mask.sum())
    return (sums[1] / n - sums[0] / (len(x) - n)).to(wide(x[:0]).dtype)
