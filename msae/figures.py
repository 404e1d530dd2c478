"""The figures of the book: one visual language, drawn by plotly.

Every function takes `title=` (the claim the figure makes) and `alt=` (what a reader who cannot see it needs to know) and returns a
`plotly.graph_objects.Figure`
without template, width or backgrounds, so that the page it stands on decides about light and dark and about the width. Works with
plotly 5.24 and 7 alike.

A role has the same colour in every chapter (`COLORS`), and where two roles meet they also differ in shape or dash. Cosines diverge
around zero on [-1, 1]: zero
is the page's own background, blue is positive, orange negative. Activations go from the background to blue. Numbers are rounded
before they are stored, so a page stays small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

__all__ = ["COLORS", "bars", "compare", "dots", "heatmap", "heatmaps", "histogram", "lines", "pairs", "ratios", "role", "tree"]

COLORS: dict[str, str] = {
    "parent": "#1f6feb",
    "child": "#b07d10",
    "hole": "#c8226f",
    "vanilla": "#c45508",
    "sampled": "#a646d6",
    "matryoshka": "#0a9e68",
    "truth": "#6a6a6e",
}
"""The colour of each role, readable on white and on dark pages (contrast at least 3 on both); the roles that meet in one figure
stay apart under colour blindness."""

_ALIASES = {
    "plain": "vanilla",
    "sampled prefixes": "sampled",
    "all prefixes": "matryoshka",
    "all_prefixes": "matryoshka",
    "ground truth": "truth",
    "target": "truth",
    "derived": "truth",
    "holes": "hole",
}
_OTHERS = ["#1f6feb", "#b07d10", "#0a9e68", "#a646d6", "#c45508", "#c8226f", "#6a6a6e"]
_SYMBOLS = {
    "parent": "circle",
    "child": "diamond",
    "hole": "x",
    "vanilla": "circle",
    "sampled": "square",
    "matryoshka": "diamond",
    "truth": "triangle-up",
}
_DASHES = {
    "parent": "solid",
    "child": "dash",
    "hole": "dot",
    "vanilla": "dash",
    "sampled": "dashdot",
    "matryoshka": "solid",
    "truth": "dot",
}

_DIVERGING = [[0.0, "rgba(201,90,14,1)"], [0.5, "rgba(201,90,14,0)"], [0.5, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
_SEQUENTIAL = [[0.0, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
_LINE = "rgba(128,128,128,0.55)"
_GRID = "rgba(128,128,128,0.22)"
_TITLE_CHARACTERS = 44
"""A title line of this length fits a telephone 390 pixels wide."""
_MAX_SIDE = 200
_MAX_POINTS = 1_000


def role(name: str) -> str:
    """The role a name plays: itself if it is one, else what it is another word for (``"plain"`` is ``"vanilla"``), else the name
    unchanged. What follows a comma is a remark: ``"plain, faded"`` is ``"vanilla"`` too."""
    key = name.split(",")[0].strip().lower()
    return key if key in COLORS else _ALIASES.get(key, name)


def _style(name: str, k: int) -> tuple[str, str, str]:
    """(colour, marker symbol, dash) of a name; names that are no role take the k-th colour of a fixed order."""
    r = role(name)
    if r in COLORS:
        return COLORS[r], _SYMBOLS[r], _DASHES[r]
    n = len(_OTHERS)
    return _OTHERS[k % n], list(_SYMBOLS.values())[k % len(_SYMBOLS)], ["solid", "dash", "dot", "dashdot"][k % 4]


def _translucent(colour: str, alpha: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"


def _array(values: Any, what: str, ndim: int) -> np.ndarray:
    """Numbers as float64 of the given number of dimensions, or one error that names what is wrong with which value."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        a = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numbers, got {type(values).__name__}: {error}") from None
    if a.ndim != ndim:
        raise ValueError(f"{what} must have {ndim} dimension{'s' * (ndim != 1)}, got shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"{what} must not be empty, got shape {a.shape}")
    if not np.isfinite(a).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(a))[0])
        raise ValueError(f"{what} must be finite, got {a[at]} at position {at[0] if ndim == 1 else at}; leave such values out")
    return a


def _rounded(a: np.ndarray, digits: int = 4) -> list:
    """The numbers with `digits` significant digits, as nested lists: short in JSON, the same for every plotly."""

    def cut(x: float) -> float | int:
        y = float(f"{x:.{digits}g}")
        return int(y) if y.is_integer() and abs(y) < 1e15 else y

    return [[cut(x) for x in row] for row in a.tolist()] if a.ndim == 2 else [cut(x) for x in a.tolist()]


def _wrap(text: str, width: int = _TITLE_CHARACTERS) -> tuple[str, int]:
    """The text with ``<br>`` between lines of at most `width` characters, and the number of lines."""
    rows: list[str] = []
    for word in text.replace("<br>", " ").split():
        if rows and len(rows[-1]) + 1 + len(word) <= width:
            rows[-1] += " " + word
        else:
            rows.append(word)
    return "<br>".join(rows), len(rows)


def _figure(title: str, alt: str, *, height: int, top: int = 0, bottom: int = 0) -> go.Figure:
    """An empty figure in the book's style. `top` and `bottom` are pixels wanted beside those of the title and the axis."""
    if not isinstance(title, str) or not title.strip():
        raise ValueError(f"a figure needs title=, one sentence with its claim, got {title!r}")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"a figure needs alt=, a sentence for readers who cannot see it, got {alt!r}")
    wrapped, n_lines = _wrap(title)
    margin_top = max(60, 26 + 20 * n_lines + 16) + top
    fig = go.Figure()
    fig.layout.template = None
    fig.update_layout(
        title={"text": wrapped, "x": 0.0, "xref": "container", "xanchor": "left", "y": 1.0, "yref": "container", "yanchor": "top"},
        title_font_size=16,
        title_pad={"l": 8, "t": 12},
        meta={"alt": alt.strip()},
        height=height + margin_top + 56 + bottom,
        margin={"l": 8, "r": 12, "t": margin_top, "b": 56 + bottom},
        dragmode=False,
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom"},
    )
    return fig


def _axis(title: str, **more: Any) -> dict[str, Any]:
    # an axis title never wraps by itself: at 390 pixels about 36 characters fit
    return {
        "title": {"text": _wrap(title, 36)[0], "standoff": 8},
        "automargin": True,
        "gridcolor": _GRID,
        "zerolinecolor": _LINE,
        "linecolor": _LINE,
        **more,
    }


def _labels(labels: Sequence[Any], n: int, what: str) -> list[str]:
    out = [str(x) for x in labels]
    if len(out) != n:
        raise ValueError(f"{what}= has {len(out)} label{'s' * (len(out) != 1)}, but the matrix has {n} {what}; give one label for each")
    seen: dict[str, int] = {}
    for i, x in enumerate(out):  # plotly merges rows whose labels are equal
        seen[x] = seen.get(x, 0) + 1
        if seen[x] > 1:
            out[i] = f"{x} ({seen[x]})"
    return out


def _ticks(labels: list[str], limit: int) -> dict[str, Any]:
    """Long labels are cut in the tick and whole in the hover text; short ones are left to plotly, which drops some where there is
    no room."""
    if max(map(len, labels)) <= limit:
        return {}
    every = math.ceil(len(labels) / 40)
    kept = labels[::every]
    return {"tickmode": "array", "tickvals": kept, "ticktext": [x if len(x) <= limit else x[: limit - 1] + "…" for x in kept]}


def _log_ticks(low: float, high: float) -> dict[str, list]:
    """Ticks of a logarithmic axis from low to high: powers of ten, with 2 and 5 between them where there is room, each in full."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [m * 10.0**p for p in range(first, last + 1) for m in ((1,) if last - first > 3 else (1, 2, 5))]
    values = [v for v in values if 0.95 * low <= v <= 1.05 * high] or [low, high]
    return {"tickvals": values, "ticktext": [f"{v:,.10g}" if v >= 1 else f"{v:.3g}" for v in values]}


def _heatmap_trace(
    matrix: Any,
    rows: Sequence[Any],
    columns: Sequence[Any],
    row_axis: str,
    column_axis: str,
    value: str,
    diverging: bool,
    span: float,
    top: float | None,
    name: str,
) -> tuple[go.Heatmap, list[str], list[str], float]:
    a = _array(matrix, f"matrix {name!r}" if name else "matrix", 2)
    n_rows, n_columns = a.shape
    if max(a.shape) > _MAX_SIDE:
        raise ValueError(f"a heatmap of shape {a.shape} is too large for a page; choose at most {_MAX_SIDE} rows and columns")
    if diverging and np.abs(a).max() > 1 + 1e-4:
        raise ValueError(
            f"a diverging heatmap shows values on [-1, 1], got {a.flat[np.abs(a).argmax()]:.4g}; use diverging=False for activations"
        )
    if not diverging and a.min() < 0:
        raise ValueError(f"a sequential heatmap starts at 0, got {a.min():.4g}; use diverging=True for cosines")
    y, x = _labels(rows, n_rows, "rows"), _labels(columns, n_columns, "columns")
    digits = 2 if a.size > 10_000 else 3
    largest = float(a.max()) or 1.0
    if diverging:
        z = _rounded(np.round(np.clip(a, -1, 1), digits), digits)
    else:
        z = _rounded(np.round(a, max(0, digits - 1 - math.floor(math.log10(largest)))), digits)
    hover = f"{row_axis} <b>%{{y}}</b><br>{column_axis} <b>%{{x}}</b><br>{value} <b>%{{z:.2f}}</b><extra>{name}</extra>"
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
        "outlinecolor": _LINE,
        "outlinewidth": 1,
    }
    if diverging:
        at = [-1, -0.5, 0, 0.5, 1] if span == 1 else [-span, 0, span]
        bar |= {"tickvals": at, "ticktext": [f"{tick:g}".replace("-", "−") for tick in at]}
    else:
        bar |= {"nticks": 5}
    trace = go.Heatmap(
        z=z,
        x=x,
        y=y,
        name=name,
        hovertemplate=hover,
        colorbar=bar,
        colorscale=_DIVERGING if diverging else _SEQUENTIAL,
        zmin=-span if diverging else 0,
        zmax=span if diverging else (top if top is not None else largest),
    )
    return trace, y, x, largest


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
    if not matrices:
        raise ValueError("heatmaps needs at least one matrix, got none")
    names = list(matrices)
    several = len(names) > 1
    fig = _figure(title, alt, height=0, top=(44 if several else 0) + 46)
    top = None if diverging else max(float(_array(m, f"matrix {n!r}", 2).max()) for n, m in matrices.items()) or 1.0
    shapes, limit, longest = [], 16, [1, 1]
    for k, name in enumerate(names):
        for what, given in (("rows", rows), ("columns", columns)):
            if isinstance(given, Mapping) and name not in given:
                raise ValueError(f"{what}= has no labels for the matrix {name!r}; it has {', '.join(map(repr, given))}")
        own_rows = rows[name] if isinstance(rows, Mapping) else rows
        own_columns = columns[name] if isinstance(columns, Mapping) else columns
        trace, y, x, _ = _heatmap_trace(matrices[name], own_rows, own_columns, row_axis, column_axis, value, diverging, span, top, name)
        trace.visible = k == 0
        fig.add_trace(trace)
        shapes.append((len(y), len(x)))
        longest = [max(longest[0], *map(len, y)), max(longest[1], *map(len, x))]
        if k == 0:
            first_y, first_x = y, x
    n_rows, n_columns = (max(s[i] for s in shapes) for i in (0, 1))
    cells = height if height is not None else int(min(560, max(180, 20 * n_rows + 20)))
    below = 8 + int(6.5 * min(longest[1], limit)) if n_columns > 6 or longest[1] > 6 else 0
    frame = {"showgrid": False, "zeroline": False, "showline": True, "mirror": True, "type": "category", "ticks": ""}
    same = not isinstance(rows, Mapping) and not isinstance(columns, Mapping)
    fig.update_xaxes(**_axis(column_axis, **frame, **(_ticks(first_x, limit) if same else {})))
    fig.update_yaxes(**_axis(row_axis, **frame, autorange="reversed", **(_ticks(first_y, limit) if same else {})))
    fig.layout.height += cells + below
    said = {"text": value, "x": 0.5, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 34}
    fig.update_layout(annotations=[{**said, "showarrow": False}])
    if several:
        room = sum(7.2 * len(n) + 24 for n in names)
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
                    "buttons": [
                        {"label": n, "method": "restyle", "args": [{"visible": [j == k for j in range(len(names))]}]}
                        for k, n in enumerate(names)
                    ],
                }
            ]
        )
    return fig


def dots(values: Mapping[str, Any], *, title: str, alt: str, axis: str, range: tuple[float, float] | None = None) -> go.Figure:
    """One dot per seed for each name, one name a row, the median marked by an upright line.

    Args:
        values: name → (n_seeds,) numbers; colours and shapes by role name ("plain", "sampled", "all prefixes", …).
        axis: what the numbers are, with their unit. range: of the axis; by default wide enough for all.

    The dots of a row are spread upwards and downwards by a fixed pattern, so that equal values stay visible and every run draws
    the same figure.

    Raises:
        ValueError: no alt or title, nothing to show, or values that are not finite.
    """
    if not values:
        raise ValueError("dots needs at least one row of values, got none")
    names = list(values)
    rows = {n: _array(v, f"values of {n!r}", 1) for n, v in values.items()}
    fig = _figure(title, alt, height=58 * len(names) + 20)
    for k, name in enumerate(names):
        a = rows[name]
        colour, symbol, _ = _style(name, k)
        spread = ((np.arange(len(a)) * 0.6180339887) % 1 - 0.5) * 0.5 if len(a) > 1 else np.zeros(1)
        fig.add_trace(
            go.Scatter(
                x=_rounded(a),
                y=_rounded(k + spread, 3),
                mode="markers",
                name=name,
                customdata=list(np.arange(len(a)).tolist()),
                marker={"color": _translucent(colour, 0.75), "symbol": symbol, "size": 9, "line": {"width": 1, "color": colour}},
                hovertemplate=f"{name}, seed %{{customdata}}<br>{axis} <b>%{{x:.3g}}</b><extra></extra>",
            )
        )
        fig.add_trace(
            go.Scatter(
                x=_rounded(np.array([np.median(a)])),
                y=[k],
                mode="markers",
                name=f"median of {name}",
                marker={"symbol": "line-ns", "size": 40, "color": colour, "line": {"width": 3, "color": colour}},
                hovertemplate=f"{name}, median of {len(a)} seed{'s' * (len(a) != 1)}<br>{axis} <b>%{{x:.3g}}</b><extra></extra>",
            )
        )
    if range is None:
        low, high = min(a.min() for a in rows.values()), max(a.max() for a in rows.values())
        pad = 0.06 * (high - low) or 0.06 * abs(high) or 0.5
        range = (low - pad, high + pad)
    fig.update_layout(showlegend=False)
    fig.update_xaxes(**_axis(axis, range=[float(r) for r in range], zeroline=False, nticks=7))
    fig.update_yaxes(
        **_axis(
            "",
            tickvals=list(np.arange(len(names)).tolist()),
            ticktext=[_wrap(n, 16)[0] for n in names],
            range=[len(names) - 0.5, -0.5],
            showgrid=False,
            zeroline=False,
        )
    )
    return fig


def lines(
    series: Mapping[str, Any],
    *,
    title: str,
    alt: str,
    x_axis: str,
    y_axis: str,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 300,
) -> go.Figure:
    """Curves by name, with a band where low and high are given; the legend stands below, a click on it hides a curve.

    Args:
        series: name → (x, y) or (x, y, low, high), each (n_points,). Curves of more than 1,000 points are thinned evenly, ends kept.
        x_axis, y_axis: what the numbers are, with their units. log_x, log_y: a logarithmic axis; values must then be positive.
        height: of the plot itself, in pixels.

    Raises:
        ValueError: no alt or title, nothing to show, parts of different lengths, values not finite, or not positive on a logarithmic axis.
    """
    if not series:
        raise ValueError("lines needs at least one curve, got none")
    several = len(series) > 1
    lowest, highest = math.inf, -math.inf
    leftmost, rightmost = math.inf, -math.inf
    fig = _figure(
        title,
        alt,
        height=height,
        bottom=(26 if sum(7.5 * len(n) + 55 for n in series) <= 340 else 26 * math.ceil(len(series) / 2)) if several else 0,
    )
    for k, (name, parts) in enumerate(series.items()):
        if len(parts) not in (2, 4):
            raise ValueError(f"the curve {name!r} must be (x, y) or (x, y, low, high), got {len(parts)} parts")
        arrays = [_array(p, f"{what} of {name!r}", 1) for p, what in zip(parts, ("x", "y", "low", "high"))]
        if len({len(a) for a in arrays}) > 1:
            raise ValueError(f"the parts of the curve {name!r} must be equally long, got {', '.join(str(len(a)) for a in arrays)} points")
        for wanted, values, option in ((log_x, arrays[:1], "log_x"), (log_y, arrays[1:], "log_y")):
            if wanted and min(a.min() for a in values) <= 0:
                raise ValueError(
                    f"the curve {name!r} has values that are not positive, so it cannot stand on a logarithmic axis; use {option}=False"
                )
        if len(arrays[0]) > _MAX_POINTS:
            keep = np.unique(np.linspace(0, len(arrays[0]) - 1, _MAX_POINTS).round().astype(int))
            arrays = [a[keep] for a in arrays]
        lowest, highest = min(lowest, *(a.min() for a in arrays[1:])), max(highest, *(a.max() for a in arrays[1:]))
        leftmost, rightmost = min(leftmost, arrays[0].min()), max(rightmost, arrays[0].max())
        colour, _, dash = _style(name, k)
        if len(arrays) == 4:
            fig.add_trace(
                go.Scatter(
                    x=_rounded(np.concatenate([arrays[0], arrays[0][::-1]]), 6),
                    y=_rounded(np.concatenate([arrays[3], arrays[2][::-1]])),
                    fill="toself",
                    fillcolor=_translucent(colour, 0.18),
                    line={"width": 0, "color": colour},
                    mode="lines",
                    hoverinfo="skip",
                    showlegend=False,
                    legendgroup=name,
                    name=name,
                )
            )
        fig.add_trace(
            go.Scatter(
                x=_rounded(arrays[0], 6),
                y=_rounded(arrays[1]),
                mode="lines" if len(arrays[0]) > 1 else "markers",
                name=name,
                legendgroup=name,
                line={"color": colour, "width": 2.5, "dash": dash if several else "solid"},
                hovertemplate=f"{name}<br>{x_axis} <b>%{{x:,}}</b><br>{y_axis} <b>%{{y:.4g}}</b><extra></extra>",
            )
        )
    fig.update_layout(showlegend=several)
    fig.update_xaxes(
        **_axis(x_axis, type="log" if log_x else "linear", zeroline=False, **(_log_ticks(leftmost, rightmost) if log_x else {"nticks": 7}))
    )
    fig.update_yaxes(
        **_axis(y_axis, type="log" if log_y else "linear", zeroline=not log_y, **(_log_ticks(lowest, highest) if log_y else {"nticks": 8}))
    )
    return fig


def bars(
    values: Mapping[str, float], *, title: str, alt: str, axis: str, low_high: Mapping[str, tuple[float, float]] | None = None
) -> go.Figure:
    """Lying bars, one a label, the first on top; `low_high` adds a whisker from low to high.

    Args:
        values: label → number; a label that is a role takes its colour. axis: what the numbers are, with their unit.
        low_high: label → (low, high), in the unit of the values; labels may be left out.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite, or a whisker that does not hold its value or whose label
            has no bar.
    """
    if not values:
        raise ValueError("bars needs at least one value, got none")
    names = _labels(list(values), len(values), "values")
    a = _array(list(values.values()), "values", 1)
    fig = _figure(title, alt, height=30 * len(names) + 24)
    roles = [role(n) for n in names]
    colour = [COLORS.get(r, COLORS["parent"]) for r in roles]
    error = None
    if low_high:
        unknown = [n for n in low_high if n not in values]
        if unknown:
            raise ValueError(f"low_high= has {unknown[0]!r}, which has no bar; the bars are {', '.join(map(repr, names))}")
        low, high = (np.array([low_high.get(n, (v, v))[i] for n, v in zip(names, a)], dtype=float) for i in (0, 1))
        for n, v, lo, hi in zip(names, a, low, high):
            if not lo <= v <= hi:
                raise ValueError(f"the whisker of {n!r} is from {lo:g} to {hi:g} and does not hold its value {v:g}")
        error = {
            "type": "data",
            "symmetric": False,
            "array": [v if n in low_high else None for n, v in zip(names, _rounded(high - a))],
            "arrayminus": [v if n in low_high else None for n, v in zip(names, _rounded(a - low))],
            "thickness": 1.5,
            "width": 4,
            "color": COLORS["truth"],
        }
    text = [
        f"{v:.3g}" + (f", from {lo:.3g} to {hi:.3g}" if error else "") for v, lo, hi in zip(a, low if error else a, high if error else a)
    ]
    fig.add_trace(
        go.Bar(
            x=_rounded(a),
            y=names,
            orientation="h",
            marker={"color": colour},
            error_x=error,
            customdata=text,
            hovertemplate=f"%{{y}}<br>{axis} <b>%{{customdata}}</b><extra></extra>",
        )
    )
    fig.update_layout(showlegend=False, bargap=0.3)
    fig.update_xaxes(**_axis(axis, nticks=7, rangemode="tozero"))
    fig.update_yaxes(**_axis("", type="category", autorange="reversed", showgrid=False, **_ticks(names, 22)))
    return fig


def histogram(values: Any, *, title: str, alt: str, axis: str, of: str, log_x: bool = False, n_bins: int = 40) -> go.Figure:
    """How often values fall into each of `n_bins` equal bins; with `log_x` the bins are equal on a logarithmic axis.

    Args:
        values: (n,) numbers; positive with `log_x`. axis: what they are, with their unit. of: what is counted, in the plural, for
            example "latents".

    Raises:
        ValueError: no alt or title, no values, or values that are not finite, or not positive with `log_x`.
    """
    a = _array(values, "values", 1)
    if log_x and a.min() <= 0:
        raise ValueError(f"a logarithmic axis needs positive values, got {a.min():g}; leave such values out and say so")
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    scaled = np.log10(a) if log_x else a
    counts, edges = np.histogram(scaled, bins=n_bins)
    ends = 10**edges if log_x else edges
    fig = _figure(title, alt, height=240)
    fig.add_trace(
        go.Bar(
            x=_rounded((edges[1:] + edges[:-1]) / 2, 5),
            y=counts.tolist(),
            width=float(f"{edges[1] - edges[0]:.5g}"),
            marker={"color": COLORS["parent"]},
            customdata=[f"{lo:.3g} to {hi:.3g}" for lo, hi in itertools.pairwise(ends)],
            hovertemplate=f"<b>%{{y}}</b> {of}<br>{axis} <b>%{{customdata}}</b><extra></extra>",
        )
    )
    ticks: dict[str, Any] = {"nticks": 7}
    if log_x:
        marks = _log_ticks(ends[0], ends[-1])
        ticks = {"tickvals": [round(math.log10(v), 4) for v in marks["tickvals"]], "ticktext": marks["ticktext"]}
    fig.update_layout(showlegend=False, bargap=0.04)
    fig.update_xaxes(**_axis(axis, zeroline=False, **ticks))
    fig.update_yaxes(**_axis(of, nticks=6))
    return fig


def tree(feature_tree: Any, *, title: str, alt: str) -> go.Figure:
    """A feature tree, roots on the left; hover says the name, the probability given the parent, and the probability over all inputs.

    Args:
        feature_tree: has `names` (n_features,), `parent` (n_features,) with -1 for a root, and `probability` (n_features,), the
            marginal of each feature.

    A feature with children has the colour of a parent, one without that of a child; the area of a dot follows the marginal probability.

    Raises:
        ValueError: no alt or title, lists of different lengths, a parent that does not exist, or a feature that is its own ancestor.
    """
    names = [str(n) for n in feature_tree.names]
    parent = [int(p) for p in feature_tree.parent]
    marginal = _array(feature_tree.probability, "probability", 1)
    if not len(names) == len(parent) == len(marginal):
        raise ValueError(f"names, parent and probability must be equally long, got {len(names)}, {len(parent)} and {len(marginal)}")
    children: dict[int, list[int]] = {i: [] for i in [-1, *range(len(names))]}
    for i, p in enumerate(parent):
        if not -1 <= p < len(names):
            raise ValueError(
                f"feature {names[i]!r} has the parent {p}, but there are only the features 0 … {len(names) - 1}, and -1 for none"
            )
        children[p].append(i)
    depth: dict[int, int] = {}
    height: dict[int, float] = {}
    order: list[int] = []
    stack = [(i, 0) for i in reversed(children[-1])]
    while stack:
        i, d = stack.pop()
        depth[i] = d
        order.append(i)
        stack += [(c, d + 1) for c in reversed(children[i])]
    if len(order) < len(names):
        raise ValueError(
            f"feature {names[next(i for i in range(len(names)) if i not in depth)]!r} is its own ancestor; a tree has no loops"
        )
    leaves = [i for i in order if not children[i]]
    for k, i in enumerate(leaves):
        height[i] = k
    for i in reversed(order):
        if children[i]:
            height[i] = (height[children[i][0]] + height[children[i][-1]]) / 2
    fig = _figure(title, alt, height=max(120, 26 * len(leaves)))
    fig.layout.margin.b = 44
    x: list[float | None] = []
    y: list[float | None] = []
    for i in order:
        if parent[i] >= 0:
            p = parent[i]
            middle = (depth[i] + depth[p]) / 2
            x += [depth[p], middle, middle, depth[i], None]
            y += [height[p], height[p], height[i], height[i], None]
    fig.add_trace(go.Scatter(x=x, y=y, mode="lines", line={"color": _LINE, "width": 1.5}, hoverinfo="skip", showlegend=False))
    biggest = float(marginal.max()) or 1.0
    for label, kind, chosen in (
        ("has children", "parent", [i for i in order if children[i]]),
        ("has none", "child", [i for i in order if not children[i]]),
    ):
        if not chosen:
            continue
        text = []
        for i in chosen:
            of = parent[i]
            given = f"{marginal[i] / marginal[of]:.3g} given {names[of]}" if of >= 0 and marginal[of] > 0 else "no parent"
            text.append(f"<b>{names[i]}</b><br>probability {given}<br>probability over all inputs {marginal[i]:.3g}")
        fig.add_trace(
            go.Scatter(
                x=[depth[i] for i in chosen],
                y=[height[i] for i in chosen],
                mode="markers+text",
                name=label,
                text=[names[i] for i in chosen],
                textposition="middle right" if kind == "child" else "top right",
                customdata=text,
                hovertemplate="%{customdata}<extra></extra>",
                cliponaxis=False,
                marker={
                    "color": COLORS[kind],
                    "symbol": _SYMBOLS[kind],
                    "size": [round(8 + 12 * math.sqrt(marginal[i] / biggest), 1) for i in chosen],
                    "opacity": 1,
                },
            )
        )
    deepest = max(depth.values())
    longest = max(len(names[i]) for i in order if depth[i] == deepest)
    fig.update_xaxes(visible=False, range=[-0.12, deepest + min(0.9, 0.12 + 0.028 * longest * (deepest + 1))])
    fig.update_yaxes(visible=False, range=[len(leaves) - 0.4, -0.6])
    return fig


def compare(rows: Mapping[str, Mapping[str, Any]], *, title: str, alt: str, axis: str) -> go.Figure:
    """The same measurement of two or more things, one label a row, each value a mark with a whisker where its interval is known.

    Args:
        rows: label → name → a number, or (value, low, high); names as for the other figures ("vanilla", "matryoshka"), at most four. A row
            may lack a name. The whisker need not hold the value: that of a maximum often does not.
        axis: what the numbers are, with their unit.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite, or a low above its high.
    """
    names = list(dict.fromkeys(name for its in rows.values() for name in its))
    if not names:
        raise ValueError("compare needs at least one row with at least one value, got none")
    if len(names) > 4:
        raise ValueError(f"compare shows at most four things side by side, got {len(names)}: {', '.join(map(repr, names))}")
    labels = _labels(list(rows), len(rows), "rows")
    fig = _figure(title, alt, height=(16 + 14 * len(names)) * len(rows) + 20, bottom=26)
    for k, name in enumerate(names):
        colour, symbol, _ = _style(name, k)
        y, values, said = [], [], []
        ends: list[list[Any]] = [[], []]
        for i, (label, its) in enumerate(zip(labels, rows.values())):
            if name not in its:
                continue
            a = _array(np.atleast_1d(its[name]), f"{name!r} of {label!r}", 1)
            if len(a) not in (1, 3) or (len(a) == 3 and a[1] > a[2]):
                raise ValueError(f"{name!r} of {label!r} must be a number, or (value, low, high) with low ≤ high, got {a.tolist()}")
            y.append(round(i + 0.24 * (k - (len(names) - 1) / 2), 3))
            values.append(a[0])
            said.append(f"{label}<br>{name} <b>{a[0]:.3g}</b>" + (f", from {a[1]:.3g} to {a[2]:.3g}" if len(a) == 3 else ""))
            if len(a) == 3:
                ends[0] += [*_rounded(a[1:]), None]
                ends[1] += [y[-1], y[-1], None]
        line = {"color": colour, "width": 2}
        fig.add_trace(
            go.Scatter(x=ends[0], y=ends[1], mode="lines", line=line, hoverinfo="skip", showlegend=False, legendgroup=name, name=name)
        )
        fig.add_trace(
            go.Scatter(
                x=_rounded(np.array(values)),
                y=y,
                mode="markers",
                name=name,
                legendgroup=name,
                customdata=said,
                marker={"color": colour, "symbol": symbol, "size": 9},
                hovertemplate=f"%{{customdata}}<br>{axis}<extra></extra>",
            )
        )
    fig.update_layout(showlegend=len(names) > 1)
    fig.update_xaxes(**_axis(axis, nticks=7, zeroline=False))
    ticks = [label if len(label) <= 22 else label[:21] + "…" for label in labels]
    fig.update_yaxes(
        **_axis("", tickvals=list(range(len(labels))), ticktext=ticks, range=[len(labels) - 0.5, -0.5], showgrid=False, zeroline=False)
    )
    return fig


def pairs(x: Any, y: Any, *, title: str, alt: str, x_name: str, y_name: str, axis: str, labels: Sequence[Any]) -> go.Figure:
    """One dot for each of many things that were measured twice, and the diagonal on which both are equal.

    Args:
        x, y: (n,) the two measurements, drawn on equal axes. labels: (n,) what each dot is.
        x_name, y_name: of what, such as "vanilla" and "matryoshka": a dot has the colour and the shape of the one that is larger.
        axis: what the numbers are, with their unit.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite, or lists of different lengths.
    """
    a, b = _array(x, "x", 1), _array(y, "y", 1)
    if not len(a) == len(b) == len(labels):
        raise ValueError(f"x, y and labels must be equally long, got {len(a)}, {len(b)} and {len(labels)}")
    fig = _figure(title, alt, height=330, bottom=26)
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    ends = _rounded(np.array([low - 0.04 * (high - low), high + 0.04 * (high - low)]))
    diagonal = {"color": COLORS["truth"], "dash": "dot", "width": 1.5}
    fig.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=diagonal, hoverinfo="skip", name="equal"))
    for k, (name, chosen) in enumerate(((y_name, b > a), (x_name, b <= a))):
        colour, symbol, _ = _style(name, k)
        fig.add_trace(
            go.Scatter(
                x=_rounded(a[chosen]),
                y=_rounded(b[chosen]),
                mode="markers",
                name=f"{name} larger",
                customdata=[str(label) for label, there in zip(labels, chosen) if there],
                marker={"color": _translucent(colour, 0.7), "symbol": symbol, "size": 8, "line": {"width": 1, "color": colour}},
                hovertemplate=f"%{{customdata}}<br>{x_name} <b>%{{x:.3g}}</b><br>{y_name} <b>%{{y:.3g}}</b><extra></extra>",
            )
        )
    fig.update_layout(showlegend=True)
    fig.update_xaxes(**_axis(f"{axis}, {x_name}", nticks=6, zeroline=False, range=ends))
    fig.update_yaxes(**_axis(f"{axis}, {y_name}", nticks=6, zeroline=False, range=ends))
    return fig


def ratios(groups: Mapping[str, Mapping[str, Any]], *, title: str, alt: str, axis: str, one: str) -> go.Figure:
    """Repeated measurements of ratios, one label a row under the heading of its group, the medians marked; a line stands at 1.

    Args:
        groups: heading → label → (n_measurements,) positive numbers. What stands behind a label's last comma is its role: "topk, plain"
            has the colour of "plain".
        axis: what is divided by what. one: what a ratio of 1 equals.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite or not positive.
    """
    if not groups or not all(groups.values()):
        raise ValueError("ratios needs at least one group with at least one row")
    rows = [(heading, label, values) for heading, its in groups.items() for label, values in [("", None), *its.items()]]
    fig = _figure(title, alt, height=25 * len(rows) + 20)
    lowest, highest = 0.9, 1.1
    for k, (heading, label, values) in enumerate(rows):
        if values is None:
            continue
        a = _array(values, f"ratios of {label!r}", 1)
        if a.min() <= 0:
            raise ValueError(f"ratios must be positive, {label!r} has {a.min():g}")
        lowest, highest = min(lowest, a.min()), max(highest, a.max())
        role_name = role(label.rsplit(", ", 1)[-1])
        colour, symbol, _ = _style(role_name if role_name in COLORS else "truth", 0)
        for x, name, marker, said in (
            (a, label, {"color": _translucent(colour, 0.6), "symbol": symbol, "size": 7}, "one round"),
            (
                np.array([np.median(a)]),
                f"median of {label}",
                {"symbol": "line-ns", "size": 18, "color": colour, "line": {"width": 3, "color": colour}},
                f"median of {len(a)}",
            ),
        ):
            fig.add_trace(
                go.Scatter(
                    x=_rounded(x),
                    y=[k] * len(x),
                    mode="markers",
                    name=f"{heading}, {name}",
                    marker=marker,
                    hovertemplate=f"{heading}: {label}<br>{axis} <b>%{{x:.3g}}</b>, {said}<extra></extra>",
                )
            )
    fig.add_shape(type="line", x0=1, x1=1, xref="x", y0=0, y1=1, yref="paper", line={"color": COLORS["truth"], "dash": "dot", "width": 1.5})
    fig.add_annotation(x=0, xref="x", xanchor="left", xshift=4, y=1, yref="paper", yanchor="top", text=one, showarrow=False)
    fig.update_layout(showlegend=False)
    margin = (highest / lowest) ** 0.04
    span = [math.log10(lowest / margin), math.log10(highest * margin)]
    fig.update_xaxes(**_axis(axis, type="log", range=span, zeroline=False, **_log_ticks(lowest, highest)))
    names = [label or f"<b>{heading}</b>" for heading, label, _ in rows]
    fig.update_yaxes(
        **_axis("", tickvals=list(range(len(rows))), ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, zeroline=False)
    )
    return fig
