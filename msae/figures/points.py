"""Points: repeated measurements, pairs of them, comparisons and ratios."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from msae.figures.style import (
    COLORS,
    LEGEND,
    axis_of,
    empty_figure,
    few_ticks,
    is_list,
    listed,
    log_ticks,
    lying_axis,
    make_room,
    prose,
    role,
    rounded_together,
    row_ticks,
    shortened,
    span_of,
    style_of,
    styles_of,
    translucent,
)
from msae.support import arguments, drawn


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
    (axis,) = prose(axis=axis)
    names = drawn.words(values)
    rows = [drawn.array(v, f"values of {arguments.shown(key)}", 1) for key, v in values.items()]
    numbers = rounded_together([*rows, np.array([np.median(a) for a in rows])])
    fig = empty_figure(title, alt, height=58 * len(names) + 20)
    hover = f"<br>{drawn.hovered(axis)} <b>%{{x:{drawn.NUMBER}}}</b><extra></extra>"
    for k, (key, said, short, a) in enumerate(zip(values, drawn.hovered_apart(names), shortened(names, LEGEND), rows)):
        colour, symbol, _ = style_of(str(key), k)
        spread = ((np.arange(len(a)) * 0.6180339887) % 1 - 0.5) * 0.5 if len(a) > 1 else np.zeros(1)
        fig.add_trace(
            go.Scatter(
                x=numbers[k],
                y=np.round(k + spread, 3).tolist(),
                mode="markers",
                name=short,
                customdata=list(np.arange(len(a)).tolist()),
                marker={"color": translucent(colour, 0.75), "symbol": symbol, "size": 9, "line": {"width": 1, "color": colour}},
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
    make_room(fig, [trace.hovertemplate for trace in fig.data])
    fig.update_layout(showlegend=False)
    ends = list(span_of(np.concatenate(rows), 0.06)) if range is None else [low, high]
    in_lines = [drawn.lines(name, 16) for name in drawn.cut_apart(names, 44)]  # a row has room for three
    lying_axis(fig, axis, itertools.chain(*in_lines), type="linear", range=ends, zeroline=False, nticks=few_ticks(ends, 7))
    fig.update_yaxes(**axis_of("", **row_ticks(names), type="linear"))
    fig.layout.yaxis.ticktext = ["<br>".join(drawn.escaped(row.rstrip(" ")) for row in label) for label in in_lines]
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
        raise ValueError(f"compare shows at most four things side by side, got {len(keys)}: {listed(keys)}")
    (axis,) = prose(axis=axis)
    names, labels = drawn.words(keys), drawn.words(rows)
    measured = {}
    for label, its in rows.items():
        for key, value in its.items():
            a = drawn.array(value if is_list(value) else [value], f"{arguments.shown(key)} of {arguments.shown(label)}", 1)
            if len(a) not in (1, 3) or (len(a) == 3 and a[1] > a[2]):
                raise ValueError(
                    f"{arguments.shown(key)} of {arguments.shown(label)} must be a number, or (value, low, high) with low ≤ high, "
                    f"got {arguments.shown(a.tolist())}"
                )
            measured[label, key] = a
    numbers = dict(zip(measured, rounded_together(list(measured.values()))))
    fig = empty_figure(title, alt, height=(16 + 14 * len(names)) * len(rows) + 20, bottom=26)
    styles = styles_of([str(key) for key in keys])
    for k, (key, name, short, style) in enumerate(zip(keys, drawn.hovered_apart(names), shortened(names, LEGEND), styles)):
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
    make_room(fig, [f"{said}<br>{drawn.hovered(axis)}" for trace in fig.data for said in trace.customdata or ()])
    fig.update_layout(showlegend=len(names) > 1)
    whole = span_of(np.concatenate(list(measured.values())), 0.05)
    lying_axis(fig, axis, drawn.cut_apart(labels, 22), type="linear", nticks=few_ticks(whole, 7), zeroline=False)
    fig.update_yaxes(**axis_of("", type="linear", **row_ticks(labels)))
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
    if isinstance(labels, (set, frozenset, Mapping)) or not is_list(labels):
        raise ValueError(f"labels must be a list, got {arguments.shown(labels)}")
    if not len(a) == len(b) == len(labels):
        raise ValueError(f"x, y and labels must be equally long, got {len(a)}, {len(b)} and {len(labels)}")
    x_name, y_name, axis = prose(x_name=x_name, y_name=y_name, axis=axis)
    fig = empty_figure(title, alt, height=330, bottom=26)
    ends = list(span_of(np.concatenate([a, b]), 0.04))
    across, up = rounded_together([a, b])
    said = [f"{drawn.hovered(name)} <b>%{{{which}:{drawn.NUMBER}}}</b>" for name, which in ((x_name, "x"), (y_name, "y"))]
    dots = drawn.hovered_apart([drawn.visible(label) for label in labels])
    diagonal = {"color": COLORS["truth"], "dash": "dot", "width": 1.5}
    fig.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=diagonal, hoverinfo="skip", name="equal"))
    for name, chosen, (colour, symbol, _) in zip((y_name, x_name), (b > a, b <= a), styles_of([y_name, x_name])):
        fig.add_trace(
            go.Scatter(
                x=list(itertools.compress(across, chosen)),
                y=list(itertools.compress(up, chosen)),
                mode="markers",
                name=f"{drawn.escaped(drawn.cut(name, LEGEND))} larger",
                customdata=list(itertools.compress(dots, chosen)),
                marker={"color": translucent(colour, 0.7), "symbol": symbol, "size": 8, "line": {"width": 1, "color": colour}},
                hovertemplate=f"%{{customdata}}<br>{said[0]}<br>{said[1]}<extra></extra>",
            )
        )
    make_room(fig, [f"{dot}<br>{said[0]}<br>{said[1]}" for dot in dots])
    fig.update_layout(showlegend=True)
    fig.update_xaxes(**axis_of(f"{axis}, {x_name}", type="linear", nticks=few_ticks(ends, 6), zeroline=False, range=ends))
    fig.update_yaxes(**axis_of(f"{axis}, {y_name}", type="linear", nticks=6, zeroline=False, range=ends))
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
    axis, one = prose(axis=axis, one=one)
    measured: dict[tuple[Any, Any], np.ndarray] = {}
    for heading, its in groups.items():
        for label, values in its.items():
            a = measured[heading, label] = drawn.array(values, f"ratios of {arguments.shown(label)}", 1)
            if a.min() <= 0:
                raise ValueError(f"ratios must be positive, {arguments.shown(label)} has {a.min():g}")
    *rounded, middles = rounded_together([*measured.values(), np.array([np.median(a) for a in measured.values()])])
    numbers, medians = dict(zip(measured, rounded)), dict(zip(measured, middles))
    said_one = drawn.wrapped(one, 26)
    above = 18 * said_one.count("<br>")  # the first line lies beside the first heading
    fig = empty_figure(title, alt, height=25 * (len(groups) + len(measured)) + 20 + above)
    ticks: list[str] = []
    headings = drawn.words(groups)
    for (heading, its), shown, said_heading, heading_tick in zip(
        groups.items(), headings, drawn.hovered_apart(headings), shortened(headings, 22)
    ):
        ticks.append(f"<b>{heading_tick}</b>")
        names = drawn.words(its)
        for label, name, said_name, tick in zip(its, names, drawn.hovered_apart(names), shortened(names, 22)):
            role_name = role(str(label).rsplit(", ", 1)[-1])
            colour, symbol, _ = style_of(role_name if role_name in COLORS else "truth", 0)
            n = len(measured[heading, label])
            mark = {"symbol": "line-ns", "size": 18, "color": colour, "line": {"width": 3, "color": colour}}
            for x, what, marker, said in (
                (numbers[heading, label], "", {"color": translucent(colour, 0.6), "symbol": symbol, "size": 7}, "one round"),
                ([medians[heading, label]], "median of ", mark, f"median of {n}"),
            ):
                fig.add_trace(
                    go.Scatter(
                        x=x,
                        y=[len(ticks)] * len(x),
                        mode="markers",
                        name=f"{drawn.escaped(drawn.cut(shown, LEGEND))}, {what}{drawn.escaped(drawn.cut(name, LEGEND))}",
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
    make_room(fig, [trace.hovertemplate for trace in fig.data])
    fig.update_layout(showlegend=False)
    beside = [drawn.cut(label, 22) for label in itertools.chain(headings, *map(drawn.words, groups.values()))]
    lying_axis(fig, axis, beside, type="log", range=span, zeroline=False, **log_ticks(lowest, highest))
    rows = {"tickvals": list(range(len(ticks))), "ticktext": ticks, "range": [len(ticks) - 0.5, -0.5 - above / 25]}
    fig.update_yaxes(**axis_of("", type="linear", **rows, showgrid=False, zeroline=False))
    return fig
