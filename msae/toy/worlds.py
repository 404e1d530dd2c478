"""Worlds beside the article's tree: what a real model may hold and the toy leaves out, each with its truth.

One thing is changed at a time, so that a recipe that fails says what it cannot do. `toy_worlds` lists them; the chapter "All prefixes
at once" has the table of what each recipe makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from msae.support.arguments import items, number, shown, whole
from msae.toy.stream import TreeStream
from msae.toy.tree import FeatureTree, orthogonal_directions


@dataclass
class FeatureGraph(FeatureTree):
    """A tree with what no tree has: children of two parents, and children that come without theirs. `of` makes one.

    Example:
        >>> from msae.toy import FeatureTree
        >>> from msae.toy.worlds import FeatureGraph
        >>> FeatureGraph.of(FeatureTree.article(), apart=0.1).l0 < FeatureTree.article().l0
        True
    """

    also: tuple[tuple[int, int], ...] = ()
    """(child, parent) pairs: further parents, active wherever the child is."""

    apart: float = 0.0
    """How often an active child's parent is missing, 0 to 1."""

    def __post_init__(self) -> None:
        last = self.n_features - 1
        pairs = [items("each of also, a (child, parent) pair,", pair) for pair in items("also", self.also)]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"also must hold (child, parent) pairs, got {shown(self.also)}")
        self.also = tuple((whole("a child of also", a, 0, last), whole("a parent of also", b, 0, last)) for a, b in pairs)
        self.apart = number("apart", self.apart, 0, 1)

    @classmethod
    def of(cls, tree: FeatureTree, also: tuple[tuple[int, int], ...] = (), apart: float = 0.0) -> FeatureGraph:
        """A tree with further parents, or with children apart; its probabilities are counted on 200,000 inputs.

        Args:
            tree: what is drawn first.
            also: (child, parent) pairs, further parents.
            apart: how often an active child's parent is missing.

        Raises:
            ValueError: no tree, pairs that name no features, or no share.

        Example:
            >>> from msae.toy import FeatureTree
            >>> from msae.toy.worlds import FeatureGraph
            >>> graph = FeatureGraph.of(FeatureTree.article(), also=((12, 13),))  # where "ball" is, "tree" is
            >>> graph.children(13)
            [12]
        """
        if type(tree) is not FeatureTree:
            raise ValueError(f"tree must be a FeatureTree, got {shown(tree)}")
        graph = cls(**vars(tree), also=also, apart=apart)
        drawn = graph.sample_features((200_000,), torch.Generator().manual_seed(0))
        graph.probability = drawn.mean(0, dtype=torch.float64)
        return graph

    @property
    def parents(self) -> list[int]:
        """The features that have children, in order."""
        return sorted({p for p in self.parent if p >= 0} | {p for _, p in self.also})

    def children(self, feature: int) -> list[int]:
        """The features right below one.

        Args:
            feature: its index.
        """
        return sorted({*super().children(feature), *(child for child, parent in self.also if parent == feature)})

    def sample_features(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Which features are active.

        Args:
            shape: how many inputs, along as many axes as wanted.
            generator: of random numbers; the global one if left out.

        Returns:
            (*shape, n_features) of 0 and 1.
        """
        features = super().sample_features(shape, generator)
        for child, parent in self.also:
            features[..., parent] = torch.maximum(features[..., parent], features[..., child])
        if self.apart:
            for parent in self.parents:
                missing = torch.rand(shape, generator=generator) < self.apart
                features[..., parent] *= 1 - missing * features[..., self.children(parent)].amax(-1)
        return features


@dataclass(frozen=True)
class World:
    """Features, the directions they have, and what is added to them.

    Raises:
        ValueError: a setting out of its range.

    Example:
        >>> from msae.toy.worlds import toy_worlds
        >>> world = toy_worlds()["article, jitter 0.05"]
        >>> world.stream((0, 1)).directions.shape, world.jitter
        (torch.Size([2, 20, 20]), 0.05)
    """

    tree: FeatureTree
    """Which features are active together."""

    d_model: int | None = None
    """Length of an input with directions drawn at random; None for as many as there are features, at right angles."""

    spread: float = 1.0
    """Strengths lie between 1 / spread and spread, even in their logarithm; drawn anew for each seed."""

    child_strength: float = 1.0
    """Times which a child is stronger than its parent."""

    jitter: float = 0.0
    """Standard deviation of an active feature's strength, as a share of it; 0.05 in the article."""

    noise: float = 0.0
    """Standard deviation of what is added to every coordinate of an input."""

    def __post_init__(self) -> None:
        if not isinstance(self.tree, FeatureTree):
            raise ValueError(f"tree must be a FeatureTree, got {shown(self.tree)}")
        if self.d_model is not None:
            whole("d_model", self.d_model, 1)
        number("spread", self.spread, 1)
        number("child_strength", self.child_strength, above=0)
        number("jitter", self.jitter, 0)
        number("noise", self.noise, 0)

    def directions(self, seed: int) -> Tensor:
        """(n_features, d_model): what each feature adds to an input.

        Args:
            seed: of the directions and the strengths.
        """
        n, generator = self.tree.n_features, torch.Generator().manual_seed(whole("seed", seed, 0, 2**63 - 1))
        if self.d_model is None:
            rows = orthogonal_directions(n, n, seed)
        else:
            rows = torch.nn.functional.normalize(torch.randn(n, self.d_model, generator=generator), dim=1)
        strength = self.spread ** (2 * torch.rand(n, generator=generator) - 1)
        for parent in self.tree.parents:  # from the root down, so that a grandchild is stronger still
            strength[self.tree.children(parent)] *= self.child_strength
        return rows * strength[:, None]

    def stream(self, seeds: tuple[int, ...]) -> TreeStream:
        """Batches for training, one toy for each seed.

        Args:
            seeds: of the directions, at least one.

        Raises:
            ValueError: seeds that are no such list.
        """
        seeds = tuple(whole("each of seeds", seed, 0, 2**63 - 1) for seed in items("seeds", seeds))
        if not seeds:
            raise ValueError("seeds must be a tuple of at least one, got ()")
        directions = torch.stack([self.directions(seed) for seed in seeds])
        return TreeStream(self.tree, directions, jitter=self.jitter, noise=self.noise)


def toy_worlds() -> dict[str, World]:
    """Fourteen worlds, each one step away from the article's tree.

    Returns:
        the worlds by name.

    Example:
        >>> from msae.toy.worlds import toy_worlds
        >>> list(toy_worlds())[:2]
        ['article, no jitter', 'article, jitter 0.05']
    """
    article = FeatureTree.article()
    return {
        "article, no jitter": World(article),
        "article, jitter 0.05": World(article, jitter=0.05),
        "jitter 0.2": World(article, jitter=0.2),
        "three levels": World(_three_levels()),
        "two parents a child": World(_two_parents()),
        "strengths 0.5 to 2": World(article, spread=2.0),
        "children 1.4 times as strong": World(article, child_strength=1.4),
        "children twice as strong": World(article, child_strength=2.0),
        "noise 0.05": World(article, noise=0.05),
        "random directions, d 40": World(article, d_model=40),
        "superposition, d 14": World(article, d_model=14),
        "independent children": World(_families(3, [0.3] * 3, alone=8)),
        "child in 80 % of its parent": World(_families(8, [0.8], alone=0)),
        "parent missing in 10 %": World(FeatureGraph.of(article, apart=0.1)),
    }


def _root(children: list[dict[str, Any]]) -> FeatureTree:
    return FeatureTree.from_dict({"active_prob": 1.0, "is_read_out": False, "children": children})


def _three_levels() -> FeatureTree:
    """Four roots, each with two exclusive children, each with two exclusive children of their own; six features alone: 34."""

    def grown(probability: float, below: int) -> dict[str, Any]:
        node: dict[str, Any] = {"active_prob": probability}
        if below:
            nobody = {"active_prob": 0.2, "is_read_out": False}
            node |= {"mutually_exclusive_children": True, "children": [grown(0.4, below - 1), grown(0.4, below - 1), nobody]}
        return node

    return _root([grown(0.15, 2) for _ in range(4)] + [{"active_prob": 0.05} for _ in range(6)])


def _two_parents() -> FeatureGraph:
    """Four parents, and a child for each pair of them, active only where both are; eight features alone: 18."""
    tree = _root([{"active_prob": 0.1} for _ in range(4)] + [{"active_prob": 0.03} for _ in range(6)] + [{"active_prob": 0.05}] * 8)
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    return FeatureGraph.of(tree, also=tuple((4 + i, parent) for i, pair in enumerate(pairs) for parent in pair))


def _families(n: int, children: list[float], alone: int) -> FeatureTree:
    """Parents with children that are drawn one by one, so that several can be active."""
    parents = [{"active_prob": 0.15, "children": [{"active_prob": p} for p in children]} for _ in range(n)]
    return _root(parents + [{"active_prob": 0.05} for _ in range(alone)])
