"""The toy: features on a tree, where the truth is known and holes can be counted.

A feature can be active only when its parent is. Each active feature adds its own direction to the input. So a child never comes without its
parent, and a sparse autoencoder is tempted to write "child" instead of "child and parent": absorption.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, NamedTuple

import torch
from torch import Tensor

from msae.support import arguments
from msae.support.arguments import all_finite, shown, tensor, whole
from msae.support.files import as_json
from msae.support.sums import wide

TREE_SCHEMA: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "required": ["active_prob"],
            "additionalProperties": False,
            "properties": {
                "active_prob": {"type": "number", "minimum": 0, "maximum": 1},
                "is_read_out": {"type": "boolean"},
                "mutually_exclusive_children": {"type": "boolean"},
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
}
"""JSON Schema of a tree file; the keys are those of the article's tree (Nabeshima 2024)."""


class _Node(NamedTuple):
    """A node of the tree, feature or not."""

    feature: int
    """Its feature's index, -1 for a node that is not read out."""

    parent: int
    """Its parent's place among the nodes, -1 for the root."""

    group: int
    """The node whose exclusive children it belongs to, -1 for none."""

    probability: float
    """Of being active when the parent is."""


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


@dataclass
class FeatureTree:
    """Features in tree order, each after its parent.

    Build one with `article`, `from_dict` or `from_json`. Nodes that are not read out shape the probabilities but are no features;
    `parent` names the nearest ancestor that is a feature.

    Example:
        >>> tree = msae.FeatureTree.article()
        >>> tree.names[:4], tree.parent[:4]
        (['female', 'Lily', 'Sue', 'she'], [-1, 0, 0, 0])
    """

    names: list[str]
    """What each feature is called."""

    parent: list[int]
    """For each feature the index of its parent feature, -1 for none."""

    probability: Tensor
    """(n_features,) float64: exact probability that the feature is active in an input."""

    _nodes: list[_Node] = field(repr=False)

    @property
    def n_features(self) -> int:
        """How many features the tree has."""
        return len(self.names)

    @property
    def l0(self) -> float:
        """Exact expected number of active features per input."""
        return self.probability.sum().item()

    @property
    def parents(self) -> list[int]:
        """The features that have children, in order."""
        return sorted({p for p in self.parent if p >= 0})

    def children(self, feature: int) -> list[int]:
        """The features right below one.

        Args:
            feature: its index.

        Raises:
            ValueError: the tree has no such feature.

        Example:
            >>> msae.FeatureTree.article().children(0)
            [1, 2, 3]
        """
        feature = whole("feature", feature, 0, self.n_features - 1)
        return [i for i, p in enumerate(self.parent) if p == feature]

    @classmethod
    def article(cls) -> FeatureTree:
        """The article's toy: three parents with three mutually exclusive children each, and eight features on their own.

        The probabilities are the article's; the words are ours, labels to think with.

        Example:
            >>> tree = msae.FeatureTree.article()
            >>> tree.n_features, round(tree.l0, 2)
            (20, 1.12)
        """
        families = {"female": ["Lily", "Sue", "she"], "male": ["Tom", "Ben", "he"], "animal": ["dog", "cat", "bird"]}
        nobody = {"active_prob": 0.4, "is_read_out": False}
        parents = [
            {
                "active_prob": 0.15,
                "name": parent,
                "mutually_exclusive_children": True,
                "children": [{"active_prob": 0.2, "name": child} for child in children] + [nobody],
            }
            for parent, children in families.items()
        ]
        alone = [{"active_prob": 0.05, "name": name} for name in ["ball", "tree", "rain", "cake", "red", "big", "ran", "said"]]
        return cls._build({"active_prob": 1.0, "is_read_out": False, "children": parents + alone})

    @classmethod
    def from_json(cls, path: str | PathLike) -> FeatureTree:
        """Read a tree file.

        Args:
            path: a JSON file of nested nodes, such as `from_dict` takes.

        Raises:
            ValueError: with the path to the bad node, as `from_dict`; or the file is no JSON.

        Example:
            >>> import pathlib, tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp(), "tree.json")
            >>> _ = path.write_text('{"active_prob": 0.5, "name": "animal", "children": [{"active_prob": 0.1, "name": "dog"}]}')
            >>> msae.FeatureTree.from_json(path).names
            ['animal', 'dog']
        """
        try:
            tree = json.loads(arguments.path("path", path).read_text(encoding="utf-8-sig"))
        except RecursionError as error:
            raise ValueError(f"{path} is nested too deeply: a few dozen levels are the most that is read") from error
        except ValueError as error:  # no JSON, no UTF-8, or a number of too many digits
            raise ValueError(f"{path} is not JSON: {error}") from error
        return cls.from_dict(tree)

    @classmethod
    def from_dict(cls, tree: dict[str, Any]) -> FeatureTree:
        """A tree from nested dicts.

        Args:
            tree: the root, with `active_prob` and, where wanted, `is_read_out`, `mutually_exclusive_children`, `name` and `children`.

        Raises:
            ValueError: naming the node, where the dict does not fit `TREE_SCHEMA`, the probabilities of mutually exclusive children do not
                sum to 1 (add a child that is not read out for "none of them"), or no node is a feature.

        Example:
            >>> tree = msae.FeatureTree.from_dict({"active_prob": 0.5, "name": "animal", "children": [{"active_prob": 0.1, "name": "dog"}]})
            >>> tree.probability.tolist()
            [0.5, 0.05]
        """
        _check_schema(tree)
        return cls._build(tree)

    @classmethod
    def _build(cls, tree: dict[str, Any]) -> FeatureTree:
        result = cls([], [], torch.empty(0), [])
        result._add(tree, "tree", _Above())
        if not result.names:
            raise ValueError('tree: no node is read out, so there is no feature; set "is_read_out": true on some')
        return result

    def _add(self, tree: dict[str, Any], path: str, above: _Above) -> None:
        """Append one node and all below it."""
        marginal = above.probability * tree["active_prob"]
        index = len(self._nodes)
        feature = len(self.names) if tree.get("is_read_out", True) else -1
        self._nodes.append(_Node(feature, above.parent, above.group, tree["active_prob"]))
        if feature >= 0:
            self.names.append(tree.get("name", f"feature {feature}"))
            self.parent.append(above.feature)
            self.probability = torch.cat([self.probability, torch.tensor([marginal], dtype=torch.float64)])
        children = tree.get("children", [])
        exclusive = tree.get("mutually_exclusive_children", False) and bool(children)
        if exclusive:
            total = sum(child["active_prob"] for child in children)
            if abs(total - 1) > 1e-6:
                raise ValueError(
                    f"{path}: the active_prob of mutually exclusive children must sum to 1, got {total:g}; "
                    'for "none of them" add a child with "is_read_out": false'
                )
        here = _Above(index, index if exclusive else -1, feature if feature >= 0 else above.feature, marginal)
        for i, child in enumerate(children):
            self._add(child, f"{path}.children[{i}]", here)

    def sample_features(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Which features are active in some inputs. One uniform number is drawn per independent node and group.

        Args:
            shape: how many inputs, along as many axes as wanted.
            generator: of random numbers, on the CPU; the global one if left out.

        Returns:
            (*shape, n_features) of 0 and 1, float32.

        Raises:
            ValueError: no positive numbers.

        Example:
            >>> msae.FeatureTree.article().sample_features((5,)).shape
            torch.Size([5, 20])
        """
        shape = checked_shape("shape", shape)
        arguments.generator("generator", generator)
        active = torch.empty(len(self._nodes), *shape, dtype=torch.bool)
        draws: dict[int, Tensor] = {}
        reached: dict[int, float] = {}
        for i, node in enumerate(self._nodes):
            if node.group >= 0:  # exclusive siblings share one draw and own neighbouring stretches of [0, 1)
                if node.group not in draws:
                    draws[node.group] = torch.rand(shape, generator=generator)
                low = reached.get(node.group, 0.0)
                reached[node.group] = low + node.probability
                now = (draws[node.group] >= low) & (draws[node.group] < reached[node.group])
            else:
                now = torch.rand(shape, generator=generator) < node.probability
            active[i] = now & active[node.parent] if node.parent >= 0 else now
        features = [i for i, node in enumerate(self._nodes) if node.feature >= 0]
        return active[features].movedim(0, -1).float()

    def sample(self, batch: int | tuple[int, ...], directions: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Inputs and the features behind them.

        Args:
            batch: how many inputs, or their leading shape.
            directions: (n_features, d_model), or (n_seeds, n_features, d_model) for several toys at once with batch (n_seeds, n).
            generator: of random numbers, on the CPU; the global one if left out.

        Returns:
            x (*batch, d_model), the sum of the active features' directions; features (*batch, n_features) of 0 and 1. Both lie where
            the directions do; x is in their precision, float32 at least.

        Raises:
            ValueError: no positive number of inputs, or directions that do not fit or are NaN or infinite.

        Example:
            >>> tree = msae.FeatureTree.article()
            >>> x, features = tree.sample(5, msae.orthogonal_directions(tree.n_features, 24))
            >>> x.shape, features.shape
            (torch.Size([5, 24]), torch.Size([5, 20]))
        """
        directions = checked_directions(directions, self)
        shape = checked_shape("batch", batch if isinstance(batch, (tuple, list)) else (batch,))
        if directions.ndim == 3 and (len(shape) < 2 or shape[-2] != len(directions)):
            raise ValueError(f"batch must be ({len(directions)}, n) for {len(directions)} toys at once, got {shape}")
        return self._sample(shape, directions, generator)

    def _sample(self, shape: tuple[int, ...], directions: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        features = self.sample_features(shape, generator).to(directions.device)
        return features.to(directions.dtype) @ directions, features


def orthogonal_directions(n_features: int, d_model: int, seed: int = 0) -> Tensor:
    """(n_features, d_model) orthonormal rows in a random orientation, as in the article's toy.

    Args:
        n_features: how many.
        d_model: length of each.
        seed: of the orientation.

    Raises:
        ValueError: where n_features > d_model; draw random unit vectors instead if you want superposition.

    Example:
        >>> directions = msae.orthogonal_directions(3, 8)
        >>> (directions @ directions.T).round(decimals=4).abs().tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    n_features, d_model = whole("n_features", n_features, 1), whole("d_model", d_model, 1)
    seed = whole("seed", seed, 0, 2**64 - 1)
    if n_features > d_model:
        raise ValueError(f"{n_features} orthogonal directions do not fit into d_model={d_model}")
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(d_model, d_model, generator=generator))
    return q[:n_features]


def _check_schema(tree: Any) -> None:
    from jsonschema import Draft202012Validator

    try:
        error = next(iter(Draft202012Validator(TREE_SCHEMA).iter_errors(tree)), None)
        if error is not None:
            path = "tree" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
            raise ValueError(f"{path}: {' '.join(error.message.split())[:300]}")
        as_json(tree, "tree")  # a schema lets NaN and half of a surrogate pair pass
    except RecursionError as error:
        raise ValueError("tree is nested too deeply: a few dozen levels are the most that is read") from error


def checked_shape(name: str, shape: Any) -> tuple[int, ...]:
    """One or more whole numbers, each at least 1."""
    if not isinstance(shape, (tuple, list)) or not shape:
        raise ValueError(f"{name} must be whole numbers, at least one, got {shown(shape)}")
    return tuple(whole(name, n, 1) for n in shape)


def checked_directions(directions: Any, tree: FeatureTree) -> Tensor:
    """Finite numbers (n_features, d_model) or (n_seeds, n_features, d_model), in float32 at least: sums leave half precision."""
    directions = tensor("directions", directions, numbers="real")
    if directions.ndim not in (2, 3) or 0 in directions.shape:
        raise ValueError(f"directions must be (n_features, d_model) or (n_seeds, n_features, d_model), got {tuple(directions.shape)}")
    if directions.shape[-2] != tree.n_features:
        raise ValueError(f"directions: expected one direction for each of {tree.n_features} features, got {directions.shape[-2]}")
    all_finite("directions", directions)
    return wide(directions)
