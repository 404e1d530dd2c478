"""Cells of matrices: their colours, the scale of these, and the labels beside them."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from msae.figures.axes import PLAIN_NUMBERS
from msae.figures.digits import NUMBER
from msae.figures.frame import fit_hover_boxes, short_label, short_labels
from msae.figures.matrices import Panel, rounded
from msae.figures.style import LINE
from msae.support import drawn

TICK_CHARACTERS = 16
"""Characters of a label beside a row or beneath a column."""
_DIVERGING = [[0.0, "rgba(201,90,14,1)"], [0.5, "rgba(201,90,14,0)"], [0.5, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
_SEQUENTIAL = [[0.0, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]

FRAME = {"showgrid": False, "zeroline": False, "showline": True, "mirror": True, "type": "category", "ticks": ""}
"""The axes of a matrix, in plotly's words."""


def height_of(panels: list[Panel], height: int | None, a_row: int) -> int:
    """Pixels of the cells: those asked for, or so many for each row."""
    return height if height is not None else int(min(560, max(180, a_row * max(len(panel.rows) for panel in panels) + 20)))


def room_below(panels: list[Panel]) -> int:
    """Pixels that the labels of the columns take."""
    labels = [label for panel in panels for label in panel.columns]
    longest = max(map(len, labels))
    many = max(len(panel.columns) for panel in panels) > 6
    return 8 + int(6.5 * min(longest, TICK_CHARACTERS)) if many or longest > 6 else 0


def fit_cell_boxes(fig: go.Figure) -> None:
    """Make the figure as high as the hover box of its longest labels."""
    fit_hover_boxes(fig, [trace.hovertemplate.split("<extra>")[0] + max(trace.x, key=len) + max(trace.y, key=len) for trace in fig.data])


def value_above(value: str) -> dict[str, Any]:
    """What the cells are, in words above the colours."""
    place = {"x": 0.5, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 34}
    return {**place, "text": drawn.wrapped(value, 44), "showarrow": False}


def traces_of(panels: list[Panel], axes: list[str], span: float | None) -> list[go.Heatmap]:
    """A trace for each panel, of which the first is seen; `span` is where a diverging scale ends, None for one from zero up."""
    said = [drawn.hovered(text) for text in axes]
    hover = f"{said[0]} <b>%{{y}}</b><br>{said[1]} <b>%{{x}}</b><br>{said[2]} <b>%{{z:{NUMBER}}}</b>"
    top = span if span is not None else max(float(panel.cells.max()) for panel in panels) or 1.0
    several = len(panels) > 1
    extras = drawn.hovered_apart([panel.name for panel in panels])
    return [
        go.Heatmap(
            z=z,
            x=drawn.hovered_apart(panel.columns),
            y=drawn.hovered_apart(panel.rows),
            name=short_label(panel.name) if several else "",
            hovertemplate=f"{hover}<extra>{extra if several else ''}</extra>",
            colorbar=_color_bar(span),
            colorscale=_SEQUENTIAL if span is None else _DIVERGING,
            zmin=0 if span is None else -span,
            zmax=top,
            visible=k == 0,
        )
        for k, (panel, z, extra) in enumerate(zip(panels, rounded(panels, span is not None), extras))
    ]


def _color_bar(span: float | None) -> dict[str, Any]:
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
    if span is None:
        return {**bar, "nticks": 5, **PLAIN_NUMBERS}
    at = [-1, -0.5, 0, 0.5, 1] if span == 1 else [-span, 0, span]
    return {**bar, "tickvals": at, "ticktext": [f"{tick:g}".replace("-", "−") for tick in at]}


def label_ticks(labels: list[str]) -> dict[str, Any]:
    """Where labels are long, they are cut in the ticks and whole in the hover text; else plotly drops some where there is no room."""
    if max(map(len, labels)) <= TICK_CHARACTERS:
        return {"tickmode": "auto"}
    n = len(labels)
    every = math.ceil(n / 40)
    aside = 2e-4 * n  # plotly would hover the tick's text where a tick stands within 1e-4 of an axis' length
    places = [round(k + aside, 4) for k in range(0, n, every)]
    return {"tickmode": "array", "tickvals": places, "ticktext": short_labels(labels, TICK_CHARACTERS)[::every]}
