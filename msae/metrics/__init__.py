"""Measures: how sparse, how faithful, and how full of holes.

    from msae import metrics
    metrics.reconstruction(sae, activations.x, activations.x_story).fvu     # Interval(value, low, high)

Every Interval is a bootstrap over stories: tokens of one story are alike, stories are not (`metrics.bootstrap`).
"""

from msae.metrics._absorption import Absorption, absorption, mean_difference
from msae.metrics._bootstrap import Interval, bootstrap, sum_by_story
from msae.metrics._concepts import ConceptScore, ConceptScores, HoleRate, concept_score, concept_scores, hole_rate
from msae.metrics._correlation import MaxCorrelation, mean_max_correlation
from msae.metrics._firings import Firings, as_firings, encode
from msae.metrics._fragmentation import Fragmentation, Splitting, fragmentation, splitting
from msae.metrics._reconstruction import Reconstruction, cosines, dead, fvu, l0, reconstruction
from msae.metrics._splice import Splice, splice
from msae.metrics._toy import Holes, closest, holes, match

__all__ = [
    "Absorption",
    "ConceptScore",
    "ConceptScores",
    "Firings",
    "Fragmentation",
    "HoleRate",
    "Holes",
    "Interval",
    "MaxCorrelation",
    "Reconstruction",
    "Splice",
    "Splitting",
    "absorption",
    "as_firings",
    "bootstrap",
    "closest",
    "concept_score",
    "concept_scores",
    "cosines",
    "dead",
    "encode",
    "fragmentation",
    "fvu",
    "hole_rate",
    "holes",
    "l0",
    "match",
    "mean_difference",
    "mean_max_correlation",
    "reconstruction",
    "splice",
    "splitting",
    "sum_by_story",
]
