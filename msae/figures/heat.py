"""Matrices: one, or several that are compared place by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import plotly.graph_objects as go

from msae.figures.axes import axis_options
from msae.figures.cells import FRAME, fit_cell_boxes, height_of, label_ticks, room_below, traces_of, value_above
from msae.figures.frame import Words, empty_figure, short_labels
from msae.figures.given import mapping, prose
from msae.figures.matrices import Panel, panels_of
from msae.figures.side_by_side import lay_side_by_side
from msae.support import arguments

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from msae.figures.given import Numbers

    _Labels: TypeAlias = Sequence[object] | Mapping[str, Sequence[object]]


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
    together: bool


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
    together: bool = False,
) -> go.Figure:
    """A matrix as coloured cells, the first row on top; hover says row, column and value in words.

    Several matrices lie in one panel, and buttons or a menu choose which one is seen, without a kernel; or `together`, each in a panel of
    its own beneath its name: side by side, on a narrow page of the book one below the other.

    Args:
        matrix: (n_rows, n_columns) numbers, at most 200 × 200; on [-1, 1] when `diverging`, else not negative. Or name → matrix, of
            which the first one is seen at first (`together`: all are); one scale for all.
        title: the claim of the figure.
        alt: the figure in a sentence, for readers who cannot see it.
        rows: one label for each row; or, where several matrices differ in them, name → labels.
        columns: one label for each column; or name → labels.
        row_axis: what a row is, for example "latent".
        column_axis: what a column is, for example "feature".
        value: what a cell is, for example "cosine" or "activation".
        diverging: cosines around zero (True) or activations from zero up (False).
        span: where a diverging scale ends on both sides; smaller than 1 for differences, and what lies beyond has the colour of the end.
        height: of the cells of a panel, in pixels; the default follows the number of rows.
        together: several matrices side by side, at most 12, instead of one at a time.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, no matrix, labels that do not fit the matrix, values outside the scale or not finite, a matrix
            too large for a page, or more than 12 together.

    Example:
        >>> from msae import figures
        >>> axes = {"row_axis": "latent", "column_axis": "feature"}
        >>> fig = figures.heatmap([[1, 0.5]], rows=["S/0"], columns=["cat", "dog"], title="t", alt="Both are found.", **axes)
        >>> fig.data[0].z
        ([1, 0.5],)
    """
    diverging, span = arguments.yes_or_no("diverging", diverging), arguments.number("span", span, above=0)
    together = arguments.yes_or_no("together", together)
    height = None if height is None else arguments.whole("height", height, 1, 10_000)
    axes = prose(row_axis=row_axis, column_axis=column_axis, value=value)
    panels = panels_of(matrix, rows, columns, diverging)
    together = together and len(panels) > 1
    fig = empty_figure(Words(title, alt), height=0, top=46 + (0 if together or len(panels) == 1 else 44))
    fig.add_traces(traces_of(panels, axes, span if diverging else None))
    (lay_side_by_side if together else _lay_on_one_another)(fig, panels, axes, height)
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


def _lay_on_one_another(fig: go.Figure, panels: list[Panel], axes: list[str], height: int | None) -> None:
    """The axes, the size, the words above the colours, and the buttons between several panels."""
    row_axis, column_axis, value = axes
    ticks = [{"xaxis": label_ticks(panel.columns), "yaxis": label_ticks(panel.rows)} for panel in panels]
    fig.update_xaxes(**axis_options(column_axis, **FRAME, **ticks[0]["xaxis"]))
    fig.update_yaxes(**axis_options(row_axis, **FRAME, autorange="reversed", **ticks[0]["yaxis"]))
    fig.layout.height += height_of(panels, height, 20) + room_below(panels)
    fit_cell_boxes(fig)
    fig.update_layout(annotations=[value_above(value)])
    if len(panels) > 1:
        fig.update_layout(updatemenus=[_menu([panel.name for panel in panels], ticks)])


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
