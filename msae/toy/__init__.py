"""In: a tree of features with probabilities. Out: vectors of which the truth is known, as a stream of batches for training."""

from msae.toy.stream import TreeStream
from msae.toy.tree import FeatureTree, orthogonal_directions
from msae.toy.worlds import World, toy_worlds

__all__ = ["FeatureTree", "TreeStream", "orthogonal_directions", "World", "toy_worlds"]  # noqa: RUF022  (as they are read)
