"""Which latents answer to marked tokens, those of `msae.patterns.matching.match` or any others: precision, recall and F1 of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.firings.firings import as_firings
from msae.support.arguments import number, shown, whole

if TYPE_CHECKING:
    from scipy.sparse import csc_array

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


def rank_latents(
    marked: Any,
    acts: Any,
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

    A search, to find a latent. To measure one, take `metrics.concept_score`: all latents at one level, with intervals over stories.

    Args:
        marked: (n_texts, n_ctx) bool, as `match` returns; marks at places that do not count for `acts` are ignored.
        acts: as for `metrics.as_firings`.
        by: "f1", "precision", "recall" or "cosine".
        k: how many; those that fire on no marked token are left out.
        min_precision, min_recall: of the thresholds that reach both, the best is taken, and a latent that never does is left out. So that
            chance does not win: unless given, ranking by precision asks for a recall of 0.02, ranking by recall for a precision of 0.5.
        thresholds: shares of a latent's maximum.

    Raises:
        ValueError: another order, shapes that differ, or nothing is marked.
    """
    if by not in ("f1", "precision", "recall", "cosine"):
        raise ValueError(f"by must be f1, precision, recall or cosine, got {shown(by)}")
    whole("k", k, 1)
    for name, least in (("min_precision", min_precision), ("min_recall", min_recall)):
        if least is not None:
            number(name, least, 0, 1)
    if isinstance(thresholds, str) or not isinstance(thresholds, Sequence) or not thresholds:
        raise ValueError(f"thresholds must be a list of shares of a maximum, got {shown(thresholds)}")
    thresholds = [number("thresholds", each, 0, below=1) for each in thresholds]
    least_precision = min_precision if min_precision is not None else 0.5 * (by == "recall")
    least_recall = min_recall if min_recall is not None else 0.02 * (by == "precision")
    firings = as_firings(acts)
    present = firings.concept(marked)
    fired, both = firings.counts_above(thresholds, present)
    n_marked = present.sum()
    cosine = np.concatenate([_cosines(block.matrix, present) for block in firings.blocks()])
    precision, recall = both / np.maximum(fired, 1), both / n_marked
    f1 = 2 * both / (fired + n_marked)
    of_threshold = {"precision": precision, "recall": recall}.get(by, f1)
    allowed = (both > 0) & (precision >= least_precision) & (recall >= least_recall)
    best = np.where(allowed, of_threshold, -1).argmax(0)
    column = np.arange(len(firings.latents))
    order = cosine if by == "cosine" else of_threshold[best, column]
    chosen = [int(i) for i in np.lexsort((column, -f1[best, column], -order)) if allowed[best[i], i]][:k]
    return [
        LatentScore(
            int(firings.latents[i]),
            float(f1[best[i], i]),
            float(precision[best[i], i]),
            float(recall[best[i], i]),
            thresholds[best[i]],
            float(cosine[i]),
        )
        for i in chosen
    ]


def _cosines(matrix: csc_array, present: np.ndarray) -> np.ndarray:
    """(n_columns,) between the marks (n_inputs,) and each column, in float64."""
    values = matrix.astype(np.float64)
    return np.asarray((present @ values) / np.maximum(np.sqrt(values.power(2).sum(0) * present.sum()), 1e-30))
