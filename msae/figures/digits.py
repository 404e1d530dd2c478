"""Numbers as figures draw and say them: to the digits in which they differ from others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

NUMBER = ",.15~g"
"""How plotly shows a number that went through `apart`: all of its digits."""

_BIG = 10_000
"""Cells of a matrix beyond which a cell stands apart from its neighbours only."""


def apart(numbers: np.ndarray, least: int = 3, most_decimals: int = 400) -> list[Any]:
    """Numbers as they are drawn and hovered: none rounded before the point, behind it to the digits in which a number differs from others.

    Args:
        numbers: (n,), beside which all others stand; or (…, n_rows, n_columns), where a cell stands beside those of its row, of its column
            and at its place in the other matrices, and in matrices of more than 10,000 cells beside its neighbours only.
        least: significant digits that are kept at least; twelve are kept at most.
        most_decimals: digits behind the point, at most.

    Returns:
        The rounded numbers as nested lists, whole ones as int: short in JSON.
    """
    numbers = numbers.astype(np.float64)
    with np.errstate(divide="ignore"):
        exponent = np.where(numbers == 0, 0, np.floor(np.log10(np.abs(numbers))))
        needed = np.ceil(-np.log10(_gaps(numbers)))
    decimals = np.clip(np.maximum(needed, least - 1 - exponent), 0, np.maximum(11 - exponent, 0))
    decimals = np.minimum(decimals, most_decimals).astype(int)

    def rounded(x: Any, d: Any) -> Any:
        if isinstance(x, list):
            return [rounded(*pair) for pair in zip(x, d)]
        y = round(x, d)
        return int(y) if y.is_integer() and abs(y) < 1e15 else y

    return rounded(numbers.tolist(), decimals.tolist())


def _gaps(a: np.ndarray) -> np.ndarray:
    """The distance of each number to the nearest other one that it stands beside; infinite where there is none."""
    gaps = np.full(a.shape, np.inf)
    for axis in range(a.ndim):
        if a.ndim >= 2 and a.shape[-1] * a.shape[-2] > _BIG:
            steps = np.abs(np.diff(a, axis=axis))
            steps[steps == 0] = np.inf
            end = np.full_like(a.take([0], axis), np.inf)
            beside = np.minimum(np.concatenate([end, steps], axis), np.concatenate([steps, end], axis))
        else:
            beside = np.apply_along_axis(_gaps_of_row, axis, a)
        gaps = np.minimum(gaps, beside)
    return gaps


def _gaps_of_row(row: np.ndarray) -> np.ndarray:
    distinct, place = np.unique(row, return_inverse=True)
    steps = np.diff(distinct, prepend=-np.inf, append=np.inf)
    return np.minimum(steps[:-1], steps[1:])[place]


def number(x: float) -> str:
    """A number that went through `apart`, with all of its digits, as plotly's `NUMBER` shows it."""
    if x and not 1e-6 <= abs(x) < 1e15:
        return re.sub(r"e([+-])0*", r"e\1", f"{x:.15g}")
    return f"{Decimal(repr(x)):,f}"


def from_to(low_high: Sequence[float]) -> str:
    """ ", from 0.4 to 0.6" of numbers that went through `apart`, to stand behind a value; empty where no ends are known."""
    return ", from {} to {}".format(*map(number, low_high)) if low_high else ""


def rounded_together(arrays: list[np.ndarray], least: int = 4) -> list[list[Any]]:
    """Numbers that stand beside one another in a figure, rounded so that they stay apart; one list for each array."""
    flat = apart(np.concatenate(arrays), least)
    ends = [0, *np.cumsum([len(a) for a in arrays]).tolist()]
    return [flat[start:end] for start, end in itertools.pairwise(ends)]
