"""Matrices: one, or several that are compared place by place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import plotly.graph_objects as go

from msae.figures.axes import PLAIN_NUMBERS, axis_options
from msae.figures.digits import NUMBER
from msae.figures.frame import Words, empty_figure, fit_hover_boxes, short_label, short_labels
from msae.figures.given import mapping, prose
from msae.figures.matrices import Panel, panels_of, rounded
from msae.figures.style import LINE
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from msae.figures.given import Numbers

    _Labels: TypeAlias = Sequence[object] | Mapping[str, Sequence[object]]

_TICK_CHARACTERS = 16
_DIVERGING = [[0.0, "rgba(201,90,14,1)"], [0.5, "rgba(201,90,14,0)"], [0.5, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]
_SEQUENTIAL = [[0.0, "rgba(31,111,235,0)"], [1.0, "rgba(31,111,235,1)"]]


class _Options(TypedDict, total=False):
    """What `heatmap` takes beside its matrices."""

    title: str
    alt: str
    rows: _Labels
    columns: _Labels
    row_axis: str
    column_axis: str
    value: str
    diverging: bool
    span: float
    height: int | None


def heatmap(
    matrix: Numbers | Mapping[str, Numbers],
    *,
    title: str,
    alt: str,
    rows: _Labels,
    columns: _Labels,
    row_axis: str,
    column_axis: str,
    value: str = "cosine",
    diverging: bool = True,
    span: float = 1.0,
    height: int | None = None,
) -> go.Figure:
    """A matrix as coloured cells, the first row on top; hover says row, column and value in words.

    Several matrices lie in one panel; buttons (or a menu, when the names are long) choose which one is seen, without a kernel.

    Args:
        matrix: (n_rows, n_columns) numbers, at most 200 × 200; on [-1, 1] when `diverging`, else not negative. Or name → matrix, of
            which the first one is seen at first; one scale for all.
        title: the claim of the figure.
        alt: the figure in a sentence, for readers who cannot see it.
        rows: one label for each row; or, where several matrices differ in them, name → labels.
        columns: one label for each column; or name → labels.
        row_axis: what a row is, for example "latent".
        column_axis: what a column is, for example "feature".
        value: what a cell is, for example "cosine" or "activation".
        diverging: cosines around zero (True) or activations from zero up (False).
        span: where a diverging scale ends on both sides; smaller than 1 for differences, and what lies beyond has the colour of the end.
        height: of the cells, in pixels; the default follows the number of rows.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, no matrix, labels that do not fit the matrix, values outside the scale or not finite, or a matrix
            too large for a page.

    Example:
        >>> from msae import figures
        >>> axes = {"row_axis": "latent", "column_axis": "feature"}
        >>> fig = figures.heatmap([[1, 0.5]], rows=["S/0"], columns=["cat", "dog"], title="t", alt="Both are found.", **axes)
        >>> fig.data[0].z
        ([1, 0.5],)
    """
    diverging, span = arguments.yes_or_no("diverging", diverging), arguments.number("span", span, above=0)
    height = None if height is None else arguments.whole("height", height, 1, 10_000)
    axes = prose(row_axis=row_axis, column_axis=column_axis, value=value)
    panels = panels_of(matrix, rows, columns, diverging)
    several = len(panels) > 1
    fig = empty_figure(Words(title, alt), height=0, top=(44 if several else 0) + 46)
    fig.add_traces(_traces(panels, axes, span if diverging else None))
    ticks = [{"xaxis": _ticks(panel.columns), "yaxis": _ticks(panel.rows)} for panel in panels]
    _lay_out(fig, panels, axes, ticks[0], height)
    if several:
        fig.update_layout(updatemenus=[_menu([panel.name for panel in panels], ticks)])
    return fig


def heatmaps(matrices: Mapping[str, Numbers], **options: Unpack[_Options]) -> go.Figure:
    """Several matrices in one panel: `heatmap` of a mapping.

    Args:
        matrices: name → (n_rows, n_columns) numbers, as for `heatmap`. The first one is seen at first.
        options: those of `heatmap`.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: as `heatmap`.

    Example:
        >>> from msae import figures
        >>> words = {"title": "t", "alt": "Two cosines.", "row_axis": "latent", "column_axis": "feature"}
        >>> fig = figures.heatmaps({"plain": [[0.5]], "matryoshka": [[1]]}, rows=["S/0"], columns=["cat"], **words)
        >>> [button.label for button in fig.layout.updatemenus[0].buttons]
        ['plain', 'matryoshka']
    """
    return heatmap(mapping("matrices", matrices, "name to matrix"), **options)


def _traces(panels: list[Panel], axes: list[str], span: float | None) -> list[go.Heatmap]:
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


def _ticks(labels: list[str]) -> dict[str, Any]:
    """Where labels are long, they are cut in the ticks and whole in the hover text; else plotly drops some where there is no room."""
    if max(map(len, labels)) <= _TICK_CHARACTERS:
        return {"tickmode": "auto"}
    n = len(labels)
    every = math.ceil(n / 40)
    aside = 2e-4 * n  # plotly would hover the tick's text where a tick stands within 1e-4 of an axis' length
    places = [round(k + aside, 4) for k in range(0, n, every)]
    return {"tickmode": "array", "tickvals": places, "ticktext": short_labels(labels, _TICK_CHARACTERS)[::every]}


def _lay_out(fig: go.Figure, panels: list[Panel], axes: list[str], ticks: dict[str, Any], height: int | None) -> None:
    """The axes, the size, and the words above the colours."""
    n_rows, n_columns = (max(panel.cells.shape[i] for panel in panels) for i in (0, 1))
    longest = max(len(label) for panel in panels for label in panel.columns)
    below = 8 + int(6.5 * min(longest, _TICK_CHARACTERS)) if n_columns > 6 or longest > 6 else 0
    row_axis, column_axis, value = axes
    frame = {"showgrid": False, "zeroline": False, "showline": True, "mirror": True, "type": "category", "ticks": ""}
    fig.update_xaxes(**axis_options(column_axis, **frame, **ticks["xaxis"]))
    fig.update_yaxes(**axis_options(row_axis, **frame, autorange="reversed", **ticks["yaxis"]))
    fig.layout.height += (height if height is not None else int(min(560, max(180, 20 * n_rows + 20)))) + below
    boxes = [trace.hovertemplate.split("<extra>")[0] + max(trace.x, key=len) + max(trace.y, key=len) for trace in fig.data]
    fit_hover_boxes(fig, boxes)
    place = {"x": 0.5, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 34}
    fig.update_layout(annotations=[{**place, "text": drawn.wrapped(value, 44), "showarrow": False}])


def _menu(names: list[str], ticks: list[dict[str, Any]]) -> dict[str, Any]:
    """Buttons, or a list where their names are long: each shows one panel, and its ticks where these differ."""
    buttons = []
    for k, name in enumerate(short_labels(names)):
        button = {"label": name, "method": "restyle", "args": [{"visible": [j == k for j in range(len(names))]}]}
        if any(tick != ticks[0] for tick in ticks):
            change = {f"{axis}.{part}": tick for axis, its in ticks[k].items() for part, tick in its.items()}
            button |= {"method": "update", "args": [*button["args"], change]}
        buttons.append(button)
    in_a_row = sum(7.2 * len(name) + 24 for name in names) <= 330
    return {
        "type": "buttons" if in_a_row else "dropdown",
        "direction": "right" if in_a_row else "down",
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
