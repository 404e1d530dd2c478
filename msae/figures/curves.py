"""Curves over a common axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from msae.figures.axes import axis_options, few_ticks, log_ticks, padded_ends, whole_ticks
from msae.figures.digits import NUMBER, apart, number, rounded_together
from msae.figures.frame import LEGEND_CHARACTERS, Words, empty_figure, fit_hover_boxes, short_labels
from msae.figures.given import array, is_list, mapping, prose
from msae.figures.style import Style, styles_of, translucent
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from msae.figures.given import Numbers

MAX_POINTS = 1_000


class Curve(NamedTuple):
    """A curve as it is given, thinned to `MAX_POINTS`."""

    x: np.ndarray
    """(n_points,)"""

    y: np.ndarray
    """(n_points,)"""

    band: tuple[np.ndarray, ...]
    """Its low and its high, each (n_points,); empty where it has no band."""


def lines(
    series: Mapping[str, Sequence[Numbers]],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    x_axis: str,
    y_axis: str,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 300,
) -> go.Figure:
    """Curves by name, with a band where low and high are given; the legend stands below, a click on it hides a curve.

    Args:
        series: name → (x, y) or (x, y, low, high), each (n_points,). Curves of more than 1,000 points are thinned evenly, ends kept.
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.
        lead: instead of `alt`, its first sentence; where each curve begins and ends is added.
        x_axis: what the numbers along it are, with their unit.
        y_axis: what the numbers up it are, with their unit.
        log_x: a logarithmic x axis; its values must then be positive.
        log_y: a logarithmic y axis; its values must then be positive.
        height: of the plot itself, in pixels.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, nothing to show, parts of different lengths, values not finite, or not positive on a logarithmic axis.

    Example:
        >>> from msae import figures
        >>> loss = {"plain": ([1, 2, 3], [0.9, 0.5, 0.4])}
        >>> fig = figures.lines(loss, title="The loss falls", lead="The loss.", x_axis="step", y_axis="loss")
        >>> fig.layout.meta["alt"]
        'The loss. plain: from 0.9 at 1 to 0.4 at 3.'
    """
    if not mapping("series", series, "name to (x, y)"):
        raise ValueError("lines needs at least one curve, got none")
    log_x, log_y = arguments.yes_or_no("log_x", log_x), arguments.yes_or_no("log_y", log_y)
    height = arguments.whole("height", height, 1, 10_000)
    x_axis, y_axis = prose(x_axis=x_axis, y_axis=y_axis)
    names, several = drawn.words(series), len(series) > 1
    curves = [curve_of(name, parts, log_x, log_y) for name, parts in series.items()]
    at, heights = rounded_together([curve.x for curve in curves], 6), rounded_together([curve.y for curve in curves])
    said = map(_said, drawn.cut_apart(names, LEGEND_CHARACTERS), at, heights)
    fig = empty_figure(Words(title, alt, lead), said, height=height, bottom=26 * legend_rows(names) if several else 0)
    hovers = hovers_of(names, x_axis, y_axis)
    add_curves(fig, curves, list(series), hovers)
    fit_hover_boxes(fig, hovers)
    fig.update_layout(showlegend=several)
    set_axes(fig, curves, (x_axis, log_x), (y_axis, log_y))
    return fig


def add_curves(fig: go.Figure, curves: Sequence[Curve], keys: Sequence[Any], hovers: Sequence[str]) -> go.Figure:
    """Draw each curve in the style of its key, with its band beneath it; returns the figure."""
    at, heights = rounded_together([curve.x for curve in curves], 6), rounded_together([curve.y for curve in curves])
    styles, names = styles_of([str(key) for key in keys]), short_labels(drawn.words(keys))
    for k, (curve, style, short) in enumerate(zip(curves, styles, names)):
        shared = {"name": short, "legendgroup": str(k)}
        if curve.band:
            fig.add_trace(_band(at[k], curve.band, style, shared))
        line = {"color": style.color, "width": 2.5, "dash": style.dash if len(curves) > 1 else "solid"}
        mode = "lines" if len(curve.x) > 1 else "markers"
        fig.add_trace(go.Scatter(x=at[k], y=heights[k], mode=mode, line=line, hovertemplate=hovers[k], **shared))
    return fig


def hovers_of(names: list[str], x_axis: str, y_axis: str) -> list[str]:
    """What a point of each curve says."""
    hover = f"<br>{drawn.hovered(x_axis)} <b>%{{x:{NUMBER}}}</b><br>{drawn.hovered(y_axis)} <b>%{{y:{NUMBER}}}</b><extra></extra>"
    return [place + hover for place in drawn.hovered_apart(names)]


def curve_of(name: Any, parts: Any, log_x: bool, log_y: bool) -> Curve:
    """A curve as it is given, judged and thinned."""
    what = arguments.shown(name)
    if not is_list(parts) or isinstance(parts, (str, Mapping)):
        raise ValueError(f"series: the curve {what} must be (x, y) or (x, y, low, high), got {arguments.shown(parts)}")
    if len(parts) not in (2, 4):
        raise ValueError(f"the curve {what} must be (x, y) or (x, y, low, high), got {len(parts)} parts")
    arrays = [array(values, f"{part} of {what}", 1) for values, part in zip(parts, ("x", "y", "low", "high"))]
    if len({len(a) for a in arrays}) > 1:
        raise ValueError(f"the parts of the curve {what} must be equally long, got {', '.join(str(len(a)) for a in arrays)} points")
    for wanted, its, option in ((log_x, arrays[:1], "log_x"), (log_y, arrays[1:], "log_y")):
        if wanted and min(a.min() for a in its) <= 0:
            raise ValueError(
                f"the curve {what} has values that are not positive, so it cannot stand on a logarithmic axis; use {option}=False"
            )
    if len(arrays[0]) > MAX_POINTS:
        keep = np.unique(np.linspace(0, len(arrays[0]) - 1, MAX_POINTS).round().astype(int))
        arrays = [a[keep] for a in arrays]
    return Curve(arrays[0], arrays[1], tuple(arrays[2:]))


def _said(name: str, x: list[Any], y: list[Any]) -> str:
    """Where a curve begins and ends, in words."""
    if len(x) == 1:
        return f"{name}: {number(y[0])} at {number(x[0])}"
    return f"{name}: from {number(y[0])} at {number(x[0])} to {number(y[-1])} at {number(x[-1])}"


def legend_rows(names: list[str]) -> int:
    """Rows that the names take below the plot on a telephone."""
    widths = [7.5 * min(len(name), LEGEND_CHARACTERS) + 65 for name in names]
    a_row = 2 if len(names) < 7 or 2 * max(widths) <= 340 else 1  # few may take some of the plot's own height
    return 1 if sum(widths) <= 340 else math.ceil(len(names) / a_row)


def _band(x: list[Any], band: Sequence[np.ndarray], style: Style, shared: dict[str, str]) -> go.Scatter:
    low, high = band
    return go.Scatter(
        x=x + x[::-1],
        y=apart(np.concatenate([high, low[::-1]]), 4),
        fill="toself",
        fillcolor=translucent(style.color, 0.18),
        line={"width": 0, "color": style.color},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        **shared,
    )


def set_axes(fig: go.Figure, curves: list[Curve], x: tuple[str, bool], y: tuple[str, bool]) -> None:
    """The two axes of these curves, each by its name and whether it is logarithmic."""
    (x_axis, log_x), (y_axis, log_y) = x, y
    left, right = ends_of([curve.x for curve in curves])
    n_ticks = few_ticks(padded_ends(np.array([left, right]), 0.05), 7)
    ticks = log_ticks(left, right) if log_x else whole_ticks([curve.x for curve in curves], n_ticks)
    fig.update_xaxes(**axis_options(x_axis, type="log" if log_x else "linear", zeroline=False, **ticks))
    heights = [values for curve in curves for values in (curve.y, *curve.band)]
    ticks = log_ticks(*ends_of(heights)) if log_y else whole_ticks(heights, 8)
    fig.update_yaxes(**axis_options(y_axis, type="log" if log_y else "linear", zeroline=not log_y, **ticks))


def ends_of(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """The least and the largest of all."""
    return min(a.min() for a in arrays), max(a.max() for a in arrays)
