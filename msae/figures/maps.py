"""A map: points in two or three dimensions, and a slider that chooses one and shows which are near it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from msae.figures.axes import axis_options
from msae.figures.frame import Words, empty_figure, fit_hover_boxes
from msae.figures.given import array, is_list, mapping, prose
from msae.figures.sliders import SLIDER_ROOM, check_size, place_of, slide
from msae.figures.style import COLORS, LINE, translucent
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from msae.figures.given import Numbers


def neighbourhoods(
    points: Numbers,
    near: Mapping[int, Sequence[int]],
    *,
    title: str,
    alt: str | None = None,
    lead: str | None = None,
    labels: Sequence[object],
    axis: str,
    slider: str,
    opens: int | None = None,
    height: int = 380,
) -> go.Figure:
    """Points of a map, each hovered for its label; a slider chooses one, and lines lead to those that are near it. Without a kernel.

    Args:
        points: (n_points, 2) or (n_points, 3) places; those of three dimensions are turned by dragging.
        near: a point that the slider can choose, by its row → the rows of those near it; at least two can be chosen.
        title: the claim, seen in the neighbourhood that it opens on.
        alt: the figure in words.
        lead: instead of `alt`, its first sentence; the point that it opens on and those near it are added.
        labels: (n_points,) what each point is.
        axis: what the dimensions are; each is numbered.
        slider: what the slider chooses, for example "latent".
        opens: the point it opens on, one of `near`; the last where it is left out.
        height: of the plot itself, in pixels.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, points of another shape, fewer than two to choose, a row that is none, or over 60,000 numbers.

    Example:
        >>> from msae import figures
        >>> words = {"axis": "component", "slider": "latent", "title": "t", "lead": "A map."}
        >>> labels = ["she", "her", "dog"]
        >>> figures.neighbourhoods([[0, 1], [0, 2], [3, 0]], {0: [1], 2: [1]}, labels=labels, opens=0, **words).layout.meta["alt"]
        'A map. Near she: her.'
    """
    places = _checked_points(points, labels)
    axis, slider = prose(axis=axis, slider=slider)
    height = arguments.whole("height", height, 1, 10_000)
    chosen = _checked_near(near, len(places))
    active = place_of(opens, list(chosen))
    check_size(sum(2 * places.shape[1] * (1 + len(its)) for its in chosen.values()))
    dots = drawn.hovered_apart([drawn.visible(label) for label in labels])
    said = drawn.words(labels)
    start = list(chosen)[active]
    words = [f"Near {said[start]}: {', '.join(said[row] for row in chosen[start]) or 'none'}"]
    fig = empty_figure(Words(title, alt, lead), words, height=height, top=SLIDER_ROOM)
    rounded = places.astype(np.float32).astype(np.float64).round(4)
    frames = [_frame(rounded, dots, row, its) for row, its in chosen.items()]
    _add_traces(fig, rounded, dots, frames[active])
    fit_hover_boxes(fig, dots)
    fig.update_layout(showlegend=False)
    _axes(fig, places.shape[1], axis)
    keys = {f"{k + 1}. {said[row]}": None for k, row in enumerate(chosen)}
    slide(fig, slider, keys, frames, [1, 2, 3], active=active)
    return fig


def _checked_points(points: Any, labels: Any) -> np.ndarray:
    """(n_points, 2) or (n_points, 3) finite numbers, with a label for each."""
    places = array(points, "points", 2)
    if places.shape[1] not in (2, 3):
        raise ValueError(f"points must have 2 or 3 dimensions, got shape {places.shape}")
    if isinstance(labels, (str, set, frozenset, Mapping)) or not is_list(labels) or len(labels) != len(places):
        raise ValueError(f"labels must be a list of one label for each of {len(places)} points, got {arguments.shown(labels)}")
    return places


def _checked_near(near: Any, n: int) -> dict[int, list[int]]:
    """Rows that can be chosen, each with the rows near it."""
    given = mapping("near", near, "a point's row to the rows near it")
    if len(given) < 2:
        raise ValueError(f"near must have at least two points, for a slider between them, got {len(given)}")
    of = {}
    for key, its in given.items():
        row = arguments.whole("a row of near", key, 0, n - 1)
        of[row] = [arguments.whole(f"each of near[{row}]", each, 0, n - 1) for each in arguments.items(f"near[{row}]", its)]
    return of


def _at(places: np.ndarray) -> dict[str, list[float | None]]:
    return {name: places[:, k].tolist() for k, name in enumerate("xyz"[: places.shape[1]])}


def _frame(places: np.ndarray, dots: Sequence[str], row: int, its: Sequence[int]) -> list[dict[str, Any]]:
    """The lines, the points near the chosen one, and that one."""
    kind = "scatter3d" if places.shape[1] == 3 else "scatter"
    ends = {
        name: [end for other in its for end in (float(places[row, k]), float(places[other, k]), None)]
        for k, name in enumerate("xyz"[: places.shape[1]])
    }
    near = {"type": kind, **_at(places[list(its)]), "customdata": [dots[other] for other in its]}
    return [{"type": kind, **ends}, near, {"type": kind, **_at(places[[row]]), "customdata": [dots[row]]}]


def _add_traces(fig: go.Figure, places: np.ndarray, dots: Sequence[str], frame: list[dict[str, Any]]) -> None:
    """All points, and on them what the frame that is seen first shows."""
    solid = places.shape[1] == 3  # WebGL draws larger, and what is translucent paler
    kind, size = (go.Scatter3d, 3) if solid else (go.Scatter, 8)
    grey, line = (
        (COLORS["truth"], {"color": COLORS["truth"], "width": 4}) if solid else (translucent(COLORS["truth"], 0.5), {"color": LINE})
    )
    hover = {"mode": "markers", "hovertemplate": "%{customdata}<extra></extra>"}
    lines, near, one = ({key: value for key, value in part.items() if key != "type"} for part in frame)
    fig.add_trace(kind(**_at(places), customdata=dots, marker={"color": grey, "size": size}, **hover))
    fig.add_trace(kind(**lines, mode="lines", line=line, hoverinfo="skip"))
    fig.add_trace(kind(**near, marker={"color": COLORS["child"], "symbol": "diamond", "size": size + 2}, **hover))
    fig.add_trace(kind(**one, marker={"color": COLORS["parent"], "symbol": "circle", "size": size + 4}, **hover))


def _axes(fig: go.Figure, n_dims: int, axis: str) -> None:
    """Axes without numbers that matter: a map has no unit."""
    if n_dims == 2:
        quiet = {"zeroline": False, "showticklabels": False, "showgrid": False, "ticks": ""}
        fig.update_xaxes(**axis_options(f"{axis} 1"), **quiet)
        fig.update_yaxes(**axis_options(f"{axis} 2"), **quiet)
        return
    grey = {"showticklabels": False, "showbackground": False, "gridcolor": LINE, "zeroline": False, "showspikes": False}
    scene = {
        f"{name}axis": {**grey, "title": {"text": drawn.escaped(f"{axis} {k}"), "font": {"size": 12}}} for k, name in enumerate("xyz", 1)
    }
    fig.update_layout(scene={**scene, "dragmode": "turntable", "camera": {"eye": {"x": 1.6, "y": 1.6, "z": 0.9}}})
