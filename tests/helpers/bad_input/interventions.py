"""What `msae.interventions` must refuse."""

from __future__ import annotations

import torch
from bad_input import INF, NOT_A_NUMBER, NOT_A_TENSOR, NOT_TEXT, NOT_WHOLE, Function, Says
from bad_input.metrics import HOOK, D, an_sae, language_model, texts

from msae import SAE
from msae.interventions import (
    Pairs,
    Restored,
    ablate,
    add_noise,
    attribution,
    clamp,
    continuations,
    continued,
    each_alone,
    effect,
    into_directions,
    into_latents,
    logit_differences,
    next_token,
    patched,
    prompt_pairs,
    responses,
    restored,
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


NO_PAIRS = [None, 3, "a", (torch.ones(1, 2),) * 4]
NO_INTO = [
    *(None, 3, "S/2"),
    Says(into_directions(torch.eye(D + 1), HOOK), "has parts of width 5, but the vectors at"),
    Says(into_directions(torch.eye(D), "there"), "no hook 'there'"),
]
NO_PLACES = [3, "a", torch.ones(2, 3).bool(), torch.ones(1, 3)]
NO_PARTS = [3, "a", [-1], [99], [1.5], [0, 0]]


def _pairs():
    return Pairs(torch.tensor([[0, 3, 4]]), torch.tensor([[0, 5, 4]]), torch.tensor([[6, 7]]), torch.tensor([2]))


def _patched(**more):
    """A fresh call's arguments, with whatever else it takes."""

    def make():
        into = into_directions(torch.eye(D), HOOK)
        places = torch.ones(1, 3).bool()
        return {"lm": language_model(), "pairs": _pairs(), "into": into, "places": places, "batch_size": 2, **more}

    return make


PATCHED = {"lm": NO_MODEL, "pairs": NO_PAIRS, "into": NO_INTO, "places": NO_PLACES, "batch_size": [*NOT_WHOLE, 0, -1]}


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
        prompt_pairs,
        lambda: {"lm": language_model(), "clean": ["q x"], "other": ["v x"], "answers": [("k", "j")]},
        {
            "lm": NO_MODEL,
            "clean": [
                None,
                3,
                "q x",
                [None],
                [3],
                [""],
                Says([], "at least one"),
                Says(["q x", "q"], "one item for each pair"),
                ["\ud800"],
            ],
            "other": [None, 3, "v x", [None], [3], [""], Says(["v x y"], "as many tokens"), Says(["q x"], "must differ"), ["\ud800"]],
            "answers": [None, 3, "kj", [None], ["k"], [("k",)], [("k", "k")], [("k", "jjjj")], [("k", 3)], [("k", "")]],
        },
    ),
    Function(
        logit_differences,
        lambda: {"lm": language_model(), "pairs": _pairs(), "batch_size": 2},
        {"lm": NO_MODEL, "pairs": NO_PAIRS, "batch_size": [*NOT_WHOLE, 0, -1]},
    ),
    Function(into_latents, lambda: {"sae": an_sae(hook_name=HOOK)}, {"sae": [None, 3, "S/2", Says(an_sae(), "names no hook")]}),
    Function(
        into_directions,
        lambda: {"rows": torch.eye(D), "hook_name": HOOK},
        {
            "rows": [*NOT_A_TENSOR, torch.ones(D), torch.ones(2, D), torch.zeros(0, D), torch.full((1, D), INF), torch.eye(D).long()],
            "hook_name": NOT_TEXT,
        },
    ),
    Function(patched, _patched(which=[1, 0], error=True), {**PATCHED, "which": NO_PARTS, "error": [None, 1, "yes"]}),
    Function(
        restored,
        _patched(order=[1, 0], sizes=[0, 2]),
        {**PATCHED, "order": [None, *NO_PARTS], "sizes": [None, 3, "a", [], [-1], [3], [1.5]]},
    ),
    Function(attribution, _patched(), PATCHED),
    Function(
        Restored.shares,
        lambda: {"self": Restored((1,), torch.ones(2), -torch.ones(2), torch.zeros(1, 2)), "group": [0, 1]},
        {"group": [3, "a", [0], [0.5, 1], [-1, 0]]},
        {"self": "made by restored"},
        name="Restored.shares",
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
