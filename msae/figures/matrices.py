"""The matrices of a heatmap, judged, with a label for each row and each column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from msae.figures.digits import apart
from msae.figures.given import NOISE, array, listed
from msae.support import arguments, drawn

MAX_SIDE = 200


class Panel(NamedTuple):
    """One of the matrices, and what stands beside it."""

    name: str
    """As one sees it; empty for a matrix that is alone."""

    cells: np.ndarray
    """(n_rows, n_columns)"""

    coarse: bool
    """Whether these are numbers of half or of single precision."""

    rows: list[str]
    """Labels of the rows, as words."""

    columns: list[str]
    """Labels of the columns, as words."""


def panels_of(given: Any, rows: Any, columns: Any, diverging: bool) -> list[Panel]:
    """The matrices with their labels, each judged."""
    alone = not isinstance(given, Mapping)
    for what, labels in (("rows", rows), ("columns", columns)):
        if alone and isinstance(labels, Mapping):
            raise ValueError(f"{what}= must be a list of labels, got {arguments.shown(labels)}")
    matrices = {"": given} if alone else dict(given)
    if not matrices:
        raise ValueError("heatmaps needs at least one matrix, got none")
    panels = []
    for (key, matrix), name in zip(matrices.items(), drawn.words(matrices)):
        of = f"matrix {arguments.shown(key)}" if len(matrices) > 1 or str(key) else "matrix"
        cells = array(matrix, of, 2)
        _check_scale(cells, diverging)
        coarse = any(kind in str(getattr(matrix, "dtype", "")) for kind in ("16", "32"))
        its_rows, its_columns = (
            _labels(labels, key, n, what) for labels, n, what in zip((rows, columns), cells.shape, ("rows", "columns"))
        )
        panels.append(Panel(name if len(matrices) > 1 else "", cells, coarse, its_rows, its_columns))
    return panels


def _check_scale(a: np.ndarray, diverging: bool) -> None:
    if max(a.shape) > MAX_SIDE:
        raise ValueError(f"a heatmap of shape {a.shape} is too large for a page; choose at most {MAX_SIDE} rows and columns")
    if diverging and np.abs(a).max() > 1 + 1e-4:
        raise ValueError(
            f"a diverging heatmap shows values on [-1, 1], got {a.flat[np.abs(a).argmax()]:.7g}; use diverging=False for activations"
        )
    if not diverging and a.min() < -NOISE * max(a.max(), 0):
        raise ValueError(f"a sequential heatmap starts at 0, got {a.min():.7g}; use diverging=True for cosines")


def _labels(labels: Any, key: Any, n: int, what: str) -> list[str]:
    """Labels of the rows or columns of the matrix of this name, as words."""
    if isinstance(labels, Mapping):
        if key not in labels:
            raise ValueError(f"{what}= has no labels for the matrix {arguments.shown(key)}; it has {listed(labels)}")
        labels = labels[key]
    if isinstance(labels, (set, frozenset)) or not hasattr(labels, "__len__"):
        raise ValueError(f"{what}= must be a list of labels, got {arguments.shown(labels)}")
    if getattr(labels, "ndim", 1) != 1:
        raise ValueError(f"{what}= must be a list of labels, got shape {tuple(labels.shape)}")
    out = drawn.words(labels)
    if len(out) != n:
        raise ValueError(f"{what}= has {len(out)} label{'s' * (len(out) != 1)}, but the matrix has {n} {what}; give one label for each")
    return out


def rounded(panels: list[Panel], diverging: bool) -> list[list[Any]]:
    """The numbers of the matrices as they are stored: panels of one shape are compared cell by cell."""
    arrays = [panel.cells for panel in panels]
    # rounding makes noise of this size in a cosine; only numbers on a scale of their own have digits beyond it
    decimals = (7 if any(panel.coarse for panel in panels) else 12) if diverging else 400
    least = 2 if max(a.size for a in arrays) > 10_000 else 3
    if len({a.shape for a in arrays}) == 1:
        return apart(np.stack(arrays), least, decimals)
    return [apart(a, least, decimals) for a in arrays]
