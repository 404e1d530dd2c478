"""A tree of features: where each stands, and how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import plotly.graph_objects as go

from msae.figures.digits import apart, number
from msae.figures.frame import Words, empty_figure, fit_hover_boxes
from msae.figures.given import NOISE, array
from msae.figures.style import COLORS, LINE, SYMBOLS
from msae.support import arguments, drawn

if TYPE_CHECKING:
    from msae.figures.given import Numbers


class FeatureTree(Protocol):
    """What `tree` draws, such as `msae.toy.FeatureTree`."""

    @property
    def names(self) -> Sequence[object]:
        """(n_features,)"""

    @property
    def parent(self) -> Numbers:
        """(n_features,) the number of each feature's parent; -1 for a root."""

    @property
    def probability(self) -> Numbers:
        """(n_features,) the marginal of each feature."""


class _Given(NamedTuple):
    """The parts of a tree, judged."""

    names: list[str]
    """As one sees them."""

    parent: list[int]
    """The number of each feature's parent; -1 for a root."""

    marginal: np.ndarray
    """(n_features,) between 0 and 1."""


class Layout(NamedTuple):
    """Where each feature of a tree stands."""

    order: list[int]
    """All features, each before its children."""

    is_parent: list[bool]
    """(n_features,) whether a feature has children."""

    depth: list[int]
    """(n_features,) steps from its root."""

    height: list[float]
    """(n_features,) leaves lie at 0, 1, 2, …; a parent in the middle between its first child and its last."""


def layout(parent: Sequence[int]) -> Layout:
    """Where the features of a tree stand, by the number of each one's parent, which is -1 for a root."""
    n = len(parent)
    children: dict[int, list[int]] = {i: [] for i in range(-1, n)}
    for i, p in enumerate(parent):
        children[p].append(i)
    order: list[int] = []
    depth, height = [0] * n, [0.0] * n
    stack = [(i, 0) for i in reversed(children[-1])]
    while stack:
        i, d = stack.pop()
        depth[i] = d
        order.append(i)
        stack += [(child, d + 1) for child in reversed(children[i])]
    for k, i in enumerate(i for i in order if not children[i]):
        height[i] = k
    for i in reversed(order):
        if children[i]:
            height[i] = (height[children[i][0]] + height[children[i][-1]]) / 2
    return Layout(order, [bool(children[i]) for i in range(n)], depth, height)


def tree(feature_tree: FeatureTree, *, title: str, alt: str) -> go.Figure:
    """A feature tree, roots on the left; hover says the name, the probability given the parent, and the probability over all inputs.

    A feature with children has the colour of a parent, one without that of a child; the area of a dot follows the marginal probability.

    Args:
        feature_tree: has `names` (n_features,), `parent` (n_features,) with -1 for a root, and `probability` (n_features,), the
            marginal of each feature.
        title: the claim of the figure.
        alt: the figure in words, for readers who cannot see it.

    Returns:
        the figure, for the page to size and colour.

    Raises:
        ValueError: no alt or title, lists of different lengths, a parent that does not exist, or a feature that is its own ancestor.

    Example:
        >>> from types import SimpleNamespace
        >>> from msae import figures
        >>> animals = SimpleNamespace(names=["animal", "cat", "dog"], parent=[-1, 0, 0], probability=[0.5, 0.2, 0.1])
        >>> fig = figures.tree(animals, title="Two animals", alt="An animal is a cat or a dog.")
        >>> fig.data[2].customdata[1]
        '<b>dog</b><br>probability 0.2 given animal<br>probability over all inputs 0.1'
    """
    given = _checked(feature_tree)
    places = layout(given.parent)
    n_leaves = places.is_parent.count(False)
    fig = empty_figure(Words(title, alt), height=max(120, 26 * n_leaves))
    fig.layout.margin.b = 44
    fig.add_trace(_branches(given.parent, places))
    deepest = max(places.depth)
    short = drawn.cut_apart(given.names, 22 if deepest < 4 else max(3, 60 // (deepest + 1)))
    hovers = _hovers(given)
    for kind, label, chosen in (("parent", "has children", True), ("child", "has none", False)):
        if its := [i for i in places.order if places.is_parent[i] is chosen]:
            text = {"text": [drawn.escaped(short[i]) for i in its], "customdata": [hovers[i] for i in its]}
            fig.add_trace(_dots(its, given.marginal, places, kind=kind, name=label, **text))
    fit_hover_boxes(fig, hovers)
    longest = max(len(short[i]) for i in places.order if places.depth[i] == deepest)
    fig.update_xaxes(visible=False, range=[-0.12, deepest + min(0.35 * max(3, deepest), 0.12 + 0.028 * longest * (deepest + 1))])
    fig.update_yaxes(visible=False, range=[n_leaves - 0.4, -0.6])
    return fig


def _checked(feature_tree: Any) -> _Given:
    for part in ("names", "parent", "probability"):
        if not hasattr(feature_tree, part):
            raise ValueError(f"feature_tree must have names, parent and probability, got {arguments.shown(feature_tree)} without {part}")
    given_names = feature_tree.names
    if isinstance(given_names, (str, set, frozenset)) or not hasattr(given_names, "__len__"):
        raise ValueError(f"the names of feature_tree must be a list, got {arguments.shown(given_names)}")
    names = [drawn.visible(name) for name in given_names]
    numbers = array(feature_tree.parent, "parent", 1)
    if (numbers % 1).any():
        raise ValueError(f"parent must hold whole numbers, got {numbers[numbers % 1 != 0][0]:g}")
    parent = [int(p) for p in numbers]
    marginal = array(feature_tree.probability, "probability", 1)
    within = marginal.clip(0, 1)
    if (off := np.abs(marginal - within) > NOISE).any():
        raise ValueError(f"probability must lie between 0 and 1, got {marginal[off][0]:.9g}")
    if not len(names) == len(parent) == len(within):
        raise ValueError(f"names, parent and probability must be equally long, got {len(names)}, {len(parent)} and {len(within)}")
    for name, p in zip(names, parent):
        if not -1 <= p < len(names):
            raise ValueError(
                f"feature {arguments.shown(name)} has the parent {p}, but there are only the features 0 … {len(names) - 1}, and -1 for none"
            )
    for i, name in enumerate(names):
        if not _has_root(i, parent):
            raise ValueError(f"feature {arguments.shown(name)} is its own ancestor; a tree has no loops")
    return _Given(names, parent, within)


def _has_root(i: int, parent: list[int]) -> bool:
    for _ in parent:
        i = parent[i]
        if i < 0:
            return True
    return False


def _branches(parent: list[int], places: Layout) -> go.Scatter:
    """Lines from each child to its parent, bent in the middle."""
    x: list[float | None] = []
    y: list[float | None] = []
    depth, height = places.depth, places.height
    for i in places.order:
        p = parent[i]
        if p >= 0:
            middle = (depth[i] + depth[p]) / 2
            x += [depth[p], middle, middle, depth[i], None]
            y += [height[p], height[p], height[i], height[i], None]
    return go.Scatter(x=x, y=y, mode="lines", line={"color": LINE, "width": 1.5}, hoverinfo="skip", showlegend=False)


def _hovers(given: _Given) -> list[str]:
    """What is said of each feature: its name, its probability given its parent, and over all inputs."""
    names, parent, marginal = given
    said = drawn.hovered_apart(names)
    over_all = [number(v) for v in apart(marginal)]
    has_chance = [p >= 0 and marginal[p] > 0 for p in parent]
    given_parent = apart(np.array([marginal[i] / marginal[p] if has_chance[i] else 0 for i, p in enumerate(parent)]))
    text = []
    for i, p in enumerate(parent):
        chance = "no parent"
        if p >= 0:
            chance = f"{number(given_parent[i])} given {said[p]}" if has_chance[i] else f"unknown given {said[p]}, which never occurs"
        text.append(f"<b>{said[i]}</b><br>probability {chance}<br>probability over all inputs {over_all[i]}")
    return text


def _dots(chosen: list[int], marginal: np.ndarray, places: Layout, *, kind: str, **more: Any) -> go.Scatter:
    """The features of one kind, which is a role."""
    biggest = float(marginal.max()) or 1.0
    return go.Scatter(
        x=[places.depth[i] for i in chosen],
        y=[places.height[i] for i in chosen],
        mode="markers+text",
        textposition="middle right" if kind == "child" else "top right",
        hovertemplate="%{customdata}<extra></extra>",
        cliponaxis=False,
        marker={
            "color": COLORS[kind],
            "symbol": SYMBOLS[kind],
            "size": [round(8 + 12 * math.sqrt(marginal[i] / biggest), 1) for i in chosen],
            "opacity": 1,
        },
        **more,
    )
