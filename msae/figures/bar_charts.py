"""Bars: one number for each label, or how often numbers occur."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from msae.figures.axes import axis_options, few_ticks, log_ticks, padded_ends, row_labels, set_x_axis_under_rows, whole_ticks
from msae.figures.digits import apart, from_to, number, rounded_together
from msae.figures.frame import LEGEND_CHARACTERS, Words, empty_figure, fit_hover_boxes
from msae.figures.given import NOISE, array, listed, mapping, prose
from msae.figures.style import COLORS, row_role
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from msae.figures.given import Numbers


def bars(
    values: Mapping[str, float],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    axis: str,
    low_high: Mapping[str, tuple[float, float]] | None = None,
) -> go.Figure:
    """Lying bars, one a label, the first on top, with a whisker from low to high where both are known.

    Args:
        values: label → number; a label that is a role takes its colour, and so does one whose part behind the last comma is.
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.
        lead: instead of `alt`, its first sentence; the numbers are added, "label: value, from low to high".
        axis: what the numbers are, with their unit.
        low_high: label → (low, high), in the unit of the values; labels may be left out.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, nothing to show, values not finite, or a whisker without its value in it, or without a bar.

    Example:
        >>> from msae import figures
        >>> fig = figures.bars({"plain": 0.5}, title="t", lead="The hole rate.", axis="rate", low_high={"plain": (0.4, 0.6)})
        >>> fig.layout.meta["alt"]
        'The hole rate. plain: 0.5, from 0.4 to 0.6.'
    """
    if not mapping("values", values, "label to number"):
        raise ValueError("bars needs at least one value, got none")
    low_high = mapping("low_high", {} if low_high is None else low_high, "label to (low, high)")
    (axis,), names = prose(axis=axis), drawn.words(values)
    beside = row_labels(names)
    a = array(list(values.values()), "values", 1)
    low, high = _whiskers(dict(zip(values, a)), low_high)
    lengths, lows, highs = rounded_together([a, low, high])
    in_words = [number(v) + from_to((lo, hi) if key in low_high else ()) for key, v, lo, hi in zip(values, lengths, lows, highs)]
    said = [f"{name}: {its}" for name, its in zip(drawn.cut_apart(names, LEGEND_CHARACTERS), in_words)]
    fig = empty_figure(Words(title, alt, lead), said, height=max(30, beside.height) * len(names) + 24)
    places = drawn.hovered_apart(names)
    text = [f"{place}<br>{drawn.hovered(axis)} <b>{its}</b>" for place, its in zip(places, in_words)]
    fig.add_trace(
        go.Bar(
            x=lengths,
            y=places,
            orientation="h",
            marker={"color": [COLORS.get(row_role(str(key)), COLORS["parent"]) for key in values]},
            error_x=_error_bars([key in low_high for key in values], high - a, a - low),
            customdata=text,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    fit_hover_boxes(fig, text)
    fig.update_layout(showlegend=False, bargap=0.3)
    set_x_axis_under_rows(fig, axis, beside.every_line, type="linear", rangemode="tozero", **whole_ticks([a, low, high, np.zeros(1)], 7))
    fig.update_yaxes(**_rows(places, beside.ticks))
    return fig


def _rows(places: list[str], names: list[str]) -> dict[str, Any]:
    """The axis of the labels, the first on top."""
    return axis_options("", type="category", autorange="reversed", showgrid=False, tickvals=places, ticktext=names)


def _whiskers(values: Mapping[Any, float], low_high: Mapping[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of each value, each (n,); the value itself where none are given."""
    if unknown := [key for key in low_high if key not in values]:
        raise ValueError(f"low_high= has {arguments.shown(unknown[0])}, which has no bar; the bars are {listed(values)}")
    low, high = np.array(list(values.values())), np.array(list(values.values()))
    for i, (key, v) in enumerate(values.items()):
        if key not in low_high:
            continue
        ends = array(low_high[key], f"low_high of {arguments.shown(key)}", 1)
        if len(ends) != 2:
            raise ValueError(f"low_high of {arguments.shown(key)} must be (low, high), got {len(ends)} number{'s' * (len(ends) != 1)}")
        noise = NOISE * abs(v)
        if not ends[0] - noise <= v <= ends[1] + noise or ends[0] > ends[1]:
            raise ValueError(
                f"the whisker of {arguments.shown(key)} is from {ends[0]:.9g} to {ends[1]:.9g} and does not hold its value {v:.9g}"
            )
        low[i], high[i] = min(ends[0], v), max(ends[1], v)
    return low, high


def _error_bars(known: list[bool], above: np.ndarray, below: np.ndarray) -> dict[str, Any] | None:
    """Whiskers as plotly wants them, as distances from the ends of the bars; None where there is none at all."""
    if not any(known):
        return None
    up, down = ([v if its else None for its, v in zip(known, apart(distances, 4))] for distances in (above, below))
    whisker = {"thickness": 1.5, "width": 4, "color": COLORS["truth"]}
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, **whisker}


def histogram(values: Numbers, *, title: str, alt: str, axis: str, of: str, log_x: bool = False, n_bins: int = 40) -> go.Figure:
    """How often values fall into each of `n_bins` equal bins; with `log_x` the bins are equal on a logarithmic axis.

    Args:
        values: (n,) numbers; positive with `log_x`.
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.
        axis: what the values are, with their unit.
        of: what is counted, in the plural, for example "latents".
        log_x: a logarithmic axis.
        n_bins: how many bins there are between the smallest value and the largest.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, no values, or values that are not finite, or not positive with `log_x`.

    Example:
        >>> from msae import figures
        >>> fig = figures.histogram([1, 1, 2, 4], title="t", alt="Four latents.", axis="firings", of="latents", n_bins=3)
        >>> list(fig.data[0].y)
        [2, 1, 1]
    """
    log_x, n_bins = arguments.yes_or_no("log_x", log_x), arguments.whole("n_bins", n_bins, 1, 1_000)
    axis, of = prose(axis=axis, of=of)
    a = array(values, "values", 1)
    if log_x and a.min() <= 0:
        raise ValueError(f"a logarithmic axis needs positive values, got {a.min():g}; leave such values out and say so")
    scaled = np.log10(a) if log_x else a
    low, high = float(scaled.min()), float(scaled.max())
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-300):  # values that are as good as equal: one bin in the middle has them all
        low, high = (low - 0.5, low + 0.5) if log_x else padded_ends(np.array([low]), 0.5)
    counts, edges = np.histogram(scaled, bins=n_bins, range=(low, high))
    ends = np.maximum(10**edges, 5e-324) if log_x else edges
    fig = empty_figure(Words(title, alt), height=240)
    fig.add_trace(
        go.Bar(
            x=[float(f"{x:.12g}") for x in (edges[1:] + edges[:-1]) / 2],
            y=counts.tolist(),
            width=float(f"{edges[1] - edges[0]:.5g}"),
            marker={"color": COLORS["parent"]},
            customdata=[f"{number(lo)} to {number(hi)}" for lo, hi in itertools.pairwise(apart(ends))],
            hovertemplate=f"<b>%{{y:,}}</b> {drawn.hovered(of)}<br>{drawn.hovered(axis)} <b>%{{customdata}}</b><extra></extra>",
        )
    )
    fig.update_layout(showlegend=False, bargap=0.04)
    ticks = _bin_ticks(ends) if log_x else {"nticks": few_ticks((low, high), 7)}
    fig.update_xaxes(**axis_options(axis, type="linear", zeroline=False, **ticks))
    fig.update_yaxes(**axis_options(of, type="linear", nticks=6))
    return fig


def _bin_ticks(ends: np.ndarray) -> dict[str, Any]:
    """Ticks of a logarithmic axis on a linear one, on which bins of equal width are drawn."""
    marks = log_ticks(ends[0], ends[-1])
    return {"tickvals": [float(f"{math.log10(v):.12g}") for v in marks["tickvals"]], "ticktext": marks["ticktext"]}
