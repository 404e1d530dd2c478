"""Where latents fire."""

import numpy as np
import torch
from bad_input import INF, NAN, NOT_WHOLE, Function, Says
from bad_input.explore import DENSE, NOT_NUMBERS, TOKENS, X, activations, sae, with_place
from bad_input.metrics import CONCEPT, FIRINGS, NO_ACTS, NO_CONCEPT, NO_LEVEL, NO_STORY, SCORED, L, base, of

import msae
from msae.firings import Firings, as_firings


def acts() -> Firings:
    return Firings.of_dense(DENSE)


WHERE = of(SCORED, "latent", "level") | {"level": [*SCORED["level"], [0.1, 0.2]]}

TABLE = [
    Function(as_firings, lambda: base("acts"), {"acts": NO_ACTS}),
    Function(FIRINGS.column, lambda: base("latent"), of(SCORED, "latent"), name="Firings.column"),
    Function(FIRINGS.where, lambda: base("latent", "level"), WHERE, name="Firings.where"),
    Function(
        FIRINGS.above,
        lambda: {"level": np.full(L, 0.1)},
        {"level": [*NO_LEVEL, np.full(L, NAN), np.full(L + 1, 0.1)]},
        name="Firings.above",
    ),
    Function(
        FIRINGS.counts_above,
        lambda: {"levels": [0.0, 0.5], "present": FIRINGS.present},
        {"levels": [*NO_LEVEL, 0.5, [[0.5]], [0.5, NAN]], "present": [None, 3, "a", FIRINGS.present[:1], FIRINGS.present[None]]},
        name="Firings.counts_above",
    ),
    Function(
        FIRINGS.concept, lambda: {"mask": CONCEPT}, {"mask": [Says(v, "concept") for v in NO_CONCEPT]}, {"name": "ours"}, "Firings.concept"
    ),
    Function(FIRINGS.story, lambda: base("story"), {"story": NO_STORY}, name="Firings.story"),
    Function(
        Firings,
        lambda: {name: getattr(acts(), name) for name in ("latents", "start", "positions", "values", "mask")},
        {
            "latents": [*NOT_NUMBERS, [1, 0], [-1, 0], np.array([1, 0], np.uint8), [0.5, 1.0], Says([0, 1, 2], "start")],
            "start": [*NOT_NUMBERS, [0, 99], [0, 9, 5], [1, 5, 11]],
            "positions": [*NOT_NUMBERS, Says([0], "start"), Says(-np.ones(11, dtype=int), "positions"), Says(np.zeros(11, int), "once")],
            "values": [*NOT_NUMBERS, [1.0], np.full(11, NAN), np.full(11, INF), np.zeros(11), -np.ones(11)],
            "mask": [*NOT_NUMBERS, [True], np.full((2, 3), 0.5), Says(np.zeros((2, 3), bool), "count")],
        },
    ),
    Function(
        Firings.of_dense,
        lambda: {"acts": DENSE, "mask": None},
        {
            "acts": [
                *(Says(value, "activations") for value in NOT_NUMBERS),
                *(
                    Says(value, "activations")
                    for value in (DENSE[0], -DENSE, DENSE * NAN, DENSE + INF, DENSE.astype(complex), DENSE * 1e300)
                ),
                *(Says(value, "activations") for value in (torch.full((1, 1, 1), NAN, dtype=torch.bfloat16), DENSE[..., :0])),
            ],
            "mask": ["a", 3, [True], np.ones((2, 2), bool), np.full((2, 3), NAN), np.full((2, 3), 2)],
        },
    ),
    Function(
        Firings.of_sae,
        lambda: {"sae": sae(), "activations": activations(), "latents": None, "chunk": 4},
        {
            "sae": [
                *(Says(value, "sae must be") for value in (None, 3, "a", torch.ones(3))),
                *(Says(sae(**{name: value}), name) for name in ("W_enc", "b_enc", "W_dec", "b_dec") for value in (NAN, INF)),
                Says(sae(b_enc=NAN).half(), "b_enc"),
                Says(sae(W_dec=-INF).bfloat16(), "W_dec"),
                Says(msae.SAE(5, 3), "width 5"),
                Says(sae(hook_name="there"), "there"),
            ],
            "activations": [
                *(None, 3, "a"),
                *(Says(activations(x=with_place(X, value)), "activations.x") for value in (NAN, INF)),
                Says(activations(x=X[:4]), "activations.x has 4 rows"),
                Says(activations(mask="a"), "mask"),
            ],
            "latents": [3, "ab", [3], [-1], [1.5], [], [NAN], ["S/0"]],
            "chunk": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(acts().of, lambda: {"latent": 1}, {"latent": [*NOT_WHOLE, 2, -1]}, name="Firings.of"),
    Function(acts().dense, lambda: {"latent": 1}, {"latent": [*NOT_WHOLE, 2, -1]}, name="Firings.dense"),
    Function(
        acts().occurrences,
        lambda: {"tokens": TOKENS},
        {"tokens": [*NOT_NUMBERS, TOKENS[:1], TOKENS.T, TOKENS * 1.0, -TOKENS, TOKENS + 2**40]},
        name="Firings.occurrences",
    ),
    Function(
        acts().top_tokens,
        lambda: {"latent": 1, "tokens": TOKENS, "k": 2, "occurring": None},
        {"latent": [*NOT_WHOLE, 2, -1], "tokens": [*NOT_NUMBERS, TOKENS[:1], TOKENS * 1.0, -TOKENS], "k": [*NOT_WHOLE, 0, -1]}
        | {"occurring": [*NOT_NUMBERS[1:], [1]]},
        name="Firings.top_tokens",
    ),
    Function(
        acts().top_texts,
        lambda: {"latent": 1, "k": 2},
        {"latent": [*NOT_WHOLE, 2, -1], "k": [*NOT_WHOLE, 0, -1]},
        name="Firings.top_texts",
    ),
]
