"""From nested nodes to a list of them, each after its parent, with the exact probability of every feature."""

from __future__ import annotations

from typing import Any, NamedTuple


class Node(NamedTuple):
    """A node of the tree, feature or not."""

    feature: int
    """Its feature's index, -1 for a node that is not read out."""

    parent: int
    """Its parent's place among the nodes, -1 for the root."""

    group: int
    """The node whose exclusive children it belongs to, -1 for none."""

    probability: float
    """Of being active when the parent is."""


class Feature(NamedTuple):
    """A node that is read out."""

    name: str
    parent: int
    """The index of the nearest feature above, -1 for none."""

    probability: float
    """Exact, of being active in an input."""


class _Above(NamedTuple):
    """What a node is hung under; of the root, nothing."""

    parent: int = -1
    """The parent's place among the nodes."""

    group: int = -1
    """The same where the parent's children are exclusive."""

    feature: int = -1
    """The nearest node above that is a feature."""

    probability: float = 1.0
    """Exact, of the parent's being active."""


def grow(tree: dict[str, Any]) -> tuple[list[Feature], list[Node]]:
    """The features and the nodes of a tree that fits `TREE_SCHEMA`, in tree order.

    Raises:
        ValueError: mutually exclusive children whose probabilities do not sum to 1, naming the node, or no feature at all.
    """
    features: list[Feature] = []
    nodes: list[Node] = []
    _add(tree, "tree", _Above(), features, nodes)
    if not features:
        raise ValueError('tree: no node is read out, so there is no feature; set "is_read_out": true on some')
    return features, nodes


def _add(tree: dict[str, Any], path: str, above: _Above, features: list[Feature], nodes: list[Node]) -> None:
    """Append one node and all below it."""
    probability = above.probability * tree["active_prob"]
    index = len(nodes)
    feature = len(features) if tree.get("is_read_out", True) else -1
    nodes.append(Node(feature, above.parent, above.group, tree["active_prob"]))
    if feature >= 0:
        features.append(Feature(tree.get("name", f"feature {feature}"), above.feature, probability))
    children = tree.get("children", [])
    exclusive = tree.get("mutually_exclusive_children", False) and bool(children)
    if exclusive:
        total = sum(child["active_prob"] for child in children)
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"{path}: the active_prob of mutually exclusive children must sum to 1, got {total:g}; "
                'for "none of them" add a child with "is_read_out": false'
            )
    here = _Above(index, index if exclusive else -1, feature if feature >= 0 else above.feature, probability)
    for i, child in enumerate(children):
        _add(child, f"{path}.children[{i}]", here, features, nodes)
