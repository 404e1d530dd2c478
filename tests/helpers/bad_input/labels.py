"""What latents are called, and where their holes are seen."""

from __future__ import annotations

import numpy as np
from bad_input import INF, NAN, Function, Says

from msae.firings import as_firings
from msae.latents import concept_labels, holed_look_alike

DENSE = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
ACTS = {"S": as_firings(DENSE[..., :1]), "L": as_firings(DENSE)}
SHE = np.array([[True, False, True]])
NOT_A_SHARE = [None, "0.5", NAN, INF, True, -0.1, 1.1]
NO_ACTS = [None, 3, "S", DENSE, {3: DENSE}]

TABLE = [
    Function(
        concept_labels,
        lambda: {"acts": ACTS, "concepts": {"she": SHE}, "level": 0.25, "least_f1": 0.6},
        {
            "acts": [*NO_ACTS, Says({"S": DENSE * NAN}, "must be finite")],
            "concepts": [None, 3, SHE, {3: SHE}, Says({"she": SHE[:, :2]}, "(1, 2)"), Says({"she": 3 * SHE}, "True and False")],
            "level": [*NOT_A_SHARE, 1],
            "least_f1": NOT_A_SHARE,
        },
    ),
    Function(
        holed_look_alike,
        lambda: {"acts": ACTS, "labels": {"S/0": "she"}},
        {
            "acts": [*NO_ACTS, Says({"L": DENSE}, "'S/0'")],
            "labels": [None, 3, "S/0", ["S/0"], {3: "she"}, *[Says({each: "she"}, "latent") for each in ("M/0", "S/9", "S/x", "S")]],
        },
    ),
]
