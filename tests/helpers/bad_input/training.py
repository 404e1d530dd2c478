"""The recipe and the training loop."""

from types import SimpleNamespace

from bad_input import INF, NAN, NOT_A_NUMBER, NOT_A_PATH, NOT_WHOLE, Function, Says

import msae
from msae.toy.tree import orthogonal_directions

TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20))
GIVEN = {"hook_name": None, "scale": 1.0, "d_model": 20, "batches": STREAM.batches}
WRONG = [{"scale": NAN}, {"scale": 0}, {"scale": None}, {"d_model": 2.5}, {"hook_name": 3}]
RECIPE = msae.TrainConfig(20, 2.0, 1, 8)
SHARE = [*NOT_A_NUMBER, -0.1, 1.1]
WHOLE = [*NOT_WHOLE, 0, -3]

TABLE = [
    Function(
        msae.TrainConfig,
        lambda: {"n_latents": 20, "target_l0": 2.0, "n_steps": 5},
        {
            "n_latents": [*WHOLE, Says(2, "target_l0 must lie between 0 and n_latents=2")],
            "target_l0": ["2", NAN, INF, [2.0], 0, -1, 20, 21],
            "n_steps": WHOLE,
            "batch_size": WHOLE,
            "lr": [*NOT_A_NUMBER, 0, 1, -1],
            "betas": [None, 0.9, (0.9,), (0.9, 1.0), (0.9, NAN), (0.9, "b"), (0.9, 0.9, 0.9)],
            "lazy_adam": [None, "yes", 3],
            "centre": [None, "yes", 3],
            "stop_gradient": [None, "yes", 3],
            "sample_prefixes": [None, "yes", 3, ["plain"]],
            "prefixes": [None, "sqrt", 3, msae.SquareRootPrefixes, Says(msae.FixedPrefixes([5, 10]), "last width")],
            "nonlinearity": [None, "relu", msae.ReLU, Says(msae.TopK(3), "target_l0=3"), Says(msae.BatchTopK(30), "target_l0=30")],
            "penalty": [None, "log2", 3, ["l1"]],
            "penalty_weight": [*NOT_A_NUMBER, 0, -1],
            "seed": [None, "0", 0.5, NAN, -1, 2**63, (), (0, -1), (0.5,), [None]],
            "warmup": SHARE,
            "decay": SHARE,
            "start_l0": ["3", NAN, INF, 0, -1],
            "sparsify": SHARE,
            "fade_prefixes": SHARE,
            "fade_penalty": SHARE,
            "exchange_every": [*NOT_WHOLE, -1],
            "exchange_moves": [*NOT_WHOLE, 0],
            "aux_latents": [*NOT_WHOLE, -1],
            "aux_weight": [*NOT_A_NUMBER, 0, -1],
            "dead_after": [*NOT_WHOLE, 0],
            "clip_norm": [*NOT_A_NUMBER, 0, -1],
            "encoder_dtype": [None, "float64", "half", 16],
        },
    ),
    Function(
        msae.language_model_recipe,
        lambda: {"n_latents": 20, "target_l0": 2.0, "n_steps": 5},
        {"n_latents": WHOLE, "target_l0": ["2", NAN, 0, 20], "n_steps": WHOLE},
    ),
    Function(
        msae.train,
        lambda: {"configs": RECIPE, "stream": STREAM, "progress": False},
        {
            "configs": [
                None,
                "plain",
                {},
                {"a": None},
                [RECIPE],
                {3: RECIPE},
                Says({"a": RECIPE, "b": msae.TrainConfig(20, 2.0, 2, 8)}, "share n_steps"),
            ],
            "stream": [None, [1.0], "stream", TREE, *(SimpleNamespace(**GIVEN | wrong) for wrong in WRONG)],
            "data_seed": [*NOT_WHOLE, -1],
            "checkpoint": [*NOT_A_PATH[1:], "."],
            "checkpoint_every": WHOLE,
            "device": [None, 3.5, "gpu", "cuda:99", ["cpu"]],
        },
        {"progress": "shown if true"},
    ),
]
