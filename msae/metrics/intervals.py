"""Intervals by resampling stories: every measure here is a function of sums over stories, so a resample is one row of a matrix product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from msae.firings.reading import to_numpy
from msae.metrics.given import Numbers
from msae.support.arguments import number, shown, whole
from msae.support.renamed import by_name

N_RESAMPLES = 1000
CONFIDENCE = 0.95
_ALONG = "quantities lie along the last axis, as in lambda s: s[..., 0] / s[..., 1]"


class Interval(NamedTuple):
    """A measured number, and where it would lie if other stories had been drawn.

    A format holds for each of its three numbers. What is infinite, as the number of latents for a share that is not reached, is said as
    "never", what is not known as "?"; a number that no resample changes stands alone.

    Example:
        >>> from msae.metrics import Interval
        >>> hole_rate, n_latents = Interval(0.3812, 0.35, 0.41), Interval(3, 2, float("inf"))
        >>> f"{hole_rate:.2f}; {hole_rate:.0%}; {n_latents:.0f}; {Interval(1, 1, 1)}"
        '0.38 [0.35, 0.41]; 38% [35%, 41%]; 3 [2, never]; 1'
    """

    value: float
    """Measured on all the stories."""

    low: float
    """Lower end of the 95 % bootstrap interval; NaN where there are fewer than two stories."""

    high: float
    """Upper end."""

    def __str__(self) -> str:
        return format(self, ".3g")

    def __format__(self, spec: str) -> str:
        value, low, high = (_as_text(number, spec or ".3g") for number in self)
        return value if self.value == self.low == self.high else f"{value} [{low}, {high}]"


def _as_text(number: float | None, spec: str) -> str:
    """A number in a format; None is what JSON has in place of a number that is not known."""
    if number is None or np.isnan(number):
        return "?"
    return "never" if number == np.inf else format(number, spec)


@by_name(level="write confidence=")
def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    sums: Numbers,
    *,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """A percentile interval for a function of sums over stories (Efron 1979), stories drawn with replacement.

    The same number of stories and seed give the same resamples, so intervals of two SAEs on the same stories are paired; put the sums of
    both side by side, and the statistic can be their difference.

    Args:
        statistic: from (…, n_quantities) sums to (…,) numbers: a ratio of two sums, for example. NaN where a resample has none.
        sums: (n_stories, n_quantities), as `sum_by_story` makes them.
        n_resamples: how often as many stories are drawn as there are.
        confidence: share of the resamples that the interval holds; 0.95 in the book and its results, 0.9 on the explorer's page.
        seed: of the draws.

    Returns:
        the statistic of all stories, and the ends of the middle `confidence` of its values.

    Raises:
        ValueError: sums of another shape, or one that is NaN or infinite; a statistic that is no number for each resample.

    Example:
        >>> from msae.metrics import bootstrap, ratio
        >>> print(bootstrap(ratio, [[1, 4], [2, 4], [3, 4]]))
        0.5 [0.25, 0.75]
    """
    if not callable(statistic):
        raise ValueError(f"statistic must be a function of sums, such as lambda s: s[..., 0] / s[..., 1], got {shown(statistic)}")
    n_resamples, seed = whole("n_resamples", n_resamples, 1), whole("seed", seed)
    confidence = number("confidence", confidence, above=0, below=1)
    table = checked_sums(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = of_all(statistic, table)
        if len(table) < 2:
            return Interval(value, np.nan, np.nan)
        drawn = np.concatenate([statistic(weights @ table) for weights in resamples(len(table), n_resamples, seed)])
    low, high = quantiles(drawn, confidence)
    return Interval(value, float(low), float(high))


def checked_sums(sums: Numbers) -> np.ndarray:
    """(n_stories, n_quantities) finite numbers, in float64."""
    table = _columns("sums", sums)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"expected sums (n_stories, n_quantities) of at least one story, got shape {table.shape}")
    return table


def of_all(statistic: Callable[[np.ndarray], np.ndarray], sums: np.ndarray) -> float:
    """The statistic of all stories; an error if it does not treat sums with an axis before theirs alike."""
    total = sums.sum(0)
    found, twice = np.asarray(statistic(total)), np.asarray(statistic(np.stack([total, total])))
    for made, of in ((found, total.shape), (twice, (2, *total.shape))):
        if made.shape != of[:-1] or made.dtype.kind not in "biuf":
            raise ValueError(f"statistic must make (…,) numbers of (…, n_quantities) sums, got {shown(made)} of sums {of}; {_ALONG}")
    if not np.allclose(found, twice, equal_nan=True):
        raise ValueError(f"statistic must treat every resample alike, got {shown(twice.tolist())} of the same sums twice; {_ALONG}")
    return float(found)


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first of two sums over the second: the statistic of every mean and share.

    Args:
        sums: (…, 2 or more) sums over stories.

    Returns:
        (…,).

    Example:
        >>> import numpy as np
        >>> from msae.metrics import ratio
        >>> ratio(np.array([[1.0, 4.0], [3.0, 4.0]])).tolist()
        [0.25, 0.75]
    """
    return sums[..., 0] / sums[..., 1]


def resamples(n_stories: int, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each story is drawn: parts of a (n_resamples, n_stories) matrix, of 64 MB at most."""
    rng = np.random.default_rng(seed)
    step = max(1, 2**23 // n_stories)
    for first in range(0, n_resamples, step):
        n = min(step, n_resamples - first)
        drawn = rng.integers(n_stories, size=(n, n_stories)) + n_stories * np.arange(n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=n * n_stories).reshape(n, n_stories).astype(np.float64)


def quantiles(drawn: np.ndarray, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the middle part of the values (n_resamples, …); NaN, what a resample cannot tell, is left out."""
    missing = np.isnan(drawn).all(0)
    tail = round((1 - confidence) / 2, 9)
    drawn = np.where(missing, 0, drawn)  # nanquantile warns of these
    # by an order statistic: between a number and infinity there is nothing to interpolate
    low, high = (np.where(missing, np.nan, end) for end in np.nanquantile(drawn, [tail, 1 - tail], axis=0, method="inverted_cdf"))
    return low, high


def sum_by_story(story: Numbers, *columns: Numbers) -> np.ndarray:
    """Each column summed over the places of each story.

    Args:
        story: (n,) the number of the story of each place, 0 … n_stories - 1.
        columns: (n,) numbers or marks each.

    Returns:
        (n_stories, n_columns) float64.

    Raises:
        ValueError: no such numbers, columns of another length, or one that holds NaN or infinity.

    Example:
        >>> from msae.metrics import sum_by_story
        >>> sum_by_story([0, 0, 1], [True, False, True], [1, 1, 1]).tolist()
        [[1.0, 2.0], [1.0, 1.0]]
    """
    of = to_numpy("story", story)
    if of.ndim != 1 or of.dtype.kind not in "iu" or of.min(initial=0) < 0:
        raise ValueError(f"story must hold a number from 0 for each place, (n,), got {shown(of)}")
    if of.max(initial=0) >= 2**28:
        raise ValueError(f"story must number the stories without gaps, got {of.max():,}: np.unique(story, return_inverse=True)[1] does")
    numbers = [_columns("columns", column) for column in columns]
    if not numbers or any(column.shape != of.shape for column in numbers):
        raise ValueError(f"columns must each have the length of story, {len(of)}, got shapes {[column.shape for column in numbers]}")
    n_stories = int(of.max(initial=0)) + 1
    return np.stack([np.bincount(of, weights=column, minlength=n_stories) for column in numbers], axis=1)


def _columns(name: str, values: Numbers) -> np.ndarray:
    """Finite numbers, in float64."""
    found = to_numpy(name, values)
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise ValueError(f"{name} must hold finite numbers, got {shown(found)}{' with NaN or infinity' * (found.dtype.kind == 'f')}")
    return found.astype(np.float64)
