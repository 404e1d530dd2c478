"""SAEs on stories, asked by name; and which latents belong together."""

import functools

import numpy as np
import torch
from bad_input import NAN, NOT_A_NUMBER, NOT_TEXT, NOT_WHOLE, Function, Says
from bad_input.explore import DENSE, OTHER, activations, sae
from bad_input.firings import acts
from bad_input.metrics import NO_LEVEL

import msae
from msae.latents import Latents, best_parents, children, latent_tree, nearest, principal_components

CONCEPT = np.array([[True, True, False], [False, True, True]])
NO_CONCEPT = [None, 3, CONCEPT[0], CONCEPT & False, np.full((2, 3), NAN), Says("nobody", "marks none of the 6 tokens")]
NO_LATENT = [None, 3, "", "S/3", "S/-1", "S/x", "S", "T/0", "/0"]
ROWS = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
NO_ROWS = [None, 3, "a", [[]], ROWS[0], ROWS[None], np.zeros((2, 3)), np.full((2, 3), NAN), [["a", "b"]], [[1.0], [1.0, 2.0]]]
NO_SAE = [None, 3, "", "T", "S/0", ["S"]]
SAES = [None, 3, {}, sae(), [sae()], {"S": None}, {"S": torch.ones(2)}, {1: sae()}]


@functools.cache
def latents() -> Latents:
    made = sae()
    made.b_enc.data += 3  # all latents fire
    return Latents({"S": made, "L": msae.SAE(4, 9, hook_name="here")}, activations())


TABLE = [
    Function(
        Latents,
        lambda: {"saes": {"S": sae()}, "activations": activations()},
        {
            "saes": [
                *SAES,
                Says({"S": sae(b_enc=NAN)}, "b_enc"),
                Says({"T": sae(hook_name="there")}, "saes['T'] was trained at there"),
                Says({"S": sae(), "T": msae.SAE(5, 3)}, "saes['T'] reads vectors of width 5"),
            ],
            "activations": [None, 3, "a", torch.ones(2)],
        },
    ),
    Function(
        latents().concept,
        lambda: {"concept": CONCEPT},
        {"concept": [None, 3, CONCEPT[0], np.full((2, 3), NAN), Says("S/9", "S/2")]},
        name="Latents.concept",
    ),
    Function(latents().dense, lambda: {"latent": "S/1"}, {"latent": NO_LATENT}, name="Latents.dense"),
    Function(
        latents().strongest, lambda: {"latent": "S/1", "k": 2}, {"latent": NO_LATENT, "k": [*NOT_WHOLE, 0, -1]}, name="Latents.strongest"
    ),
    Function(
        latents().best,
        lambda: {"concept": CONCEPT, "sae": "S", "level": 0.1},
        {"concept": NO_CONCEPT, "sae": [Says(name, "no SAE") for name in NO_SAE], "level": NO_LEVEL},
        name="Latents.best",
    ),
    Function(
        latents().score,
        lambda: {"latent": "S/1", "concept": CONCEPT, "level": 0.1},
        {"latent": NO_LATENT, "concept": NO_CONCEPT, "level": NO_LEVEL},
        name="Latents.score",
    ),
    Function(
        latents().holes,
        lambda: {"latent": "S/1", "concept": "S/0", "parts": {"a": CONCEPT}, "level": 0.1},
        {
            "latent": NO_LATENT,
            "concept": NO_CONCEPT,
            "parts": [3, [CONCEPT], Says({"a": CONCEPT & False}, "concept"), {"a": None}],
            "level": NO_LEVEL,
        },
        name="Latents.holes",
    ),
    Function(
        latents().look_alike,
        lambda: {"latent": "S/1", "sae": "L", "n_resamples": 9},
        {"latent": NO_LATENT, "sae": [Says(name, "no SAE") for name in NO_SAE], "n_resamples": [*NOT_WHOLE, 0]},
        name="Latents.look_alike",
    ),
    Function(latents().children, lambda: {"latent": "S/1"}, {"latent": NO_LATENT}, name="Latents.children"),
    Function(best_parents, lambda: {"edges": [("S/0", "L/1", 0.9)]}, {"edges": [None, 3, "ab", [3], [("S/0", "L/1")]]}),
    Function(
        children,
        lambda: {"latent": "S/0", "best": {"L/1": ("S/0", "L/1", 0.9)}},
        {"latent": NOT_TEXT, "best": [None, 3, "a", [("S/0", "L/1", 0.9)], {"L/1": "S/0"}]},
    ),
    Function(
        latent_tree,
        lambda: {"acts": {"S": acts()}, "metric": "directed_cosine", "threshold": 0.5, "n_parents": 2, "min_firings": 1},
        {
            "acts": [None, 3, acts(), {"S": DENSE}, {"S": acts(), "T": OTHER}],
            "metric": [None, "cosine", 3, ["directed_cosine"]],
            "threshold": NOT_A_NUMBER,
            "n_parents": [*NOT_WHOLE, 0, -1],
            "min_firings": [*NOT_WHOLE, -1],
        },
    ),
    Function(nearest, lambda: {"of": ROWS, "k": 1}, {"of": NO_ROWS, "k": [*NOT_WHOLE, 0, -1]}),
    Function(principal_components, lambda: {"directions": ROWS, "n_dims": 2}, {"directions": NO_ROWS, "n_dims": [*NOT_WHOLE, 0, -1, 4]}),
]
