"""Which latents answer to marked tokens: precision, recall and F1 of each, and how few of them find nearly all.

A latent is held against the marks of `msae.patterns.match`, or any others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from msae.explore import LatentActivations

THRESHOLDS = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Shares of a latent's maximum above which its firings are counted."""


class LatentScore(NamedTuple):
    """How well the firings of one latent above a threshold agree with what a pattern marks."""

    latent: int
    """Its number in the SAE."""

    f1: float
    """Harmonic mean of precision and recall."""

    precision: float
    """Share of the latent's firings that are marked."""

    recall: float
    """Share of the marked tokens on which the latent fires."""

    threshold: float
    """The share of the latent's maximum above which firings count."""

    cosine: float
    """Between the marks, 0 or 1, and the activations; needs no threshold."""


class Cover(NamedTuple):
    """A few latents that find most of what a pattern marks."""

    latents: list[LatentScore]
    """In the order in which they were taken, each with its own numbers."""

    recall: list[float]
    """Share of the marked tokens on which at least one latent so far fires."""


def rank_latents(
    marked: Any,
    acts: LatentActivations,
    by: str = "f1",
    k: int = 20,
    min_precision: float | None = None,
    min_recall: float | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[LatentScore]:
    """The latents that agree best with marked tokens, each at the best of some thresholds.

    With few exceptions a latent fires faintly on much that it does not mean, so firings below a share of its maximum are left out. By
    *precision* the fragments of a concept come first ("Lily"), by *recall* its parent. The best of many latents looks better than it is:
    compare with the best for the same marks on other places.

    Args:
        marked: (n_texts, n_ctx) bool, as `match` returns; marks at places that do not count for `acts` are ignored.
        by: "f1", "precision", "recall" or "cosine".
        k: how many; those that fire on no marked token are left out.
        min_precision, min_recall: of the thresholds that reach both, the best is taken, and a latent that never does is left out. So that
            chance does not win: unless given, ranking by precision asks for a recall of 0.02, ranking by recall for a precision of 0.5.
        thresholds: shares of a latent's maximum.

    Raises:
        ValueError: another order, shapes that differ, or nothing is marked.
    """
    if by not in ("f1", "precision", "recall", "cosine"):
        raise ValueError(f"by must be f1, precision, recall or cosine, got {by!r}")
    least_precision = min_precision if min_precision is not None else 0.5 * (by == "recall")
    least_recall = min_recall if min_recall is not None else 0.02 * (by == "precision")
    fired, both, n_marked, cosine = _counts(marked, acts, thresholds)
    precision, recall = both / np.maximum(fired, 1), both / n_marked
    f1 = 2 * both / (fired + n_marked)
    of_threshold = {"precision": precision, "recall": recall}.get(by, f1)
    allowed = (both > 0) & (precision >= least_precision) & (recall >= least_recall)
    best = np.where(allowed, of_threshold, -1).argmax(0)
    column = np.arange(len(acts.latents))
    order = cosine if by == "cosine" else of_threshold[best, column]
    chosen = [int(i) for i in np.lexsort((column, -f1[best, column], -order)) if allowed[best[i], i]][:k]
    return [
        LatentScore(
            int(acts.latents[i]),
            float(f1[best[i], i]),
            float(precision[best[i], i]),
            float(recall[best[i], i]),
            thresholds[best[i]],
            float(cosine[i]),
        )
        for i in chosen
    ]


def cover(
    marked: Any, acts: LatentActivations, recall: float = 0.9, precision: float = 0.8, thresholds: Sequence[float] = THRESHOLDS
) -> Cover:
    """How many latents are needed to find most of what a pattern marks: the fragmentation of a concept, as a number.

    Greedy: next comes the latent that fires on most of the marked tokens that are still missing. Each counts its firings above the
    lowest threshold that makes them precise enough.

    Args:
        marked: (n_texts, n_ctx) bool, as `match` returns.
        recall: stop when this share is found, or when no latent adds to it.
        precision: what each latent has to reach alone.

    Raises:
        ValueError: shapes that differ, or nothing is marked.
    """
    fired, both, n_marked, cosine = _counts(marked, acts, thresholds)
    precise = np.logical_and(both > 0, both >= precision * fired)
    level = precise.argmax(0)  # the lowest: thresholds rise
    column = np.repeat(np.arange(len(acts.latents)), acts.counts)
    least = np.array(thresholds)[level] * acts.max
    missing = _marks(marked, acts)
    usable = np.flatnonzero(precise.any(0))
    kept = np.isin(column, usable) & missing[acts.positions] & (acts.values > least[column])
    column, positions = column[kept], acts.positions[kept]
    taken: list[LatentScore] = []
    found: list[float] = []
    while not found or found[-1] < recall:
        gain = np.bincount(column[missing[positions]], minlength=len(acts.latents))
        best = int(gain.argmax())
        if not gain[best]:
            break
        missing[positions[column == best]] = False
        found.append(1 - int(missing.sum()) / n_marked)
        n_fired, n_both = int(fired[level[best], best]), int(both[level[best], best])
        score = (2 * n_both / (n_fired + n_marked), n_both / n_fired, n_both / n_marked, thresholds[level[best]], float(cosine[best]))
        taken.append(LatentScore(int(acts.latents[best]), *score))
    return Cover(taken, found)


def _counts(marked: Any, acts: LatentActivations, thresholds: Sequence[float]) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """(n_thresholds, n_latents) firings above each threshold, and the marked ones of them; the number of marks; (n_latents,) cosines."""
    marks = _marks(marked, acts)
    fired, both = np.zeros((2, len(thresholds), len(acts.latents)), dtype=np.int64)
    dot, square = np.zeros((2, len(acts.latents)))
    largest = acts.max.astype(np.float64)
    alive = np.flatnonzero(acts.counts)
    for block in np.array_split(alive, max(1, len(acts.positions) // 4_000_000)):  # some megabytes at a time
        if not len(block):
            continue
        part = slice(acts.start[block[0]], acts.start[block[-1] + 1])
        starts, values = acts.start[block] - part.start, acts.values[part].astype(np.float64)
        hit, scale = marks[acts.positions[part]], np.repeat(largest[block], acts.counts[block])
        for k, threshold in enumerate(thresholds):
            strong = values > threshold * scale
            fired[k, block] = np.add.reduceat(strong, starts, dtype=np.int64)
            both[k, block] = np.add.reduceat(strong & hit, starts, dtype=np.int64)
        dot[block] = np.add.reduceat(values * hit, starts)
        square[block] = np.add.reduceat(values**2, starts)
    n_marked = int(marks.sum())
    return fired, both, n_marked, dot / np.maximum(np.sqrt(square * n_marked), 1e-30)


def _marks(marked: Any, acts: LatentActivations) -> np.ndarray:
    """(n_texts · n_ctx,) bool, a copy: the marks at places that count."""
    marks = np.array(marked, dtype=bool)
    if marks.shape != acts.mask.shape:
        raise ValueError(f"expected marks of shape {acts.mask.shape}, one per place of the activations, got {marks.shape}")
    marks = (marks & acts.mask).reshape(-1)
    if not marks.any():
        raise ValueError("nothing is marked: the pattern found no token at a place that counts")
    return marks
