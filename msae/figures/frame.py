"""The empty figure: its claim, its words for readers who cannot see it, and its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from msae.support import arguments, drawn

LEGEND_CHARACTERS = 40
"""Characters of a name in a legend or on a button."""

_TITLE_CHARACTERS = 44
"""A title line of this length fits a telephone 390 pixels wide."""

_MAX_HEIGHT = 60_000


class Words(NamedTuple):
    """What is said of a figure: its claim, and what a reader who cannot see it needs to know."""

    title: str
    """The claim that the figure makes."""

    alt: str | None
    """The figure in words; None where it is composed."""

    lead: str | None = None
    """The sentence with which a composed text begins; None where the text is given."""


def empty_figure(words: Words, said: Iterable[str] = (), *, height: int, top: int = 0, bottom: int = 0) -> go.Figure:
    """An empty figure in the book's style.

    Args:
        words: its claim, and its text for readers who cannot see it or the sentence with which that begins.
        said: the numbers that follow a leading sentence, each in words.
        height: of the plot itself, in pixels.
        top: pixels wanted above the plot beside those of the title.
        bottom: pixels wanted below it beside those of the axis.
    """
    title = words.title
    if not isinstance(title, str) or not title.strip():
        raise ValueError(f"a figure needs title=, one sentence with its claim, got {title!r}")
    alt = _alt_of(words, said)
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
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom", "itemwidth": 40},
    )
    return fig


def _alt_of(words: Words, said: Iterable[str]) -> str:
    """The text that is given as it is, or the leading sentence with the numbers behind it."""
    alt, lead = words.alt, words.lead
    if lead is None:
        if not isinstance(alt, str) or not alt.strip():
            raise ValueError(f"a figure needs alt=, a sentence for readers who cannot see it, got {alt!r}")
        return alt
    if not arguments.text("lead", lead).strip():
        raise ValueError(f"lead must be a sentence, to which the numbers of the figure are added, got {lead!r}")
    if alt is not None:
        raise ValueError("a figure takes alt=, all that is said of it, or lead=, to which its numbers are added, got both")
    return f"{lead.strip()} {'; '.join(said)}."


def fit_hover_boxes(fig: go.Figure, boxes: Iterable[str]) -> None:
    """Make a figure as high as the highest of its hover boxes: plotly leaves out a box that does not fit.

    A page takes the title out of the figure, and leaves 40 pixels above the axes.
    """
    n_lines = 1 + max(box.count("<br>") for box in boxes)
    fig.layout.height += max(0, 18 * n_lines + 12 - (fig.layout.height - fig.layout.margin.t + 40))


def short_labels(labels: Sequence[str], limit: int = LEGEND_CHARACTERS) -> list[str]:
    """Labels for ticks, legends and buttons, as plotly draws them; those whose beginnings are alike stay apart."""
    return [drawn.escaped(label) for label in drawn.cut_apart(list(labels), limit)]


def short_label(label: str) -> str:
    """One label for a legend or a button, as plotly draws it."""
    return drawn.escaped(drawn.cut(label, LEGEND_CHARACTERS))
