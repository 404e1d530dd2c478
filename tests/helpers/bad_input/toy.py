"""The toy: trees, directions, and the stream of their sums."""

import json
from pathlib import Path

import torch
from bad_input import INF, NAN, NOT_A_NUMBER, NOT_A_PATH, NOT_A_TENSOR, NOT_WHOLE, Function, Says
from bad_input.sae import NOT_A_GENERATOR

import msae
from msae.toy.tree import orthogonal_directions
from msae.toy.worlds import FeatureGraph, World

TREE = msae.FeatureTree.article()
DIRECTIONS = orthogonal_directions(20, 24)


def one(value):
    directions = DIRECTIONS.clone()
    directions[3, 2] = value
    return directions


def written(content, name="tree.json"):
    """The name of a file that is there before the test looks."""
    Path(name).write_bytes(content)
    return name


def from_json(content):
    folder = Path("there")
    folder.mkdir()
    try:
        (folder / "tree.json").write_bytes(content)
        return msae.FeatureTree.from_json(folder / "tree.json")
    finally:
        (folder / "tree.json").unlink()
        folder.rmdir()


BAD_TREES = [
    *([], {}, None, 3, "a", {"active_prob": 1.5}, {"active_prob": -0.1}, {"active_prob": NAN}, {"active_prob": INF}, {"active_prob": True}),
    {"active_prob": "0.5"},
    {"active_prob": None},
    {"active_prob": 0.5, "children": [{"active_prob": NAN}]},
    {"active_prob": 0.5, "children": 3},
    {"active_prob": 0.5, "children": [3]},
    {"active_prob": 0.5, "name": "\ud800"},
    {"active_prob": 0.5, "name": 3},
    {"active_prob": 0.5, "is_read_out": "no"},
    {"active_prob": 0.5, 3: 4},
    {"active_prob": 0.5, "is_read_out": False},
    {"active_prob": 1, "mutually_exclusive_children": True, "children": [{"active_prob": 0.2}]},
]
BAD_DIRECTIONS = [
    *NOT_A_TENSOR,
    *(one(NAN), one(INF), DIRECTIONS[:3], DIRECTIONS[0], torch.zeros(20, 0), DIRECTIONS.long(), DIRECTIONS.to(torch.complex64)),
]

TABLE = [
    Function(
        msae.FeatureTree.from_dict,
        lambda: {"tree": {"active_prob": 0.5, "name": "Zoë"}},
        {
            "tree": [
                Says(tree, "half of a surrogate pair" if tree == {"active_prob": 0.5, "name": "\ud800"} else "tree") for tree in BAD_TREES
            ]
        },
    ),
    Function(
        from_json,
        lambda: {"content": json.dumps({"active_prob": 0.5}).encode()},
        {
            "content": [
                *(Says(content, "is not JSON") for content in (b"", b"\xff\xfe", b"{", b"caf\xe9", b'{"active_prob": 0.5}}')),
                Says(b'{"active_prob": ' + b"1" * 5000 + b"}", "is not JSON"),
                *(Says(content, "tree") for content in (b"[]", b'{"active_prob": NaN}', b'{"active_prob": 2}')),
                Says(b'{"active_prob": 0.5, "name": "\\ud800"}', "half of a surrogate pair"),
                Says(b"[" * 100_000, "nested too deeply"),
                Says(b'{"active_prob": 0.5, "children": [' * 300 + b'{"active_prob": 0.5}' + b"]}" * 300, "nested too deeply"),
            ]
        },
        name="FeatureTree.from_json, what it reads",
    ),
    Function(
        msae.FeatureTree.from_json,
        lambda: {"path": written(b'{"active_prob": 0.5}')},
        {"path": [*NOT_A_PATH, Says("none.json", "none.json")]},
    ),
    Function(TREE.children, lambda: {"feature": 3}, {"feature": [*NOT_WHOLE, -1, 20]}, name="FeatureTree.children"),
    Function(
        TREE.sample_features,
        lambda: {"shape": (2, 3), "generator": torch.Generator()},
        {"shape": [None, 3, 2.5, (), (0,), (-1,), (2.5,), ("a",), (True,), "ab"], "generator": NOT_A_GENERATOR},
        name="FeatureTree.sample_features",
    ),
    Function(
        TREE.sample,
        lambda: {"batch": 3, "directions": DIRECTIONS, "generator": None, "jitter": 0.05, "noise": 0.0},
        {
            "jitter": [*NOT_A_NUMBER, -0.1],
            "noise": [*NOT_A_NUMBER, -0.1],
            "batch": [*NOT_WHOLE[:-1], 0, -1, (), (0,), (2, -1), (2.5,), torch.tensor([3])],
            "directions": [*BAD_DIRECTIONS, Says(torch.stack([DIRECTIONS] * 2), "batch must be (2, n)")],
            "generator": NOT_A_GENERATOR,
        },
        name="FeatureTree.sample",
    ),
    Function(
        orthogonal_directions,
        lambda: {"n_features": 3, "d_model": 4, "seed": 0},
        {
            "n_features": [*NOT_WHOLE, 0, -1, Says(5, "do not fit into d_model=4")],
            "d_model": [*NOT_WHOLE, 0, -1],
            "seed": [*NOT_WHOLE, -1, 2**64],
        },
    ),
    Function(
        msae.TreeStream,
        lambda: {"tree": TREE, "directions": DIRECTIONS, "hook_name": "a", "scale": 2.0, "jitter": 0.05, "noise": 0.0},
        {
            "jitter": [*NOT_A_NUMBER, -0.1],
            "noise": [*NOT_A_NUMBER, -0.1],
            "tree": [None, {"active_prob": 0.5}, "a"],
            "directions": BAD_DIRECTIONS,
            "hook_name": [3, b"a", ["a"]],
            "scale": [*NOT_A_NUMBER, True, 0, -1.0],
        },
    ),
    Function(
        msae.TreeStream(TREE, DIRECTIONS).batches,
        lambda: {"batch_size": 3, "seed": 0, "skip": 2},
        {"batch_size": [*NOT_WHOLE, 0, -1], "seed": [*NOT_WHOLE, -1, 2**64], "skip": [*NOT_WHOLE, -1]},
        name="TreeStream.batches",
    ),
    Function(
        FeatureGraph.of,
        lambda: {"tree": TREE, "also": ((12, 13),), "apart": 0.1},
        {
            "tree": [None, {"active_prob": 0.5}, FeatureGraph.of(TREE)],
            "also": [None, 3, [3], [(1, 2, 3)], [(1, 20)], [(-1, 2)], [("a", 2)]],
            "apart": [*NOT_A_NUMBER, -0.1, 1.1],
        },
        name="FeatureGraph.of",
    ),
    Function(
        World,
        lambda: {"tree": TREE, "d_model": 14, "spread": 2.0, "child_strength": 1.4, "jitter": 0.05, "noise": 0.0},
        {
            "tree": [None, "a"],
            "d_model": [0, -1, 2.5, "a"],
            "spread": [*NOT_A_NUMBER, 0.5],
            "child_strength": [*NOT_A_NUMBER, 0, -1.0],
            "jitter": [*NOT_A_NUMBER, -0.1],
            "noise": [*NOT_A_NUMBER, -0.1],
        },
    ),
    Function(World(TREE).directions, lambda: {"seed": 0}, {"seed": [*NOT_WHOLE, -1]}, name="World.directions"),
    Function(World(TREE).stream, lambda: {"seeds": (0, 1)}, {"seeds": [None, 3, (), (-1,), ("a",)]}, name="World.stream"),
]
