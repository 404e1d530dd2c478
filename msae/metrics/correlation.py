"""Mean max correlation: does the large SAE still hold the latents of a small one?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from msae.firings.firings import as_firings
from msae.firings.reading import checked_sae, checked_vectors, story_numbers
from msae.firings.sources import encode
from msae.metrics.intervals import N_RESAMPLES, Interval, quantiles, resamples
from msae.sae.sae import SAE
from msae.support.arguments import whole

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ROWS = 2**15
"""Inputs that are correlated at a time."""

PAIRS = 256
"""Pairs of latents whose intervals are computed at a time."""


class MaxCorrelation(NamedTuple):
    """For each latent of a reference SAE, the latent of another whose activations correlate with it most."""

    mean: Interval
    """Mean of `best` over the reference latents that fire. The interval keeps each latent's match and resamples the stories; so where
    the best match is chance alone, a few firings in a few stories, it can lie below the mean."""

    best: np.ndarray
    """(n_reference,) float64: the largest correlation of each reference latent; NaN for one that never fires."""

    match: np.ndarray
    """(n_reference,) int64: the latent of the other SAE that has it; -1 where there is none."""

    low: np.ndarray
    """(n_reference,) float64: lower end of the interval of `best`, the match held fixed."""

    high: np.ndarray
    """(n_reference,) float64: upper end."""


def mean_max_correlation(
    reference: Any, other: Any, x: Tensor | None = None, *, story: Any = None, memory: int = 2**30, n_resamples: int = N_RESAMPLES
) -> MaxCorrelation:
    """The mean, over the latents of a reference SAE, of the largest Pearson correlation with any latent of another SAE.

    Exact, in float64. Activations are used as they are, sparse: a token on which 30 and 30 latents fire costs 900 products, not as many
    as there are pairs. Pairs that never fire together still have their (negative) correlation.

    Args:
        reference: an SAE to be run on x; or its activations, as for `as_firings`.
        other: likewise, on the same inputs.
        x: (n, d_model) raw activations, memory-mapped or not, of any length; read some rows at a time.
        story: one number per input or text, for the intervals; each input or text is its own if left out.
        memory: bytes for the products of pairs. Where all pairs need more, reference latents are taken in blocks, with another reading
            of the activations for each: 25,000 × 10,000 latents take 2 GB, so two readings at 1 GB.

    Raises:
        ValueError: an SAE without x, activations of unequal length, fewer than two inputs, or a number that is NaN or infinite.

    Source: Nabeshima 2024, "Matryoshka Sparse Autoencoders".
    """
    whole("memory", memory, 1)
    whole("n_resamples", n_resamples, 1)
    a, b = (_Side(name, side, x) for name, side in (("reference", reference), ("other", other)))
    if a.n_rows != b.n_rows or a.n < 2 or a.n != b.n:
        raise ValueError(f"expected two or more inputs, the same for both SAEs, got {a.n:,} and {b.n:,}")
    stories = story_numbers(story, a.places)
    best, match = np.full(a.n_latents, np.nan), np.full(a.n_latents, -1)
    block = max(1, memory // (8 * b.n_latents))
    for first in range(0, a.n_latents, block):
        part = slice(first, first + block)
        correlation = _correlations(a, b, part)
        alive = ~np.isnan(correlation).all(1)
        correlation[np.isnan(correlation)] = -np.inf
        match[part][alive] = correlation.argmax(1)[alive]
        best[part][alive] = correlation.max(1)[alive]
    mean, low, high = _intervals(a, b, match, stories, n_resamples)
    found = float(np.nanmean(best)) if (match >= 0).any() else np.nan
    numbers = np.where(match >= 0, b.latents[match], -1)
    return MaxCorrelation(Interval(found, *mean), best, numbers, low, high)


class _Side:
    """Activations of one SAE, read some rows at a time as often as needed."""

    def __init__(self, name: str, source: Any, x: Tensor | None):
        if isinstance(source, SAE):
            if x is None:
                raise ValueError(f"{name}: an SAE needs x to be run on; or give its activations")
            checked_sae(source, name)
            x = checked_vectors("x", x, source.d_model)
            self.latents, self.present = np.arange(source.n_latents), np.ones(len(x), dtype=bool)
            self.places: tuple[int, ...] = (len(x),)
            self.read = lambda rows: encode(source, x[rows])
        else:
            firings = as_firings(source)
            self.latents, self.present, self.places = firings.latents, firings.present, firings.places
            by_row = firings.matrix.tocsr()
            self.read = lambda rows: by_row[rows]
        self.n_rows, self.n, self.n_latents = len(self.present), int(self.present.sum()), len(self.latents)

    def chunks(self) -> Iterator[csr_array]:
        for first in range(0, self.n_rows, ROWS):
            yield self.read(slice(first, min(first + ROWS, self.n_rows))).astype(np.float64)


def _correlations(a: _Side, b: _Side, part: slice) -> np.ndarray:
    """(n_part, n_other): Pearson correlations of some latents of a with all of b; NaN where one of the two does not vary."""
    n_part = len(range(*part.indices(a.n_latents)))
    products = np.zeros((n_part, b.n_latents))
    moments = [np.zeros(n) for n in (n_part, n_part, b.n_latents, b.n_latents)]
    for of_a, of_b in zip(a.chunks(), b.chunks()):
        some = of_a[:, part]
        together = (some.T.tocsr() @ of_b).tocoo()
        products[together.row, together.col] += together.data  # a product has each pair once
        with np.errstate(over="ignore"):
            for total, value in zip(moments, (some.sum(0), some.power(2).sum(0), of_b.sum(0), of_b.power(2).sum(0))):
                total += value
    if not all(np.isfinite(total).all() for total in moments):
        raise ValueError("the squares of the activations leave float64: divide them by a constant before")
    for i, row in enumerate(products):  # one at a time: in one go it would take four times the memory
        products[i] = _pearson(a.n, row, moments[0][i], moments[1][i], moments[2], moments[3])
    return products


def _pearson(n: Any, ab: Any, a: Any, aa: Any, b: Any, bb: Any) -> Any:
    """Correlation from sums of products; NaN where a variance is zero, or so small that it is rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = [np.where(v > 1e-12 * square, v, np.nan) ** 0.5 for v, square in ((aa - a * a / n, aa), (bb - b * b / n, bb))]
        return (ab - a * b / n) / deviations[0] / deviations[1]


def _intervals(
    a: _Side, b: _Side, match: np.ndarray, story: np.ndarray, n_resamples: int
) -> tuple[tuple[float, float], np.ndarray, np.ndarray]:
    """Ends for the mean, and (n_reference,) lower and upper ends for each matched pair."""
    from scipy.sparse import csr_array

    low, high = np.full(len(match), np.nan), np.full(len(match), np.nan)
    n_stories, pairs = int(story.max()) + 1, np.flatnonzero(match >= 0)
    if n_stories < 2 or not len(pairs):
        return (np.nan, np.nan), low, high
    sums: list[Any] = [0] * 5  # (n_stories, n_pairs), sparse: a latent fires in few stories
    for i, (of_a, of_b) in enumerate(zip(a.chunks(), b.chunks())):
        some_a, some_b = of_a[:, pairs], of_b[:, match[pairs]]
        stories = story[i * ROWS : i * ROWS + of_a.shape[0]]
        belongs = csr_array((np.ones(len(stories)), (stories, np.arange(len(stories)))), shape=(n_stories, len(stories)))
        for k, value in enumerate((some_a.multiply(some_b), some_a, some_a.power(2), some_b, some_b.power(2))):
            sums[k] = sums[k] + belongs @ value if i else belongs @ value
    sizes = np.bincount(story, weights=a.present, minlength=n_stories)
    total, known = np.zeros(n_resamples), np.zeros(n_resamples)
    columns = [part.tocsc() for part in sums]
    for first in range(0, len(pairs), PAIRS):
        part = slice(first, first + PAIRS)
        dense = [column[:, part].toarray() for column in columns]
        drawn = np.concatenate([_pearson((w @ sizes)[:, None], *(w @ table for table in dense)) for w in resamples(n_stories, n_resamples)])
        low[pairs[part]], high[pairs[part]] = quantiles(drawn)
        total += np.nansum(drawn, axis=1)
        known += (~np.isnan(drawn)).sum(1)
    return quantiles(total / known), low, high
