"""Figures with a slider: matrices or curves that change with a step, a prefix length or a weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from msae.figures.cells import traces_of
from msae.figures.curves import Curve, add_curves, curve_of, ends_of, hovers_of, legend_rows, set_axes
from msae.figures.digits import apart, number
from msae.figures.frame import LEGEND_CHARACTERS, Words, empty_figure, fit_hover_boxes
from msae.figures.given import mapping_of_mappings, prose
from msae.figures.matrices import Panel, panels_of
from msae.figures.side_by_side import lay_side_by_side
from msae.figures.sliders import SLIDER_ROOM, check_size, place_of, slide, slider_labels
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from typing import TypeAlias

    from msae.figures.given import Numbers

    _Matrices: TypeAlias = Mapping[str, Numbers]
    _Curves: TypeAlias = Mapping[str, Sequence[Numbers]]


def scrub(
    frames: Mapping[int, _Matrices] | Mapping[float, _Matrices] | Mapping[str, _Matrices],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    rows: Sequence[object],
    columns: Sequence[object],
    row_axis: str,
    column_axis: str,
    slider: str,
    opens: object = None,
    value: str = "cosine",
    diverging: bool = True,
    height: int | None = None,
) -> go.Figure:
    """Matrices side by side that change with a slider; a button plays them from the first, without a kernel.

    Args:
        frames: what the slider says, such as a step → name → (n_rows, n_columns) numbers, at most 200 × 200. The names are the same in
            each frame, and one scale is for all; a matrix that is the same in all frames stands still.
        title: the claim, seen in the frame that it opens on.
        alt: the figure in words: what changes from the first frame to the last.
        lead: instead of `alt`, its first sentence; the cell of each name that changes most is added.
        rows: one label for each row.
        columns: one label for each column.
        row_axis: what a row is, for example "latent".
        column_axis: what a column is, for example "feature".
        slider: what the slider moves, for example "step".
        opens: the frame it opens on, one of `frames`; the last where it is left out.
        value: what a cell is.
        diverging: cosines around zero (True) or activations from zero up (False).
        height: of the cells of a panel, in pixels; the default follows the number of rows.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: fewer than two frames, other names, `opens` is no frame, over 60,000 numbers that change, or what `heatmap` refuses.

    Example:
        >>> from msae import figures
        >>> words = {"row_axis": "latent", "column_axis": "feature", "slider": "step", "title": "t", "lead": "The cat is found."}
        >>> frames = {0: {"plain": [[0.1, 0]]}, 500: {"plain": [[0.9, 0]]}}
        >>> figures.scrub(frames, rows=["S/0"], columns=["cat", "dog"], **words).layout.meta["alt"]
        'The cat is found. From step 0 to step 500 most changes: plain, latent S/0, feature cat, from 0.1 to 0.9.'
    """
    given = _checked_frames(mapping_of_mappings("frames", frames, "slider value to matrices", "name to matrix"))
    active = place_of(opens, list(given))
    height = None if height is None else arguments.whole("height", height, 1, 10_000)
    *axes, slider = prose(row_axis=row_axis, column_axis=column_axis, value=value, slider=slider)
    panels = _panels(list(given.values()), rows, columns, arguments.yes_or_no("diverging", diverging))
    moving = _moving(panels)
    said = [_changes_said(list(given), slider, [(panels[0][k], panels[-1][k]) for k in moving], axes)]
    fig = empty_figure(Words(title, alt, lead), said, height=0, top=46 + SLIDER_ROOM)
    top = 1.0 if diverging else max(float(panel.cells.max()) for frame in panels for panel in frame) or 1.0
    fig.add_traces(traces_of(panels[active], axes, 1.0 if diverging else None)).update_traces(zmax=top)
    lay_side_by_side(fig, panels[-1], axes, height)
    slide(fig, slider, given, [[_cells_of(frame[k], top) for k in moving] for frame in panels], moving, active=active)
    return fig


def scrub_lines(
    groups: Mapping[int, _Curves] | Mapping[float, _Curves] | Mapping[str, _Curves],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    slider: str,
    x_axis: str,
    y_axis: str,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 300,
) -> go.Figure:
    """Curves that change with a slider, which opens on the last group; a button plays them from the first, without a kernel.

    Args:
        groups: what the slider says, for example λ → name, the same in each group → (x, y) or (x, y, low, high), each (n_points,).
        title: the claim, seen in the last group.
        alt: the figure in words: what changes from the first group to the last.
        lead: instead of `alt`, its first sentence; where each curve of the first and the last group ends is added.
        slider: what the slider moves, for example "λ".
        x_axis: what the numbers along it are, with their unit.
        y_axis: what the numbers up it are, with their unit.
        log_x: a logarithmic x axis; its values must then be positive.
        log_y: a logarithmic y axis; its values must then be positive.
        height: of the plot itself, in pixels.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, fewer than two groups, groups of different names, more than 60,000 numbers, or what `lines` refuses.

    Example:
        >>> from msae import figures
        >>> words = {"slider": "λ", "x_axis": "step", "y_axis": "hole rate", "title": "t", "lead": "Holes."}
        >>> groups = {0.005: {"plain": ([0, 8000], [0, 1])}, 0.05: {"plain": ([0, 2000], [0, 1])}}
        >>> figures.scrub_lines(groups, **words).layout.meta["alt"]
        'Holes. λ 0.005: plain ends at 1 at 8,000; λ 0.05: plain ends at 1 at 2,000.'
    """
    given = mapping_of_mappings("groups", groups, "slider value to curves", "name to (x, y)")
    given = _checked_frames(given, "groups", "group", "curve")
    log_x, log_y = arguments.yes_or_no("log_x", log_x), arguments.yes_or_no("log_y", log_y)
    height = arguments.whole("height", height, 1, 10_000)
    x_axis, y_axis, slider = prose(x_axis=x_axis, y_axis=y_axis, slider=slider)
    keys = list(next(iter(given.values())))
    names, several = drawn.words(keys), len(keys) > 1
    curves = [[curve_of(key, its[key], log_x, log_y) for key in keys] for its in given.values()]
    _check_curves(keys, curves)
    bottom = 26 * legend_rows(names) if several else 0
    fig = empty_figure(Words(title, alt, lead), _ends_said(given, slider, names, curves), height=height, top=SLIDER_ROOM, bottom=bottom)
    hovers = hovers_of(names, x_axis, y_axis)
    traces = [add_curves(go.Figure(), group, keys, hovers).data for group in curves]
    fig.add_traces(traces[-1])
    fit_hover_boxes(fig, hovers)
    fig.update_layout(showlegend=several)
    _set_axes_for_all([curve for group in curves for curve in group], fig, (x_axis, log_x), (y_axis, log_y))
    frames = [[{"type": "scatter", "x": trace.x, "y": trace.y} for trace in group] for group in traces]
    slide(fig, slider, given, frames, list(range(len(fig.data))), active=len(given) - 1)
    return fig


def _set_axes_for_all(curves: list[Curve], fig: go.Figure, x: tuple[str, bool], y: tuple[str, bool]) -> None:
    """Axes that hold the curves of all groups."""
    set_axes(fig, curves, x, y)
    fig.update_xaxes(range=_range([curve.x for curve in curves], x[1]))
    fig.update_yaxes(range=_range([part for curve in curves for part in (curve.y, *curve.band)], y[1]))


def _panels(frames: Sequence[Mapping[Any, Any]], rows: Any, columns: Any, diverging: bool) -> list[list[Panel]]:
    """The matrices of each frame, judged, each with its name also where it is alone."""
    for what, labels in (("rows", rows), ("columns", columns)):
        if isinstance(labels, Mapping):
            raise ValueError(f"{what}= must be a list of labels, got {arguments.shown(labels)}")
    names = drawn.words(frames[0])
    return [[panel._replace(name=name) for panel, name in zip(panels_of(its, rows, columns, diverging), names)] for its in frames]


def _checked_frames(
    frames: dict[Any, dict[Any, Any]], what: str = "frames", one: str = "frame", of: str = "matrix"
) -> dict[Any, dict[Any, Any]]:
    """Frames, at least two, each with the same names as the first."""
    if len(frames) < 2:
        raise ValueError(f"{what} must be at least two, for a slider between them, got {len(frames)}")
    first, *others = frames
    names = list(frames[first])
    if not names:
        raise ValueError(f"each {one} needs at least one {of}, {arguments.shown(first)} has none")
    for key in others:
        if list(frames[key]) != names:
            raise ValueError(
                f"each {one} must have the same names in the same order: {arguments.shown(first)} has {arguments.shown(names)}, "
                f"{arguments.shown(key)} has {arguments.shown(list(frames[key]))}"
            )
    return frames


def _moving(panels: Sequence[Sequence[Panel]]) -> list[int]:
    """Which matrices are not the same in all frames."""
    moving = [k for k, last in enumerate(panels[-1]) if any((frame[k].cells != last.cells).any() for frame in panels)]
    check_size(sum(panels[-1][k].cells.size for k in moving) * len(panels))
    return moving


def _check_curves(keys: Sequence[Any], groups: Sequence[Sequence[Curve]]) -> None:
    """That they are not too many points, and that a name has a band in all groups or in none."""
    check_size(sum(2 * len(curve.x) * (1 + len(curve.band)) for group in groups for curve in group))
    for k, key in enumerate(keys):
        if len({bool(group[k].band) for group in groups}) > 1:
            raise ValueError(f"the curve {arguments.shown(key)} has a band in some groups and none in others")


def _changes_said(keys: Sequence[Any], slider: str, ends: Sequence[tuple[Panel, Panel]], axes: Sequence[str]) -> str:
    """For each matrix the cell that changes most from the first frame to the last, in words."""
    labels = slider_labels(keys)
    changes = []
    for first, last in ends:
        row, column = np.unravel_index(np.abs(last.cells - first.cells).argmax(), last.cells.shape)
        before, after = apart(np.array([first.cells[row, column], last.cells[row, column]]), 2, 3)
        named = zip(axes, (last.rows[row], last.columns[column]))
        cell = ", ".join(label if label.startswith(axis) else f"{axis} {label}" for axis, label in named)
        changes.append(f"{last.name}, {cell}, from {number(before)} to {number(after)}")
    most = "most changes: " + "; ".join(changes) if changes else "nothing changes"
    return f"From {slider} {labels[0]} to {slider} {labels[-1]} {most}"


def _ends_said(keys: Mapping[Any, Any], slider: str, names: Sequence[str], groups: Sequence[Sequence[Curve]]) -> list[str]:
    """Where the curves of the first and of the last group end, in words."""
    labels, short = slider_labels(keys), drawn.cut_apart(list(names), LEGEND_CHARACTERS)
    out = []
    for k in (0, -1):
        ends = (apart(np.array([curve.x[-1], curve.y[-1]]), 4) for curve in groups[k])
        out.append(f"{slider} {labels[k]}: " + ", ".join(f"{name} ends at {number(y)} at {number(x)}" for name, (x, y) in zip(short, ends)))
    return out


def _cells_of(panel: Panel, top: float) -> dict[str, Any]:
    """A heatmap in a frame, its numbers short enough for many frames: to a thousandth of the power of ten that the scale begins with."""
    cells = np.round(panel.cells, 3 - math.floor(math.log10(top)))
    return {"type": "heatmap", "z": [[int(x) if x.is_integer() and abs(x) < 1e15 else x for x in row] for row in cells.tolist()]}


def _range(parts: Sequence[np.ndarray], log: bool) -> list[float]:
    low, high = (math.log10(end) if log else end for end in ends_of(parts))
    pad = 0.04 * (high - low) or 0.5
    return [low - pad, high + pad]
