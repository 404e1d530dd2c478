"""The benchmark."""

from __future__ import annotations

from bad_input import INF, NAN, NOT_WHOLE, Function, Says

from msae.bench.run import bench
from msae.bench.settings import SETTINGS, Setting

TINY = {"tiny": Setting(8, 16, 4, 2)}

TABLE = [
    Function(
        Setting,
        lambda: {"d_model": 8, "n_latents": 16, "batch": 4, "l0": 2, "threads": None},
        {
            "d_model": [*NOT_WHOLE, 0, -1],
            "n_latents": [*NOT_WHOLE, 0, -1],
            "batch": [*NOT_WHOLE, 0, -1],
            "l0": [None, "2", NAN, INF, True, 0, 16, -1],
            "threads": [*NOT_WHOLE[1:], 0, -1],
        },
    ),
    Function(
        bench,
        lambda: {"settings": TINY, "rounds": 1, "losses": ["plain"], "nonlinearities": ["topk"], "threads": 1, "block_seconds": 1e-3},
        {
            "settings": [None, 3, "toy", {}, {"toy": 3}, list(SETTINGS)],
            "rounds": [*NOT_WHOLE, 0, -1],
            "losses": [None, "plain", 3, ["l7"], [3], Says([], "nothing to time")],
            "nonlinearities": [None, "relu", 3, ["gelu"], Says([], "nothing to time")],
            "peers": [
                3,
                ["sae-lens"],
                {"somebody": "python"},
                Says({"sae-lens": "nowhere"}, "no Python"),
                Says({"sae-lens": None}, "no Python"),
            ],
            "threads": [*NOT_WHOLE[1:], 0, -1],
            "device": [None, "warp", 3, "mps"],
            "dtype": [None, "int8", 32],
            "block_seconds": [None, "1", NAN, INF, 0, -1, 61],
            "counts": [None, "yes", 1],
            "keep": [None, 3],
            "log": [None, 3],
        },
    ),
]
