"""The toy: features on a tree, where the truth is known and holes can be counted.

A feature can be active only when its parent is. Each active feature adds its own direction to the input. So a child never comes without its
parent, and a sparse autoencoder is tempted to write "child" instead of "child and parent": absorption.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from msae.support import arguments
from msae.support.arguments import number, whole
from msae.toy.checks import check_schema, checked_directions, checked_shape
from msae.toy.nodes import Node, grow


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

    _nodes: list[Node] = field(repr=False)

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
        return cls._grown({"active_prob": 1.0, "is_read_out": False, "children": parents + alone})

    @classmethod
    def from_json(cls, path: str | PathLike[str]) -> FeatureTree:
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
        check_schema(tree)
        return cls._grown(tree)

    @classmethod
    def _grown(cls, tree: dict[str, Any]) -> FeatureTree:
        features, nodes = grow(tree)
        probability = torch.tensor([feature.probability for feature in features], dtype=torch.float64)
        return cls([feature.name for feature in features], [feature.parent for feature in features], probability, nodes)

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

    def sample(
        self,
        batch: int | tuple[int, ...],
        directions: Tensor,
        generator: torch.Generator | None = None,
        *,
        jitter: float = 0.0,
        noise: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Inputs and the features behind them.

        Args:
            batch: how many inputs, or their leading shape.
            directions: (n_features, d_model), or (n_seeds, n_features, d_model) for several toys at once with batch (n_seeds, n).
            generator: of random numbers, on the CPU; the global one if left out.
            jitter: standard deviation of an active feature's strength around 1; the article's tree has 0.05.
            noise: standard deviation of what is added to each coordinate.

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
        directions = checked_directions(directions, self.n_features)
        shape = checked_shape("batch", batch if isinstance(batch, (tuple, list)) else (batch,))
        if directions.ndim == 3 and (len(shape) < 2 or shape[-2] != len(directions)):
            raise ValueError(f"batch must be ({len(directions)}, n) for {len(directions)} toys at once, got {shape}")
        return self._sample(shape, directions, generator, (number("jitter", jitter, 0), number("noise", noise, 0)))

    def _sample(
        self, shape: tuple[int, ...], directions: Tensor, generator: torch.Generator | None, unrest: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Tensor, Tensor]:
        """`unrest`: jitter and noise, which are drawn after the features, so that these stay the same."""
        features = self.sample_features(shape, generator)
        jitter, noise = unrest
        strength = features * (1 + jitter * torch.randn(features.shape, generator=generator)) if jitter else features
        x = strength.to(directions) @ directions
        if noise:
            x += noise * torch.randn(x.shape, generator=generator).to(x)
        return x, features.to(directions.device)


def orthogonal_directions(n_features: int, d_model: int, seed: int = 0) -> Tensor:
    """(n_features, d_model) orthonormal rows in a random orientation, as in the article's toy.

    Args:
        n_features: how many.
        d_model: length of each.
        seed: of the orientation.

    Returns:
        (n_features, d_model) float32, rows of norm 1 at right angles to each other.

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
    q: Tensor = torch.linalg.qr(torch.randn(d_model, d_model, generator=generator))[0]
    return q[:n_features]
