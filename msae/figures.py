"""The figures of the book: one visual language, drawn by plotly.

Every function takes `title=` (the claim the figure makes) and `alt=` (what a reader who cannot see it needs to know) and returns a
`plotly.graph_objects.Figure`
without template, width or backgrounds, so that the page it stands on decides about light and dark and about the width. Works with
plotly 5.24 and 7 alike.

A role has the same colour in every chapter (`COLORS`), and where two roles meet they also differ in shape or dash. Cosines diverge
around zero on [-1, 1]: zero
is the page's own background, blue is positive, orange negative. Activations go from the background to blue.

A figure draws what it is given. A label may be anything: it is drawn as `str(label)`, never read as markup, a formula or a date. A
newline in it is ↵, a tab ⇥, a space at an end or beside another a dot, a sign without a picture its number; an empty one is "(empty)",
and of labels that look alike the later ones get a number. Long labels are cut in ticks and legends and whole, up to 600 characters, in
the hover box. Titles and the names of axes are prose: line breaks and doubled spaces in them are one space. Numbers must be finite.
What is hovered says them with four digits (in a heatmap three), and with so many more, up to twelve, that a number differs from the
others of the figure (in a heatmap: from those of its row, its column and its place in the other panels).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from msae.support import arguments, drawn

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
# for the second name of a role
_MORE_SYMBOLS = ["triangle-down", "cross", "star", "pentagon", *_SYMBOLS.values()]
_MORE_DASHES = ["dot", "dashdot", "longdash", "longdashdot", "dash", "solid"]

_DIVERGING = [[0.0, "rgba(201,90,14,1)"], [0.5, "rgba(201,90,14,0)"], [0.5, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
_SEQUENTIAL = [[0.0, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
_LINE = "rgba(128,128,128,0.55)"
_GRID = "rgba(128,128,128,0.22)"
_TITLE_CHARACTERS = 44
"""A title line of this length fits a telephone 390 pixels wide."""
_AXIS_CHARACTERS = 36
"""What fits beneath or beside the axes there; the name of an axis never wraps by itself."""
_PLAIN_NUMBERS = {"exponentformat": "power", "minexponent": 6, "separatethousands": True}
"""Ticks without k, M, µ and p: plotly's own would write 1e-12 as "1p"."""
_LEGEND = 40
"""Characters of a name in a legend or on a button."""
_NOISE = 1e-6
"""What single precision may add to a number, relative to it: a mean of equal numbers can lie so far beyond them."""
_MAX_SIDE = 200
_MAX_HEIGHT = 60_000
_MAX_POINTS = 1_000


def role(name: str) -> str:
    """The role a name plays: itself if it is one, else what it is another word for (``"plain"`` is ``"vanilla"``), else the name
    unchanged. What follows a comma is a remark: ``"plain, faded"`` is ``"vanilla"`` too.

    Raises:
        ValueError: a name that is no string.
    """
    key = arguments.text("name", name).split(",")[0].strip().lower()
    return key if key in COLORS else _ALIASES.get(key, name)


def _style(name: str, k: int) -> tuple[str, str, str]:
    """(colour, marker symbol, dash) of a name; names that are no role take the k-th colour of a fixed order."""
    r = role(name)
    if r in COLORS:
        return COLORS[r], _SYMBOLS[r], _DASHES[r]
    n = len(_OTHERS)
    return _OTHERS[k % n], list(_SYMBOLS.values())[k % len(_SYMBOLS)], ["solid", "dash", "dot", "dashdot"][k % 4]


def _styles(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The style of each of the names that share one plot: no two have a colour and a shape, or a colour and a dash, in common. A role
    keeps its colour, also where its name comes twice ("plain, seed 0", "plain, seed 1"), and no other name takes it."""
    roles = [role(name) for name in names]
    free = [colour for colour in _OTHERS if colour not in {COLORS[r] for r in roles if r in COLORS}] or _OTHERS
    taken: set[tuple[str, str]] = set()
    styles = []
    for k, r in enumerate(roles):
        colour, *forms = _style(r, k)
        if r not in COLORS:
            colour = free[k % len(free)]
        for i, others in enumerate((_MORE_SYMBOLS, _MORE_DASHES)):
            forms[i] = next((form for form in (forms[i], *others) if (colour, form) not in taken), forms[i])
            taken.add((colour, forms[i]))
        styles.append((colour, forms[0], forms[1]))
    return styles


def _translucent(colour: str, alpha: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"


def _figure(title: str, alt: str, *, height: int, top: int = 0, bottom: int = 0) -> go.Figure:
    """An empty figure in the book's style. `top` and `bottom` are pixels wanted beside those of the title and the axis."""
    if not isinstance(title, str) or not title.strip():
        raise ValueError(f"a figure needs title=, one sentence with its claim, got {title!r}")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"a figure needs alt=, a sentence for readers who cannot see it, got {alt!r}")
    if height > _MAX_HEIGHT:
        raise ValueError(f"a figure {height:,} pixels high is too much for a page, which has room for {_MAX_HEIGHT:,}; show fewer rows")
    wrapped = drawn.wrapped(drawn.sentence("title", title), _TITLE_CHARACTERS)
    n_lines = wrapped.count("<br>") + 1
    margin_top = max(60, 26 + 20 * n_lines + 16) + top
    fig = go.Figure()
    fig.layout.template = None
    fig.update_layout(
        title={"text": wrapped, "x": 0.0, "xref": "container", "xanchor": "left", "y": 1.0, "yref": "container", "yanchor": "top"},
        title_font_size=16,
        title_pad={"l": 8, "t": 12},
        meta={"alt": drawn.sentence("alt", alt)},
        height=height + margin_top + 56 + bottom,
        margin={"l": 8, "r": 12, "t": margin_top, "b": 56 + bottom},
        dragmode=False,
        hoverlabel={"align": "left", "namelength": -1},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom"},
    )
    return fig


def _make_room(fig: go.Figure, boxes: Iterable[str]) -> None:
    """Make a figure as high as the highest of its hover boxes: plotly leaves out a box that does not fit. A page takes the title out of
    the figure, and leaves 40 pixels above the axes."""
    n_lines = 1 + max(box.count("<br>") for box in boxes)
    fig.layout.height += max(0, 18 * n_lines + 12 - (fig.layout.height - fig.layout.margin.t + 40))


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": drawn.wrapped(title, _AXIS_CHARACTERS), "standoff": 8},
        "automargin": True,
        "ticklabeloverflow": "allow",  # else a tick at the very end loses its text; with automargin there is room for it
        **_PLAIN_NUMBERS,
        "gridcolor": _GRID,
        "zerolinecolor": _LINE,
        "linecolor": _LINE,
        **more,
    }


def _lying_axis(fig: go.Figure, title: str, beside: Iterable[str], **more: Any) -> None:
    """The x axis of a figure, whose name has less room on a telephone the longer the labels beside the rows are."""
    width = min(_AXIS_CHARACTERS, (330 - 7 * max(map(len, beside))) // 8)
    fig.update_xaxes(**_axis(title, **more))
    name = drawn.wrapped(title, width)
    room = 20 * (name.count("<br>") - fig.layout.xaxis.title.text.count("<br>"))
    fig.layout.xaxis.title.text = name
    fig.layout.height += room
    fig.layout.margin.b += room


def _labels(labels: Any, n: int, what: str) -> list[str]:
    """Labels of the rows or columns of a matrix, as words."""
    if isinstance(labels, (set, frozenset)) or not hasattr(labels, "__len__"):
        raise ValueError(f"{what}= must be a list of labels, got {arguments.shown(labels)}")
    if getattr(labels, "ndim", 1) != 1:
        raise ValueError(f"{what}= must be a list of labels, got shape {tuple(labels.shape)}")
    out = drawn.words(labels)
    if len(out) != n:
        raise ValueError(f"{what}= has {len(out)} label{'s' * (len(out) != 1)}, but the matrix has {n} {what}; give one label for each")
    return out


def _ticks(labels: list[str], limit: int) -> dict[str, Any]:
    """Where labels are long, they are cut in the ticks and whole in the hover text; else plotly drops some where there is no room."""
    if max(map(len, labels)) <= limit:
        return {"tickmode": "auto"}
    n = len(labels)
    every = math.ceil(n / 40)
    aside = 2e-4 * n  # plotly would hover the tick's text where a tick stands within 1e-4 of an axis' length
    places = [round(k + aside, 4) for k in range(0, n, every)]
    return {"tickmode": "array", "tickvals": places, "ticktext": _short(labels, limit)[::every]}


def _short(labels: list[str], limit: int) -> list[str]:
    """Labels for ticks, legends and buttons, as plotly draws them."""
    return [drawn.escaped(label) for label in drawn.cut_apart(labels, limit)]


def _row_ticks(labels: list[str], limit: int = 22) -> dict[str, Any]:
    """An upright axis on which the k-th row from the top, with the k-th label, lies at k."""
    n = len(labels)
    return {"tickvals": list(range(n)), "ticktext": _short(labels, limit), "range": [n - 0.5, -0.5], "showgrid": False, "zeroline": False}


def _log_ticks(low: float, high: float) -> dict[str, list]:
    """Ticks of a logarithmic axis from low to high: powers of ten, with 2 and 5 between them where there is room; where not two of them
    lie within, the ends."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, math.ceil((last - first) / 9))
    powers = range(first - first % step, last + 1, step)  # 1 is among them
    values = [float(f"{m}e{p}") for p in powers for m in ((1,) if last - first > 3 else (1, 2, 5))]
    beyond = min(1.05, 10 ** (0.05 * (math.log10(high) - math.log10(low))))
    values = [v for v in values if low / beyond <= v <= high * beyond]
    values = drawn.apart(np.array(values if len(values) > 1 else sorted({low, high})))
    return {"tickvals": values, "ticktext": [_log_tick(v) for v in values]}


def _log_tick(v: float) -> str:
    if 1e-4 <= v < 1e7:
        return drawn.number(v)
    factor, power = f"{v:.11e}".split("e")
    times = "" if float(factor) == 1 else f"{float(factor):.12g}×"
    return f"{times}10<sup>{int(power)}</sup>".replace("-", "−")


def _together(arrays: list[np.ndarray], least: int = 4) -> list[list]:
    """Numbers that stand beside one another in a figure, rounded so that they stay apart; one list for each array."""
    flat = drawn.apart(np.concatenate(arrays), least)
    ends = [0, *np.cumsum([len(a) for a in arrays]).tolist()]
    return [flat[start:end] for start, end in itertools.pairwise(ends)]


def _named(keys: Iterable[Any]) -> str:
    """Keys as an error lists them, the first nine."""
    return ", ".join(map(arguments.shown, itertools.islice(keys, 9)))


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def _prose(**texts: Any) -> list[str]:
    return [drawn.sentence(name, text) for name, text in texts.items()]


def _span(numbers: np.ndarray, share: float) -> tuple[float, float]:
    """Where an axis begins and ends that holds the numbers with a margin; also where they are all equal."""
    low, high = float(numbers.min()), float(numbers.max())
    pad = share * (high - low) or share * abs(high) or 0.5
    return low - pad, high + pad


def _few(ends: Sequence[float], most: int) -> int:
    """How many ticks a lying linear axis has room for on a telephone: many digits take much of it."""
    low, high = ends
    digits = math.log10(max(abs(low), abs(high), high - low)) - math.log10(high - low)
    return most if digits < 4 else max(2, int(30 / digits))


def _check_scale(a: np.ndarray, diverging: bool) -> None:
    if max(a.shape) > _MAX_SIDE:
        raise ValueError(f"a heatmap of shape {a.shape} is too large for a page; choose at most {_MAX_SIDE} rows and columns")
    if diverging and np.abs(a).max() > 1 + 1e-4:
        raise ValueError(
            f"a diverging heatmap shows values on [-1, 1], got {a.flat[np.abs(a).argmax()]:.7g}; use diverging=False for activations"
        )
    if not diverging and a.min() < -_NOISE * max(a.max(), 0):
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
        "outlinecolor": _LINE,
        "outlinewidth": 1,
    }
    if not diverging:
        return {**bar, "nticks": 5, **_PLAIN_NUMBERS}
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
    row_axis, column_axis, value = _prose(row_axis=row_axis, column_axis=column_axis, value=value)
    keys, names = list(matrices), drawn.words(matrices)
    several = len(names) > 1
    fig = _figure(title, alt, height=0, top=(44 if several else 0) + 46)
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
                raise ValueError(f"{what}= has no labels for the matrix {arguments.shown(key)}; it has {_named(given)}")
        y = _labels(rows[key] if isinstance(rows, Mapping) else rows, arrays[k].shape[0], "rows")
        x = _labels(columns[key] if isinstance(columns, Mapping) else columns, arrays[k].shape[1], "columns")
        fig.add_trace(
            go.Heatmap(
                z=z[k],
                x=drawn.hovered_apart(x),
                y=drawn.hovered_apart(y),
                name=drawn.escaped(drawn.cut(name, _LEGEND)) if several else "",
                hovertemplate=f"{hover}<extra>{panel if several else ''}</extra>",
                colorbar=_color_bar(diverging, span),
                colorscale=_DIVERGING if diverging else _SEQUENTIAL,
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
    ticks = [(_ticks(x, limit), _ticks(y, limit)) for x, y in zip(across, down)]
    fig.update_xaxes(**_axis(column_axis, **frame, **ticks[0][0]))
    fig.update_yaxes(**_axis(row_axis, **frame, autorange="reversed", **ticks[0][1]))
    fig.layout.height += cells + below
    _make_room(fig, [hover + max(trace.x, key=len) + max(trace.y, key=len) for trace in fig.data])
    place = {"x": 0.5, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 34}
    fig.update_layout(annotations=[{**place, "text": drawn.wrapped(value, 44), "showarrow": False}])
    if several:
        room = sum(7.2 * len(n) + 24 for n in names)
        buttons = []
        for k, name in enumerate(_short(names, _LEGEND)):
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
    if not drawn.mapping("values", values, "name to numbers"):
        raise ValueError("dots needs at least one row of values, got none")
    if range is not None:
        try:
            low, high = drawn.array(range, "range", 1).tolist()
        except ValueError:
            low = high = 0.0
        if low >= high:
            raise ValueError(f"range must be two finite numbers, from low to high, got {arguments.shown(range)}")
    (axis,) = _prose(axis=axis)
    names = drawn.words(values)
    rows = [drawn.array(v, f"values of {arguments.shown(key)}", 1) for key, v in values.items()]
    numbers = _together([*rows, np.array([np.median(a) for a in rows])])
    fig = _figure(title, alt, height=58 * len(names) + 20)
    hover = f"<br>{drawn.hovered(axis)} <b>%{{x:{drawn.NUMBER}}}</b><extra></extra>"
    for k, (key, said, short, a) in enumerate(zip(values, drawn.hovered_apart(names), _short(names, _LEGEND), rows)):
        colour, symbol, _ = _style(str(key), k)
        spread = ((np.arange(len(a)) * 0.6180339887) % 1 - 0.5) * 0.5 if len(a) > 1 else np.zeros(1)
        fig.add_trace(
            go.Scatter(
                x=numbers[k],
                y=np.round(k + spread, 3).tolist(),
                mode="markers",
                name=short,
                customdata=list(np.arange(len(a)).tolist()),
                marker={"color": _translucent(colour, 0.75), "symbol": symbol, "size": 9, "line": {"width": 1, "color": colour}},
                hovertemplate=f"{said}, seed %{{customdata}}{hover}",
            )
        )
        fig.add_trace(
            go.Scatter(
                x=[numbers[-1][k]],
                y=[k],
                mode="markers",
                name=f"median of {short}",
                marker={"symbol": "line-ns", "size": 40, "color": colour, "line": {"width": 3, "color": colour}},
                hovertemplate=f"{said}, median of {len(a)} seed{'s' * (len(a) != 1)}{hover}",
            )
        )
    _make_room(fig, [trace.hovertemplate for trace in fig.data])
    fig.update_layout(showlegend=False)
    ends = list(_span(np.concatenate(rows), 0.06)) if range is None else [low, high]
    in_lines = [drawn.lines(name, 16) for name in drawn.cut_apart(names, 44)]  # a row has room for three
    _lying_axis(fig, axis, itertools.chain(*in_lines), type="linear", range=ends, zeroline=False, nticks=_few(ends, 7))
    fig.update_yaxes(**_axis("", **_row_ticks(names), type="linear"))
    fig.layout.yaxis.ticktext = ["<br>".join(drawn.escaped(row.rstrip(" ")) for row in label) for label in in_lines]
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
    if not drawn.mapping("series", series, "name to (x, y)"):
        raise ValueError("lines needs at least one curve, got none")
    log_x, log_y = arguments.yes_or_no("log_x", log_x), arguments.yes_or_no("log_y", log_y)
    height = arguments.whole("height", height, 1, 10_000)
    x_axis, y_axis = _prose(x_axis=x_axis, y_axis=y_axis)
    names = drawn.words(series)
    several = len(names) > 1
    widths = [7.5 * min(len(n), _LEGEND) + 55 for n in names]
    a_row = 2 if len(names) < 7 or 2 * max(widths) <= 340 else 1  # few may take some of the plot's own height
    rows = 1 if sum(widths) <= 340 else math.ceil(len(names) / a_row)
    fig = _figure(title, alt, height=height, bottom=26 * rows if several else 0)
    curves: list[list[np.ndarray]] = []
    for name, parts in series.items():
        if not _is_list(parts) or isinstance(parts, (str, Mapping)):
            raise ValueError(f"series: the curve {arguments.shown(name)} must be (x, y) or (x, y, low, high), got {arguments.shown(parts)}")
        if len(parts) not in (2, 4):
            raise ValueError(f"the curve {arguments.shown(name)} must be (x, y) or (x, y, low, high), got {len(parts)} parts")
        arrays = [drawn.array(p, f"{what} of {arguments.shown(name)}", 1) for p, what in zip(parts, ("x", "y", "low", "high"))]
        if len({len(a) for a in arrays}) > 1:
            raise ValueError(
                f"the parts of the curve {arguments.shown(name)} must be equally long, got {', '.join(str(len(a)) for a in arrays)} points"
            )
        for wanted, values, option in ((log_x, arrays[:1], "log_x"), (log_y, arrays[1:], "log_y")):
            if wanted and min(a.min() for a in values) <= 0:
                raise ValueError(
                    f"the curve {arguments.shown(name)} has values that are not positive, so it cannot stand on a logarithmic axis; "
                    f"use {option}=False"
                )
        if len(arrays[0]) > _MAX_POINTS:
            keep = np.unique(np.linspace(0, len(arrays[0]) - 1, _MAX_POINTS).round().astype(int))
            arrays = [a[keep] for a in arrays]
        curves.append(arrays)
    at = _together([curve[0] for curve in curves], 6)
    heights = _together([curve[1] for curve in curves])
    styles = _styles([str(key) for key in series])
    for k, (said, short, arrays, style) in enumerate(zip(drawn.hovered_apart(names), _short(names, _LEGEND), curves, styles)):
        colour, _, dash = style
        if len(arrays) == 4:
            fig.add_trace(
                go.Scatter(
                    x=at[k] + at[k][::-1],
                    y=drawn.apart(np.concatenate([arrays[3], arrays[2][::-1]]), 4),
                    fill="toself",
                    fillcolor=_translucent(colour, 0.18),
                    line={"width": 0, "color": colour},
                    mode="lines",
                    hoverinfo="skip",
                    showlegend=False,
                    legendgroup=str(k),
                    name=short,
                )
            )
        fig.add_trace(
            go.Scatter(
                x=at[k],
                y=heights[k],
                mode="lines" if len(arrays[0]) > 1 else "markers",
                name=short,
                legendgroup=str(k),
                line={"color": colour, "width": 2.5, "dash": dash if several else "solid"},
                hovertemplate=f"{said}<br>{drawn.hovered(x_axis)} <b>%{{x:{drawn.NUMBER}}}</b><br>"
                f"{drawn.hovered(y_axis)} <b>%{{y:{drawn.NUMBER}}}</b><extra></extra>",
            )
        )
    _make_room(fig, [trace.hovertemplate or "" for trace in fig.data])
    leftmost, rightmost = min(curve[0].min() for curve in curves), max(curve[0].max() for curve in curves)
    lowest, highest = min(a.min() for curve in curves for a in curve[1:]), max(a.max() for curve in curves for a in curve[1:])
    fig.update_layout(showlegend=several)
    ticks = _log_ticks(leftmost, rightmost) if log_x else {"nticks": _few(_span(np.array([leftmost, rightmost]), 0.05), 7)}
    fig.update_xaxes(**_axis(x_axis, type="log" if log_x else "linear", zeroline=False, **ticks))
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
    if not drawn.mapping("values", values, "label to number"):
        raise ValueError("bars needs at least one value, got none")
    low_high = drawn.mapping("low_high", {} if low_high is None else low_high, "label to (low, high)")
    (axis,) = _prose(axis=axis)
    names = drawn.words(values)
    a = drawn.array(list(values.values()), "values", 1)
    fig = _figure(title, alt, height=30 * len(names) + 24)
    unknown = [key for key in low_high if key not in values]
    if unknown:
        raise ValueError(f"low_high= has {arguments.shown(unknown[0])}, which has no bar; the bars are {_named(values)}")
    low, high = a.copy(), a.copy()
    for i, (key, v) in enumerate(zip(values, a)):
        if key in low_high:
            ends = drawn.array(low_high[key], f"low_high of {arguments.shown(key)}", 1)
            if len(ends) != 2:
                raise ValueError(f"low_high of {arguments.shown(key)} must be (low, high), got {len(ends)} number{'s' * (len(ends) != 1)}")
            noise = _NOISE * abs(v)
            if not ends[0] - noise <= v <= ends[1] + noise or ends[0] > ends[1]:
                raise ValueError(
                    f"the whisker of {arguments.shown(key)} is from {ends[0]:.9g} to {ends[1]:.9g} and does not hold its value {v:.9g}"
                )
            low[i], high[i] = min(ends[0], v), max(ends[1], v)
    error = None
    if low_high:
        error = {
            "type": "data",
            "symmetric": False,
            "array": [v if key in low_high else None for key, v in zip(values, drawn.apart(high - a, 4))],
            "arrayminus": [v if key in low_high else None for key, v in zip(values, drawn.apart(a - low, 4))],
            "thickness": 1.5,
            "width": 4,
            "color": COLORS["truth"],
        }
    places = drawn.hovered_apart(names)
    lengths, lows, highs = _together([a, low, high])
    said = f"<br>{drawn.hovered(axis)} <b>"
    text = [
        place + said + drawn.number(v) + (f", from {drawn.number(lo)} to {drawn.number(hi)}" if key in low_high else "") + "</b>"
        for key, place, v, lo, hi in zip(values, places, lengths, lows, highs)
    ]
    fig.add_trace(
        go.Bar(
            x=lengths,
            y=places,
            orientation="h",
            marker={"color": [COLORS.get(role(str(key)), COLORS["parent"]) for key in values]},
            error_x=error,
            customdata=text,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    _make_room(fig, text)
    fig.update_layout(showlegend=False, bargap=0.3)
    _lying_axis(fig, axis, drawn.cut_apart(names, 22), type="linear", nticks=7, rangemode="tozero")
    ticks = {"tickvals": places, "ticktext": _short(names, 22)}
    fig.update_yaxes(**_axis("", type="category", autorange="reversed", showgrid=False, **ticks))
    return fig


def histogram(values: Any, *, title: str, alt: str, axis: str, of: str, log_x: bool = False, n_bins: int = 40) -> go.Figure:
    """How often values fall into each of `n_bins` equal bins; with `log_x` the bins are equal on a logarithmic axis.

    Args:
        values: (n,) numbers; positive with `log_x`. axis: what they are, with their unit. of: what is counted, in the plural, for
            example "latents".

    Raises:
        ValueError: no alt or title, no values, or values that are not finite, or not positive with `log_x`.
    """
    log_x, n_bins = arguments.yes_or_no("log_x", log_x), arguments.whole("n_bins", n_bins, 1, 1_000)
    axis, of = _prose(axis=axis, of=of)
    a = drawn.array(values, "values", 1)
    if log_x and a.min() <= 0:
        raise ValueError(f"a logarithmic axis needs positive values, got {a.min():g}; leave such values out and say so")
    scaled = np.log10(a) if log_x else a
    low, high = float(scaled.min()), float(scaled.max())
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-300):  # values that are as good as equal: one bin in the middle has them all
        low, high = (low - 0.5, low + 0.5) if log_x else _span(np.array([low]), 0.5)
    counts, edges = np.histogram(scaled, bins=n_bins, range=(low, high))
    ends = np.maximum(10**edges, 5e-324) if log_x else edges
    fig = _figure(title, alt, height=240)
    fig.add_trace(
        go.Bar(
            x=[float(f"{x:.12g}") for x in (edges[1:] + edges[:-1]) / 2],
            y=counts.tolist(),
            width=float(f"{edges[1] - edges[0]:.5g}"),
            marker={"color": COLORS["parent"]},
            customdata=[f"{drawn.number(lo)} to {drawn.number(hi)}" for lo, hi in itertools.pairwise(drawn.apart(ends))],
            hovertemplate=f"<b>%{{y:,}}</b> {drawn.hovered(of)}<br>{drawn.hovered(axis)} <b>%{{customdata}}</b><extra></extra>",
        )
    )
    ticks: dict[str, Any] = {"nticks": _few((low, high), 7)}
    if log_x:
        marks = _log_ticks(ends[0], ends[-1])
        ticks = {"tickvals": [float(f"{math.log10(v):.12g}") for v in marks["tickvals"]], "ticktext": marks["ticktext"]}
    fig.update_layout(showlegend=False, bargap=0.04)
    fig.update_xaxes(**_axis(axis, type="linear", zeroline=False, **ticks))
    fig.update_yaxes(**_axis(of, type="linear", nticks=6))
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
    for part in ("names", "parent", "probability"):
        if not hasattr(feature_tree, part):
            raise ValueError(f"feature_tree must have names, parent and probability, got {arguments.shown(feature_tree)} without {part}")
    given_names = feature_tree.names
    if isinstance(given_names, (str, set, frozenset)) or not hasattr(given_names, "__len__"):
        raise ValueError(f"the names of feature_tree must be a list, got {arguments.shown(given_names)}")
    names = [drawn.visible(name) for name in given_names]
    numbers = drawn.array(feature_tree.parent, "parent", 1)
    if (numbers % 1).any():
        raise ValueError(f"parent must hold whole numbers, got {numbers[numbers % 1 != 0][0]:g}")
    parent = [int(p) for p in numbers]
    marginal = drawn.array(feature_tree.probability, "probability", 1)
    within = marginal.clip(0, 1)
    if (off := np.abs(marginal - within) > _NOISE).any():
        raise ValueError(f"probability must lie between 0 and 1, got {marginal[off][0]:.9g}")
    marginal = within
    if not len(names) == len(parent) == len(marginal):
        raise ValueError(f"names, parent and probability must be equally long, got {len(names)}, {len(parent)} and {len(marginal)}")
    children: dict[int, list[int]] = {i: [] for i in [-1, *range(len(names))]}
    for i, p in enumerate(parent):
        if not -1 <= p < len(names):
            raise ValueError(
                f"feature {arguments.shown(names[i])} has the parent {p}, but there are only the features 0 … {len(names) - 1}, "
                "and -1 for none"
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
        looped = next(name for i, name in enumerate(names) if i not in depth)
        raise ValueError(f"feature {arguments.shown(looped)} is its own ancestor; a tree has no loops")
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
    deepest = max(depth.values())
    short = drawn.cut_apart(names, 22 if deepest < 4 else max(3, 60 // (deepest + 1)))
    said = drawn.hovered_apart(names)
    over_all = [drawn.number(v) for v in drawn.apart(marginal)]
    has_chance = [p >= 0 and marginal[p] > 0 for p in parent]
    given = np.array([marginal[i] / marginal[p] if has_chance[i] else 0 for i, p in enumerate(parent)])
    given_parent = [drawn.number(v) for v in drawn.apart(given)]
    for label, kind, chosen in (
        ("has children", "parent", [i for i in order if children[i]]),
        ("has none", "child", [i for i in order if not children[i]]),
    ):
        if not chosen:
            continue
        text = []
        for i in chosen:
            chance = "no parent"
            if parent[i] >= 0:
                mother = said[parent[i]]
                chance = f"{given_parent[i]} given {mother}" if has_chance[i] else f"unknown given {mother}, which never occurs"
            text.append(f"<b>{said[i]}</b><br>probability {chance}<br>probability over all inputs {over_all[i]}")
        fig.add_trace(
            go.Scatter(
                x=[depth[i] for i in chosen],
                y=[height[i] for i in chosen],
                mode="markers+text",
                name=label,
                text=[drawn.escaped(short[i]) for i in chosen],
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
    _make_room(fig, [text for trace in fig.data for text in trace.customdata or ()])
    longest = max(len(short[i]) for i in order if depth[i] == deepest)
    fig.update_xaxes(visible=False, range=[-0.12, deepest + min(0.35 * max(3, deepest), 0.12 + 0.028 * longest * (deepest + 1))])
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
    rows = {
        label: drawn.mapping(f"rows[{arguments.shown(label)}]", its, "name to number")
        for label, its in drawn.mapping("rows", rows, "label to row").items()
    }
    keys = list(dict.fromkeys(name for its in rows.values() for name in its))
    if not keys:
        raise ValueError("compare needs at least one row with at least one value, got none")
    if len(keys) > 4:
        raise ValueError(f"compare shows at most four things side by side, got {len(keys)}: {_named(keys)}")
    (axis,) = _prose(axis=axis)
    names, labels = drawn.words(keys), drawn.words(rows)
    measured = {}
    for label, its in rows.items():
        for key, value in its.items():
            a = drawn.array(value if _is_list(value) else [value], f"{arguments.shown(key)} of {arguments.shown(label)}", 1)
            if len(a) not in (1, 3) or (len(a) == 3 and a[1] > a[2]):
                raise ValueError(
                    f"{arguments.shown(key)} of {arguments.shown(label)} must be a number, or (value, low, high) with low ≤ high, "
                    f"got {arguments.shown(a.tolist())}"
                )
            measured[label, key] = a
    numbers = dict(zip(measured, _together(list(measured.values()))))
    fig = _figure(title, alt, height=(16 + 14 * len(names)) * len(rows) + 20, bottom=26)
    styles = _styles([str(key) for key in keys])
    for k, (key, name, short, style) in enumerate(zip(keys, drawn.hovered_apart(names), _short(names, _LEGEND), styles)):
        colour, symbol, _ = style
        y, values, said = [], [], []
        ends: list[list[Any]] = [[], []]
        for i, (row, label) in enumerate(zip(rows, drawn.hovered_apart(labels))):
            if (row, key) not in numbers:
                continue
            value, *whisker = numbers[row, key]
            y.append(round(i + 0.24 * (k - (len(names) - 1) / 2), 3))
            values.append(value)
            said.append(f"{label}<br>{name} <b>{drawn.number(value)}</b>")
            if whisker:
                said[-1] += ", from {} to {}".format(*map(drawn.number, whisker))
                ends[0] += [*whisker, None]
                ends[1] += [y[-1], y[-1], None]
        line = {"color": colour, "width": 2}
        fig.add_trace(
            go.Scatter(x=ends[0], y=ends[1], mode="lines", line=line, hoverinfo="skip", showlegend=False, legendgroup=str(k), name=short)
        )
        fig.add_trace(
            go.Scatter(
                x=values,
                y=y,
                mode="markers",
                name=short,
                legendgroup=str(k),
                customdata=said,
                marker={"color": colour, "symbol": symbol, "size": 9},
                hovertemplate=f"%{{customdata}}<br>{drawn.hovered(axis)}<extra></extra>",
            )
        )
    _make_room(fig, [f"{said}<br>{drawn.hovered(axis)}" for trace in fig.data for said in trace.customdata or ()])
    fig.update_layout(showlegend=len(names) > 1)
    whole = _span(np.concatenate(list(measured.values())), 0.05)
    _lying_axis(fig, axis, drawn.cut_apart(labels, 22), type="linear", nticks=_few(whole, 7), zeroline=False)
    fig.update_yaxes(**_axis("", type="linear", **_row_ticks(labels)))
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
    a, b = drawn.array(x, "x", 1), drawn.array(y, "y", 1)
    if isinstance(labels, (set, frozenset, Mapping)) or not _is_list(labels):
        raise ValueError(f"labels must be a list, got {arguments.shown(labels)}")
    if not len(a) == len(b) == len(labels):
        raise ValueError(f"x, y and labels must be equally long, got {len(a)}, {len(b)} and {len(labels)}")
    x_name, y_name, axis = _prose(x_name=x_name, y_name=y_name, axis=axis)
    fig = _figure(title, alt, height=330, bottom=26)
    ends = list(_span(np.concatenate([a, b]), 0.04))
    across, up = _together([a, b])
    said = [f"{drawn.hovered(name)} <b>%{{{which}:{drawn.NUMBER}}}</b>" for name, which in ((x_name, "x"), (y_name, "y"))]
    dots = drawn.hovered_apart([drawn.visible(label) for label in labels])
    diagonal = {"color": COLORS["truth"], "dash": "dot", "width": 1.5}
    fig.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=diagonal, hoverinfo="skip", name="equal"))
    for name, chosen, (colour, symbol, _) in zip((y_name, x_name), (b > a, b <= a), _styles([y_name, x_name])):
        fig.add_trace(
            go.Scatter(
                x=list(itertools.compress(across, chosen)),
                y=list(itertools.compress(up, chosen)),
                mode="markers",
                name=f"{drawn.escaped(drawn.cut(name, _LEGEND))} larger",
                customdata=list(itertools.compress(dots, chosen)),
                marker={"color": _translucent(colour, 0.7), "symbol": symbol, "size": 8, "line": {"width": 1, "color": colour}},
                hovertemplate=f"%{{customdata}}<br>{said[0]}<br>{said[1]}<extra></extra>",
            )
        )
    _make_room(fig, [f"{dot}<br>{said[0]}<br>{said[1]}" for dot in dots])
    fig.update_layout(showlegend=True)
    fig.update_xaxes(**_axis(f"{axis}, {x_name}", type="linear", nticks=_few(ends, 6), zeroline=False, range=ends))
    fig.update_yaxes(**_axis(f"{axis}, {y_name}", type="linear", nticks=6, zeroline=False, range=ends))
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
    groups = {
        heading: drawn.mapping(f"groups[{arguments.shown(heading)}]", its, "label to ratios")
        for heading, its in drawn.mapping("groups", groups, "heading to group").items()
    }
    if not groups or not all(groups.values()):
        raise ValueError("ratios needs at least one group with at least one row")
    axis, one = _prose(axis=axis, one=one)
    measured: dict[tuple[Any, Any], np.ndarray] = {}
    for heading, its in groups.items():
        for label, values in its.items():
            a = measured[heading, label] = drawn.array(values, f"ratios of {arguments.shown(label)}", 1)
            if a.min() <= 0:
                raise ValueError(f"ratios must be positive, {arguments.shown(label)} has {a.min():g}")
    *rounded, middles = _together([*measured.values(), np.array([np.median(a) for a in measured.values()])])
    numbers, medians = dict(zip(measured, rounded)), dict(zip(measured, middles))
    said_one = drawn.wrapped(one, 26)
    above = 18 * said_one.count("<br>")  # the first line lies beside the first heading
    fig = _figure(title, alt, height=25 * (len(groups) + len(measured)) + 20 + above)
    ticks: list[str] = []
    headings = drawn.words(groups)
    for (heading, its), shown, said_heading, heading_tick in zip(
        groups.items(), headings, drawn.hovered_apart(headings), _short(headings, 22)
    ):
        ticks.append(f"<b>{heading_tick}</b>")
        names = drawn.words(its)
        for label, name, said_name, tick in zip(its, names, drawn.hovered_apart(names), _short(names, 22)):
            role_name = role(str(label).rsplit(", ", 1)[-1])
            colour, symbol, _ = _style(role_name if role_name in COLORS else "truth", 0)
            n = len(measured[heading, label])
            mark = {"symbol": "line-ns", "size": 18, "color": colour, "line": {"width": 3, "color": colour}}
            for x, what, marker, said in (
                (numbers[heading, label], "", {"color": _translucent(colour, 0.6), "symbol": symbol, "size": 7}, "one round"),
                ([medians[heading, label]], "median of ", mark, f"median of {n}"),
            ):
                fig.add_trace(
                    go.Scatter(
                        x=x,
                        y=[len(ticks)] * len(x),
                        mode="markers",
                        name=f"{drawn.escaped(drawn.cut(shown, _LEGEND))}, {what}{drawn.escaped(drawn.cut(name, _LEGEND))}",
                        marker=marker,
                        hovertemplate=f"{said_heading}: {said_name}<br>"
                        f"{drawn.hovered(axis)} <b>%{{x:{drawn.NUMBER}}}</b>, {said}<extra></extra>",
                    )
                )
            ticks.append(tick)
    lowest, highest = min(0.9, *(a.min() for a in measured.values())), max(1.1, *(a.max() for a in measured.values()))
    fig.add_shape(type="line", x0=1, x1=1, xref="x", y0=0, y1=1, yref="paper", line={"color": COLORS["truth"], "dash": "dot", "width": 1.5})
    first, last = math.log10(lowest), math.log10(highest)
    span = [first - 0.04 * (last - first), last + 0.04 * (last - first)]
    # on the side of the line where there is more room
    side = {"xanchor": "left", "xshift": 4, "align": "left"} if first + last > 0 else {"xanchor": "right", "xshift": -4, "align": "right"}
    fig.add_annotation(x=0, xref="x", **side, y=1, yref="paper", yanchor="top", text=said_one, showarrow=False)
    _make_room(fig, [trace.hovertemplate for trace in fig.data])
    fig.update_layout(showlegend=False)
    beside = [drawn.cut(label, 22) for label in itertools.chain(headings, *map(drawn.words, groups.values()))]
    _lying_axis(fig, axis, beside, type="log", range=span, zeroline=False, **_log_ticks(lowest, highest))
    rows = {"tickvals": list(range(len(ticks))), "ticktext": ticks, "range": [len(ticks) - 0.5, -0.5 - above / 25]}
    fig.update_yaxes(**_axis("", type="linear", **rows, showgrid=False, zeroline=False))
    return fig
