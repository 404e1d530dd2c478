"""A tree of latents or features, with the holes of each child."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from msae.figures.style import COLORS, LINE, NOISE, SYMBOLS, empty_figure, make_room
from msae.support import arguments, drawn


def tree(feature_tree: Any, *, title: str, alt: str) -> go.Figure:
    """A feature tree, roots on the left; hover says the name, the probability given the parent, and the probability over all inputs.

    Args:
        feature_tree: has `names` (n_features,), `parent` (n_features,) with -1 for a root, and `probability` (n_features,), the
            marginal of each feature.

    A feature with children has the colour of a parent, one without that of a child; the area of a dot follows the marginal probability.

    Raises:
        ValueError: no alt or title, lists of different lengths, a parent that does not exist, or a feature that is its own ancestor.
    """
    for part in ("names", "parent", "probability"):
        if not hasattr(feature_tree, part):
            raise ValueError(f"feature_tree must have names, parent and probability, got {arguments.shown(feature_tree)} without {part}")
    given_names = feature_tree.names
    if isinstance(given_names, (str, set, frozenset)) or not hasattr(given_names, "__len__"):
        raise ValueError(f"the names of feature_tree must be a list, got {arguments.shown(given_names)}")
    names = [drawn.visible(name) for name in given_names]
    numbers = drawn.array(feature_tree.parent, "parent", 1)
    if (numbers % 1).any():
        raise ValueError(f"parent must hold whole numbers, got {numbers[numbers % 1 != 0][0]:g}")
    parent = [int(p) for p in numbers]
    marginal = drawn.array(feature_tree.probability, "probability", 1)
    within = marginal.clip(0, 1)
    if (off := np.abs(marginal - within) > NOISE).any():
        raise ValueError(f"probability must lie between 0 and 1, got {marginal[off][0]:.9g}")
    marginal = within
    if not len(names) == len(parent) == len(marginal):
        raise ValueError(f"names, parent and probability must be equally long, got {len(names)}, {len(parent)} and {len(marginal)}")
    children: dict[int, list[int]] = {i: [] for i in [-1, *range(len(names))]}
    for i, p in enumerate(parent):
        if not -1 <= p < len(names):
            raise ValueError(
                f"feature {arguments.shown(names[i])} has the parent {p}, but there are only the features 0 … {len(names) - 1}, "
                "and -1 for none"
            )
        children[p].append(i)
    depth: dict[int, int] = {}
    height: dict[int, float] = {}
    order: list[int] = []
    stack = [(i, 0) for i in reversed(children[-1])]
    while stack:
        i, d = stack.pop()
        depth[i] = d
        order.append(i)
        stack += [(c, d + 1) for c in reversed(children[i])]
    if len(order) < len(names):
        looped = next(name for i, name in enumerate(names) if i not in depth)
        raise ValueError(f"feature {arguments.shown(looped)} is its own ancestor; a tree has no loops")
    leaves = [i for i in order if not children[i]]
    for k, i in enumerate(leaves):
        height[i] = k
    for i in reversed(order):
        if children[i]:
            height[i] = (height[children[i][0]] + height[children[i][-1]]) / 2
    fig = empty_figure(title, alt, height=max(120, 26 * len(leaves)))
    fig.layout.margin.b = 44
    x: list[float | None] = []
    y: list[float | None] = []
    for i in order:
        if parent[i] >= 0:
            p = parent[i]
            middle = (depth[i] + depth[p]) / 2
            x += [depth[p], middle, middle, depth[i], None]
            y += [height[p], height[p], height[i], height[i], None]
    fig.add_trace(go.Scatter(x=x, y=y, mode="lines", line={"color": LINE, "width": 1.5}, hoverinfo="skip", showlegend=False))
    biggest = float(marginal.max()) or 1.0
    deepest = max(depth.values())
    short = drawn.cut_apart(names, 22 if deepest < 4 else max(3, 60 // (deepest + 1)))
    said = drawn.hovered_apart(names)
    over_all = [drawn.number(v) for v in drawn.apart(marginal)]
    has_chance = [p >= 0 and marginal[p] > 0 for p in parent]
    given = np.array([marginal[i] / marginal[p] if has_chance[i] else 0 for i, p in enumerate(parent)])
    given_parent = [drawn.number(v) for v in drawn.apart(given)]
    for label, kind, chosen in (
        ("has children", "parent", [i for i in order if children[i]]),
        ("has none", "child", [i for i in order if not children[i]]),
    ):
        if not chosen:
            continue
        text = []
        for i in chosen:
            chance = "no parent"
            if parent[i] >= 0:
                mother = said[parent[i]]
                chance = f"{given_parent[i]} given {mother}" if has_chance[i] else f"unknown given {mother}, which never occurs"
            text.append(f"<b>{said[i]}</b><br>probability {chance}<br>probability over all inputs {over_all[i]}")
        fig.add_trace(
            go.Scatter(
                x=[depth[i] for i in chosen],
                y=[height[i] for i in chosen],
                mode="markers+text",
                name=label,
                text=[drawn.escaped(short[i]) for i in chosen],
                textposition="middle right" if kind == "child" else "top right",
                customdata=text,
                hovertemplate="%{customdata}<extra></extra>",
                cliponaxis=False,
                marker={
                    "color": COLORS[kind],
                    "symbol": SYMBOLS[kind],
                    "size": [round(8 + 12 * math.sqrt(marginal[i] / biggest), 1) for i in chosen],
                    "opacity": 1,
                },
            )
        )
    make_room(fig, [text for trace in fig.data for text in trace.customdata or ()])
    longest = max(len(short[i]) for i in order if depth[i] == deepest)
    fig.update_xaxes(visible=False, range=[-0.12, deepest + min(0.35 * max(3, deepest), 0.12 + 0.028 * longest * (deepest + 1))])
    fig.update_yaxes(visible=False, range=[len(leaves) - 0.4, -0.6])
    return fig
