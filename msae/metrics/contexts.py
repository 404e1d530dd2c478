"""Does an explanation say where a latent fires? Asked of stretches of text, as Delphi asks a language model; here marks answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msae.firings.reading import truth
from msae.metrics.given import Numbers
from msae.support.arguments import array, whole

WINDOW = 32
"""Tokens of a stretch."""


def detection(fires: Numbers, marks: Numbers, *, mask: Numbers | None = None, window: int = WINDOW) -> float:
    """How often an explanation tells whether a latent fires in a stretch of text, each kind of stretch counting half.

    A stretch is marked where one of its tokens is; *where* in the stretch is not asked. So the score forgives much that F1 does not.

    Args:
        fires: (n_texts, n_ctx) bool: where the latent fires.
        marks: (n_texts, n_ctx) bool: where the explanation says that it does, as `patterns.match` gives it.
        mask: (n_texts, n_ctx) bool: the places that count; all of them if left out.
        window: tokens of a stretch; each text is cut into stretches of so many.

    Returns:
        the mean of two shares: of the stretches in which the latent fires, those that are marked; of the others, those that are not. 0.5 is
        what chance reaches; NaN where all stretches are of one kind.

    Raises:
        ValueError: shapes that differ, no truth values, or a window below 1.

    Example:
        >>> from msae.metrics import detection
        >>> detection([[True, False, False, False]], [[False, True, False, False]], window=2)
        1.0

    Source: Paulo, Mallen, Juang and Belrose 2024, "Detection"; there a language model answers, on a sample of the stretches.
    """
    its = _windows(fires, marks, mask, window)
    marked = np.asarray(its.marks.any(axis=1))
    return _balanced(marked[its.active], ~marked[~its.active])


def fuzzing(fires: Numbers, marks: Numbers, *, mask: Numbers | None = None, window: int = WINDOW, seed: int = 0) -> float:
    """How often an explanation tells highlighted firings from highlights at random, each kind counting half.

    In a stretch in which the latent fires, its firings are highlighted; in one in which it does not, random tokens, as many as in a
    stretch of the first kind that is drawn. The explanation says "right" where it marks at least half of what is highlighted.

    Args:
        fires: (n_texts, n_ctx) bool: where the latent fires.
        marks: (n_texts, n_ctx) bool: where the explanation says that it does.
        mask: (n_texts, n_ctx) bool: the places that count; all of them if left out.
        window: tokens of a stretch.
        seed: of the random highlights.

    Returns:
        the mean of two shares: of the true highlights, those called right; of the random ones, those called wrong. 0.5 is what chance
        reaches; NaN where all stretches are of one kind.

    Raises:
        ValueError: shapes that differ, no truth values, a window below 1, or a seed that is no whole number.

    Example:
        >>> from msae.metrics import fuzzing
        >>> fires = [[True, False, False, False]]
        >>> fuzzing(fires, fires, window=2), fuzzing(fires, [[False, True, False, False]], window=2)
        (1.0, 0.5)

    Source: Paulo, Mallen, Juang and Belrose 2024, "Fuzzing"; there a language model answers.
    """
    rng = np.random.default_rng(whole("seed", seed))
    its = _windows(fires, marks, mask, window)
    n_lit = its.fires.sum(1)
    right = 2 * (its.fires & its.marks).sum(1)[its.active] >= n_lit[its.active]
    if not its.active.any():
        return np.nan
    silent = ~its.active
    wanted = np.minimum(rng.choice(n_lit[its.active], int(silent.sum())), its.mask[silent].sum(1))
    order = np.where(its.mask[silent], rng.random((int(silent.sum()), its.mask.shape[1])), 2).argsort(1).argsort(1)
    lit = order < wanted[:, None]
    return _balanced(right, 2 * (lit & its.marks[silent]).sum(1) < wanted)


class _Windows(NamedTuple):
    """(n_windows, window) bool each; of windows in which something counts."""

    fires: np.ndarray
    marks: np.ndarray
    mask: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """(n_windows,) bool: the latent fires in it."""
        return np.asarray(self.fires.any(axis=1))


def _windows(fires: Numbers, marks: Numbers, mask: Numbers | None, window: int) -> _Windows:
    whole("window", window, 1)
    shape = array("fires", fires, ("n_texts", "n_ctx")).shape
    counts = np.ones(shape, dtype=bool) if mask is None else truth("mask", mask, [shape])
    parts = [truth("fires", fires, [shape]) & counts, truth("marks", marks, [shape]) & counts, counts]
    beyond = -shape[1] % window
    cut = [np.pad(part, ((0, 0), (0, beyond))).reshape(-1, window) for part in parts]
    kept = cut[2].any(1)
    return _Windows(*(part[kept] for part in cut))


def _balanced(found: np.ndarray, refused: np.ndarray) -> float:
    return float((found.mean() + refused.mean()) / 2) if len(found) and len(refused) else np.nan
