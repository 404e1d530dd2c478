"""In: a tree of features with probabilities. Out: vectors of which the truth is known, as a stream of batches for training."""

from msae.toy.stream import TreeStream
from msae.toy.tree import FeatureTree, orthogonal_directions

__all__ = ["FeatureTree", "TreeStream", "orthogonal_directions"]
