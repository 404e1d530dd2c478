"""Axes and their ticks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from msae.figures.digits import apart, number
from msae.figures.style import LINE
from msae.support import drawn

ROW_CHARACTERS = 22
"""Characters of a line of a label beside a row."""

PLAIN_NUMBERS = {"exponentformat": "power", "minexponent": 6, "separatethousands": True}
"""Ticks without k, M, µ and p: plotly's own would write 1e-12 as "1p"."""

_GRID = "rgba(128,128,128,0.22)"
_AXIS_CHARACTERS = 36
"""What fits beneath or beside the axes of a telephone; the name of an axis never wraps by itself."""


def axis_options(title: str, **more: Any) -> dict[str, Any]:
    """An axis of this name, with further options of plotly's."""
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


def set_x_axis_under_rows(fig: go.Figure, title: str, beside: Iterable[str], **more: Any) -> None:
    """The x axis of a figure of rows, whose name and ticks have less room on a telephone the longer the labels beside the rows are."""
    pixels = 330 - 7 * max(map(len, beside))
    width = min(_AXIS_CHARACTERS, pixels // 8)
    if "nticks" in more:
        more["nticks"] = min(more["nticks"], max(2, pixels // 40))
    fig.update_xaxes(**axis_options(title, **more))
    name = drawn.wrapped(title, width)
    room = 20 * (name.count("<br>") - fig.layout.xaxis.title.text.count("<br>"))
    fig.layout.xaxis.title.text = name
    fig.layout.height += room
    fig.layout.margin.b += room


class RowLabels(NamedTuple):
    """Labels beside rows, each in as many lines as it needs."""

    lines: list[list[str]]
    """Of each label, not escaped."""

    @property
    def height(self) -> int:
        """Pixels that a row needs for its label."""
        return 19 * max(map(len, self.lines))

    @property
    def every_line(self) -> list[str]:
        """All lines of all labels."""
        return list(itertools.chain(*self.lines))

    @property
    def ticks(self) -> list[str]:
        """The labels as plotly draws them."""
        return ["<br>".join(drawn.escaped(line.rstrip(" ")) for line in label) for label in self.lines]


def row_labels(labels: Sequence[str], width: int = ROW_CHARACTERS, most: int = 38) -> RowLabels:
    """Labels in lines of at most `width` characters, cut where they are longer than `most`; those cut alike stay apart."""
    return RowLabels([drawn.lines(label, width) for label in drawn.cut_apart(list(labels), most)])


def row_ticks(labels: RowLabels) -> dict[str, Any]:
    """An upright axis on which the k-th row from the top, with the k-th label, lies at k."""
    n = len(labels.lines)
    return {
        "tickvals": list(range(n)),
        "ticktext": labels.ticks,
        "range": [n - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
    }


def log_ticks(low: float, high: float) -> dict[str, list[Any]]:
    """Ticks of a logarithmic axis from low to high: powers of ten, with 2 and 5 between them where there is room.

    Where not two of them lie within, round numbers: 0.9, 1, 1.1, 1.2.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, math.ceil((last - first) / 9))
    powers = range(first - first % step, last + 1, step)  # 1 is among them
    values = [float(f"{m}e{p}") for p in powers for m in ((1,) if last - first > 3 else (1, 2, 5))]
    beyond = min(1.05, 10 ** (0.05 * (math.log10(high) - math.log10(low))))
    values = [v for v in values if low / beyond <= v <= high * beyond]
    values = apart(np.array(values if len(values) > 1 else _round_numbers(low, high)))
    return {"tickvals": values, "ticktext": [_log_tick(v) for v in values]}


def _round_numbers(low: float, high: float) -> list[float]:
    """Multiples of the largest of …, 0.05, 0.1, 0.2, 0.5, 1, … of which three lie from low to high; the ends where these are too near."""
    top = math.ceil(math.log10(high))
    for step in (float(f"{m}e{p}") for p in range(top, top - 4, -1) for m in (5, 2, 1)):
        first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
        if last - first >= 2:
            return [float(f"{k * step:.12g}") for k in range(first, last + 1)]
    return sorted({low, high})


def _log_tick(v: float) -> str:
    if 1e-4 <= v < 1e7:
        return number(v)
    factor, power = f"{v:.11e}".split("e")
    times = "" if float(factor) == 1 else f"{float(factor):.12g}×"
    return f"{times}10<sup>{int(power)}</sup>".replace("-", "−")


def padded_ends(numbers: np.ndarray, share: float) -> tuple[float, float]:
    """Where an axis begins and ends that holds the numbers with a margin of this share; also where they are all equal."""
    low, high = float(numbers.min()), float(numbers.max())
    pad = share * (high - low) or share * abs(high) or 0.5
    return low - pad, high + pad


def whole_ticks(arrays: Sequence[np.ndarray], most: int) -> dict[str, Any]:
    """Ticks at whole numbers alone, where all numbers are whole and so few that plotly would put halves between them; else `most`.

    Numbers that are all 0 or 1 are shares.
    """
    low, high = min(a.min() for a in arrays), max(a.max() for a in arrays)
    whole = all((a == a.round()).all() for a in arrays)
    return {"dtick": 1} if whole and high - low < most and (low < 0 or high > 1) else {"nticks": most}


def few_ticks(ends: Sequence[float], most: int) -> int:
    """How many ticks a lying linear axis has room for on a telephone: many digits take much of it."""
    low, high = ends
    digits = math.log10(max(abs(low), abs(high), high - low)) - math.log10(high - low)
    return most if digits < 4 else max(2, int(30 / digits))
