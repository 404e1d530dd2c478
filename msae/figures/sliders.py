"""A slider above a figure: its places, the frames that it goes through, and the button that plays them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from msae.figures.digits import number
from msae.figures.frame import short_labels
from msae.support import arguments, drawn

MOST_NUMBERS = 60_000
"""Numbers of all frames of a figure together: with more its page becomes slow to load."""

SLIDER_ROOM = 62
"""Pixels that plotly's own slider takes above the plot; a page of the book has one of its own."""


def place_of(opens: object, keys: Sequence[Any]) -> int:
    """Which frame is seen on opening."""
    if opens is None:
        return len(keys) - 1
    if opens not in keys:
        raise ValueError(f"opens must be one of the frames, {arguments.shown(keys)}, got {arguments.shown(opens)}")
    return keys.index(opens)


def check_size(n: int) -> None:
    if n > MOST_NUMBERS:
        raise ValueError(f"a figure with a slider holds at most {MOST_NUMBERS:,} numbers that change, got {n:,}; give fewer frames")


def slider_labels(keys: Iterable[Any]) -> list[str]:
    """What the slider says at each of its places; numbers as figures say them."""
    return drawn.words(number(key) if isinstance(key, (int, float)) and not isinstance(key, bool) else key for key in keys)


def slide(
    fig: go.Figure, name: str, keys: Mapping[Any, Any], frames: list[list[dict[str, Any]]], moving: list[int], *, active: int
) -> None:
    """Add the frames, of which each changes these traces, and the slider and the button that go through them; `active` is seen first."""
    labels = short_labels(slider_labels(keys))
    fig.frames = [go.Frame(data=data, traces=moving, name=str(k)) for k, data in enumerate(frames)]
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": label, "method": "animate", "args": [[str(k)], at_once]} for k, label in enumerate(labels)]
    pace = {"frame": {"duration": min(900, max(150, 6000 // len(frames))), "redraw": True}, "transition": {"duration": 0}}
    above = {"y": 1, "yanchor": "bottom"}
    font = {"color": "#6a6a6e", "size": 13}
    current = {"prefix": f"{drawn.escaped(drawn.cut(name, 40))}: ", "xanchor": "left", "font": font}
    beside = {"x": 0.16, "len": 0.84, "ticklen": 0, "minorticklen": 0, "font": {"color": "rgba(0,0,0,0)", "size": 1}}
    slider = {**above, **beside, "active": active, "currentvalue": current, "pad": {"b": 40, "t": 0}, "steps": steps}
    play = {"label": "Play", "method": "animate", "args": [None, pace]}
    menu = {**above, "type": "buttons", "x": 0, "xanchor": "left", "pad": {"b": 56, "t": 0}, "showactive": False, "buttons": [play]}
    colours = {"bgcolor": "#e3e8ef", "bordercolor": "#8a929c", "font": {"color": "#1c2733", "size": 13}}
    fig.update_layout(sliders=[slider], updatemenus=[{**menu, **colours}])
