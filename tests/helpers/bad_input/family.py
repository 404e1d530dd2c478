"""Families of SAEs: their fields, training, measuring, packing, tables, and the SAEs that ship."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bad_input import INF, NAN, NOT_A_PATH, NOT_TEXT, NOT_WHOLE, Function, Says

import msae
from msae.family.measuring import measure_family
from msae.family.members import Family, Member, by_hook_and_seed, load_family
from msae.family.planning import plan_family
from msae.family.recorded import is_trained
from msae.family.results import load_results, load_together, pair_numbers, save_results
from msae.family.shipped import load_saes, pack_saes
from msae.family.training import train_family

HOOK = "blocks.1.hook_resid_pre"
HALF_A_PAIR = "\ud800"
NO_LENGTH = [None, "1", NAN, INF, True, 0, -1.0, 1.5]
NO_PATTERN = [None, 3, [], [3], {"a": 1}, Says("S7*", "no SAE of this family is called 'S7*'"), Says(["*", "typo"], "called 'typo'")]
NO_FAMILY = [None, "bundled", {}, 3]
NO_DEVICE = ["warp", "", 3.5, ["cpu"], "cuda:99", "cpu:x"]
NOT_YES_OR_NO = [None, "yes", 1, 0.0]


def group(**change: Any) -> list[dict[str, Any]]:
    made = {"hook_names": [HOOK], "seeds": [0], "n_steps": 2, "references": [[4, 2]]} | change
    return [{name: value for name, value in made.items() if value is not ...}]


GROUPS: list[Any] = [
    *[None, 3, "a", {}, [], [3], ["a"], [None], [[]]],
    *[Says(group(**{name: ...}), f"lacks '{name}'") for name in ("hook_names", "seeds", "n_steps")],
    *[Says(group(hook_names=value), "hook_names") for value in (None, HOOK, [], [3], [""], ["../up"], ["a/b"], [HALF_A_PAIR], ["."])],
    *[Says(group(seeds=value), "seeds") for value in (None, 0, [], ["0"], [-1], [1.5], [NAN], [True], [2**70])],
    *[Says(group(n_steps=value), "n_steps") for value in (*NOT_WHOLE, 0, -1)],
    *[Says(group(references=value), "references") for value in (None, 3, "ab", [4, 2], [[4]], [[4, 2, 1]], ["ab"], [{}], [[4, "2"]])],
    *[Says(group(references=[pair]), "references") for pair in ([4, NAN], [4, 0], [4, 4], [0, 1], [2.5, 1], [True, 1], [None, 1])],
    *[Says(group(sizes=value), "sizes") for value in (None, [[4]], [[4, -1]], [[NAN, 1]])],
    *[Says(group(target_l0=value, n_latents=8), "target_l0") for value in (None, 2, "2", ["2"], [0], [8], [NAN], [INF], [None])],
    *[Says(group(n_latents=value, target_l0=[2]), "n_latents") for value in (*(each for each in NOT_WHOLE if each != [3]), 0, ...)],
    Says(group(n_latent=8), "did you mean 'n_latents'?"),
    *[Says(group(n_latents=value, target_l0=[2]), "n_latents") for value in ([None], [8, 0], ["8"], [8, 2])],
    *[Says(group(ending=value), "ending") for value in (None, 3, "", "a/b", ".")],
    *[
        Says(group(references=value), "references")
        for value in ({"S1": [4]}, {"S1": 4}, {"R1": [4, 2]}, {"": [4, 2]}, {3: [4, 2]}, {"S/1": [4, 2]})
    ],
    *[
        Says(group(n_latents=8, target_l0=[2], kinds=value), "kinds")
        for value in (None, 3, [], {}, {"S": {}}, {"a/b": {}}, {"a": 3}, {"a": {"seed": 1}})
    ],
    Says(group(kinds={"a": {}}), "has kinds of large SAEs"),
    *[Says(group(recipe=value), "recipe") for value in (None, 3, {"seed": 1}, {"lear": 1}, {3: 1})],
    Says(group(recipe={"prefixes": {"name": "Nowhere"}}, n_latents=8, target_l0=[2]), "the name of prefixes"),
    Says(
        group(recipe={"prefixes": {"name": "FullPrefix"}}, n_latents=8, target_l0=[2], kinds={"a": {"prefixes": {"n": 3}}}),
        "the name of prefixes",
    ),
    Says(group(recipe={"nonlinearity": {"name": "TopK", "l": 3}}), "nonlinearity TopK has no 'l'"),
    Says(group(references=...), "at least one SAE"),
    Says(group() + group(), "two SAEs would be called"),
    Says(group() + group(n_steps=3, references=..., sizes=[[5, 2]]), "share their steps"),
]
RECIPES: list[Any] = [
    *[None, 3, "lr", ["lr"], {3: 1}, {HALF_A_PAIR: 1}, {"seed": 1}, {"loss": "plain"}],
    *[Says({name: value}, name) for name, value in {"lr": NAN, "penalty": "l7", "batch_size": 0}.items()],
    Says({"learning_rat": 1}, "recipe cannot have 'learning_rat'"),
    Says({"penalti": "l1"}, "did you mean 'penalty'?"),
]
NO_NAME = [*NOT_TEXT, "", " ", HALF_A_PAIR]


def fields() -> dict[str, Any]:
    short = {"hook_names": [HOOK], "seeds": [0], "n_steps": 2, "references": [[4, 2]]}
    more = {"n_ctx": 16, "n_tokens": 40, "live": False, "recipe": {"batch_size": 8}, "concepts": {"cats": "cat"}, "what": ""}
    return {"language_model": "bundled", "stories": "s.txt", "groups": [short]} | more


def family() -> Family:
    Path("s.txt").write_text("\n\n".join(["Once upon a time there was a cat. It saw a dog."] * 21))
    return Family(**fields())


def trained() -> Family:
    """With an SAE in `out` that says it is what the family trains."""
    made, (member,) = family(), family().members()
    about = {"language_model": "bundled", "stories": "s.txt", "n_ctx": 16, "n_tokens": 40, "all_tokens": False, "seconds": 1.0}
    sae = msae.SAE(256, 4, hook_name=HOOK, config=member.config.record() | {"family": about | {"id": member.id}})
    sae.save(Path("out") / member.id)
    return made


def table(content: Any) -> str:
    Path("t.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return "t.json"


def packed() -> dict[str, Any]:
    pack_saes(trained(), "out", "*", folder="packed", command="")
    return {"names": ["S0"], "folder": "packed"}


def a_member() -> dict[str, Any]:
    return {"out": Path("out"), "member": trained().members()[0]}


def other(**change: Any) -> Member:
    return replace(Family(**fields()), **change).members()[0]


TABLE = [
    Function(
        Family,
        fields,
        {
            "language_model": NO_NAME,
            "stories": NO_NAME,
            "groups": GROUPS,
            "n_ctx": [*NOT_WHOLE, 1, 0, -1],
            "skip_first": [*NOT_WHOLE, -1, 16],
            "n_tokens": [*NOT_WHOLE[1:], 0, -1],
            "live": NOT_YES_OR_NO,
            "independent": NOT_YES_OR_NO,
            "stories_made_by": NOT_TEXT,
            "recipe": RECIPES,
            "concepts": [None, 3, ["cat"], {"": "cat"}, {3: "cat"}, {"cats": 3}, {"cats": ""}, {"cats": "(cat"}, {"cats": HALF_A_PAIR}],
            "what": NOT_TEXT,
        },
    ),
    Function(
        Family.members,
        lambda: {"self": family(), "only": "*", "length": 1.0},
        {"only": NO_PATTERN, "length": NO_LENGTH},
        {"self": "a Family"},
    ),
    Function(
        Family.check_stories,
        lambda: {"self": family()},
        {"self": [Says(replace(Family(**fields()), stories_made_by="this", stories="nowhere"), "make it with `this`")]},
    ),
    Function(
        load_family,
        lambda: {"name": "bundled", "stories": "s.txt"},
        {"name": [None, 3, "", Says("nowhere.json", "no family")], "stories": NO_NAME[1:]},
    ),
    Function(
        plan_family,
        lambda: {"family": family(), "out": "out"},
        {
            "family": NO_FAMILY,
            "out": [3, "", ["a"]],
            "only": NO_PATTERN,
            "length": NO_LENGTH,
            "device": NO_DEVICE,
            "n_processes": [*NOT_WHOLE, 0, -1],
            "patient": NOT_YES_OR_NO,
        },
    ),
    Function(
        train_family,
        lambda: {"family": family(), "out": "out", "progress": False},
        {
            "family": NO_FAMILY,
            "out": [*NOT_A_PATH, Says("s.txt", "s.txt"), Says("s.txt/out", "s.txt is a file"), Says("/dev/null/out", "/dev/null")],
            "only": NO_PATTERN,
            "length": NO_LENGTH,
            "device": NO_DEVICE,
            "checkpoint_every": [*NOT_WHOLE, 0, -1],
            "minutes": ["1", NAN, 0, -1.0, True],
            "then": [3, "a", ["a"]],
            "progress": NOT_YES_OR_NO,
        },
    ),
    Function(
        measure_family,
        lambda: {"family": trained(), "out": "out", "n_tokens": 20, "n_spliced": 2, "progress": False},
        {
            "family": [
                *NO_FAMILY,
                Says(Family(**fields() | {"n_ctx": 8}), "n_ctx 16, and 8"),
                Says(Family(**fields() | {"stories": "t"}), "'t'"),
            ],
            "out": [*NOT_A_PATH, Says("nowhere", "nowhere holds none"), Says("s.txt", "s.txt holds none")],
            "valid": [3, "", ["a"], Says("nowhere.txt", "there is no file nowhere.txt"), Says("s.csv", "s.csv")],
            "only": NO_PATTERN,
            "length": [*NO_LENGTH, Says(0.5, "n_steps 2, and 1")],
            "n_tokens": [*NOT_WHOLE, 0, 1],
            "n_spliced": [*NOT_WHOLE, 0, -1],
            "device": NO_DEVICE,
            "progress": NOT_YES_OR_NO,
        },
    ),
    Function(
        is_trained,
        a_member,
        {
            "member": [
                Says(other(recipe={"lr": 0.1, "batch_size": 8}), "lr 0.003, and 0.1 is asked for"),
                Says(other(n_tokens=None), "n_tokens 40, and 'all' is asked for"),
                Says(other(language_model="gpt2"), "language_model 'bundled', and 'gpt2' is asked for"),
            ]
        },
        {"out": "a folder without it holds none that is trained"},
    ),
    Function(by_hook_and_seed, lambda: {"members": family().members()}, {}, {"members": "of Family.members"}),
    Function(
        save_results,
        lambda: {"rows": [{"id": "a"}], "path": "rows.json"},
        {
            "rows": [
                None,
                3,
                "a",
                {"id": "a"},
                [3],
                [{}],
                [{"id": 3}],
                *[[{"id": "a", "l0": x}] for x in (NAN, INF, {3: 1}, HALF_A_PAIR, b"")],
            ],
            "path": [*NOT_A_PATH, Says("/dev/null/t.json", "/dev/null")],
            "together": [None, 3, "a", {"a": 1}, [{"a": NAN}]],
        },
    ),
    Function(
        load_together,
        lambda: {"path": table({"format": "msae-results/1", "rows": [], "together": []})},
        {"path": [3, "", ["a"], Says("nowhere.json", "no table nowhere.json")]},
    ),
    Function(
        pair_numbers,
        lambda: {"row": {"pairs": {"held_out": {"S2-seed0": [0.5] * 6}}}, "reference": "S2", "number": "holes 0.25", "stories": "held_out"},
        {
            "row": [None, 3, "a", [{}]],
            "reference": [None, 3, ["S2"], "", "S/2", "S2-seed0"],
            "number": [None, 3, "holes", ["holes 0.25"]],
            "stories": [None, 3, "told", ["held_out"]],
        },
    ),
    Function(
        load_results,
        lambda: {
            "path": table({"format": "msae-results/1", "rows": [{"id": f"{HOOK}/S0-seed0", "recipe": {}, "language_model": "bundled"}]}),
            "family": family(),
        },
        {
            "path": [3, "", ["a"], Says("nowhere.json", "no table nowhere.json")],
            "family": [*NO_FAMILY[1:], Says(load_family("article"), "'tinymodel'")],
        },
    ),
    Function(
        load_saes,
        packed,
        {
            "names": [3, [], [3], {"S0": 1}, Says("S0", "expected a list of names"), Says(["S9"], "'S9'"), Says(["../out"], "'../out'")],
            "folder": [3, "", ["a"], Says("nowhere", "nowhere holds no packed SAEs"), Says("s.txt", "s.txt holds no packed SAEs")],
        },
    ),
    Function(
        pack_saes,
        lambda: {"family": trained(), "trained": "out", "only": "*", "folder": "packed", "command": ""},
        {
            "family": [*NO_FAMILY, Says(Family(**fields() | {"n_ctx": 8}), "n_ctx 16, and 8")],
            "trained": [*NOT_A_PATH, Says("nowhere", "nowhere holds no")],
            "only": NO_PATTERN,
            "folder": [*NOT_A_PATH, Says("s.txt", "s.txt is a file")],
            "command": NOT_TEXT,
            "length": [*NO_LENGTH, Says(0.5, "n_steps 2, and 1")],
        },
    ),
]
