"""Joint replicates: replicate r draws the same stories, and the same latents of a reference, whatever is measured on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from msae.metrics.given import Numbers
from msae.metrics.intervals import checked_sums, of_all
from msae.support.arguments import shown, whole

N_REPLICATES = 200
"""Replicates of a number that several SAEs of a kind share an interval of; the interval of one SAE takes 1,000 resamples."""

STORIES, LATENTS = 0, 1
"""What is drawn: one of the two numbers that seed a draw, the other is that of the replicate."""


@lru_cache(maxsize=16)
def draws(n: int, n_replicates: int, what: int = STORIES) -> np.ndarray:
    """How often each of n is drawn: (1 + n_replicates, n) float64; the first row is all ones, the measurement itself.

    Row r depends on r, n and `what` alone, so that replicate r of every measure on the same stories is of the same draw.
    """
    counts = np.ones((1 + n_replicates, n))
    for r in range(1, 1 + n_replicates):
        counts[r] = np.bincount(np.random.default_rng([r, what]).integers(n, size=n), minlength=n)
    counts.setflags(write=False)
    return counts


def replicates(statistic: Callable[[np.ndarray], np.ndarray], sums: Numbers, *, n_replicates: int = N_REPLICATES) -> np.ndarray:
    """A number, and what it is in each of many resamples of the stories, the same resamples for all that is measured on them.

    `bootstrap` makes the interval of one number. Where several SAEs of a kind are to have one interval together, their numbers must
    move together when a story comes or goes: replicate r has the same stories in all. `hierarchical` reads them.

    Args:
        statistic: from (…, n_quantities) sums to (…,) numbers, as for `bootstrap`.
        sums: (n_stories, n_quantities), as `sum_by_story` makes them.
        n_replicates: how many.

    Returns:
        (1 + n_replicates,) float64: the statistic of all stories, then that of each replicate; NaN where one has none.

    Raises:
        ValueError: sums of another shape, or one that is NaN or infinite; a statistic that is no number for each resample.

    Example:
        >>> from msae.metrics import ratio, replicates
        >>> replicates(ratio, [[1, 4], [2, 4], [3, 4]], n_replicates=3).shape
        (4,)
    """
    if not callable(statistic):
        raise ValueError(f"statistic must be a function of sums, such as lambda s: s[..., 0] / s[..., 1], got {shown(statistic)}")
    whole("n_replicates", n_replicates, 1)
    table = checked_sums(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_all(statistic, table)
        return np.asarray(statistic(draws(len(table), n_replicates) @ table), dtype=np.float64)
