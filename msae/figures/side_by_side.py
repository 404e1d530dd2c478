"""Several matrices at once: side by side, and on a narrow page one below the other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import plotly.graph_objects as go

from msae.figures.axes import axis_options
from msae.figures.cells import FRAME, TICK_CHARACTERS, fit_cell_boxes, height_of, label_ticks, room_below, value_above
from msae.figures.matrices import Panel
from msae.figures.style import COLORS, role
from msae.support import drawn

MOST_TOGETHER = 12
"""Panels of one figure."""

_IN_A_ROW = 4
_WIDTH = 660
"""Pixels of all panels of a row on a wide page, about."""


class _Beside(NamedTuple):
    """What stands beside and beneath panels."""

    row_axis: str
    """What a row is, as plotly draws it; it stands once beside a row of panels."""

    column_axis: str
    """What a column is, as plotly draws it."""

    room: tuple[int, int]
    """Pixels that the labels of rows and those of columns take, with the names of their axes."""

    once: tuple[bool, bool]
    """Whether the labels of rows, and those of columns, are the same for all panels, so that they stand only at the edge."""


class _Grid(NamedTuple):
    """Where panels lie."""

    n_panels: int

    n_columns: int

    cells: int
    """Pixels from the top of a panel to its bottom."""

    name: int
    """Pixels of its name above it."""

    beside: _Beside

    @property
    def below(self) -> int:
        """Pixels from the bottom of a panel to the name of the next one beneath."""
        return 10 if self.beside.once[1] else self.beside.room[1]

    @property
    def height(self) -> int:
        """Pixels of all panels."""
        n_rows = math.ceil(self.n_panels / self.n_columns)
        return n_rows * (self.name + self.cells) + (n_rows - 1) * self.below

    def axes(self, k: int) -> dict[str, Any]:
        """What is said of the axes of the k-th panel, by plotly's names of parts: "yaxis2.domain"."""
        row, column = divmod(k, self.n_columns)
        top = self.height - row * (self.name + self.cells + self.below) - self.name
        gap = (14 if self.beside.once[0] else self.beside.room[0]) / _WIDTH
        width = (1 - gap * (self.n_columns - 1)) / self.n_columns
        left = column * (width + gap)
        at_the_bottom = k + self.n_columns >= self.n_panels or not self.beside.once[1]
        own = str(k + 1) if k else ""
        return {
            f"xaxis{own}.domain": [round(left, 4), round(left + width, 4)],
            f"xaxis{own}.showticklabels": at_the_bottom,
            f"xaxis{own}.title.text": self.beside.column_axis if at_the_bottom else "",
            f"yaxis{own}.domain": [round((top - self.cells) / self.height, 4), round(top / self.height, 4)],
            f"yaxis{own}.showticklabels": column == 0 or not self.beside.once[0],
            f"yaxis{own}.title.text": "" if column else self.beside.row_axis,
        }


def lay_side_by_side(fig: go.Figure, panels: list[Panel], axes: list[str], height: int | None) -> None:
    """Give each trace of a figure, one a panel, axes of its own and its name above them; one scale of colours for all.

    What is otherwise on a narrow page stands in `layout.meta["narrow"]`: `taller` by so many pixels, and the `changes` of the layout.

    Raises:
        ValueError: more than `MOST_TOGETHER` panels.
    """
    n = len(panels)
    if n > MOST_TOGETHER:
        raise ValueError(f"together=True draws at most {MOST_TOGETHER} matrices side by side, got {n}; use together=False")
    n_columns = math.ceil(n / math.ceil(n / _IN_A_ROW))
    width = min(28, _WIDTH // n_columns // 8)  # a telephone has room for 28
    beside = _beside(panels, axes, width)
    name = 6 + 18 * max(len(_name_lines(panel.name, width)) for panel in panels)
    wide = _Grid(n, n_columns, height_of(panels, height, 15), name, beside)
    narrow = _Grid(n, 1, height_of(panels, height, 10), name, beside)
    for k, (trace, panel) in enumerate(zip(fig.data, panels)):
        own = str(k + 1) if k else ""
        trace.update(xaxis=f"x{own}", yaxis=f"y{own}", visible=True, showscale=k == 0)
        x = axis_options("", **FRAME, **label_ticks(panel.columns), anchor=f"y{own}")
        y = axis_options("", **FRAME, **label_ticks(panel.rows), autorange="reversed", anchor=f"x{own}")
        fig.update_layout({f"xaxis{own}": x, f"yaxis{own}": y})
        fig.update_layout(wide.axes(k))
        fig.add_annotation(_name(panel.name, own, width))
    fig.add_annotation(value_above(axes[2]))
    fig.layout.height += wide.height + room_below(panels)
    fit_cell_boxes(fig)
    changes = {part: value for k in range(n) for part, value in narrow.axes(k).items()}
    fig.layout.meta = {**fig.layout.meta, "narrow": {"taller": narrow.height - wide.height, "changes": changes}}


def _beside(panels: list[Panel], axes: list[str], width: int) -> _Beside:
    """What stands beside panels in which a line has room for so many characters."""
    characters = min(TICK_CHARACTERS, max(len(label) for panel in panels for label in panel.rows))
    return _Beside(
        row_axis=axis_options(axes[0])["title"]["text"],
        column_axis=drawn.wrapped(axes[1], width),
        room=(24 + 7 * characters, room_below(panels) + 48),
        once=(all(panel.rows == panels[0].rows for panel in panels), all(panel.columns == panels[0].columns for panel in panels)),
    )


def _name_lines(name: str, width: int) -> list[str]:
    return drawn.lines(drawn.cut(name, 3 * width), width)


def _name(name: str, own: str, width: int) -> dict[str, Any]:
    """The name of a panel above it, in the colour of its role."""
    colour = COLORS.get(role(name))
    return {
        "text": "<b>" + "<br>".join(drawn.escaped(line.rstrip(" ")) for line in _name_lines(name, width)) + "</b>",
        **{"x": 0.5, "xref": f"x{own} domain", "xanchor": "center", "y": 1, "yref": f"y{own} domain", "yanchor": "bottom"},
        "showarrow": False,
        **({"font": {"color": colour}} if colour else {}),
    }
