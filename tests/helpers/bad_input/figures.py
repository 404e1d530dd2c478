"""The figures. What is no number, no label and no prose is refused; every label is taken."""

from types import SimpleNamespace

import numpy as np
import torch
from bad_input import INF, NAN, NOT_TEXT, NOT_WHOLE, Function, Says

from msae import figures

NO_FLAG = [None, 0, 1, "yes"]
NO_LABELS = [None, 3, {"r", "s"}, [], ["a", "b", "c"], np.zeros((2, 2)), torch.zeros(2, 2), torch.tensor(3)]
HALF = torch.tensor([0.5, 0.25], dtype=torch.bfloat16, requires_grad=True)
PROSE = {"title": [*NOT_TEXT, "", "  \n"], "alt": [*NOT_TEXT, "", "  "]}
LEAD = {"lead": [*NOT_TEXT[1:], "", "  \n", Says("Both.", "lead=, to which its numbers are added, got both")]}


def no_numbers(words: str, ndim: int = 1) -> list:
    """What cannot be drawn, where a list (or a matrix) of numbers is wanted; the error names it by these words."""
    wrong = [None, "many", b"1", 3.0, [], ["1", "2"], [None, 1], [1j, 2], [NAN, 1], [1, INF], [1e301, 1], [[1], [2, 3]], {"a": 1}, {1, 2}]
    wrong += [np.ma.masked_array([1, 2], [True, False]), np.array(["2024-01-01"], "M8[D]"), torch.zeros(0), torch.ones(2, 2, 2), 10**400]
    wrong += [torch.tensor([1j]), iter([1, 2]), SimpleNamespace()]
    if ndim == 2:
        wrong = [*([value] if isinstance(value, list) and value else value for value in wrong), [1.0, 2.0], torch.ones(2)]
    return [Says(value, words) for value in wrong]


FEW = [None, "many", [], ["1", "2"], [NAN, 1], [[1], [2, 3]], [1e301, 1]]  # the same judge as of `no_numbers`


def few(words: str) -> list:
    return [Says(value, words) for value in FEW]


def within(make, values: list) -> list:
    return [Says(make(value), words) for value, words in values]


def tree(**parts) -> SimpleNamespace:
    return SimpleNamespace(**{"names": ["a", "b"], "parent": [-1, 0], "probability": [0.5, 0.1]} | parts)


NO_MAPPING = [None, 3, "ab", [1, 2], {"a"}]
MATRIX = [
    *no_numbers("matrix", 2),
    Says(np.zeros((201, 1)), "(201, 1) is too large"),
    Says([[2.0, 0]], "[-1, 1], got 2"),
    Says(torch.zeros(0, 2), "matrix"),
]
HEAT = {
    **PROSE,
    "rows": [*NO_LABELS, {"other": ["r"]}],
    "columns": [*NO_LABELS, {"other": ["c", "d"]}],
    **dict.fromkeys(("row_axis", "column_axis", "value"), NOT_TEXT),
    "diverging": NO_FLAG,
    "together": NO_FLAG,
    "span": [None, 0, -1, NAN, INF, "1"],
    "height": [*NOT_WHOLE[1:], 0, -3, 10**6],
}
HEAT_GOOD = {
    "title": "t", "alt": "a", "rows": ["r"], "columns": ["c", "d"], "row_axis": "r", "column_axis": "c", "value": "v", "diverging": True,
    "span": 1.0, "height": None, "together": True,
}  # fmt: skip
SEVERAL = {"one": HALF[None], 2: [[0, 1]]}
BARS = {"values": {"a": np.float16(1), "b": HALF[0]}, "title": "t", "alt": "a", "axis": "x", "low_high": {"a": (0, torch.tensor(2.0))}}
LINES = {
    "series": {"a": (range(2), HALF)},
    "title": "t",
    "alt": "a",
    "x_axis": "x",
    "y_axis": "y",
    "log_x": False,
    "log_y": True,
    "height": 9,
}
SCRUB = {**{name: part for name, part in HEAT_GOOD.items() if name not in ("span", "together")}, "slider": "step"}
SCRUB["frames"] = {1: dict(SEVERAL), "two": {"one": [[1, 1]], 2: [[0, 1]]}}
NEAR = {
    **{"points": [[0, 1], [1, 0], [2, 2]], "near": {0: [1], 1: [0, 2]}, "labels": ["a", 1, None]},
    **{"title": "t", "alt": "a", "axis": "x", "slider": "s", "opens": 0, "height": 300},
}
SCRUB_LINES = {**LINES, "slider": "λ", "groups": {1: {"a": (range(2), HALF)}, "two": {"a": ([1], [2])}}}
del SCRUB_LINES["series"]
PAIRS = {"x": HALF, "y": (1, 2), "title": "t", "alt": "a", "x_name": "x", "y_name": "y", "axis": "x", "labels": torch.arange(2)}
RATIOS = {"groups": {"g": {"a": HALF}}, "title": "t", "alt": "a", "axis": "x", "one": "o"}

TABLE = [
    Function(figures.role, lambda: {"name": "plain"}, {"name": NOT_TEXT}),
    Function(figures.heatmap, lambda: {**HEAT_GOOD, "matrix": HALF[None]}, {**HEAT, "matrix": MATRIX}),
    Function(
        figures.heatmap,
        lambda: {**HEAT_GOOD, "matrix": dict(SEVERAL)},
        {**HEAT, "matrix": [Says({}, "at least one matrix"), *within(lambda m: {"one": m}, MATRIX[-6:])]},
        name="heatmap of several",
    ),
    Function(
        lambda matrices: figures.heatmaps(matrices, **HEAT_GOOD),
        lambda: {"matrices": dict(SEVERAL)},
        {
            "matrices": [
                *NO_MAPPING,
                Says({}, "at least one matrix"),
                *within(lambda m: {"one": m}, MATRIX[-6:]),
                Says({key: [[0, 1]] for key in range(13)}, "at most 12 matrices side by side, got 13"),
            ]
        },
        name="heatmaps",
    ),
    Function(
        figures.scrub,
        lambda: dict(SCRUB),
        {
            **{name: wrong for name, wrong in HEAT.items() if name not in ("span", "together")},
            **LEAD,
            "frames": [
                *NO_MAPPING,
                *[Says(few, "frames must be at least two") for few in ({}, {1: SEVERAL})],
                Says({1: {}, 2: {}}, "at least one matrix, 1 has none"),
                Says({1: {"a": [[0, 1]]}, 2: {"b": [[0, 1]]}}, "1 has ['a'], 2 has ['b']"),
                *within(lambda its: {1: SEVERAL, 2: its}, [(its, "frames[2]") for its in (None, 3, "ab", [1])]),
                *within(lambda m: {1: {"one": m}, 2: {"one": m}}, MATRIX[-6:]),
                Says({k: {"one": [[0, k / 40_000]]} for k in range(30_001)}, "at most 60,000 numbers that change, got 60,002"),
                Says({k: {key: [[0, k]] for key in range(13)} for k in (0, 1)}, "at most 12 matrices side by side, got 13"),
            ],
            "slider": NOT_TEXT,
            "opens": [Says(3, "one of the frames"), "ab", [1], {"a": 1}],
        },
    ),
    Function(
        figures.dots,
        lambda: {"values": {"a": HALF, 1: (1, 2)}, "title": "t", "alt": "a", "axis": "x", "range": (0, np.float32(1)), "each": ("a", "b")},
        {
            **PROSE,
            **LEAD,
            "values": [*NO_MAPPING, {}, *within(lambda v: {"a": v}, few("values of 'a'"))],
            "axis": NOT_TEXT,
            "each": [None, 3, {"a", "b"}, {"a": 1}, "", Says(["a"], "a name for each dot of a row, got 1 for 2 dots")],
            "range": [3, "ab", (0,), (0, 1, 2), (1, 0), (1, 1), (0, NAN), (-INF, 0), ("0", "1"), [None, 1]],
        },
    ),
    Function(
        figures.lines,
        lambda: dict(LINES),
        {
            **PROSE,
            **LEAD,
            "series": [
                *NO_MAPPING,
                Says({}, "at least one curve"),
                *within(lambda part: {"a": part}, [(part, "curve 'a'") for part in (None, 3, "ab", {"x": 1}, (), [[1]], ([1], [1], [1]))]),
                *within(lambda y: {"a": ([1, 2], y)}, few("y of 'a'")),
                *within(lambda x: {"a": (x, [1, 2])}, few("x of 'a'")),
                *within(lambda low: {"a": ([1, 2], [1, 2], low, [3, 4])}, few("low of 'a'")),
                Says({"a": ([1, 2], [1, 2, 3])}, "equally long"),
                Says({"a": ([1, 2], [0, 1])}, "use log_y=False"),
            ],
            "x_axis": NOT_TEXT,
            "y_axis": NOT_TEXT,
            "log_x": [*NO_FLAG, Says(True, "use log_x=False")],
            "log_y": NO_FLAG,
            "height": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        figures.neighbourhoods,
        lambda: dict(NEAR),
        {
            **PROSE,
            **LEAD,
            "points": [None, 3, "a", [], [[]], [1, 2, 3], [[1], [2], [3]], [[1, 2, 3, 4]] * 3, [[1, float("nan")]] * 3, [[1, "a"]] * 3],
            "near": [
                *NO_MAPPING,
                Says({0: [1]}, "near must have at least two"),
                Says({0: [3], 1: [0]}, "each of near[0]"),
                Says({0: [1], 3: [0]}, "a row of near"),
                Says({0: 1, 1: [0]}, "near[0]"),
                {"a": [1], 1: [0]},
                Says({row: [0, 1, 2] * 2_500 for row in range(3)}, "at most 60,000 numbers that change"),
            ],
            "labels": [None, 3, "abc", {"a"}, ["a"]],
            **dict.fromkeys(("axis", "slider"), NOT_TEXT),
            "opens": [Says(2, "one of the frames"), "ab", [1]],
            "height": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        figures.scrub_lines,
        lambda: dict(SCRUB_LINES),
        {
            **PROSE,
            **LEAD,
            "groups": [
                *NO_MAPPING,
                *[Says(few, "groups must be at least two") for few in ({}, {1: {"a": ([1], [1])}})],
                Says({1: {}, 2: {}}, "at least one curve, 1 has none"),
                Says({1: {"a": ([1], [1])}, 2: {"b": ([1], [1])}}, "1 has ['a'], 2 has ['b']"),
                Says({1: {"a": ([1], [1])}, 2: {"a": ([1], [1], [1], [1])}}, "a band in some groups and none in others"),
                Says({k: {"a": (range(1, 1000), range(1, 1000))} for k in range(31)}, "at most 60,000 numbers that change, got 61,938"),
                *within(lambda y: {1: {"a": ([1], [1])}, 2: {"a": ([1, 2], y)}}, few("y of 'a'")),
                Says({1: {"a": ([1], [1])}, 2: {"a": ([1], [0])}}, "use log_y=False"),
            ],
            **dict.fromkeys(("slider", "x_axis", "y_axis"), NOT_TEXT),
            "log_x": [*NO_FLAG, Says(True, "use log_x=False")],
            "log_y": NO_FLAG,
            "height": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        figures.bars,
        lambda: dict(BARS),
        {
            **PROSE,
            **LEAD,
            "values": [
                *NO_MAPPING,
                Says({}, "bars needs"),
                *within(lambda v: {"a": 1, "b": v}, [(v, "values") for v in (None, "1", [1], NAN, 1j)]),
            ],
            "axis": NOT_TEXT,
            "low_high": [
                *NO_MAPPING[1:],
                {"c": (0, 1)},
                *within(lambda ends: {"a": ends}, few("low_high of 'a'")),
                {"a": (0, 1, 2)},
                Says({"a": (2, 3)}, "does not hold its value 1"),
            ],
        },
    ),
    Function(
        figures.histogram,
        lambda: {"values": HALF, "title": "t", "alt": "a", "axis": "x", "of": "things", "log_x": True, "n_bins": 3},
        {
            **PROSE,
            "values": [*no_numbers("values"), Says([0.0, 1], "positive values, got 0")],
            "axis": NOT_TEXT,
            "of": NOT_TEXT,
            "log_x": NO_FLAG,
            "n_bins": [*NOT_WHOLE, 0, -1, 10**6],
        },
    ),
    Function(
        figures.tree,
        lambda: {"feature_tree": tree(), "title": "t", "alt": "a"},
        {
            **PROSE,
            "feature_tree": [
                None,
                "a",
                {"names": ["a"]},
                SimpleNamespace(names=["a"], parent=[-1]),
                *within(lambda names: tree(names=names), [(names, "names") for names in (None, "ab", 3, {"a", "b"}, ["a"], [])]),
                *within(lambda parent: tree(parent=parent), few("parent")),
                Says(tree(parent=[0.5, -1]), "whole numbers, got 0.5"),
                Says(tree(parent=[-1, 2]), "has the parent 2"),
                Says(tree(parent=[-2, 0]), "has the parent -2"),
                Says(tree(parent=[1, 0]), "its own ancestor"),
                *within(lambda p: tree(probability=p), few("probability")),
                Says(tree(probability=[-0.5, 0.1]), "probability must lie between 0 and 1, got -0.5"),
                Says(tree(probability=[2, 0.1]), "probability must lie between 0 and 1, got 2"),
            ],
        },
    ),
    Function(
        figures.compare,
        lambda: {"rows": {"r": {"a": HALF[0], "b": (1, 0, 2)}, 2: {"a": torch.ones(1)}}, "title": "t", "alt": "a", "axis": "x"},
        {
            **PROSE,
            **LEAD,
            "rows": [
                *NO_MAPPING,
                Says({}, "at least one row"),
                Says({"r": {}}, "at least one value"),
                *within(lambda row: {"r": row}, [(row, "rows['r']") for row in (None, 3, "ab", [1])]),
                *within(lambda v: {"r": {"a": v}}, [(v, "'a' of 'r'") for v in (None, "1", NAN, [], [1, 2], (1, 3, 2), [[1]], {"x": 1})]),
                Says({"r": dict.fromkeys("abcde", 1)}, "at most four things"),
            ],
            "axis": NOT_TEXT,
        },
    ),
    Function(
        figures.pairs,
        lambda: dict(PAIRS),
        {
            **PROSE,
            "x": [*no_numbers("x"), Says([1], "equally long, got 1, 2 and 2")],
            "y": [*few("y"), Says([1], "equally long, got 2, 1 and 2")],
            "x_name": NOT_TEXT,
            "y_name": NOT_TEXT,
            "axis": NOT_TEXT,
            "labels": [None, 3, {"a", "b"}, {"a": 1, "b": 2}, "abc", []],
        },
    ),
    Function(
        figures.ratios,
        lambda: dict(RATIOS),
        {
            **PROSE,
            **LEAD,
            "groups": [
                *NO_MAPPING,
                Says({}, "at least one group"),
                Says({"g": {}}, "at least one row"),
                *within(lambda its: {"g": its}, [(its, "groups['g']") for its in (None, 3, "ab", [1])]),
                *within(lambda v: {"g": {"a": v}}, few("ratios of 'a'")),
                Says({"g": {"a": [0.0, 1]}}, "ratios must be positive, 'a' has 0"),
            ],
            "axis": NOT_TEXT,
            "one": NOT_TEXT,
        },
    ),
]
