"""Repeated measurements: a dot for each, and a line through their median."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from msae.figures.axes import (
    ROW_CHARACTERS,
    axis_options,
    few_ticks,
    log_ticks,
    padded_ends,
    row_labels,
    row_ticks,
    set_x_axis_under_rows,
    whole_ticks,
)
from msae.figures.digits import NUMBER, from_to, number, rounded_together
from msae.figures.frame import LEGEND_CHARACTERS, Words, empty_figure, fit_hover_boxes, short_label, short_labels
from msae.figures.given import array, is_list, mapping, mapping_of_mappings, prose
from msae.figures.style import COLORS, Style, row_role, style_of, translucent
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from msae.figures.given import Numbers


class _Row(NamedTuple):
    """The measurements of one row, rounded as they are drawn."""

    label: str
    """What it is of, as one sees it."""

    values: list[float]
    """(n_measurements,)"""

    median: float
    """The number in the middle of them."""


def dots(
    values: Mapping[str, Numbers],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    axis: str,
    range: tuple[float, float] | None = None,
    each: str | Sequence[str] = "seed",
) -> go.Figure:
    """One dot per seed (or draw, or word) for each name, one name a row, the median marked by an upright line.

    The dots of a row are spread upwards and downwards by a fixed pattern, so that equal values stay visible and every run draws the same.

    Args:
        values: name → (n_dots,) numbers; colours and shapes by role name ("plain", "sampled", "all prefixes", …).
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.
        lead: instead of `alt`, its first sentence; the numbers are added, "name: median, from the least to the largest".
        axis: what the numbers are, with their unit.
        range: of the axis; by default wide enough for all.
        each: what a dot is, to which its number is added when it is hovered ("seed 3"); or the name of each dot of every row.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, nothing to show, values that are not finite, or not one name for each dot.

    Example:
        >>> from msae import figures
        >>> fig = figures.dots({"plain": [0.9, 1, 1], "all prefixes": [0]}, title="t", lead="One dot per seed.", axis="hole rate")
        >>> fig.layout.meta["alt"]
        'One dot per seed. plain: median 1, from 0.9 to 1; all prefixes: 0.'
    """
    if not mapping("values", values, "name to numbers"):
        raise ValueError("dots needs at least one row of values, got none")
    ends = None if range is None else _ends_of(range)
    (axis,) = prose(axis=axis)
    names = drawn.words(values)
    measured = [array(v, f"values of {arguments.shown(key)}", 1) for key, v in values.items()]
    rows = _rows(names, measured)
    dot, dot_names = _dot_names(each, [len(a) for a in measured])
    fig = empty_figure(Words(title, alt, lead), _said(rows), height=58 * len(names) + 20)
    hover = f"<br>{drawn.hovered(axis)} <b>%{{x:{NUMBER}}}</b><extra></extra>"
    for k, (key, said, short, row, its) in enumerate(zip(values, drawn.hovered_apart(names), short_labels(names), rows, dot_names)):
        hovers = (f"{said}, {dot}%{{customdata}}{hover}", f"{said}, median of {len(its)}{hover}")
        fig.add_traces(_one_each(row, k, style_of(str(key), k), name=short, hovers=hovers, dots=its))
    fit_hover_boxes(fig, [trace.hovertemplate for trace in fig.data])
    fig.update_layout(showlegend=False)
    ends = ends or list(padded_ends(np.concatenate(measured), 0.06))
    beside = row_labels(names, 16, 44)  # a row has room for three lines
    ticks = whole_ticks(measured, few_ticks(ends, 7))
    set_x_axis_under_rows(fig, axis, beside.every_line, type="linear", range=ends, zeroline=False, **ticks)
    fig.update_yaxes(**axis_options("", **row_ticks(beside), type="linear"))
    return fig


def _ends_of(given: Any) -> list[float]:
    try:
        low, high = array(given, "range", 1).tolist()
    except ValueError:
        low = high = 0.0
    if low >= high:
        raise ValueError(f"range must be two finite numbers, from low to high, got {arguments.shown(given)}")
    return [low, high]


def _rows(labels: Sequence[str], measured: Sequence[np.ndarray]) -> list[_Row]:
    *values, medians = rounded_together([*measured, np.array([np.median(a) for a in measured])])
    return list(map(_Row, labels, values, medians))


def _said(rows: Sequence[_Row]) -> Iterator[str]:
    """Each row in words: its median, and from where to where its measurements lie."""
    for label, row in zip(drawn.cut_apart([row.label for row in rows], LEGEND_CHARACTERS), rows):
        ends = (min(row.values), max(row.values))
        yield f"{label}: " + (number(row.median) if len(row.values) == 1 else f"median {number(row.median)}{from_to(ends)}")


def _dot_names(each: Any, counts: Sequence[int]) -> tuple[str, list[list[Any]]]:
    """What is said before each dot, and behind it for each dot of each row: "seed " and 3, or nothing and its own name."""
    if isinstance(each, str) and each.strip():
        return drawn.hovered(drawn.sentence("each", each)) + " ", [list(range(n)) for n in counts]
    if isinstance(each, (str, set, frozenset, Mapping)) or not is_list(each):
        raise ValueError(f"each must say what a dot is, or be a list with a name for each dot, got {arguments.shown(each)}")
    if wrong := [n for n in counts if n != len(each)]:
        raise ValueError(f"each must have a name for each dot of a row, got {len(each)} for {wrong[0]} dots")
    return "", [drawn.hovered_apart([drawn.visible(name) for name in each])] * len(counts)


def _one_each(row: _Row, at: int, style: Style, *, name: str, hovers: tuple[str, str], dots: list[Any]) -> list[go.Scatter]:
    """The dots of one name, spread about the height of their row; and their median."""
    n = len(row.values)
    spread = ((np.arange(n) * 0.6180339887) % 1 - 0.5) * 0.5 if n > 1 else np.zeros(1)
    return _marks(
        row,
        at,
        style.color,
        names=(name, f"median of {name}"),
        hovers=hovers,
        length=40,
        y=np.round(at + spread, 3).tolist(),
        customdata=dots,
        marker={
            "color": translucent(style.color, 0.75),
            "symbol": style.symbol,
            "size": 9,
            "line": {"width": 1, "color": style.color},
        },
    )


def _marks(
    row: _Row, at: int, color: str, *, names: tuple[str, str], hovers: tuple[str, str], length: int, **dots: Any
) -> list[go.Scatter]:
    """A dot for each measurement of a row, and an upright line through their median.

    Args:
        row: the measurements.
        at: where the row lies on the upright axis.
        color: of the line.
        names: of the dots, and of the median.
        hovers: what is hovered at the dots, and at the median.
        length: of the line, in pixels.
        dots: plotly's options for the dots.
    """
    line = {"symbol": "line-ns", "size": length, "color": color, "line": {"width": 3, "color": color}}
    return [
        go.Scatter(x=row.values, mode="markers", name=names[0], hovertemplate=hovers[0], **dots),
        go.Scatter(x=[row.median], y=[at], mode="markers", name=names[1], hovertemplate=hovers[1], marker=line),
    ]


def ratios(
    groups: Mapping[str, Mapping[str, Numbers]],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    axis: str,
    one: str,
) -> go.Figure:
    """Repeated measurements of ratios, one label a row under the heading of its group, the medians marked; a line stands at 1.

    Args:
        groups: heading → label → (n_measurements,) positive numbers. What stands behind a label's last comma is its role: "topk, plain"
            has the colour of "plain".
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.
        lead: instead of `alt`, its first sentence; the numbers are added, "heading, label: median, from the least to the largest".
        axis: what is divided by what.
        one: what a ratio of 1 equals.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite or not positive.

    Example:
        >>> from msae import figures
        >>> times = {"toy": {"all prefixes": [1.5, 1.6, 1.4]}}
        >>> fig = figures.ratios(times, title="t", lead="Time of a step.", axis="step / plain step", one="plain")
        >>> fig.layout.meta["alt"]
        'Time of a step. toy, all prefixes: median 1.5, from 1.4 to 1.6.'
    """
    groups = mapping_of_mappings("groups", groups, "heading to group", "label to ratios")
    if not groups or not all(groups.values()):
        raise ValueError("ratios needs at least one group with at least one row")
    axis, one = prose(axis=axis, one=one)
    measured = _measured(groups)
    headings = drawn.words(groups)
    labels = [f"{heading}, {name}" for heading, its in zip(headings, groups.values()) for name in drawn.words(its)]
    rows = _rows(labels, measured)
    said_one = drawn.wrapped(one, 26)
    above = 18 * said_one.count("<br>")  # the first line lies beside the first heading
    fig = empty_figure(Words(title, alt, lead), _said(rows), height=25 * (len(groups) + len(rows)) + 20 + above)
    ticks = _add_groups(fig, groups, rows, axis)
    lowest, highest = min(0.9, *(a.min() for a in measured)), max(1.1, *(a.max() for a in measured))
    first, last = math.log10(lowest), math.log10(highest)
    _add_line_at_one(fig, said_one, room_on_the_right=first + last > 0)
    fit_hover_boxes(fig, [trace.hovertemplate for trace in fig.data])
    fig.update_layout(showlegend=False)
    ends = [first - 0.04 * (last - first), last + 0.04 * (last - first)]
    beside = [drawn.cut(label, ROW_CHARACTERS) for label in itertools.chain(headings, *map(drawn.words, groups.values()))]
    set_x_axis_under_rows(fig, axis, beside, type="log", range=ends, zeroline=False, **log_ticks(lowest, highest))
    upright = {"tickvals": list(range(len(ticks))), "ticktext": ticks, "range": [len(ticks) - 0.5, -0.5 - above / 25]}
    fig.update_yaxes(**axis_options("", type="linear", **upright, showgrid=False, zeroline=False))
    return fig


def _measured(groups: Mapping[Any, Mapping[Any, Any]]) -> list[np.ndarray]:
    """The ratios of each label of each group."""
    measured = []
    for its in groups.values():
        for label, values in its.items():
            measured.append(array(values, f"ratios of {arguments.shown(label)}", 1))
            if measured[-1].min() <= 0:
                raise ValueError(f"ratios must be positive, {arguments.shown(label)} has {measured[-1].min():g}")
    return measured


def _add_groups(fig: go.Figure, groups: Mapping[Any, Mapping[Any, Any]], rows: Iterable[_Row], axis: str) -> list[str]:
    """Draw each row of each group; returns what stands beside the rows, a heading above those of its group."""
    ticks: list[str] = []
    rest = iter(rows)
    headings = drawn.words(groups)
    heading_ticks = short_labels(headings, ROW_CHARACTERS)
    for its, heading, said_heading, heading_tick in zip(groups.values(), headings, drawn.hovered_apart(headings), heading_ticks):
        ticks.append(f"<b>{heading_tick}</b>")
        names = drawn.words(its)
        for label, name, said, tick in zip(its, names, drawn.hovered_apart(names), short_labels(names, ROW_CHARACTERS)):
            row, last = next(rest), row_role(str(label))
            style = style_of(last if last in COLORS else "truth", 0)
            hover = f"{said_heading}: {said}<br>{drawn.hovered(axis)} <b>%{{x:{NUMBER}}}</b>, "
            fig.add_traces(
                _marks(
                    row,
                    len(ticks),
                    style.color,
                    names=(f"{short_label(heading)}, {short_label(name)}", f"{short_label(heading)}, median of {short_label(name)}"),
                    hovers=(f"{hover}one round<extra></extra>", f"{hover}median of {len(row.values)}<extra></extra>"),
                    length=18,
                    y=[len(ticks)] * len(row.values),
                    marker={"color": translucent(style.color, 0.6), "symbol": style.symbol, "size": 7},
                )
            )
            ticks.append(tick)
    return ticks


def _add_line_at_one(fig: go.Figure, said: str, *, room_on_the_right: bool) -> None:
    """An upright line at a ratio of 1, its words on the side where there is more room."""
    fig.add_shape(type="line", x0=1, x1=1, xref="x", y0=0, y1=1, yref="paper", line={"color": COLORS["truth"], "dash": "dot", "width": 1.5})
    right, left = {"xanchor": "left", "xshift": 4, "align": "left"}, {"xanchor": "right", "xshift": -4, "align": "right"}
    side = right if room_on_the_right else left
    fig.add_annotation(x=0, xref="x", **side, y=1, yref="paper", yanchor="top", text=said, showarrow=False)
