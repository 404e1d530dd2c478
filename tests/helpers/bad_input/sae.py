"""The SAE, its folder, and its nonlinearities."""

import json
from functools import wraps
from pathlib import Path

import torch
from bad_input import INF, NAN, NOT_A_NUMBER, NOT_A_PATH, NOT_A_TENSOR, NOT_TEXT, NOT_WHOLE, Function, Says

import msae

META = torch.zeros(3, 4, device="meta")
NOT_A_GENERATOR = [3, "a", torch.Generator]
NOT_A_BOOL = [None, 1, "yes", torch.tensor([True, False])]
NOT_REAL = [torch.zeros(3, 4, dtype=torch.long), torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(3, 4, dtype=torch.bool)]
NO_VECTORS = [*NOT_A_TENSOR, torch.zeros(3, 5), torch.tensor(1.0), torch.zeros(0), torch.zeros(3, 4).to(torch.float8_e5m2), META, *NOT_REAL]
NO_DEVICE = ["cuda:99", "tpu", "", None, 3.5, ["cpu"]]


def an_sae(nonlinearity=None):
    return msae.SAE(4, 5, nonlinearity, generator=torch.Generator().manual_seed(0))


def saved(name="sae"):
    an_sae().save(name)
    return name


def broken(weight="b_enc", value=NAN, config=None):
    sae = an_sae()
    tensor = getattr(sae, weight).data
    tensor[(0,) * tensor.ndim] = value
    sae.config = config or {}
    return sae


def of_saelens(name="saelens"):
    """A checkpoint, whose input has a scale."""
    msae.sae.write_saelens(an_sae(), name)
    path = Path(name) / "cfg.json"
    path.write_text(path.read_text().replace('"normalize_activations": "none"', '"normalize_activations": "expected_average_only_in"'))
    return name


def of_dictionary_learning(name="dictionary"):
    Path(name).mkdir()
    about = {"dict_class": "AutoEncoderNew", "activation_dim": 4, "dict_size": 5}
    (Path(name) / "config.json").write_text(json.dumps({"trainer": about}))
    weights = {"encoder.weight": torch.ones(5, 4), "encoder.bias": torch.ones(5)}
    torch.save(weights | {"decoder.weight": torch.ones(4, 5), "decoder.bias": torch.ones(4)}, Path(name) / "ae.pt")
    return name


def save(sae, folder):
    sae.save(folder)


NO_PLACE = [*NOT_TEXT, "", "tiny", "you/", "you/tiny/", "you/tiny/..", "you/ti ny", "hf://you/tiny", "you/b.git"]
NO_CARD = {
    "sae": [None, 3, "sae", msae.SAE],
    "repo": NO_PLACE,
    "licence": [*NOT_TEXT[1:], "", "MIT licence", "m\nit"],
    "measured": [
        *(3, "a", [1], {"r2": 1.0}, {"l0": -1.0}, {"fvu": NAN}, {"l0": "9"}, {"on": 3}, {"holes": 0.5}, {"holes": {"a": 1.5}}),
        Says({"holes": {3: 0.5}}, "a concept must be a string"),
    ],
}


def about_a_push():
    measured = {"l0": 3.0, "fvu": 0.1, "holes": {"female words": 0.2}, "on": "9 tokens"}
    return {"sae": an_sae(), "repo": "you/tiny", "licence": "mit", "measured": measured}


def offline(function):
    """The hub does not answer here, so that good arguments come as far as that."""

    @wraps(function)
    def asks(*args, **options):
        try:
            return function(*args, **options)
        except ConnectionError:
            return None

    return asks


class DictLike:
    def keys(self):
        return ["a"]


TABLE = [
    Function(
        msae.SAE,
        lambda: {"d_model": 4, "n_latents": 5, "nonlinearity": msae.TopK(2), "hook_name": "a", "scale": 2.0, "config": {"a": 1}},
        {
            "d_model": [*NOT_WHOLE, 0, -1],
            "n_latents": [*NOT_WHOLE, 0, -1, Says(1, "k=2 latents cannot be active among 1")],
            "nonlinearity": [
                "relu",
                msae.ReLU,
                torch.relu,
                3,
                {"name": "ReLU"},
                Says(msae.TopK(6), "k=6 latents cannot be active among 5"),
            ],
            "hook_name": [3, b"a", ["a"]],
            "scale": [*NOT_A_NUMBER, True, 0, -1.0, torch.tensor(1.0)],
            "config": [[("a", 1)], "a", 3, DictLike()],
            "generator": NOT_A_GENERATOR,
        },
    ),
    Function(
        lambda x: an_sae().encode(x),
        lambda: {"x": torch.zeros(3, 4)},
        {
            "x": [
                *NOT_A_TENSOR,
                torch.zeros(3, 5),
                torch.tensor(1.0),
                torch.zeros(0),
                torch.zeros(3, 4).to(torch.float8_e5m2),
                META,
                *NOT_REAL,
            ]
        },
        name="SAE.encode",
    ),
    Function(
        lambda x: an_sae()(x), lambda: {"x": torch.zeros(2, 3, 4)}, {"x": [*NOT_A_TENSOR, torch.zeros(3, 5), META, *NOT_REAL]}, name="SAE"
    ),
    Function(
        lambda acts: an_sae().decode(acts),
        lambda: {"acts": torch.zeros(3, 5)},
        {"acts": [*NOT_A_TENSOR, torch.zeros(3, 4), torch.tensor(1.0), torch.zeros(3, 5, device="meta"), torch.zeros(3, 5).long()]},
        name="SAE.decode",
    ),
    Function(
        lambda m: an_sae().prefix(m),
        lambda: {"m": 3},
        {"m": [Says(value, "a prefix has 1 to 5 latents, got") for value in [*NOT_WHOLE, 0, -1, 6]]},
        name="SAE.prefix",
    ),
    Function(
        save,
        lambda: {"sae": an_sae(), "folder": "sae"},
        {
            "sae": [
                *(
                    Says(broken(name, value), f"{name} must be finite")
                    for name in ("W_enc", "b_enc", "W_dec", "b_dec")
                    for value in (NAN, INF)
                ),
                *(Says(broken("b_enc", 0, {"a": value}), "config['a'] is") for value in (NAN, INF, {1, 2}, torch.ones(2), b"a", Path("a"))),
                Says(broken("b_enc", 0, {3: 1}), "config has the key 3"),
                Says(broken("b_enc", 0, {"a": "\ud800"}), "half of a surrogate pair"),
            ],
            "folder": NOT_A_PATH,
        },
        name="SAE.save",
    ),
    Function(
        msae.SAE.load,
        lambda: {"folder": saved(), "device": "cpu"},
        {"folder": [*NOT_A_PATH, Says("nothing", "nothing holds no sae.json")], "device": NO_DEVICE},
        name="SAE.load",
    ),
    Function(
        msae.sae.read_sae,
        lambda: {"folder": saved(), "device": "cpu"},
        {"folder": [*NOT_A_PATH, Says("nothing", "nothing holds no sae.json")], "device": NO_DEVICE},
    ),
    Function(
        msae.sae.write_saelens,
        lambda: {"sae": an_sae(), "folder": "saelens"},
        {
            "sae": [
                *(None, 3, "sae", msae.SAE),
                Says(an_sae(msae.TopK(2)).prefix(3), "W_rivals"),
                Says(broken("b_enc", NAN), "b_enc must be finite"),
                Says(broken("b_enc", 0, {"a": NAN}), "config['a'] is"),
            ],
            "folder": NOT_A_PATH,
        },
    ),
    Function(
        msae.sae.read_saelens,
        lambda: {"folder": of_saelens(), "device": "cpu", "scale": 0.5},
        {
            "folder": [*NOT_A_PATH, Says("nothing", "nothing holds no cfg.json")],
            "device": NO_DEVICE,
            "scale": [*NOT_A_NUMBER[1:], True, 0, -1.0, Says(None, "give it as scale=")],
        },
    ),
    Function(
        msae.sae.read_dictionary_learning,
        lambda: {"folder": of_dictionary_learning(), "device": "cpu"},
        {"folder": [*NOT_A_PATH, Says("nothing", "nothing holds no config.json")], "device": NO_DEVICE},
    ),
    Function(
        offline(msae.sae.push_sae),
        lambda: about_a_push() | {"private": True},
        {**NO_CARD, "repo": [*NO_CARD["repo"], Says("you/tiny@main", "leave it out")], "private": NOT_A_BOOL},
        name="push_sae",
    ),
    Function(msae.sae.model_card, about_a_push, NO_CARD),
    Function(
        offline(msae.sae.pull_sae), lambda: {"repo": "you/tiny", "device": "cpu"}, {"repo": NO_PLACE, "device": NO_DEVICE}, name="pull_sae"
    ),
    Function(msae.TopK, lambda: {"k": 3}, {"k": [*NOT_WHOLE, 0, -1]}),
    Function(msae.BatchTopK, lambda: {"k": 3}, {"k": [*NOT_WHOLE, 1.5, 0, -1]}),
    Function(msae.JumpReLU, lambda: {"bandwidth": 0.1}, {"bandwidth": [*NOT_A_NUMBER, True, 0, -0.1]}),
    *(
        Function(
            kind,
            lambda kind=kind: {"pre": torch.ones(3, 4), "threshold": torch.zeros(4), "training": False},
            {
                "pre": [*NOT_A_TENSOR, *NOT_REAL, torch.tensor(1.0), *([Says(torch.ones(3, 1), "k=2")] if kind == msae.TopK(2) else [])],
                "threshold": [] if kind.start_threshold is None else [*NOT_A_TENSOR, torch.ones(3), torch.ones(4).long()],
                "training": NOT_A_BOOL if kind == msae.BatchTopK(2) else [],
            },
            name=str(kind),
        )
        for kind in (msae.ReLU(), msae.TopK(2), msae.BatchTopK(2), msae.JumpReLU())
    ),
    Function(
        msae.BatchTopK(2),
        lambda: {"pre": torch.ones(3, 4), "training": True},
        {"pre": [torch.ones(4), Says(torch.ones(3, 1), "k=2 latents cannot be active among 1")], "training": [None, 1]},
        {"threshold": "not used in training"},
        name="BatchTopK in training",
    ),
]
