"""The same measurement of two or more things: side by side in rows, or as pairs about the diagonal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from msae.figures.axes import axis_options, few_ticks, padded_ends, row_labels, row_ticks, set_x_axis_under_rows, whole_ticks
from msae.figures.digits import NUMBER, from_to, number, rounded_together
from msae.figures.frame import LEGEND_CHARACTERS, Words, empty_figure, fit_hover_boxes, short_label, short_labels
from msae.figures.given import array, is_list, listed, mapping_of_mappings, prose
from msae.figures.style import COLORS, Style, styles_of, translucent
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from msae.figures.given import Numbers


class _Mark(NamedTuple):
    """One value of one row."""

    label: str
    """Of the row, as it is hovered."""

    at: float
    """Where the mark lies on the upright axis."""

    value: float
    """Rounded as it is drawn."""

    low_high: list[float]
    """The ends of its whisker; empty where it has none."""


def compare(
    rows: Mapping[str, Mapping[str, float | Sequence[float]]],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    axis: str,
) -> go.Figure:
    """The same measurement of two or more things, one label a row, each value a mark with a whisker where its interval is known.

    Args:
        rows: label → name → a number, or (value, low, high); names as for the other figures ("plain", "matryoshka"), at most four. A row
            may lack a name. The whisker need not hold the value: that of a maximum often does not.
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.
        lead: instead of `alt`, its first sentence; the numbers are added, "label, name: value, from low to high".
        axis: what the numbers are, with their unit.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite, or a low above its high.

    Example:
        >>> from msae import figures
        >>> rates = {"she": {"plain": (0.5, 0.4, 0.6), "matryoshka": 0}}
        >>> fig = figures.compare(rates, title="t", lead="Hole rates.", axis="hole rate")
        >>> fig.layout.meta["alt"]
        'Hole rates. she, plain: 0.5, from 0.4 to 0.6; she, matryoshka: 0.'
    """
    rows = mapping_of_mappings("rows", rows, "label to row", "name to number")
    keys = list(dict.fromkeys(name for its in rows.values() for name in its))
    if not keys:
        raise ValueError("compare needs at least one row with at least one value, got none")
    if len(keys) > 4:
        raise ValueError(f"compare shows at most four things side by side, got {len(keys)}: {listed(keys)}")
    (axis,) = prose(axis=axis)
    names, labels = drawn.words(keys), drawn.words(rows)
    measured = {(label, key): _value(value, label, key) for label, its in rows.items() for key, value in its.items()}
    numbers = dict(zip(measured, rounded_together(list(measured.values()))))
    beside = row_labels(labels)
    said = _said(numbers, dict(zip(rows, labels)), dict(zip(keys, names)))
    fig = empty_figure(Words(title, alt, lead), said, height=max(16 + 14 * len(names), beside.height) * len(rows) + 20, bottom=26)
    hovered, styles = drawn.hovered_apart(labels), styles_of([str(key) for key in keys])
    for k, (key, name, short, style) in enumerate(zip(keys, drawn.hovered_apart(names), short_labels(names), styles)):
        aside = 0.24 * (k - (len(names) - 1) / 2)
        found = [(label, i, numbers[row, key]) for i, (row, label) in enumerate(zip(rows, hovered)) if (row, key) in numbers]
        marks = [_Mark(label, round(i + aside, 3), value, ends) for label, i, (value, *ends) in found]
        fig.add_traces(_marks(marks, style, name, axis, legendgroup=str(k), name=short))
    fit_hover_boxes(fig, [f"{text}<br>{drawn.hovered(axis)}" for trace in fig.data for text in trace.customdata or ()])
    fig.update_layout(showlegend=len(names) > 1)
    ends = padded_ends(np.concatenate(list(measured.values())), 0.05)  # of the whiskers, too
    ticks = whole_ticks(list(measured.values()), few_ticks(ends, 7))
    set_x_axis_under_rows(fig, axis, beside.every_line, type="linear", zeroline=False, range=ends, **ticks)
    fig.update_yaxes(**axis_options("", type="linear", **row_ticks(beside)))
    return fig


def _value(value: Any, label: Any, key: Any) -> np.ndarray:
    """(1,) a number, or (3,) with its low and its high."""
    what = f"{arguments.shown(key)} of {arguments.shown(label)}"
    a = array(value if is_list(value) else [value], what, 1)
    if len(a) not in (1, 3) or (len(a) == 3 and a[1] > a[2]):
        raise ValueError(f"{what} must be a number, or (value, low, high) with low ≤ high, got {arguments.shown(a.tolist())}")
    return a


def _said(numbers: Mapping[Any, Any], labels: Mapping[Any, str], names: Mapping[Any, str]) -> list[str]:
    """Each value in words; the name is left out where all have one."""
    of = [labels[label] + (f", {names[key]}" if len(names) > 1 else "") for label, key in numbers]
    shown = drawn.cut_apart(of, 2 * LEGEND_CHARACTERS)
    return [f"{what}: {number(value)}{from_to(ends)}" for what, (value, *ends) in zip(shown, numbers.values())]


def _marks(marks: list[_Mark], style: Style, said: str, axis: str, **shared: str) -> list[go.Scatter]:
    """The whiskers of one name, and its marks upon them."""
    whiskers = [mark for mark in marks if mark.low_high]
    return [
        go.Scatter(
            x=[end for mark in whiskers for end in (*mark.low_high, None)],
            y=[end for mark in whiskers for end in (mark.at, mark.at, None)],
            mode="lines",
            line={"color": style.color, "width": 2},
            hoverinfo="skip",
            showlegend=False,
            **shared,
        ),
        go.Scatter(
            x=[mark.value for mark in marks],
            y=[mark.at for mark in marks],
            mode="markers",
            customdata=[f"{mark.label}<br>{said} <b>{number(mark.value)}</b>{from_to(mark.low_high)}" for mark in marks],
            marker={"color": style.color, "symbol": style.symbol, "size": 9},
            hovertemplate=f"%{{customdata}}<br>{drawn.hovered(axis)}<extra></extra>",
            **shared,
        ),
    ]


def pairs(x: Numbers, y: Numbers, *, title: str, alt: str, x_name: str, y_name: str, axis: str, labels: Sequence[object]) -> go.Figure:
    """One dot for each of many things that were measured twice, and the diagonal on which both are equal.

    Args:
        x: (n,) one measurement.
        y: (n,) the other, drawn on an equal axis.
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.
        x_name: of what x was measured, such as "plain": a dot has the colour and the shape of the one that is larger.
        y_name: of what y was measured, such as "matryoshka".
        axis: what the numbers are, with their unit.
        labels: (n,) what each dot is.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite, or lists of different lengths.

    Example:
        >>> from msae import figures
        >>> names = {"x_name": "plain", "y_name": "matryoshka"}
        >>> fig = figures.pairs([1, 2], [3, 1], **names, axis="loss", labels=["cat", "dog"], title="t", alt="Two losses.")
        >>> [(trace.name, trace.customdata) for trace in fig.data[1:]]
        [('matryoshka larger', ('cat',)), ('plain larger', ('dog',))]
    """
    a, b = array(x, "x", 1), array(y, "y", 1)
    if isinstance(labels, (set, frozenset, Mapping)) or not is_list(labels):
        raise ValueError(f"labels must be a list, got {arguments.shown(labels)}")
    if not len(a) == len(b) == len(labels):
        raise ValueError(f"x, y and labels must be equally long, got {len(a)}, {len(b)} and {len(labels)}")
    x_name, y_name, axis = prose(x_name=x_name, y_name=y_name, axis=axis)
    fig = empty_figure(Words(title, alt), height=330, bottom=26)
    ends = list(padded_ends(np.concatenate([a, b]), 0.04))
    across, up = rounded_together([a, b])
    said = "<br>".join(f"{drawn.hovered(name)} <b>%{{{which}:{NUMBER}}}</b>" for name, which in ((x_name, "x"), (y_name, "y")))
    dots = drawn.hovered_apart([drawn.visible(label) for label in labels])
    diagonal = {"color": COLORS["truth"], "dash": "dot", "width": 1.5}
    fig.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=diagonal, hoverinfo="skip", name="equal"))
    for name, chosen, style in zip((y_name, x_name), (b > a, b <= a), styles_of([y_name, x_name])):
        outline = {"width": 1, "color": style.color}
        fig.add_trace(
            go.Scatter(
                x=list(itertools.compress(across, chosen)),
                y=list(itertools.compress(up, chosen)),
                mode="markers",
                name=f"{short_label(name)} larger",
                customdata=list(itertools.compress(dots, chosen)),
                marker={"color": translucent(style.color, 0.7), "symbol": style.symbol, "size": 8, "line": outline},
                hovertemplate=f"%{{customdata}}<br>{said}<extra></extra>",
            )
        )
    fit_hover_boxes(fig, [f"{dot}<br>{said}" for dot in dots])
    fig.update_layout(showlegend=True)
    fig.update_xaxes(**axis_options(f"{axis}, {x_name}", type="linear", nticks=few_ticks(ends, 6), zeroline=False, range=ends))
    fig.update_yaxes(**axis_options(f"{axis}, {y_name}", type="linear", nticks=6, zeroline=False, range=ends))
    return fig
