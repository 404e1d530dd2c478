"""Batches of a tree of features, without end, each seed its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from msae.support.arguments import number, shown, text, whole
from msae.support.origin import Origin, sha256_of_array
from msae.toy.checks import checked_directions
from msae.toy.tree import FeatureTree


@dataclass
class TreeStream:
    """Endless batches from a tree, for `msae.train`.

    With directions (n_features, d_model) the batches are (batch, d_model); with (n_seeds, n_features, d_model) they are
    (n_seeds, batch, d_model), one independent toy per seed.

    Example:
        >>> tree = msae.FeatureTree.article()
        >>> stream = msae.TreeStream(tree, msae.orthogonal_directions(tree.n_features, 24))
        >>> next(stream.batches(4, seed=0)).shape
        torch.Size([4, 24])
    """

    tree: FeatureTree
    """Where the features come from."""

    directions: Tensor
    """(n_features, d_model), or one such matrix per seed: what each feature adds to an input."""

    hook_name: str | None = None
    """What an SAE records as the place that its inputs were taken at."""

    scale: float = 1.0
    """What an SAE records as the factor its inputs were multiplied by; the batches are not multiplied here."""

    jitter: float = 0.0
    """Standard deviation of an active feature's strength around 1; the article's tree has 0.05."""

    noise: float = 0.0
    """Standard deviation of what is added to each coordinate of an input."""

    def __post_init__(self) -> None:
        if not isinstance(self.tree, FeatureTree):
            raise ValueError(f"tree must be a FeatureTree, got {shown(self.tree)}")
        self.directions = checked_directions(self.directions, self.tree.n_features)
        self.hook_name = None if self.hook_name is None else text("hook_name", self.hook_name)
        self.scale = number("scale", self.scale, above=0)
        self.jitter, self.noise = number("jitter", self.jitter, 0), number("noise", self.noise, 0)

    @property
    def d_model(self) -> int:
        """Length of one input."""
        return self.directions.shape[-1]

    @property
    def origin(self) -> Origin:
        """What the batches are made of, to be held against a checkpoint's."""
        unrest = {name: value for name, value in (("jitter", self.jitter), ("noise", self.noise)) if value}
        return unrest | {
            "stream": "TreeStream",
            "tree": [list(node) for node in self.tree._nodes],
            "directions": sha256_of_array(self.directions),
            "hook_name": self.hook_name,
            "d_model": self.d_model,
            "scale": self.scale,
        }

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """Endless batches; the same seed gives the same ones.

        Args:
            batch_size: inputs in a batch, of each toy.
            seed: the same seed gives the same batches.
            skip: leave out this many batches at the start: where a resumed run goes on.

        Raises:
            ValueError: at once, for impossible numbers.

        Example:
            >>> tree = msae.FeatureTree.article()
            >>> batches = msae.TreeStream(tree, msae.orthogonal_directions(20, 20)).batches(4, seed=0)
            >>> next(batches).shape
            torch.Size([4, 20])
        """
        shape = (*self.directions.shape[:-2], whole("batch_size", batch_size, 1))
        return self._batches(shape, whole("seed", seed, 0, 2**64 - 1), whole("skip", skip))

    def _batches(self, shape: tuple[int, ...], seed: int, skip: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        unrest = (self.jitter, self.noise)
        for _ in range(skip):
            if any(unrest):  # all that a batch draws
                self.tree._sample(shape, self.directions, generator, unrest)
            else:
                self.tree.sample_features(shape, generator)
        while True:
            yield self.tree._sample(shape, self.directions, generator, unrest)[0]
