"""Matrices: one, or several that are compared place by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from msae.figures.style import (
    DIVERGING,
    LEGEND,
    LINE,
    MAX_SIDE,
    NOISE,
    PLAIN_NUMBERS,
    SEQUENTIAL,
    axis_of,
    empty_figure,
    labels_of,
    listed,
    make_room,
    prose,
    shortened,
    ticks_of,
)
from msae.support import arguments, drawn


def _check_scale(a: np.ndarray, diverging: bool) -> None:
    if max(a.shape) > MAX_SIDE:
        raise ValueError(f"a heatmap of shape {a.shape} is too large for a page; choose at most {MAX_SIDE} rows and columns")
    if diverging and np.abs(a).max() > 1 + 1e-4:
        raise ValueError(
            f"a diverging heatmap shows values on [-1, 1], got {a.flat[np.abs(a).argmax()]:.7g}; use diverging=False for activations"
        )
    if not diverging and a.min() < -NOISE * max(a.max(), 0):
        raise ValueError(f"a sequential heatmap starts at 0, got {a.min():.7g}; use diverging=True for cosines")


def _cells(arrays: list[np.ndarray], decimals: int) -> list[list]:
    """The numbers of the matrices as they are stored: panels of one shape are compared cell by cell."""
    least = 2 if max(a.size for a in arrays) > 10_000 else 3
    if len({a.shape for a in arrays}) == 1:
        return drawn.apart(np.stack(arrays), least, decimals)
    return [drawn.apart(a, least, decimals) for a in arrays]


def _color_bar(diverging: bool, span: float) -> dict[str, Any]:
    bar = {
        "orientation": "h",
        "thickness": 9,
        "len": 0.7,
        "lenmode": "fraction",
        "x": 0.5,
        "xanchor": "center",
        "y": 1.0,
        "yanchor": "bottom",
        "ypad": 2,
        "title": {"text": "", "side": "top"},  # any other title or side of it moves the title of the figure out of sight (plotly 5 and 7)
        "outlinecolor": LINE,
        "outlinewidth": 1,
    }
    if not diverging:
        return {**bar, "nticks": 5, **PLAIN_NUMBERS}
    at = [-1, -0.5, 0, 0.5, 1] if span == 1 else [-span, 0, span]
    return {**bar, "tickvals": at, "ticktext": [f"{tick:g}".replace("-", "−") for tick in at]}


def heatmap(
    matrix: Any,
    *,
    title: str,
    alt: str,
    rows: Sequence[Any],
    columns: Sequence[Any],
    row_axis: str,
    column_axis: str,
    value: str = "cosine",
    diverging: bool = True,
    span: float = 1.0,
    height: int | None = None,
) -> go.Figure:
    """A matrix as coloured cells, the first row on top; hover says row, column and value in words.

    Args:
        matrix: (n_rows, n_columns) numbers, at most 200 × 200; on [-1, 1] when `diverging`, else not negative.
        title: the claim of the figure. alt: the figure in a sentence, for readers who cannot see it.
        rows, columns: one label each. row_axis, column_axis: what a row and a column are, for example "latent" and "feature".
        value: what a cell is, for example "cosine" or "activation".
        diverging: cosines around zero (True) or activations from zero up (False).
        span: where a diverging scale ends on both sides; smaller than 1 for differences, and what lies beyond has the colour of the end.
        height: of the cells, in pixels; the default follows the number of rows.

    Raises:
        ValueError: no alt or title, labels that do not fit the matrix, values outside the scale or not finite, or a matrix too
            large for a page.
    """
    for what, given in (("rows", rows), ("columns", columns)):
        if isinstance(given, Mapping):
            raise ValueError(f"{what}= must be a list of labels, got {arguments.shown(given)}")
    return heatmaps(
        {"": matrix},
        title=title,
        alt=alt,
        rows=rows,
        columns=columns,
        row_axis=row_axis,
        column_axis=column_axis,
        value=value,
        diverging=diverging,
        span=span,
        height=height,
    )


def heatmaps(
    matrices: Mapping[str, Any],
    *,
    title: str,
    alt: str,
    rows: Sequence[Any] | Mapping[str, Sequence[Any]],
    columns: Sequence[Any] | Mapping[str, Sequence[Any]],
    row_axis: str,
    column_axis: str,
    value: str = "cosine",
    diverging: bool = True,
    span: float = 1.0,
    height: int | None = None,
) -> go.Figure:
    """Several matrices in one panel; buttons (or a menu, when the names are long) choose which one is seen, without a kernel. One
    scale for all.

    Args:
        matrices: name → (n_rows, n_columns) numbers, as for `heatmap`. The first one is seen at first.
        rows, columns: labels for all matrices, or name → labels where they differ.
        Everything else as for `heatmap`.

    Raises:
        ValueError: as `heatmap`, and when there is no matrix.
    """
    if not drawn.mapping("matrices", matrices, "name to matrix"):
        raise ValueError("heatmaps needs at least one matrix, got none")
    diverging = arguments.yes_or_no("diverging", diverging)
    span = arguments.number("span", span, above=0)
    height = None if height is None else arguments.whole("height", height, 1, 10_000)
    row_axis, column_axis, value = prose(row_axis=row_axis, column_axis=column_axis, value=value)
    keys, names = list(matrices), drawn.words(matrices)
    several = len(names) > 1
    fig = empty_figure(title, alt, height=0, top=(44 if several else 0) + 46)
    arrays = [drawn.array(m, f"matrix {arguments.shown(key)}" if several or str(key) else "matrix", 2) for key, m in matrices.items()]
    for a in arrays:
        _check_scale(a, diverging)
    largest = max(float(a.max()) for a in arrays) or 1.0
    # rounding makes noise of this size in a cosine; only numbers on a scale of their own have digits beyond it
    single = any(kind in str(getattr(m, "dtype", "")) for m in matrices.values() for kind in ("16", "32"))
    z = _cells(arrays, (7 if single else 12) if diverging else 400)
    said = [drawn.hovered(text) for text in (row_axis, column_axis, value)]
    hover = f"{said[0]} <b>%{{y}}</b><br>{said[1]} <b>%{{x}}</b><br>{said[2]} <b>%{{z:{drawn.NUMBER}}}</b>"
    limit = 16
    across: list[list[str]] = []
    down: list[list[str]] = []
    for k, (key, name, panel) in enumerate(zip(keys, names, drawn.hovered_apart(names))):
        for what, given in (("rows", rows), ("columns", columns)):
            if isinstance(given, Mapping) and key not in given:
                raise ValueError(f"{what}= has no labels for the matrix {arguments.shown(key)}; it has {listed(given)}")
        y = labels_of(rows[key] if isinstance(rows, Mapping) else rows, arrays[k].shape[0], "rows")
        x = labels_of(columns[key] if isinstance(columns, Mapping) else columns, arrays[k].shape[1], "columns")
        fig.add_trace(
            go.Heatmap(
                z=z[k],
                x=drawn.hovered_apart(x),
                y=drawn.hovered_apart(y),
                name=drawn.escaped(drawn.cut(name, LEGEND)) if several else "",
                hovertemplate=f"{hover}<extra>{panel if several else ''}</extra>",
                colorbar=_color_bar(diverging, span),
                colorscale=DIVERGING if diverging else SEQUENTIAL,
                zmin=-span if diverging else 0,
                zmax=span if diverging else largest,
                visible=k == 0,
            )
        )
        across.append(x)
        down.append(y)
    n_rows, n_columns = (max(a.shape[i] for a in arrays) for i in (0, 1))
    cells = height if height is not None else int(min(560, max(180, 20 * n_rows + 20)))
    longest = max(len(label) for x in across for label in x)
    below = 8 + int(6.5 * min(longest, limit)) if n_columns > 6 or longest > 6 else 0
    frame = {"showgrid": False, "zeroline": False, "showline": True, "mirror": True, "type": "category", "ticks": ""}
    ticks = [(ticks_of(x, limit), ticks_of(y, limit)) for x, y in zip(across, down)]
    fig.update_xaxes(**axis_of(column_axis, **frame, **ticks[0][0]))
    fig.update_yaxes(**axis_of(row_axis, **frame, autorange="reversed", **ticks[0][1]))
    fig.layout.height += cells + below
    make_room(fig, [hover + max(trace.x, key=len) + max(trace.y, key=len) for trace in fig.data])
    place = {"x": 0.5, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 34}
    fig.update_layout(annotations=[{**place, "text": drawn.wrapped(value, 44), "showarrow": False}])
    if several:
        room = sum(7.2 * len(n) + 24 for n in names)
        buttons = []
        for k, name in enumerate(shortened(names, LEGEND)):
            button = {"label": name, "method": "restyle", "args": [{"visible": [j == k for j in range(len(names))]}]}
            if any(tick != ticks[0] for tick in ticks):
                change = {f"{axis}.{part}": tick for axis, its in zip(("xaxis", "yaxis"), ticks[k]) for part, tick in its.items()}
                button |= {"method": "update", "args": [*button["args"], change]}
            buttons.append(button)
        fig.update_layout(
            updatemenus=[
                {
                    "type": "buttons" if room <= 330 else "dropdown",
                    "direction": "right" if room <= 330 else "down",
                    "active": 0,
                    "showactive": True,
                    "x": 0,
                    "xanchor": "left",
                    "y": 1,
                    "yanchor": "bottom",
                    "pad": {"t": 0, "b": 52, "l": 0, "r": 0},
                    "bgcolor": "#e3e8ef",
                    "bordercolor": "#8a929c",
                    "font": {"color": "#1c2733", "size": 13},
                    "buttons": buttons,
                }
            ]
        )
    return fig
