"""What latents are called, where their holes are seen, how they are explained and what they are compared with."""

from __future__ import annotations

import numpy as np
import torch
from bad_input import INF, NAN, NOT_WHOLE, SQUARE, Function, Says

import msae
from msae.firings import as_firings
from msae.latents import concept_labels, explain, frozen_sae, holed_look_alike, independent_components, some_latents, strongest_inputs

DENSE = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
ACTS = {"S": as_firings(DENSE[..., :1]), "L": as_firings(DENSE)}
SHE = np.array([[True, False, True]])
NOT_A_SHARE = [None, "0.5", NAN, INF, True, -0.1, 1.1]
NO_ACTS = [None, 3, "S", DENSE, {3: DENSE}]

FIRES, TOKENS = np.array([[[1.0, 0.0], [0.0, 0.0]]] * 3), np.array([[0, 1]] * 3)
SCORES = np.random.default_rng(0).normal(size=(6, 3))

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
    Function(
        explain,
        lambda: {
            **{"acts": FIRES, "tokens": TOKENS, "str_tokens": ["a", "b"], "latents": [0], "measured": [False, False, True]},
            **{"level": 0.0, "explainer": lambda contexts: "a"},
        },
        {
            "acts": [None, 3, "a", {"S": FIRES}, FIRES * NAN, Says(FIRES[:2], "tokens: expected ids of shape (2, 2)")],
            "tokens": [None, 3, TOKENS[0], TOKENS[:2], TOKENS * 0.5],
            "str_tokens": [None, 3, ["a"]],
            "latents": [None, 3, "0", [None], [-1], [0.5], Says([9], "no latent 9"), Says([1], "latent 1 fires on none")],
            "measured": [None, 3, [True], [[False, False, True]], [False] * 3, [True] * 3, [0, 0, 2], [NAN] * 3],
            "level": [*NOT_A_SHARE[:-1], 1],
            "explainer": [3, "a", Says(lambda contexts: None, "explainer must return a token pattern")],
        },
    ),
    Function(
        strongest_inputs,
        lambda: {"scores": SCORES, "counts": [1, 2, 3], "mask": np.ones((2, 3), dtype=bool)},
        {
            "scores": [None, 3, "a", SCORES[0], SCORES * NAN, Says(SCORES[:5], "scores must have a row"), [["a"]]],
            "counts": [None, 3, "abc", [1, 2], [1, 2, 6], [-1, 2, 3], [0.5, 1, 2], [[1, 2, 3]]],
            "mask": [3, "a", np.ones(6, dtype=bool), Says(np.ones((2, 2), dtype=bool), "in mask")],
        },
    ),
    Function(
        some_latents,
        lambda: {"sae": msae.SAE(4, 3), "latents": [2, 0]},
        {
            "sae": [None, 3, "a", torch.ones(4, 3), msae.SAE(4, 3, msae.TopK(1))],
            "latents": [None, 3, "0", [], [3], [-1], [0.5], [None]],
        },
    ),
    Function(
        frozen_sae,
        lambda: {"x": torch.from_numpy(SCORES), "counts": [1, 2], "seed": 1},
        {
            "x": [None, 3, "a", torch.ones(3), torch.full((6, 3), NAN), SQUARE.to_sparse()],
            "counts": [None, 3, "ab", [], [1, 6], [-1], [0.5], [[1]]],
            "seed": [*NOT_WHOLE, -1],
        },
        free={"hook_name": "kept as it is"},
    ),
    Function(
        independent_components,
        lambda: {"x": torch.from_numpy(SCORES), "n_steps": 3, "seed": 1},
        {
            "x": [
                None,
                3,
                "a",
                torch.ones(3),
                torch.full((6, 3), NAN),
                SQUARE.to_sparse(),
                SQUARE,
                Says(torch.ones(6, 2), "x does not vary"),
            ],
            "n_steps": [*NOT_WHOLE, 0],
            "seed": [*NOT_WHOLE, -1],
        },
    ),
]
