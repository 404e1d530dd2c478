"""The language model: loading, saving, the plain module, its training, and the article's model."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from bad_input import NAN, NOT_A_NUMBER, NOT_A_PATH, NOT_TEXT, NOT_WHOLE, Function, Says
from bad_input.activations import DEVICES, LM, STORIES, TEXTS, lm
from tiny_models import random_weights

import msae
from msae.lm import bridge, loading, measuring, pretraining, rows, tinymodel, tinymodel_tokenizer, transformer
from msae.lm.tokenizer import train_tokenizer
from msae.support import manifests

NOT_A_RATE = [*NOT_A_NUMBER, 0, -1, 1, True]
NOT_A_SHARE = [*NOT_A_NUMBER, -0.1, 1.1]


@functools.cache
def folder():
    path = Path(tempfile.mkdtemp())
    loading.save_language_model(path, module(), tokenizer(), report={}, command="")
    return path


@functools.cache
def tokenizer():
    return train_tokenizer(STORIES, 257)


@functools.cache
def module():
    return transformer.Transformer(SHAPE)


@functools.cache
def weights():
    path = Path(tempfile.mkdtemp()) / "state.pt"
    torch.save(random_weights(), path)
    return path


SHAPE = transformer.TransformerConfig(257, 8, 1, 2, 8)
CONFIG = pretraining.PretrainConfig(n_steps=1, batch_size=1)


def forward(tokens_BT):
    return module()(tokens_BT)


def batches(stories_tokens, n_ctx, batch_size, seed):
    return next(rows.batches(stories_tokens, n_ctx, batch_size, seed))


def nan(name):
    state = random_weights()
    state[name][0, 0] = NAN
    return state


OUTSIDE = [torch.full((1, 3), 257), torch.full((1, 3), -1)]
CONFIG_OF_TL = SHAPE.to_transformer_lens()
STATE = transformer.Transformer(SHAPE).state_dict
NOT_A_FOLDER = [*NOT_A_PATH, Says("./none", "no folder"), Says(__file__, "is a file")]

TABLE = [
    Function(
        msae.load_language_model,
        lambda: {"name": folder(), "device": "cpu"},
        {"name": NOT_A_FOLDER, "device": [*DEVICES, "cuda:99"]},
    ),
    Function(
        loading.load_transformer,
        lambda: {"folder": folder()},
        {"folder": [*(Says(value, "must be a path") for value in NOT_A_PATH), "none", Says(__file__, "is a file")]},
    ),
    Function(
        loading.load_manifest,
        lambda: {"folder": folder()},
        {"folder": [*(Says(value, "must be a path") for value in NOT_A_PATH), "none"]},
    ),
    Function(
        bridge.boot_native,
        lambda: {"config": CONFIG_OF_TL, "state": STATE(), "tokenizer": None, "device": "cpu", "name": "a"},
        {
            "config": [None, 3, []],
            "state": [None, 3, [], *(Says(state, "not the weights of a model") for state in ({}, {"a": torch.ones(1)}))],
            "device": DEVICES,
        },
        free={"tokenizer": "anything that transformer_lens takes", "name": "what it is called"},
    ),
    Function(
        manifests.check_manifest,
        lambda: {"folder": folder(), "files": loading.FILES},
        {"folder": [*NOT_A_PATH, Says("none", "there is no folder")], "files": [Says(("a",), "lacks a")]},
    ),
    Function(bridge.plain_transformer, lambda: {"lm": lm()}, {"lm": LM}),
    Function(
        loading.save_language_model,
        lambda: {"folder": "made", "model": module(), "tokenizer": tokenizer(), "report": {}, "command": "a"},
        {
            "folder": NOT_A_PATH,
            "model": [None, 3, torch.nn.Linear(2, 2)],
            "tokenizer": [None, "a", 3],
            "report": [None, [], "a", {"a": NAN}, {"a": torch.ones(1)}, {3: 4}],
            "command": NOT_TEXT,
        },
    ),
    Function(
        transformer.TransformerConfig,
        lambda: {"d_vocab": 20, "d_model": 8, "n_layers": 1, "n_heads": 2, "n_ctx": 8},
        {name: [*NOT_WHOLE, 0, -1] for name in ("d_vocab", "d_model", "n_layers", "n_heads", "n_ctx")}
        | {"layer_norm": [None, 1, "yes"]}
        | {"d_model": [*NOT_WHOLE, 0, -1, 6]},
    ),
    Function(transformer.Transformer, lambda: {"config": SHAPE}, {"config": [None, 3, {"d_vocab": 20}]}),
    Function(
        forward,
        lambda: {"tokens_BT": torch.zeros(1, 3).long()},
        {"tokens_BT": [None, [[1]], *(torch.zeros(*shape).long() for shape in ((3,), (1, 9), (1, 0))), torch.zeros(1, 3), *OUTSIDE]},
    ),
    Function(
        pretraining.PretrainConfig,
        dict,
        {name: [*NOT_WHOLE, 0, -1] for name in ("n_steps", "batch_size", "checkpoint_every")}
        | {"seed": [*NOT_WHOLE, -1, 2**64], "matrix_lr": NOT_A_RATE, "other_lr": NOT_A_RATE}
        | {"weight_decay": [*NOT_A_NUMBER, -1], "warmup": NOT_A_SHARE, "decay": NOT_A_SHARE},
    ),
    Function(
        batches,
        lambda: {"stories_tokens": [np.arange(20)], "n_ctx": 4, "batch_size": 2, "seed": 0},
        {"n_ctx": [*NOT_WHOLE, 0, 1], "batch_size": [*NOT_WHOLE, 0], "seed": [*NOT_WHOLE, -1]}
        | {"stories_tokens": [Says([], "stories have 0 tokens"), Says([np.arange(7)], "expected at least 9")]},
    ),
    Function(train_tokenizer, lambda: {"stories": STORIES, "d_vocab": 257}, {"stories": TEXTS[:-4], "d_vocab": [*NOT_WHOLE, 0, 256]}),
    Function(
        measuring.bits_per_character,
        lambda: {"model": module(), "stories": STORIES, "tokenizer": tokenizer(), "n_ctx": 8, "device": "cpu"},
        {
            "model": [None, 3],
            "stories": [*TEXTS[:-4], [], [""]],
            "tokenizer": [None, 3],
            "n_ctx": [*NOT_WHOLE, 0, 1],
            "device": DEVICES,
            "begin": [*NOT_WHOLE, -1],
        },
    ),
    Function(
        pretraining.pretrain,
        lambda: {"stories": STORIES * 3, "valid": STORIES, "out": Path("out"), "shape": SHAPE, "config": CONFIG, "log": print},
        {
            "stories": [*TEXTS[:-4], [], [""]],
            "valid": [*TEXTS[:-4], [], [""]],
            "out": NOT_A_PATH,
            "shape": [None, 3, {}, CONFIG],
            "config": [None, 3, {}, SHAPE],
            "log": [None, 3, "print"],
        },
    ),
    Function(
        tinymodel.to_bridge,
        lambda: {"state": random_weights(), "tokenizer": None, "n_heads": 4, "device": "cpu"},
        {
            "state": [None, 3, [], *(Says(state, "the weights lack") for state in ({}, {"a": torch.ones(1)}))]
            + [random_weights() | {"embed.weight": value} for value in (None, torch.ones(3), torch.ones(3, 4).long())]
            + [random_weights() | {"pos_embed": torch.ones(3, 4)}, nan("torso.0.attn.Q.weight")],
            "n_heads": [*NOT_WHOLE, 0, 3],
            "device": DEVICES,
        },
        free={"tokenizer": "anything that transformer_lens takes"},
    ),
    Function(
        tinymodel.read_weights, lambda: {"path": weights()}, {"path": [*NOT_A_PATH, "none.pt", Says(__file__, "not a file of weights")]}
    ),
    Function(
        tinymodel_tokenizer.cut_tokenizer,
        lambda: {"vocab": {"a": 0, "b": 1}, "merges": [], "frequent": [0]},
        {
            "vocab": [None, 3, ["a"]],
            "merges": [None, 3, "a"],
            "frequent": [None, 3, "a", *(Says(ids, "the tokenizer has no token") for ids in ([7], [None], [-1]))],
        },
    ),
]
