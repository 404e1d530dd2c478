"""Mean max correlation: does the large SAE still hold the latents of a small one?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from msae.firings.firings import as_firings
from msae.firings.reading import checked_sae, checked_vectors, latent_number, story_numbers
from msae.firings.sources import encode
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import N_RESAMPLES, Interval, quantiles, resamples
from msae.sae.sae import SAE
from msae.support.arguments import whole

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array

ROWS = 2**15
"""Inputs that are correlated at a time."""

PAIRS = 256
"""Pairs of latents whose intervals are computed at a time."""


class MaxCorrelation(NamedTuple):
    """For each latent of a reference SAE, the latent of another whose activations correlate with it most.

    Example:
        >>> from msae.metrics import mean_max_correlation
        >>> acts = [[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]
        >>> found = mean_max_correlation(acts, acts)
        >>> found.latents.tolist(), f"{found.interval(0).value:.2f}"
        ([0, 1], '1.00')
    """

    mean: Interval
    """Mean of `best` over the reference latents that fire. The interval keeps each latent's match and resamples the stories. It is the
    basic one: a resample has fewer different stories, and with few firings a correlation is smaller then. As far as the resamples lie
    below the mean, it is likely to lie below that of more stories. The ends of one pair are plain quantiles."""

    best: np.ndarray
    """(n_reference,) float64: the largest correlation of each reference latent; NaN for one that never fires."""

    latents: np.ndarray
    """(n_reference,) int64: the latent of the other SAE that has it; -1 where there is none."""

    low: np.ndarray
    """(n_reference,) float64: lower end of the interval of `best`, the match held fixed."""

    high: np.ndarray
    """(n_reference,) float64: upper end."""

    @property
    def match(self) -> np.ndarray:
        """The former name of `latents`, kept for one release."""
        return self.latents

    def interval(self, i: int) -> Interval:
        """The correlation of one reference latent with its match.

        Args:
            i: where it stands in `best`.

        Returns:
            NaN for one that never fires.

        Raises:
            ValueError: there are not so many.
        """
        if latent_number(i, "i") >= len(self.best):
            raise ValueError(f"i: there are {len(self.best)} reference latents, from 0, got {i}")
        return Interval(*(float(numbers[i]) for numbers in (self.best, self.low, self.high)))


def mean_max_correlation(
    reference: SAE | Acts,
    other: SAE | Acts,
    x: Tensor | None = None,
    *,
    story: Numbers | None = None,
    memory: int = 2**30,
    n_resamples: int = N_RESAMPLES,
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
        n_resamples: how often stories are drawn anew for the intervals.

    Returns:
        correlations from -1 to 1.

    Raises:
        ValueError: an SAE without x, activations of unequal length, fewer than two inputs, or a number that is NaN or infinite.

    Source: Nabeshima 2024, "Matryoshka Sparse Autoencoders".

    Example:
        >>> from msae.metrics import mean_max_correlation
        >>> acts = [[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]
        >>> f"{mean_max_correlation(acts, acts).mean.value:.2f}"
        '1.00'
    """
    whole("memory", memory, 1)
    whole("n_resamples", n_resamples, 1)
    a, b = (_Side(name, side, x) for name, side in (("reference", reference), ("other", other)))
    if a.n_rows != b.n_rows or a.n < 2 or a.n != b.n:
        raise ValueError(f"expected two or more inputs, the same for both SAEs, got {a.n:,} and {b.n:,}")
    stories = story_numbers(story, a.places)
    best, match = _best(a, b, memory)
    ends, low, high = _intervals(a, b, match, stories, n_resamples)
    found = float(np.nanmean(best)) if (match >= 0).any() else np.nan
    return MaxCorrelation(
        Interval(found, 2 * found - ends[1], 2 * found - ends[0]), best, np.where(match >= 0, b.latents[match], -1), low, high
    )


def _best(a: _Side, b: _Side, memory: int) -> tuple[np.ndarray, np.ndarray]:
    """(n_reference,) the largest correlation of each latent of a, and (n_reference,) the column of b that has it, -1 for none."""
    best, match = np.full(a.n_latents, np.nan), np.full(a.n_latents, -1)
    block = max(1, memory // (8 * b.n_latents))
    for first in range(0, a.n_latents, block):
        part = slice(first, first + block)
        correlation = _correlations(a, b, part)
        alive = ~np.isnan(correlation).all(1)
        correlation[np.isnan(correlation)] = -np.inf
        match[part][alive] = correlation.argmax(1)[alive]
        best[part][alive] = correlation.max(1)[alive]
    return best, match


class _Side:
    """Activations of one SAE, read some rows at a time as often as needed."""

    def __init__(self, name: str, source: SAE | Acts, x: Tensor | None):
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
        products[i] = _pearson(a.n, (row, moments[0][i], moments[1][i], moments[2], moments[3]))
    return products


def _pearson(n: np.ndarray | float, moments: Sequence[np.ndarray | float]) -> np.ndarray:
    """Correlation from the sums of ab, a, aa, b and bb; NaN where a variance is zero, or so small that it is rounding."""
    ab, a, aa, b, bb = moments
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = [np.where(v > 1e-12 * square, v, np.nan) ** 0.5 for v, square in ((aa - a * a / n, aa), (bb - b * b / n, bb))]
        return (ab - a * b / n) / deviations[0] / deviations[1]


def _intervals(
    a: _Side, b: _Side, match: np.ndarray, story: np.ndarray, n_resamples: int
) -> tuple[tuple[float, float], np.ndarray, np.ndarray]:
    """Quantiles of the mean, and (n_reference,) lower and upper ends for each matched pair."""
    low, high = np.full(len(match), np.nan), np.full(len(match), np.nan)
    n_stories, pairs = int(story.max()) + 1, np.flatnonzero(match >= 0)
    if n_stories < 2 or not len(pairs):
        return (np.nan, np.nan), low, high
    sums = _sums_of_pairs(a, b, (pairs, match[pairs]), story)
    sizes = np.bincount(story, weights=a.present, minlength=n_stories)
    total, known = np.zeros(n_resamples), np.zeros(n_resamples)
    for first in range(0, len(pairs), PAIRS):
        part = slice(first, first + PAIRS)
        dense = [column[:, part].toarray() for column in sums]
        drawn = np.concatenate([_pearson((w @ sizes)[:, None], [w @ table for table in dense]) for w in resamples(n_stories, n_resamples)])
        low[pairs[part]], high[pairs[part]] = quantiles(drawn)
        total += np.nansum(drawn, axis=1)
        known += (~np.isnan(drawn)).sum(1)
    with np.errstate(invalid="ignore"):  # a resample in which no pair varies
        ends = quantiles(total / known)
    return (float(ends[0]), float(ends[1])), low, high


def _sums_of_pairs(a: _Side, b: _Side, columns: tuple[np.ndarray, np.ndarray], story: np.ndarray) -> list[csc_array]:
    """(n_stories, n_pairs) each, sparse since a latent fires in few stories: the sums of ab, a, aa, b and bb over each story."""
    from scipy.sparse import csc_array, csr_array

    n_stories = int(story.max()) + 1
    sums = [csc_array((n_stories, len(columns[0])))] * 5
    for i, (of_a, of_b) in enumerate(zip(a.chunks(), b.chunks())):
        some_a, some_b = of_a[:, columns[0]], of_b[:, columns[1]]
        stories = story[i * ROWS : i * ROWS + of_a.shape[0]]
        belongs = csr_array((np.ones(len(stories)), (stories, np.arange(len(stories)))), shape=(n_stories, len(stories)))
        values = (some_a.multiply(some_b), some_a, some_a.power(2), some_b, some_b.power(2))
        sums = [total + belongs @ value for total, value in zip(sums, values)]
    return [total.tocsc() for total in sums]
