"""Lines, bars and histograms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from msae.figures.style import (
    COLORS,
    LEGEND,
    MAX_POINTS,
    NOISE,
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
    shortened,
    span_of,
    styles_of,
    translucent,
)
from msae.support import arguments, drawn


def lines(
    series: Mapping[str, Any],
    *,
    title: str,
    alt: str,
    x_axis: str,
    y_axis: str,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 300,
) -> go.Figure:
    """Curves by name, with a band where low and high are given; the legend stands below, a click on it hides a curve.

    Args:
        series: name → (x, y) or (x, y, low, high), each (n_points,). Curves of more than 1,000 points are thinned evenly, ends kept.
        x_axis, y_axis: what the numbers are, with their units. log_x, log_y: a logarithmic axis; values must then be positive.
        height: of the plot itself, in pixels.

    Raises:
        ValueError: no alt or title, nothing to show, parts of different lengths, values not finite, or not positive on a logarithmic axis.
    """
    if not drawn.mapping("series", series, "name to (x, y)"):
        raise ValueError("lines needs at least one curve, got none")
    log_x, log_y = arguments.yes_or_no("log_x", log_x), arguments.yes_or_no("log_y", log_y)
    height = arguments.whole("height", height, 1, 10_000)
    x_axis, y_axis = prose(x_axis=x_axis, y_axis=y_axis)
    names = drawn.words(series)
    several = len(names) > 1
    widths = [7.5 * min(len(n), LEGEND) + 55 for n in names]
    a_row = 2 if len(names) < 7 or 2 * max(widths) <= 340 else 1  # few may take some of the plot's own height
    rows = 1 if sum(widths) <= 340 else math.ceil(len(names) / a_row)
    fig = empty_figure(title, alt, height=height, bottom=26 * rows if several else 0)
    curves: list[list[np.ndarray]] = []
    for name, parts in series.items():
        if not is_list(parts) or isinstance(parts, (str, Mapping)):
            raise ValueError(f"series: the curve {arguments.shown(name)} must be (x, y) or (x, y, low, high), got {arguments.shown(parts)}")
        if len(parts) not in (2, 4):
            raise ValueError(f"the curve {arguments.shown(name)} must be (x, y) or (x, y, low, high), got {len(parts)} parts")
        arrays = [drawn.array(p, f"{what} of {arguments.shown(name)}", 1) for p, what in zip(parts, ("x", "y", "low", "high"))]
        if len({len(a) for a in arrays}) > 1:
            raise ValueError(
                f"the parts of the curve {arguments.shown(name)} must be equally long, got {', '.join(str(len(a)) for a in arrays)} points"
            )
        for wanted, values, option in ((log_x, arrays[:1], "log_x"), (log_y, arrays[1:], "log_y")):
            if wanted and min(a.min() for a in values) <= 0:
                raise ValueError(
                    f"the curve {arguments.shown(name)} has values that are not positive, so it cannot stand on a logarithmic axis; "
                    f"use {option}=False"
                )
        if len(arrays[0]) > MAX_POINTS:
            keep = np.unique(np.linspace(0, len(arrays[0]) - 1, MAX_POINTS).round().astype(int))
            arrays = [a[keep] for a in arrays]
        curves.append(arrays)
    at = rounded_together([curve[0] for curve in curves], 6)
    heights = rounded_together([curve[1] for curve in curves])
    styles = styles_of([str(key) for key in series])
    for k, (said, short, arrays, style) in enumerate(zip(drawn.hovered_apart(names), shortened(names, LEGEND), curves, styles)):
        colour, _, dash = style
        if len(arrays) == 4:
            fig.add_trace(
                go.Scatter(
                    x=at[k] + at[k][::-1],
                    y=drawn.apart(np.concatenate([arrays[3], arrays[2][::-1]]), 4),
                    fill="toself",
                    fillcolor=translucent(colour, 0.18),
                    line={"width": 0, "color": colour},
                    mode="lines",
                    hoverinfo="skip",
                    showlegend=False,
                    legendgroup=str(k),
                    name=short,
                )
            )
        fig.add_trace(
            go.Scatter(
                x=at[k],
                y=heights[k],
                mode="lines" if len(arrays[0]) > 1 else "markers",
                name=short,
                legendgroup=str(k),
                line={"color": colour, "width": 2.5, "dash": dash if several else "solid"},
                hovertemplate=f"{said}<br>{drawn.hovered(x_axis)} <b>%{{x:{drawn.NUMBER}}}</b><br>"
                f"{drawn.hovered(y_axis)} <b>%{{y:{drawn.NUMBER}}}</b><extra></extra>",
            )
        )
    make_room(fig, [trace.hovertemplate or "" for trace in fig.data])
    leftmost, rightmost = min(curve[0].min() for curve in curves), max(curve[0].max() for curve in curves)
    lowest, highest = min(a.min() for curve in curves for a in curve[1:]), max(a.max() for curve in curves for a in curve[1:])
    fig.update_layout(showlegend=several)
    ticks = log_ticks(leftmost, rightmost) if log_x else {"nticks": few_ticks(span_of(np.array([leftmost, rightmost]), 0.05), 7)}
    fig.update_xaxes(**axis_of(x_axis, type="log" if log_x else "linear", zeroline=False, **ticks))
    fig.update_yaxes(
        **axis_of(y_axis, type="log" if log_y else "linear", zeroline=not log_y, **(log_ticks(lowest, highest) if log_y else {"nticks": 8}))
    )
    return fig


def bars(
    values: Mapping[str, float], *, title: str, alt: str, axis: str, low_high: Mapping[str, tuple[float, float]] | None = None
) -> go.Figure:
    """Lying bars, one a label, the first on top; `low_high` adds a whisker from low to high.

    Args:
        values: label → number; a label that is a role takes its colour. axis: what the numbers are, with their unit.
        low_high: label → (low, high), in the unit of the values; labels may be left out.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite, or a whisker that does not hold its value or whose label
            has no bar.
    """
    if not drawn.mapping("values", values, "label to number"):
        raise ValueError("bars needs at least one value, got none")
    low_high = drawn.mapping("low_high", {} if low_high is None else low_high, "label to (low, high)")
    (axis,) = prose(axis=axis)
    names = drawn.words(values)
    a = drawn.array(list(values.values()), "values", 1)
    fig = empty_figure(title, alt, height=30 * len(names) + 24)
    unknown = [key for key in low_high if key not in values]
    if unknown:
        raise ValueError(f"low_high= has {arguments.shown(unknown[0])}, which has no bar; the bars are {listed(values)}")
    low, high = a.copy(), a.copy()
    for i, (key, v) in enumerate(zip(values, a)):
        if key in low_high:
            ends = drawn.array(low_high[key], f"low_high of {arguments.shown(key)}", 1)
            if len(ends) != 2:
                raise ValueError(f"low_high of {arguments.shown(key)} must be (low, high), got {len(ends)} number{'s' * (len(ends) != 1)}")
            noise = NOISE * abs(v)
            if not ends[0] - noise <= v <= ends[1] + noise or ends[0] > ends[1]:
                raise ValueError(
                    f"the whisker of {arguments.shown(key)} is from {ends[0]:.9g} to {ends[1]:.9g} and does not hold its value {v:.9g}"
                )
            low[i], high[i] = min(ends[0], v), max(ends[1], v)
    error = None
    if low_high:
        error = {
            "type": "data",
            "symmetric": False,
            "array": [v if key in low_high else None for key, v in zip(values, drawn.apart(high - a, 4))],
            "arrayminus": [v if key in low_high else None for key, v in zip(values, drawn.apart(a - low, 4))],
            "thickness": 1.5,
            "width": 4,
            "color": COLORS["truth"],
        }
    places = drawn.hovered_apart(names)
    lengths, lows, highs = rounded_together([a, low, high])
    said = f"<br>{drawn.hovered(axis)} <b>"
    text = [
        place + said + drawn.number(v) + (f", from {drawn.number(lo)} to {drawn.number(hi)}" if key in low_high else "") + "</b>"
        for key, place, v, lo, hi in zip(values, places, lengths, lows, highs)
    ]
    fig.add_trace(
        go.Bar(
            x=lengths,
            y=places,
            orientation="h",
            marker={"color": [COLORS.get(role(str(key)), COLORS["parent"]) for key in values]},
            error_x=error,
            customdata=text,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    make_room(fig, text)
    fig.update_layout(showlegend=False, bargap=0.3)
    lying_axis(fig, axis, drawn.cut_apart(names, 22), type="linear", nticks=7, rangemode="tozero")
    ticks = {"tickvals": places, "ticktext": shortened(names, 22)}
    fig.update_yaxes(**axis_of("", type="category", autorange="reversed", showgrid=False, **ticks))
    return fig


def histogram(values: Any, *, title: str, alt: str, axis: str, of: str, log_x: bool = False, n_bins: int = 40) -> go.Figure:
    """How often values fall into each of `n_bins` equal bins; with `log_x` the bins are equal on a logarithmic axis.

    Args:
        values: (n,) numbers; positive with `log_x`. axis: what they are, with their unit. of: what is counted, in the plural, for
            example "latents".

    Raises:
        ValueError: no alt or title, no values, or values that are not finite, or not positive with `log_x`.
    """
    log_x, n_bins = arguments.yes_or_no("log_x", log_x), arguments.whole("n_bins", n_bins, 1, 1_000)
    axis, of = prose(axis=axis, of=of)
    a = drawn.array(values, "values", 1)
    if log_x and a.min() <= 0:
        raise ValueError(f"a logarithmic axis needs positive values, got {a.min():g}; leave such values out and say so")
    scaled = np.log10(a) if log_x else a
    low, high = float(scaled.min()), float(scaled.max())
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-300):  # values that are as good as equal: one bin in the middle has them all
        low, high = (low - 0.5, low + 0.5) if log_x else span_of(np.array([low]), 0.5)
    counts, edges = np.histogram(scaled, bins=n_bins, range=(low, high))
    ends = np.maximum(10**edges, 5e-324) if log_x else edges
    fig = empty_figure(title, alt, height=240)
    fig.add_trace(
        go.Bar(
            x=[float(f"{x:.12g}") for x in (edges[1:] + edges[:-1]) / 2],
            y=counts.tolist(),
            width=float(f"{edges[1] - edges[0]:.5g}"),
            marker={"color": COLORS["parent"]},
            customdata=[f"{drawn.number(lo)} to {drawn.number(hi)}" for lo, hi in itertools.pairwise(drawn.apart(ends))],
            hovertemplate=f"<b>%{{y:,}}</b> {drawn.hovered(of)}<br>{drawn.hovered(axis)} <b>%{{customdata}}</b><extra></extra>",
        )
    )
    ticks: dict[str, Any] = {"nticks": few_ticks((low, high), 7)}
    if log_x:
        marks = log_ticks(ends[0], ends[-1])
        ticks = {"tickvals": [float(f"{math.log10(v):.12g}") for v in marks["tickvals"]], "ticktext": marks["ticktext"]}
    fig.update_layout(showlegend=False, bargap=0.04)
    fig.update_xaxes(**axis_of(axis, type="linear", zeroline=False, **ticks))
    fig.update_yaxes(**axis_of(of, type="linear", nticks=6))
    return fig
