"""Stories: files, splits, samples and copies."""

from __future__ import annotations

from pathlib import Path

import torch
from bad_input import NOT_A_NUMBER, NOT_A_PATH, NOT_TEXT, NOT_WHOLE, Function, Says
from bad_input.activations import LM, STORIES, TEXTS
from bad_input.language_model import module, tokenizer

import msae
from msae.texts import copies, stories, tinystories
from msae.texts import files as textfiles

NOT_STORIES = TEXTS[:-3]
N = [*NOT_WHOLE[1:], 0, -1]
SPLIT = ["test", None, 3, ["train"]]


def copied(samples):
    return copies.CopyIndex(STORIES, 5).copied(samples)


TABLE = [
    Function(
        msae.load_stories,
        lambda: {"source": "bundled", "n": 2},
        {"source": [*NOT_A_PATH, Says("none.jsonl", "no file"), Says(".", "no file"), Says(__file__, "ends in")], "n": N, "split": SPLIT},
    ),
    Function(stories.split_stories, lambda: {"stories": STORIES}, {"stories": [*NOT_STORIES, ["Lily"], []]}),
    Function(
        stories.save_stories,
        lambda: {"stories": STORIES, "path": "a.jsonl"},
        {"stories": NOT_STORIES, "path": [*NOT_A_PATH, "a.txt", "a", "a.parquet"]},
    ),
    Function(
        stories.pack_stories,
        lambda: {"folder": "packed", "stories": STORIES, "manifest": {}},
        {"folder": NOT_A_PATH, "stories": NOT_STORIES, "manifest": [None, 3, [], {"a": float("nan")}]},
    ),
    Function(
        msae.sample_stories,
        lambda: {"lm": (module(), tokenizer()), "n": 1, "max_tokens": 5000, "temperature": 9.0, "progress": False},
        {
            "lm": [*LM, (), (module(),), (tokenizer(), module())],
            "n": [*NOT_WHOLE, 0, -1],
            "seed": [*NOT_WHOLE, -1, 2**64],
            "temperature": [*NOT_A_NUMBER, 0, -1.0],
            "batch_size": [*NOT_WHOLE, 0],
            "max_tokens": [*NOT_WHOLE, 0],
            "training": NOT_STORIES[1:],
            "progress": [None, 1],
        },
    ),
    Function(
        copied,
        lambda: {"samples": STORIES},
        {"samples": [Says("Lily", "one string"), *NOT_STORIES[:4], [None], ["a", 3]]},
    ),
    Function(
        copies.CopyIndex,
        lambda: {"training": STORIES, "length": 5},
        {"training": [Says("Lily", "one string"), *NOT_STORIES[:4], [None], ["a", 3]], "length": [*NOT_WHOLE, 0, -1]},
    ),
    Function(
        textfiles.write_lines,
        lambda: {"path": Path("a.jsonl"), "rows": [{"text": "a"}]},
        {"path": NOT_A_PATH, "rows": [None, 3, "a", [float("nan")], [torch.ones(1)], [{3: 4}]]},
    ),
    Function(
        textfiles.read_rows,
        lambda: {"path": Path("a.jsonl"), "column": "text"},
        {"path": [*NOT_A_PATH, Says(Path("a.csv"), "ends in")], "column": NOT_TEXT},
    ),
    Function(tinystories.clean_story, lambda: {"text": "a"}, {"text": NOT_TEXT}),
]
