"""What every figure shares: colours and marks of the roles, the empty figure, axes, ticks and labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from msae.support import arguments, drawn

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
SYMBOLS = {
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
_MORE_SYMBOLS = ["triangle-down", "cross", "star", "pentagon", *SYMBOLS.values()]
_MORE_DASHES = ["dot", "dashdot", "longdash", "longdashdot", "dash", "solid"]
DIVERGING = [[0.0, "rgba(201,90,14,1)"], [0.5, "rgba(201,90,14,0)"], [0.5, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
SEQUENTIAL = [[0.0, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
LINE = "rgba(128,128,128,0.55)"
_GRID = "rgba(128,128,128,0.22)"
_TITLE_CHARACTERS = 44
"""A title line of this length fits a telephone 390 pixels wide."""

_AXIS_CHARACTERS = 36
"""What fits beneath or beside the axes there; the name of an axis never wraps by itself."""

PLAIN_NUMBERS = {"exponentformat": "power", "minexponent": 6, "separatethousands": True}
"""Ticks without k, M, µ and p: plotly's own would write 1e-12 as "1p"."""

LEGEND = 40
"""Characters of a name in a legend or on a button."""

NOISE = 1e-6
"""What single precision may add to a number, relative to it: a mean of equal numbers can lie so far beyond them."""

MAX_SIDE = 200
_MAX_HEIGHT = 60_000
MAX_POINTS = 1_000


def role(name: str) -> str:
    """The role a name plays: itself if it is one, else what it is another word for (``"plain"`` is ``"vanilla"``), else the name
    unchanged. What follows a comma is a remark: ``"plain, faded"`` is ``"vanilla"`` too.

    Raises:
        ValueError: a name that is no string.
    """
    key = arguments.text("name", name).split(",")[0].strip().lower()
    return key if key in COLORS else _ALIASES.get(key, name)


def style_of(name: str, k: int) -> tuple[str, str, str]:
    """(colour, marker symbol, dash) of a name; names that are no role take the k-th colour of a fixed order."""
    r = role(name)
    if r in COLORS:
        return COLORS[r], SYMBOLS[r], _DASHES[r]
    n = len(_OTHERS)
    return _OTHERS[k % n], list(SYMBOLS.values())[k % len(SYMBOLS)], ["solid", "dash", "dot", "dashdot"][k % 4]


def styles_of(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The style of each of the names that share one plot: no two have a colour and a shape, or a colour and a dash, in common. A role
    keeps its colour, also where its name comes twice ("plain, seed 0", "plain, seed 1"), and no other name takes it."""
    roles = [role(name) for name in names]
    free = [colour for colour in _OTHERS if colour not in {COLORS[r] for r in roles if r in COLORS}] or _OTHERS
    taken: set[tuple[str, str]] = set()
    styles = []
    for k, r in enumerate(roles):
        colour, *forms = style_of(r, k)
        if r not in COLORS:
            colour = free[k % len(free)]
        for i, others in enumerate((_MORE_SYMBOLS, _MORE_DASHES)):
            forms[i] = next((form for form in (forms[i], *others) if (colour, form) not in taken), forms[i])
            taken.add((colour, forms[i]))
        styles.append((colour, forms[0], forms[1]))
    return styles


def translucent(colour: str, alpha: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"


def empty_figure(title: str, alt: str, *, height: int, top: int = 0, bottom: int = 0) -> go.Figure:
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


def make_room(fig: go.Figure, boxes: Iterable[str]) -> None:
    """Make a figure as high as the highest of its hover boxes: plotly leaves out a box that does not fit. A page takes the title out of
    the figure, and leaves 40 pixels above the axes."""
    n_lines = 1 + max(box.count("<br>") for box in boxes)
    fig.layout.height += max(0, 18 * n_lines + 12 - (fig.layout.height - fig.layout.margin.t + 40))


def axis_of(title: str, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": drawn.wrapped(title, _AXIS_CHARACTERS), "standoff": 8},
        "automargin": True,
        "ticklabeloverflow": "allow",  # else a tick at the very end loses its text; with automargin there is room for it
        **PLAIN_NUMBERS,
        "gridcolor": _GRID,
        "zerolinecolor": LINE,
        "linecolor": LINE,
        **more,
    }


def lying_axis(fig: go.Figure, title: str, beside: Iterable[str], **more: Any) -> None:
    """The x axis of a figure, whose name has less room on a telephone the longer the labels beside the rows are."""
    width = min(_AXIS_CHARACTERS, (330 - 7 * max(map(len, beside))) // 8)
    fig.update_xaxes(**axis_of(title, **more))
    name = drawn.wrapped(title, width)
    room = 20 * (name.count("<br>") - fig.layout.xaxis.title.text.count("<br>"))
    fig.layout.xaxis.title.text = name
    fig.layout.height += room
    fig.layout.margin.b += room


def labels_of(labels: Any, n: int, what: str) -> list[str]:
    """Labels of the rows or columns of a matrix, as words."""
    if isinstance(labels, (set, frozenset)) or not hasattr(labels, "__len__"):
        raise ValueError(f"{what}= must be a list of labels, got {arguments.shown(labels)}")
    if getattr(labels, "ndim", 1) != 1:
        raise ValueError(f"{what}= must be a list of labels, got shape {tuple(labels.shape)}")
    out = drawn.words(labels)
    if len(out) != n:
        raise ValueError(f"{what}= has {len(out)} label{'s' * (len(out) != 1)}, but the matrix has {n} {what}; give one label for each")
    return out


def ticks_of(labels: list[str], limit: int) -> dict[str, Any]:
    """Where labels are long, they are cut in the ticks and whole in the hover text; else plotly drops some where there is no room."""
    if max(map(len, labels)) <= limit:
        return {"tickmode": "auto"}
    n = len(labels)
    every = math.ceil(n / 40)
    aside = 2e-4 * n  # plotly would hover the tick's text where a tick stands within 1e-4 of an axis' length
    places = [round(k + aside, 4) for k in range(0, n, every)]
    return {"tickmode": "array", "tickvals": places, "ticktext": shortened(labels, limit)[::every]}


def shortened(labels: list[str], limit: int) -> list[str]:
    """Labels for ticks, legends and buttons, as plotly draws them."""
    return [drawn.escaped(label) for label in drawn.cut_apart(labels, limit)]


def row_ticks(labels: list[str], limit: int = 22) -> dict[str, Any]:
    """An upright axis on which the k-th row from the top, with the k-th label, lies at k."""
    n = len(labels)
    return {
        "tickvals": list(range(n)),
        "ticktext": shortened(labels, limit),
        "range": [n - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
    }


def log_ticks(low: float, high: float) -> dict[str, list]:
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


def rounded_together(arrays: list[np.ndarray], least: int = 4) -> list[list]:
    """Numbers that stand beside one another in a figure, rounded so that they stay apart; one list for each array."""
    flat = drawn.apart(np.concatenate(arrays), least)
    ends = [0, *np.cumsum([len(a) for a in arrays]).tolist()]
    return [flat[start:end] for start, end in itertools.pairwise(ends)]


def listed(keys: Iterable[Any]) -> str:
    """Keys as an error lists them, the first nine."""
    return ", ".join(map(arguments.shown, itertools.islice(keys, 9)))


def is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def prose(**texts: Any) -> list[str]:
    return [drawn.sentence(name, text) for name, text in texts.items()]


def span_of(numbers: np.ndarray, share: float) -> tuple[float, float]:
    """Where an axis begins and ends that holds the numbers with a margin; also where they are all equal."""
    low, high = float(numbers.min()), float(numbers.max())
    pad = share * (high - low) or share * abs(high) or 0.5
    return low - pad, high + pad


def few_ticks(ends: Sequence[float], most: int) -> int:
    """How many ticks a lying linear axis has room for on a telephone: many digits take much of it."""
    low, high = ends
    digits = math.log10(max(abs(low), abs(high), high - low)) - math.log10(high - low)
    return most if digits < 4 else max(2, int(30 / digits))
