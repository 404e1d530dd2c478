"""What `msae.interventions` must refuse."""

from __future__ import annotations

import torch
from bad_input import INF, NOT_A_NUMBER, NOT_A_TENSOR, NOT_TEXT, NOT_WHOLE, Function, Says
from bad_input.metrics import HOOK, D, an_sae, language_model, texts

from msae import SAE
from msae.interventions import continued, next_token, without

NO_MODEL = [None, 3, "bundled"]


TABLE = [
    Function(
        without,
        lambda: {"lm": language_model(), "sae": an_sae(hook_name=HOOK), "latents": [1, 0], "rows": torch.ones(2, D)},
        {
            "lm": NO_MODEL,
            "sae": [
                *(None, 3, "S/2"),
                Says(an_sae(), "names no hook"),
                Says(an_sae(hook_name="there"), "no hook 'there'"),
                Says(SAE(D + 1, 3, hook_name=HOOK), "reads vectors of width 5, but those at"),
            ],
            "latents": [None, 3, "a", [], [-1], [99], [1.5], [None], [0, 0]],
            "rows": [*NOT_A_TENSOR[1:], torch.ones(2, D + 1), torch.ones(1, D), torch.full((2, D), INF)],
        },
    ),
    Function(
        next_token,
        lambda: {"lm": language_model(), "texts": texts(), "batch_size": 2},
        {"lm": NO_MODEL, "texts": [None, 3, "a", torch.ones(2, 3)], "batch_size": [*NOT_WHOLE, 0, -1]},
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
]
