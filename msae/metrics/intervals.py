"""Intervals by resampling stories: every measure here is a function of sums over stories, so a resample is one row of a matrix product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from msae.firings.reading import to_numpy
from msae.support.arguments import number, shown, whole

N_RESAMPLES = 1000
LEVEL = 0.95
ALONG = "quantities lie along the last axis, as in lambda s: s[..., 0] / s[..., 1]"


class Interval(NamedTuple):
    """A measured number, and where it would lie if other stories had been drawn."""

    value: float
    """Measured on all the stories."""

    low: float
    """Lower end of the 95 % bootstrap interval; NaN where there are fewer than two stories."""

    high: float
    """Upper end."""

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    sums: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """A percentile interval for a function of sums over stories (Efron 1979), stories drawn with replacement.

    The same number of stories and seed give the same resamples, so intervals of two SAEs on the same stories are paired; put the sums of
    both side by side, and the statistic can be their difference.

    Args:
        statistic: from (…, n_quantities) sums to (…,) numbers: a ratio of two sums, for example. NaN where a resample has none.
        sums: (n_stories, n_quantities).

    Raises:
        ValueError: sums of another shape, or one that is NaN or infinite; a statistic that is no number for each resample.
    """
    if not callable(statistic):
        raise ValueError(f"statistic must be a function of sums, such as lambda s: s[..., 0] / s[..., 1], got {shown(statistic)}")
    n_resamples, level, seed = whole("n_resamples", n_resamples, 1), number("level", level, above=0, below=1), whole("seed", seed)
    sums = _columns("sums", sums)
    if sums.ndim != 2 or 0 in sums.shape:
        raise ValueError(f"expected sums (n_stories, n_quantities) of at least one story, got shape {sums.shape}")
    with np.errstate(divide="ignore", invalid="ignore"):
        total = sums.sum(0)
        found, twice = np.asarray(statistic(total)), np.asarray(statistic(np.stack([total, total])))
        for made, of in ((found, total.shape), (twice, (2, *total.shape))):
            if made.shape != of[:-1] or made.dtype.kind not in "biuf":
                raise ValueError(f"statistic must make (…,) numbers of (…, n_quantities) sums, got {shown(made)} of sums {of}; {ALONG}")
        if not np.allclose(found, twice, equal_nan=True):
            raise ValueError(f"statistic must treat every resample alike, got {shown(twice.tolist())} of the same sums twice; {ALONG}")
        value = float(found)
        if len(sums) < 2:
            return Interval(value, np.nan, np.nan)
        drawn = np.concatenate([statistic(weights @ sums) for weights in resamples(len(sums), n_resamples, seed)])
    return Interval(value, *quantiles(drawn, level))


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first of two sums over the second: the statistic of every mean and share."""
    return sums[..., 0] / sums[..., 1]


def resamples(n_stories: int, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each story is drawn: parts of a (n_resamples, n_stories) matrix, of 64 MB at most."""
    rng = np.random.default_rng(seed)
    step = max(1, 2**23 // n_stories)
    for first in range(0, n_resamples, step):
        n = min(step, n_resamples - first)
        drawn = rng.integers(n_stories, size=(n, n_stories)) + n_stories * np.arange(n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=n * n_stories).reshape(n, n_stories).astype(np.float64)


def quantiles(drawn: np.ndarray, level: float = LEVEL, axis: int = 0) -> tuple[Any, Any]:
    """The ends of the middle `level` of the values along an axis; NaN, what a resample cannot tell, is left out."""
    missing = np.isnan(drawn)
    tail = round((1 - level) / 2, 9)
    tails = [tail, 1 - tail]  # by an order statistic: between a number and infinity there is nothing to interpolate
    if missing.all(axis).any():
        drawn = np.where(missing.all(axis, keepdims=True), 0, drawn)  # nanquantile warns of these
        low, high = (np.where(missing.all(axis), np.nan, end) for end in np.nanquantile(drawn, tails, axis=axis, method="inverted_cdf"))
    else:
        low, high = np.nanquantile(drawn, tails, axis=axis, method="inverted_cdf")
    return (float(low), float(high)) if np.ndim(low) == 0 else (low, high)


def sum_by_story(story: Any, *columns: Any) -> np.ndarray:
    """(n_stories, n_columns) float64: each column (n,) summed over the places of each story; story (n,) are numbers 0 … n_stories - 1.

    Raises:
        ValueError: no such numbers, columns of another length, or one that holds NaN or infinity.
    """
    story = to_numpy("story", story)
    if story.ndim != 1 or story.dtype.kind not in "iu" or story.min(initial=0) < 0:
        raise ValueError(f"story must hold a number from 0 for each place, (n,), got {shown(story)}")
    if story.max(initial=0) >= 2**28:
        raise ValueError(f"story must number the stories without gaps, got {story.max():,}: np.unique(story, return_inverse=True)[1] does")
    numbers = [_columns("columns", column) for column in columns]
    if not numbers or any(column.shape != story.shape for column in numbers):
        raise ValueError(f"columns must each have the length of story, {len(story)}, got shapes {[column.shape for column in numbers]}")
    n_stories = int(story.max(initial=0)) + 1
    return np.stack([np.bincount(story, weights=column, minlength=n_stories) for column in numbers], axis=1)


def _columns(name: str, values: Any) -> np.ndarray:
    """Finite numbers, in float64."""
    found = to_numpy(name, values)
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise ValueError(f"{name} must hold finite numbers, got {shown(found)}{' with NaN or infinity' * (found.dtype.kind == 'f')}")
    return found.astype(np.float64)
