"""The explorer: firings, pages, folders."""

from types import SimpleNamespace

import numpy as np
import torch
from bad_input import INF, NAN, NOT_A_NUMBER, NOT_A_PATH, NOT_TEXT, NOT_WHOLE, Function, Says

import msae
from msae.explore import Explorer, LatentActivations, address, read_bundle, write_bundle, write_neuronpedia

TOKENS = np.array([[0, 1, 2], [2, 1, 0]])
VOCAB = ["a", " b", b"\xc3"]
DENSE = np.arange(12.0).reshape(2, 3, 2)
NOT_LATENTS = [None, "S/9", 9, -1, 1.5, "T/0", ["S/0"], NAN, ""]
NOT_NUMBERS = [None, "a", 3, ["a"], [1 + 1j], {"a": 1}]


def acts() -> LatentActivations:
    return LatentActivations.from_dense(DENSE)


def explorer() -> Explorer:
    return Explorer({"S": acts()}, TOKENS, VOCAB)


def sae(**changes) -> msae.SAE:
    torch.manual_seed(0)
    made = msae.SAE(4, 3, hook_name=changes.pop("hook_name", "here"), config=changes.pop("config", None))
    for name, value in changes.items():
        getattr(made, name).data[..., -1] = value
    return made


def activations(**changes) -> SimpleNamespace:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    origin = {"hook_name": "here", "language_model": "one"}
    given = {"x": x, "mask": torch.ones(2, 3, dtype=torch.bool), "tokens": torch.from_numpy(TOKENS), "str_tokens": VOCAB}
    given["story"] = torch.arange(2)
    return SimpleNamespace(**{**given, "hook_name": "here", "origin": origin, **changes})


def with_place(x: torch.Tensor, value: float) -> torch.Tensor:
    x = x.clone()
    x[1, 2] = value
    return x


def from_saes(saes, activations, model=None, labels=None):
    return Explorer.from_saes(saes, activations, model, labels=labels)


def of_latents(latents, labels=None):
    return Explorer.of(latents, labels=labels)


def of_layer(hook_name="blocks.0.hook_mlp_out"):
    read = activations(hook_name=hook_name, origin={}) if hook_name else activations(hook_name="here", origin={})
    return msae.Latents({"S": sae(hook_name=hook_name)}, read)


def saved(path):
    return explorer().save(path, progress=False)


def bundle_with(**changes):
    return explorer().bundle()._replace(**changes)


def other_stream(**made_from) -> dict:
    return {"S": sae(config={"made_from": {"hook_name": "here", "language_model": "one", **made_from}})}


X = activations().x
DIRECTIONS = np.ones((2, 4), dtype=np.float32)
OTHER = LatentActivations.from_dense(np.ones((1, 3, 2)))

TABLE = [
    Function(
        Explorer,
        lambda: {
            **{"acts": {"S": acts()}, "tokens": TOKENS, "str_tokens": VOCAB, "labels": {1: "one"}, "latents": [0, "S/1"], "n_examples": 3},
            **{"window": 5, "edges": [(0, 1, 0.5)], "directions": {"S": DIRECTIONS}, "unembed": np.ones((4, 5)), "n_neighbours": 2},
            **{"page_bytes": 1000, "made_from": {"hook_name": "here"}},
        },
        {
            "acts": [None, acts(), {}, {"S": DENSE}, {"S": OTHER}, Says({"1 S": acts()}, "'1 S'"), Says({3: acts()}, "called 3")],
            "tokens": [*NOT_NUMBERS, TOKENS[0], TOKENS * 1.0, TOKENS + 9, TOKENS - 1, TOKENS[:1], Says([[0, 1], [2]], "tokens")],
            "str_tokens": [None, 3, "abc", VOCAB[:2], ["a", "b", 3], ["a", None, "c"], {0: "a", 1: "b", 2: "c"}],
            "labels": [3, "a", ["a"], {1: None}, {1: 3}, {1: NAN}, {0: b"a"}, Says({9: "a"}, "latent 9"), Says({"T/1": "a"}, "T/1")],
            "latents": [3, "S/1", [], Says([9], "latent 9"), Says([None], "latent None"), Says(["T/1"], "T/1")],
            "n_examples": [*NOT_WHOLE[:5], 0, -1],
            "window": [*NOT_WHOLE[:5], 0, -1],
            "edges": [
                3,
                "a",
                [3],
                [(0, 1)],
                ["abc"],
                [(0, 1, NAN)],
                [(0, 1, INF)],
                [(0, 1, None)],
                [(0, 1, "a")],
                Says([(0, 9, 1)], "latent 9"),
            ],
            "directions": [
                *(3, "a", DIRECTIONS, {"T": DIRECTIONS}, {"S": "a"}, {"S": None}, {"S": DIRECTIONS[:1]}, {"S": DIRECTIONS[0]}),
                *({"S": DIRECTIONS * NAN}, {"S": DIRECTIONS + INF}, {"S": torch.full((2, 4), NAN, dtype=torch.bfloat16)}),
                *({"S": sae(W_dec=NAN)}, Says({}, "unembed needs directions")),
            ],
            "unembed": [*NOT_NUMBERS[1:], np.ones((3, 5)), np.ones(4), np.ones((4, 0)), np.full((4, 5), NAN), torch.full((4, 5), -INF)],
            "n_neighbours": [*NOT_WHOLE, -1],
            "page_bytes": [*NOT_A_NUMBER, -1],
            "made_from": [3, "a", {"scale": NAN}, {1: 2}, {"a": object()}],
        },
    ),
    Function(
        of_latents,
        lambda: {"latents": msae.Latents({"S": sae()}, activations()), "labels": {0: "a"}},
        {"latents": [None, 3, "a", {"S": acts()}], "labels": [3, {0: 3}, Says({9: "a"}, "latent 9")]},
    ),
    Function(
        from_saes,
        lambda: {"saes": {"S": sae()}, "activations": activations(), "model": SimpleNamespace(W_U=torch.ones(4, 7)), "labels": None},
        {
            "saes": [
                *(None, 3, {}, sae(), [sae()], {"S": None}, {"S": torch.ones(2)}),
                Says({"S": sae(b_enc=NAN)}, "b_enc"),
                Says({"T": sae(hook_name="there")}, "saes['T'] was trained at there"),
                Says({"S": sae(), "T": msae.SAE(5, 3)}, "saes['T'] reads vectors of width 5"),
                Says(other_stream(hook_name="there"), "saes['S'] was made otherwise (hook_name is 'there'"),
                Says(other_stream(language_model="two"), "saes['S'] was made otherwise (language_model is 'two'"),
                Says({"1 S": sae()}, "'1 S'"),
            ],
            "activations": [None, 3, "a", torch.ones(2), Says(activations(x=with_place(X, NAN)), "activations.x")],
            "model": [3, "a", SimpleNamespace(W_U=torch.ones(5, 7)), Says(SimpleNamespace(W_U=torch.full((4, 7), NAN)), "unembed")],
            "labels": [3, {0: 3}, Says({9: "a"}, "latent 9")],
        },
    ),
    Function(explorer().id_of, lambda: {"latent": 1}, {"latent": NOT_LATENTS}, name="Explorer.id_of"),
    Function(
        explorer().latent,
        lambda: {"latent": 1, "pin": "S/0"},
        {"latent": NOT_LATENTS, "pin": [Says(value, "latent") for value in NOT_LATENTS[1:]]},
        name="Explorer.latent",
    ),
    Function(
        explorer().tree,
        lambda: {"latent": 1, "pin": None},
        {"latent": NOT_LATENTS[1:], "pin": [Says(value, "latent") for value in NOT_LATENTS[1:]]},
        name="Explorer.tree",
    ),
    Function(
        explorer().search,
        lambda: {"query": "a", "examples": {"an a": "a"}},
        {"query": NOT_TEXT, "examples": [3, "a", ["a"], {"a": 3}, {3: "a"}, {"a": None}]},
        name="Explorer.search",
    ),
    Function(
        explorer().with_labels,
        lambda: {"labels": {1: "one"}},
        {"labels": [3, "a", ["a"], {1: None}, {0: b"a"}, Says({9: "a"}, "latent 9"), Says({"T/1": "a"}, "T/1")]},
        name="Explorer.with_labels",
    ),
    Function(explorer().dense, lambda: {"latent": 1}, {"latent": NOT_LATENTS}, name="Explorer.dense"),
    Function(explorer().bundle, lambda: {"progress": False}, {"progress": [None, "no", 0.5]}, name="Explorer.bundle"),
    Function(
        explorer().save,
        lambda: {
            **{"path": "folder", "title": "Latents", "latents_per_shard": 2, "back": "../index.html", "provenance": {"from": "tests"}},
            **{"progress": False},
        },
        {
            "path": [*NOT_A_PATH, "a\0b", "a\ud800", Says("a.htlm", "ends in .html"), "/proc/nothing/here", "/dev/null/a.html"],
            "title": [*NOT_TEXT, "\ud800"],
            "latents_per_shard": [*NOT_WHOLE, -1],
            "back": [*NOT_TEXT[1:], "\ud800"],
            "provenance": [3, "a", {"a": NAN}, {"a": INF}, {"a": object()}, {1: "a"}, {"a": b"b"}, {"a": "\ud800"}],
            "progress": [None, "no", 0.5],
        },
        name="Explorer.save",
    ),
    Function(
        explorer().widget,
        lambda: {"model": None, "saes": None},
        {"model": [3, SimpleNamespace(cfg=None)], "saes": [3, {"T": sae()}, {"S": sae()}]},
        name="Explorer.widget",
    ),
    Function(
        address,
        lambda: {"page": "index.html", "latent": "S/7", "pin": "S/8", "view": "tree", "query": "a"},
        {
            **{"page": NOT_TEXT, "latent": NOT_TEXT, "pin": NOT_TEXT},
            **{"view": [*NOT_TEXT, "trees"], "query": [*NOT_TEXT, "\ud800"]},
        },
    ),
    Function(read_bundle, lambda: {"folder": saved("folder").parent}, {"folder": [*NOT_A_PATH, "a\0b", Says("nowhere", "nowhere")]}),
    Function(
        write_neuronpedia,
        lambda: {
            **{"latents": of_layer(), "sae": "S", "folder": "exports", "model_id": "tiny", "creator": "me", "source_set": "set"},
            **{"numbers": [0, 2], "labels": {"S/0": "a"}, "lm": SimpleNamespace(W_U=torch.ones(4, 3)), "n_examples": 2},
        },
        {
            "latents": [None, 3, {}, sae(), Says(of_layer("here"), "must read a hook of a layer"), Says(of_layer(None), "got 'None'")],
            "sae": [Says(value, "there is no SAE") for value in (None, 3, "", "T", ["S"])],
            "folder": [*NOT_A_PATH, "a\0b", "/proc/nothing/here"],
            "model_id": [*NOT_TEXT, "", "a b", "a/b", "..", "a__b", "é", "a" * 129],
            "creator": [*NOT_TEXT, "", " "],
            "source_set": [*NOT_TEXT[1:], "", "a b", "a/b", "..", "a__b"],
            "numbers": [
                *(3, "0", [], [0, 0]),
                *(Says([value], "latent") for value in (3, -1, 0.5, True, "0", None)),
            ],
            "labels": [3, "a", ["a"], *(Says({key: "a"}, "latent") for key in ("S/9", "T/0", 3)), {"S/0": 3}],
            "lm": [3, "bundled", SimpleNamespace(W_U=torch.ones(5, 3)), SimpleNamespace(W_U=torch.ones(4, 1)), SimpleNamespace()],
            "n_examples": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        write_bundle,
        lambda: {"bundle": explorer().bundle(), "folder": "folder", "latents_per_shard": 2, "progress": False},
        {
            "bundle": [
                *(None, 3, {}),
                Says(bundle_with(max=np.array([NAN, 1], dtype=np.float32)), "NaN or infinity"),
                Says(bundle_with(about={"provenance": {"a": INF}}), "NaN or infinity"),
                Says(bundle_with(edges=[(0, 1, NAN)]), "NaN or infinity"),
            ],
            "folder": [*NOT_A_PATH, "a\0b", "/proc/nothing/here"],
            "latents_per_shard": [*NOT_WHOLE, -1],
            "progress": [None, "no", 0.5],
        },
    ),
]
