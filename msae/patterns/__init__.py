"""In: a token pattern such as `["Lily" | "Sue"]` and texts. Out: which tokens it marks, and which latents fire there."""

from msae.patterns.corpus import Corpus
from msae.patterns.examples import EXAMPLES, hole_examples
from msae.patterns.matching import MAX_TESTS, match
from msae.patterns.ranking import THRESHOLDS, LatentScore, rank_latents
from msae.patterns.syntax import PatternError, parse

__all__ = [
    "EXAMPLES",
    "MAX_TESTS",
    "THRESHOLDS",
    "Corpus",
    "LatentScore",
    "PatternError",
    "hole_examples",
    "match",
    "parse",
    "rank_latents",
]
