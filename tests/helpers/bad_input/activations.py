"""Activations, kept and live, and the passes over a model that they are made by."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from bad_input import INF, NAN, NOT_A_PATH, NOT_WHOLE, Function, Says
from tiny_models import tiny_language_model

import msae
from msae.activations import hooks, rows
from msae.lm.transformer import Transformer, TransformerConfig
from msae.texts import given

STORIES = ["Lily has a cat.", "She runs."]
HOOK = "blocks.1.hook_resid_pre"


@functools.cache
def lm():
    return tiny_language_model(Path(tempfile.mkdtemp()), STORIES, d_model=8, n_layers=2)


@functools.cache
def kept():
    return msae.Activations(lm(), STORIES, HOOK, n_ctx=8, progress=False)


@functools.cache
def live():
    return msae.LiveActivations(lm(), STORIES, HOOK, n_ctx=8)


def batches(batch_size, seed, skip):
    return next(kept().batches(batch_size, seed, skip))


def live_batches(batch_size, seed, skip):
    return next(live().batches(batch_size, seed, skip))


def good(**more):
    return {"lm": lm(), "stories": STORIES, "hook_name": HOOK, "n_ctx": 8} | more


IDS = [
    [[1.5]],
    [[1.0, 2.0]],
    [[True, False]],
    [[1, True]],
    [[[1]]],
    [[1, None]],
    [[1, "a"]],
    [["Lily"]],
    [[-1]],
    [[10**6]],
    [[2**70]],
    [[1], None],
    [1, 2],
    torch.tensor([1, 2]),
    torch.tensor(1),
    torch.ones(2, 2),
    torch.ones(2, 2, dtype=torch.bool),
    torch.ones(1, 2, 2, dtype=torch.long),
    torch.tensor([[NAN]]),
    [torch.ones(2)],
    np.ones((2, 2)),
    np.ones((1, 2, 2), int),
    np.array([[1 + 2j]]),
    [np.array("a")],
    [{1, 2}],
]
TEXTS = [
    None,
    3,
    b"Lily",
    {"a": 1},
    lambda: 1,
    Says("Lily", "one string: put it into a list"),
    [None],
    ["Lily", None],
    ["Lily", 3],
    ["Lily", [3]],
    [3, "Lily"],
    [b"Lily"],
    ["Lily\ud800"],
    [[]],
    [],
    [""],
]
LM = [None, "bundled", 3, Transformer(TransformerConfig(20, 8, 1, 2, 8))]
HOOKS = [None, 3, [HOOK], "", "blocks.9.hook_resid_pre", b"a"]
WRONG_SHAPES = [torch.zeros(*shape).long() for shape in ((3,), (1, 17), (0, 3), (1, 0))]
DTYPES = [None, "float16", torch.int8, torch.bool, torch.complex64, np.float32, float]
DEVICES = [None, "gpu", 3.5, "cuda:99", [1]]
HOW = {
    "lm": LM,
    "stories": [*TEXTS, *IDS],
    "n_ctx": [*NOT_WHOLE, 0, 1, -5, 17],
    "n_tokens": [*NOT_WHOLE[1:], 0, -1, 10**6],
    "batch_size": [*NOT_WHOLE, 0, -1],
    "skip_first": [None, 1.5, "yes", -1, 99],
    "buffer": [*NOT_WHOLE, 0, -1],
}

TABLE = [
    Function(
        msae.Activations,
        good,
        HOW
        | {"hook_name": HOOKS, "dtype": DTYPES, "device": DEVICES, "progress": [None, 1, "no"]}
        | {"cache": [*NOT_A_PATH[1:], Says(__file__, "cache must be a folder")]},
    ),
    Function(
        msae.Activations,
        lambda: good(cache="kept"),
        {"dtype": [torch.bfloat16, torch.float64, torch.int8, None]},
        free=dict.fromkeys(
            ["lm", "stories", "hook_name", "n_ctx", "n_tokens", "batch_size", "device", "skip_first", "cache", "buffer", "progress"],
            "above",
        ),
        name="Activations with a cache",
    ),
    Function(
        msae.LiveActivations,
        good,
        HOW | {"hook_name": HOOKS, "dtype": DTYPES, "device": DEVICES[1:], "scale_tokens": [*NOT_WHOLE, 0, -1]},
    ),
    Function(
        msae.harvest,
        lambda: {key: value for key, value in good(hook_names=[HOOK], progress=False).items() if key != "hook_name"},
        HOW
        | {"hook_names": [None, 3, HOOK, [], *(Says(names, "hook_name") for names in ([None], [HOOK, 3], [HOOK, "a"]))]}
        | {"dtype": DTYPES, "device": DEVICES, "progress": [None, 1], "cache": NOT_A_PATH[1:]},
    ),
    *(
        Function(
            call,
            lambda: {"batch_size": 2, "seed": 0, "skip": 0},
            {"batch_size": [*NOT_WHOLE, 0, -1, 10**6], "seed": [*NOT_WHOLE, -1], "skip": [*NOT_WHOLE, -1]},
        )
        for call in (batches, live_batches)
    ),
    Function(
        rows.tokenize,
        lambda: {"tokenizer": lm().tokenizer, "stories": STORIES, "n_ctx": 8, "d_vocab": lm().cfg.d_vocab},
        {
            "tokenizer": [Says(None, "no tokenizer"), Says(3, "bos_token_id")],
            "stories": [*TEXTS[:-3], *IDS],
            "n_ctx": [*NOT_WHOLE, 0, 1],
        },
        free={"d_vocab": "given by read_texts"},
    ),
    Function(
        rows.read_texts,
        lambda: {"lm": lm(), "stories": STORIES, "n_ctx": 8},
        {key: HOW[key] for key in ("lm", "stories", "n_ctx", "n_tokens", "skip_first")},
    ),
    Function(hooks.list_hooks, lambda: {"lm": lm()}, {"lm": LM}),
    Function(
        hooks.run_to_hook,
        lambda: {"lm": lm(), "tokens": torch.zeros(1, 3, dtype=torch.long), "hook_name": HOOK},
        {
            "lm": LM,
            "tokens": [None, "a", [1], torch.zeros(1, 3), torch.full((1, 3), 10**6), torch.full((1, 3), -1), *WRONG_SHAPES],
            "hook_name": HOOKS,
        },
    ),
    Function(
        hooks.run_to_hooks,
        lambda: {"lm": lm(), "tokens": torch.zeros(1, 3, dtype=torch.long), "hook_names": [HOOK]},
        {"lm": LM, "tokens": [None, torch.zeros(3).long()], "hook_names": [None, 3, HOOK, [], Says([None], "hook_name")]},
    ),
    Function(
        given.check_stories,
        lambda: {"stories": STORIES, "name": "stories", "token_ids": False},
        {"stories": [*TEXTS[:-4], [[1, 2]], torch.zeros(2, 2).long(), INF]},
        free={"name": "what an error calls them", "token_ids": "ours"},
    ),
]
