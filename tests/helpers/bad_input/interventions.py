"""What `msae.interventions` must refuse."""

from __future__ import annotations

import torch
from bad_input import INF, NOT_A_NUMBER, NOT_A_TENSOR, NOT_TEXT, NOT_WHOLE, Function, Says
from bad_input.metrics import HOOK, D, an_sae, language_model, texts

from msae import SAE
from msae.interventions import (
    ablate,
    add_noise,
    clamp,
    continuations,
    continued,
    each_alone,
    effect,
    next_token,
    responses,
    spliced,
    steer,
    without,
)

NO_MODEL = [None, 3, "bundled"]
NO_SAE = [
    *(None, 3, "S/2"),
    Says(an_sae(), "names no hook"),
    Says(an_sae(hook_name="there"), "no hook 'there'"),
    Says(SAE(D + 1, 3, hook_name=HOOK), "reads vectors of width 5, but those at"),
]
NO_READER = [3, "S/2", *NO_SAE[3:]]
NO_LATENTS = [None, 3, "a", [], [-1], [1.5], [None], [0, 0]]
NO_CHANGE = [None, 3, "ablate", [0], ablate, Says(ablate([99]), "each of latents must lie between")]
NO_TEXTS = [None, 3, "a", torch.ones(2, 3)]


def _spliced(**more):
    return lambda: {"lm": language_model(), "sae": an_sae(hook_name=HOOK), **{name: make() for name, make in more.items()}}


TABLE = [
    Function(ablate, lambda: {"latents": [1, 0]}, {"latents": NO_LATENTS}),
    Function(
        clamp,
        lambda: {"latents": [1, 0], "value": 2.0, "only_active": True},
        {"latents": NO_LATENTS, "value": NOT_A_NUMBER, "only_active": [None, 1, "yes"]},
    ),
    Function(
        add_noise,
        lambda: {"latents": [1, 0], "size": 2.0, "generator": torch.Generator()},
        {"latents": NO_LATENTS, "size": [*NOT_A_NUMBER, -1], "generator": [3, "a"]},
    ),
    Function(steer, lambda: {"latents": [1, 0], "strength": -2.0}, {"latents": NO_LATENTS, "strength": NOT_A_NUMBER}),
    Function(
        spliced,
        _spliced(change=lambda: ablate([1, 0])),
        {"lm": NO_MODEL, "sae": NO_SAE, "change": NO_CHANGE},
    ),
    Function(
        effect,
        _spliced(change=lambda: ablate([1, 0]), texts=texts, tokens=lambda: [1, 2], batch_size=lambda: 2),
        {
            "lm": NO_MODEL,
            "sae": NO_SAE,
            "change": NO_CHANGE,
            "texts": NO_TEXTS,
            "tokens": [None, 3, "a", [-1], [10**6], [1.5]],
            "batch_size": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        responses,
        _spliced(change=lambda: ablate([1, 0]), texts=texts, reader=lambda: None, batch_size=lambda: 2),
        {
            "lm": NO_MODEL,
            "sae": NO_SAE,
            "change": NO_CHANGE,
            "texts": NO_TEXTS,
            "reader": NO_READER,
            "batch_size": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        each_alone,
        _spliced(tokens=lambda: torch.tensor([0, 3, 4]), batch_size=lambda: 2),
        {
            "lm": NO_MODEL,
            "sae": NO_SAE,
            "tokens": [None, 3, "a", torch.ones(2, 3), torch.tensor([0]), torch.tensor([0.5, 1.5]), torch.tensor([0, -1])],
            "batch_size": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        without,
        lambda: {"lm": language_model(), "sae": an_sae(hook_name=HOOK), "latents": [1, 0], "rows": torch.ones(2, D)},
        {
            "lm": NO_MODEL,
            "sae": NO_SAE,
            "latents": [*NO_LATENTS, [99]],
            "rows": [*NOT_A_TENSOR[1:], torch.ones(2, D + 1), torch.ones(1, D), torch.full((2, D), INF)],
        },
    ),
    Function(
        next_token,
        lambda: {"lm": language_model(), "texts": texts(), "batch_size": 2},
        {"lm": NO_MODEL, "texts": NO_TEXTS, "batch_size": [*NOT_WHOLE, 0, -1]},
    ),
    Function(
        continued,
        lambda: {"lm": language_model(), "start": "Lily ran", "n_tokens": 2, "seed": 0, "temperature": 1.0},
        {
            "lm": NO_MODEL,
            "start": [*NOT_TEXT, ""],
            "n_tokens": [*NOT_WHOLE, 0, -1],
            "seed": [*NOT_WHOLE[1:], -1],
            "temperature": [*NOT_A_NUMBER, 0, -1],
        },
    ),
    Function(
        continuations,
        lambda: {"lm": language_model(), "start": "Lily ran", "n_tokens": 2, "seeds": [0, 1], "temperature": 1.0},
        {
            "lm": NO_MODEL,
            "start": [*NOT_TEXT, ""],
            "n_tokens": [*NOT_WHOLE, 0, -1],
            "seeds": [None, 3, [], [-1], [0.5], ["a"]],
            "temperature": [*NOT_A_NUMBER, 0, -1],
        },
    ),
]
