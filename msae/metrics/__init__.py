"""In: an SAE and the vectors it reads, or firings and a concept. Out: how sparse, how faithful, how full of holes, with intervals.

::

    from msae import metrics
    found = metrics.reconstruction(sae, activations.x, story=activations.x_story)
    print(f"{found.fvu:.2f}")  # 0.21 [0.20, 0.22]

Every Interval is a bootstrap over stories: tokens of one story are alike, stories are not (`metrics.bootstrap`).
"""

from msae.firings.firings import Firings, as_firings
from msae.firings.reading import CLEARLY
from msae.firings.sources import encode
from msae.metrics.absorbed import Absorption, absorption, mean_difference
from msae.metrics.by_probe import AbsorptionByProbe, absorption_by_probe
from msae.metrics.complete import Completeness, completeness
from msae.metrics.concepts import ConceptScore, ConceptScores, concept_score, concept_scores
from msae.metrics.contexts import detection, fuzzing
from msae.metrics.correlation import MaxCorrelation, mean_max_correlation
from msae.metrics.costs import Splice, SpliceRatio
from msae.metrics.fidelity import Reconstruction, cosines, dead, fvu, l0, reconstruction
from msae.metrics.fragments import Fragmentation, fragmentation
from msae.metrics.hierarchy import Hierarchical, hierarchical
from msae.metrics.hole_rates import HoleRate, hole_rate
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.metrics.joint import replicates
from msae.metrics.probing import Probe, SparseProbe, linear_probe, sparse_probe
from msae.metrics.rankings import ConceptRanking, concept_ranking
from msae.metrics.specific import Band, Specificity, specificity
from msae.metrics.spliced import splice
from msae.metrics.splits import Splitting, splitting
from msae.metrics.toy import Holes, assign, closest, holes, match
from msae.metrics.unselected import Unselected, unselected_holes

__all__ = [  # noqa: RUF022  (as they are read)
    "reconstruction", "Reconstruction", "l0", "fvu", "dead", "splice", "Splice", "SpliceRatio", "concept_score", "concept_scores",
    "ConceptScore", "ConceptScores", "concept_ranking", "ConceptRanking", "specificity", "Specificity", "Band", "detection", "fuzzing",
    "completeness", "Completeness", "CLEARLY", "hole_rate", "HoleRate", "holes", "Holes",
    "fragmentation", "Fragmentation", "splitting", "Splitting", "absorption", "Absorption", "mean_difference", "absorption_by_probe",
    "AbsorptionByProbe", "linear_probe", "Probe", "sparse_probe", "SparseProbe", "mean_max_correlation", "MaxCorrelation",
    "unselected_holes", "Unselected", "cosines", "closest", "assign", "match", "Interval", "bootstrap", "replicates", "hierarchical",
    "Hierarchical", "sum_by_story", "ratio", "as_firings", "encode", "Firings",
]  # fmt: skip
