"""Measures of kinds of SAE: pairs of a reference and a large one, and intervals over seeds."""

import numpy as np
from bad_input import INF, NAN, NOT_A_NUMBER, NOT_WHOLE, Function
from bad_input.metrics import ACTS, CONCEPT, NO_ACTS, NO_STORY, SCORED, STORY, one
from scipy.sparse import csr_array

from msae import metrics

KINDS = np.random.default_rng(0).random((2, 4, 3, 9))
NO_SIDE = [*NO_ACTS, ACTS[1:], csr_array([[NAN]]), csr_array(np.ones((3, 1)))]

TABLE = [
    Function(
        metrics.concept_ranking,
        lambda: {"acts": ACTS, "latent": 3, "concept": CONCEPT, "story": STORY, "precision": 0.9},
        {name: SCORED[name] for name in ("acts", "latent", "concept", "story")} | {"precision": [*NOT_A_NUMBER, 0, 1.1]},
    ),
    Function(
        metrics.unselected_holes,
        lambda: {"reference": ACTS, "large": ACTS, "story": STORY, "levels": (0, 0.25), "precision": 0.9, "n_replicates": 3},
        {
            "reference": NO_SIDE,
            "large": NO_SIDE,
            "story": NO_STORY,
            "levels": [None, "a", [], [0.5, 0.5], [1.0], [-0.1], [NAN], [[0.1]], 2],
            "precision": [*NOT_A_NUMBER, 0, 1.1],
            "n_replicates": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        metrics.replicates,
        lambda: {"statistic": lambda s: s[..., 0], "sums": np.ones((3, 2)), "n_replicates": 10},
        {
            "statistic": [None, 3, "mean", lambda s: s],
            "sums": [None, 3, "a", [], np.ones(3), np.ones((0, 2)), np.ones((3, 0)), one(np.ones((3, 2)), NAN), one(np.ones((3, 2)), INF)],
            "n_replicates": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        metrics.hierarchical,
        lambda: {
            "values": KINDS[0],
            "other": KINDS[1],
            "compare": "ratio",
            "paired": True,
            "also": {"stories": 9},
            "confidence": 0.9,
        },
        {
            "values": [None, 3, "a", [], KINDS[0][0, 0], KINDS[0][..., :1], KINDS[0][:, :1], KINDS[0][1:], one(KINDS[0], NAN)],
            "other": [3, "a", [], KINDS[0][0, 0], KINDS[0][..., :5], KINDS[0][:, :1], KINDS[0][1:], one(KINDS[0], INF), -KINDS[0]],
            "compare": [None, 3, "quotient", ["ratio"]],
            "paired": [None, 1, "yes"],
            "also": [3, "a", {"stories": 0}, {"stories": 1.5}, {"stories": None}],
            "confidence": [*NOT_A_NUMBER, 0, 1, -0.5, 95],
        },
    ),
]
