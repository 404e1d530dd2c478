"""Token patterns."""

import numpy as np
import torch
from bad_input import INF, NAN, NOT_A_NUMBER, NOT_WHOLE, Function, Says

from msae.explore import LatentActivations
from msae.patterns import hole_examples, no_token, parse, rank_latents
from msae.patterns.matching import match

TOKENS = np.array([[0, 1, 2], [2, 1, 0]])
VOCAB = ["a", " b", b"\xc3"]
NOT_NUMBERS = [None, "a", 3, ["a"], [1 + 1j], {"a": 1}]
NOT_A_PATTERN = [Says(value, "a pattern is a string") for value in (None, 3, b"a", ["a"])]


def acts() -> LatentActivations:
    return LatentActivations.from_dense(np.arange(12.0).reshape(2, 3, 2))


TABLE = [
    Function(
        match,
        lambda: {"pattern": "a", "tokens": TOKENS, "str_tokens": VOCAB, "acts": {"S": acts()}, "mask": np.ones((2, 3)), "timeout": 5},
        {
            "pattern": NOT_A_PATTERN,
            "tokens": [*NOT_NUMBERS, TOKENS[0], TOKENS * 1.0, TOKENS + 9, TOKENS - 1, TOKENS[:1], torch.ones(2, 3)],
            "str_tokens": [None, 3, "abc", VOCAB[:2], ["a", "b", 3], ["a", None, "c"], {0: "a", 1: "b", 2: "c"}],
            "acts": [3, acts(), {"S": np.ones((2, 3))}, {"S": None}, {"S": LatentActivations.from_dense(np.ones((1, 3, 2)))}],
            "mask": ["a", 3, [True], np.ones((2, 2), bool), np.full((2, 3), NAN), np.full((2, 3), 0.5)],
            "timeout": [*NOT_A_NUMBER, 0, -1.0],
        },
    ),
    Function(
        no_token,
        lambda: {"pattern": "a|c", "str_tokens": VOCAB},
        {"pattern": NOT_A_PATTERN, "str_tokens": [None, 3, ["a", "b", 3], ["a", None, "c"]]},
    ),
    Function(parse, lambda: {"query": "a b"}, {"query": NOT_A_PATTERN}),
    Function(
        rank_latents,
        lambda: {
            **{"acts": acts(), "concept": TOKENS == 1, "by": "f1", "k": 2, "min_precision": None, "min_recall": 0.1},
            **{"levels": (0.0, 0.5)},
        },
        {
            "by": [None, 3, "best", ["f1"]],
            "k": [*NOT_WHOLE, 0, -1],
            "min_precision": [*NOT_A_NUMBER[1:], -0.1, 1.1],
            "min_recall": [*NOT_A_NUMBER[1:], -0.1, 1.1],
            "levels": [None, 0.5, "0.5", [], [NAN], [INF], [1.0], [-0.1], [None]],
        },
        {"acts": "judged by metrics.as_firings", "concept": "judged by metrics"},
    ),
    Function(
        hole_examples,
        lambda: {"parent": "S/1", "child": "T/2"},
        {"parent": [None, 3, "S"], "child": [None, 3, "T"]},
    ),
]
