"""Which latents answer to a concept, what `msae.patterns.matching.match` marks or any other tokens: precision, recall and F1 of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from msae.firings.firings import Firings, as_firings
from msae.support.arguments import number, shown, whole
from msae.support.renamed import by_name

if TYPE_CHECKING:
    from scipy.sparse import csc_array

    from msae.metrics.given import Acts, Numbers

LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Shares of a latent's maximum above which its firings are counted."""

THRESHOLDS = LEVELS
"""The former name of `LEVELS`, kept for one release."""


class LatentScore(NamedTuple):
    """How well the firings of one latent above a level agree with a concept.

    Example:
        >>> from msae.patterns import LatentScore
        >>> LatentScore(latent=66, f1=0.9, precision=0.95, recall=0.86, level=0.25, cosine=0.88).f1
        0.9
    """

    latent: int
    """Its number in the SAE."""

    f1: float
    """Harmonic mean of precision and recall."""

    precision: float
    """Share of the latent's firings that are of the concept."""

    recall: float
    """Share of the concept's tokens on which the latent fires."""

    level: float
    """The share of the latent's maximum above which firings count."""

    cosine: float
    """Between the concept, 0 or 1, and the activations; needs no level."""

    @property
    def threshold(self) -> float:
        """The former name of `level`, kept for one release."""
        return self.level


@by_name(thresholds="write levels=", marked="write rank_latents(acts, concept)")
def rank_latents(
    acts: Acts,
    concept: Numbers,
    *,
    by: Literal["f1", "precision", "recall", "cosine"] = "f1",
    k: int = 20,
    min_precision: float | None = None,
    min_recall: float | None = None,
    levels: Sequence[float] = LEVELS,
) -> list[LatentScore]:
    """The latents that agree best with a concept, each at the best of some levels.

    With few exceptions a latent fires faintly on much that it does not mean, so firings below a share of its maximum are left out. By
    *precision* the fragments of a concept come first ("Lily"), by *recall* its parent. The best of many latents looks better than it is:
    compare with the best for the same marks on other places. This is a search; to measure a latent, take `metrics.concept_score`.

    Args:
        acts: as for `metrics.as_firings`.
        concept: (n_texts, n_ctx) bool, as `match` returns; marks at places that do not count for `acts` are ignored.
        by: "f1", "precision", "recall" or "cosine".
        k: how many; those that fire on no token of the concept are left out.
        min_precision: of the levels that reach it, and `min_recall`, the best is taken; a latent that never does is left out. So that
            chance does not win, it is 0.5 for a ranking by recall unless given.
        min_recall: likewise; 0.02 for a ranking by precision unless given.
        levels: shares of a latent's maximum.

    Returns:
        the best first.

    Raises:
        ValueError: another order, shapes that differ, or a concept that is nowhere.

    Example:
        >>> import numpy as np
        >>> from msae.patterns import rank_latents
        >>> acts = np.array([[0.0, 2.0], [0.0, 1.0], [3.0, 0.1]])
        >>> [score.latent for score in rank_latents(acts, [True, True, False])]
        [1]
    """
    levels = _checked(by, k, (min_precision, min_recall), levels)
    least_precision = min_precision if min_precision is not None else 0.5 * (by == "recall")
    least_recall = min_recall if min_recall is not None else 0.02 * (by == "precision")
    if isinstance(concept, Firings):
        raise ValueError(f"concept: expected one truth value per input, got {shown(concept)}; write rank_latents(acts, concept)")
    firings = as_firings(acts)
    present = firings.concept(concept)
    return _best(_table(firings, present, levels), by, k, (least_precision, least_recall))


def _checked(by: str, k: int, least: Sequence[float | None], levels: Sequence[float]) -> list[float]:
    """The levels, as floats."""
    if by not in ("f1", "precision", "recall", "cosine"):
        raise ValueError(f"by must be f1, precision, recall or cosine, got {shown(by)}")
    whole("k", k, 1)
    for name, share in zip(("min_precision", "min_recall"), least):
        if share is not None:
            number(name, share, 0, 1)
    if isinstance(levels, str) or not isinstance(levels, Sequence) or not levels:
        raise ValueError(f"levels must be a list of shares of a maximum, got {shown(levels)}")
    return [number("levels", each, 0, below=1) for each in levels]


class _Table(NamedTuple):
    """Scores of all latents at all levels."""

    latents: np.ndarray
    """(n_latents,) int64."""

    levels: Sequence[float]

    f1: np.ndarray
    """(n_levels, n_latents) float64; so are the two below."""

    precision: np.ndarray
    recall: np.ndarray

    cosine: np.ndarray
    """(n_latents,) float64."""


def _table(firings: Firings, present: np.ndarray, levels: Sequence[float]) -> _Table:
    fired, both = firings.counts_above(levels, present)
    n_present = present.sum()
    cosine = np.concatenate([_cosines(block.matrix, present) for block in firings.blocks()])
    f1, precision, recall = 2 * both / (fired + n_present), both / np.maximum(fired, 1), both / n_present
    return _Table(firings.latents, levels, f1=f1, precision=precision, recall=recall, cosine=cosine)


def _best(table: _Table, by: str, k: int, least: tuple[float, float]) -> list[LatentScore]:
    """The k best latents, each at the best of its levels that reach the least precision and recall."""
    of_level = {"precision": table.precision, "recall": table.recall}.get(by, table.f1)
    allowed = (table.recall > 0) & (table.precision >= least[0]) & (table.recall >= least[1])
    best, column = np.where(allowed, of_level, -1).argmax(0), np.arange(len(table.latents))
    f1, precision, recall = (each[best, column] for each in (table.f1, table.precision, table.recall))
    order = table.cosine if by == "cosine" else of_level[best, column]
    chosen = [i for i in np.lexsort((column, -f1, -order)).tolist() if allowed[best[i], i]][:k]
    return [
        LatentScore(
            latent=int(table.latents[i]),
            f1=float(f1[i]),
            precision=float(precision[i]),
            recall=float(recall[i]),
            level=table.levels[best[i]],
            cosine=float(table.cosine[i]),
        )
        for i in chosen
    ]


def _cosines(matrix: csc_array, present: np.ndarray) -> np.ndarray:
    """(n_columns,) between a concept (n_inputs,) and each column, in float64."""
    values = matrix.astype(np.float64)
    return np.asarray((present @ values) / np.maximum(np.sqrt(values.power(2).sum(0) * present.sum()), 1e-30))
