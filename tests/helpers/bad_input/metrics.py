"""Every measure."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from bad_input import INF, NAN, NOT_A_NUMBER, NOT_A_TENSOR, NOT_DENSE, NOT_WHOLE, Function, Says
from tiny_models import tiny_language_model

import msae
from msae import metrics
from msae.activations.rows import read_texts

N, D, L = 12, 4, 5
HOOK = "blocks.0.hook_resid_pre"
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
ACTS = torch.rand(N, L, generator=torch.Generator().manual_seed(1))
CONCEPT = np.arange(N) < 6
STORY = np.arange(N) // 3
TRAIN = np.arange(N) % 2 == 0


def an_sae(weight=None, value=NAN, **more):
    sae = msae.SAE(D, L, generator=torch.Generator().manual_seed(0), **more)
    if weight:
        getattr(sae, weight).data[0] = value
    return sae


def one(values, value):
    values = torch.as_tensor(values).clone().double()
    values[1] = value
    return values


SAES = [
    None,
    "S2",
    3,
    {"W_enc": X},
    an_sae,
    *(Says(an_sae(name, v), f"{name} must be finite") for name in ("b_enc", "b_dec") for v in (NAN, INF)),
]
VECTORS = [*NOT_A_TENSOR, X[:, :3], X[0], X[None], X.long(), X.to(torch.complex64), one(X, NAN), one(X, INF), np.array(["a"])]
NO_ACTS = [
    [[1.0], [1.0, 2.0]],
    *(None, 3, "a", [[]], [["a"]], {"a": 1}, ACTS[0], ACTS[:0], ACTS[:, :0], ACTS.to(torch.complex64), one(ACTS, NAN), one(ACTS, INF)),
    *(np.array([[None]]), ACTS[None, None], *NOT_DENSE),
]
NO_CONCEPT = [
    *(None, 3, "a", CONCEPT[1:], CONCEPT[None], CONCEPT & False, np.full(N, NAN), np.arange(N), np.array(["a"] * N), [CONCEPT, 1]),
    *(np.array([None] * N), torch.zeros(N)),
]
NO_TRAIN = [
    *(None, 3, "a", TRAIN[1:], np.full(N, NAN), np.arange(N), np.array([None] * N)),
    *(Says(CONCEPT, "false on others"), Says(TRAIN & False, "got 0 of 0"), Says(TRAIN | True, "inputs that do not train")),
]
NO_STORY = [3, "a", STORY[1:], STORY[None], np.full(N, NAN), np.array([None] * N), [[1], [2]]]
NO_LEVEL = [*NOT_A_NUMBER[:-1], True, -0.1, 1, 25]
NO_LATENT = [*NOT_WHOLE, -1, L, torch.tensor(1.0)]
SHARE = [*NOT_A_NUMBER, True, -0.1, 1.1]
SCORED = {"acts": NO_ACTS, "latent": NO_LATENT, "concept": NO_CONCEPT, "story": NO_STORY, "level": NO_LEVEL}
CHUNK = [*NOT_WHOLE[1:], 0, -1]
FIRINGS = metrics.as_firings(ACTS)


def base(*names):
    values = {"acts": ACTS, "latent": 1, "concept": CONCEPT, "story": STORY, "level": 0.1, "sae": an_sae(), "x": X}
    return {name: values[name] for name in names}


def of(bad, *names):
    return {name: bad[name] for name in names}


@functools.cache
def language_model():
    stories = ["Lily has a cat.", "Sue sees Lily."]
    with tempfile.TemporaryDirectory() as folder:
        return tiny_language_model(Path(folder), stories, d_model=D, n_layers=1)


def texts():
    return read_texts(language_model(), ["Lily has a cat."], n_ctx=6)


MARKED = np.array([[True, False, False, True], [False, False, False, False]])

OF_WINDOWS = {
    "fires": [None, 3, "a", MARKED[0], MARKED[None], np.full((2, 4), NAN), np.full((2, 4), 2)],
    "marks": [None, 3, MARKED[0], MARKED[:1], np.full((2, 4), NAN), np.full((2, 4), 2)],
    "mask": [3, MARKED[0], MARKED[:1], np.full((2, 4), NAN)],
    "window": [*NOT_WHOLE, 0, -1],
}

TABLE = [
    Function(
        metrics.specificity,
        lambda: {**base("acts", "latent", "concept", "story", "level"), "begins": (0.0, 0.5)},
        {**SCORED, "begins": [None, 3, "a", (), (0.5, 0.1), (0.2, 0.2), (0.0, 1.0), (-0.1, 0.5)]},
    ),
    Function(
        metrics.completeness,
        lambda: {**base("acts", "level"), "concepts": {"a": CONCEPT}, "least_f1": 0.5, "min_tokens": 2},
        {
            **of(SCORED, "acts", "level"),
            "concepts": [None, 3, {}, [CONCEPT], {1: CONCEPT}, {"a": None}, {"a": CONCEPT[1:]}, {"a": np.full(N, NAN)}],
            "least_f1": SHARE,
            "min_tokens": [*NOT_WHOLE, 0],
        },
    ),
    Function(metrics.l0, lambda: base("acts"), {"acts": [*NOT_A_TENSOR, ACTS[:0], one(ACTS, NAN), one(ACTS, INF), torch.tensor(1.0)]}),
    Function(
        metrics.fvu,
        lambda: {"x": X, "x_hat": X + 1},
        {"x": [*VECTORS, X[:1], Says(torch.ones(N, D), "all equal")], "x_hat": [*VECTORS, X[:1]]},
    ),
    Function(
        metrics.cosines,
        lambda: {"rows": X, "columns": X},
        {name: [*NOT_A_TENSOR, X[0], X[:, :3], X[:, :0], one(X, NAN), one(X, INF)] for name in ("rows", "columns")},
    ),
    Function(metrics.dead, lambda: {"acts": ACTS, "at_most": 0.1}, {"acts": NO_ACTS, "at_most": SHARE}),
    Function(
        metrics.reconstruction,
        lambda: base("sae", "x", "story"),
        {"sae": SAES, "x": [*VECTORS, X[:1], X[:0]], "story": NO_STORY, "chunk": CHUNK},
    ),
    Function(metrics.encode, lambda: base("sae", "x"), {"sae": SAES, "x": VECTORS, "chunk": CHUNK}),
    Function(metrics.concept_score, lambda: base(*SCORED), SCORED),
    Function(metrics.concept_scores, lambda: base("acts", "concept", "level"), of(SCORED, "acts", "concept", "level")),
    Function(metrics.detection, lambda: {"fires": MARKED, "marks": ~MARKED, "mask": MARKED | True, "window": 2}, OF_WINDOWS),
    Function(
        metrics.fuzzing,
        lambda: {"fires": MARKED, "marks": ~MARKED, "mask": MARKED | True, "window": 2, "seed": 1},
        OF_WINDOWS | {"seed": [*NOT_WHOLE, -1]},
    ),
    Function(
        metrics.hole_rate,
        lambda: base(*SCORED) | {"parts": {"a": CONCEPT}, "min_precision": 0.5},
        SCORED
        | {"parts": [3, "a", [CONCEPT], {"parts": CONCEPT[1:]}, Says({"a": ~CONCEPT}, "the part 'a' has none")], "min_precision": SHARE},
    ),
    Function(
        metrics.fragmentation,
        lambda: base("acts", "concept", "story") | {"share": 0.9, "min_precision": 0.5, "levels": (0.0, 0.1)},
        of(SCORED, "acts", "concept", "story")
        | {
            "share": [*NOT_A_NUMBER, True, 0, -0.1, 1.1],
            "min_precision": SHARE,
            "levels": [None, 0.1, "a", (), (NAN,), (0.1, 1), [[0.1]], [True]],
        },
    ),
    Function(
        metrics.splitting,
        lambda: base("acts", "concept", "story", "level") | {"min_gain": 0.03, "n_most": 5},
        of(SCORED, "concept", "story", "level")
        | {"acts": [*NO_ACTS, Says(torch.zeros(N, L), "no latent fires")], "min_gain": NOT_A_NUMBER, "n_most": [*NOT_WHOLE, 0, -1]},
    ),
    Function(
        metrics.mean_max_correlation,
        lambda: {"reference": ACTS, "other": an_sae(), "x": X, "story": STORY, "memory": 2**20, "n_resamples": 10},
        {
            "reference": [*(Says(v, "acts") for v in NO_ACTS), Says(ACTS[1:], "got 11 and 12")],
            "other": [*(Says(v, "acts") for v in NO_ACTS), Says(ACTS[1:], "got 12 and 11"), *SAES[-4:]],
            "x": VECTORS,
            "story": NO_STORY,
            "memory": [*NOT_WHOLE, 0, -1],
            "n_resamples": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        metrics.mean_max_correlation(ACTS, ACTS, n_resamples=10).interval,
        lambda: {"i": 1},
        {"i": [*NOT_WHOLE, -1, L]},
        name="MaxCorrelation.interval",
    ),
    Function(metrics.ratio, lambda: {"sums": np.ones((3, 2))}, free={"sums": "a statistic: bootstrap judges what it makes"}),
    Function(
        metrics.absorption,
        lambda: (
            base("sae", "x", "concept", "story")
            | {
                "latents": [1],
                "direction": X[0],
                "min_cosine": 0.1,
                "min_cosine_full": 0.02,
                "min_share": 0.4,
                "n_absorbing": 3,
                "chunk": 5,
            }
        ),
        {
            "sae": SAES,
            "x": VECTORS,
            "latents": [None, 3, "a", [], [L], [-1], [1.5], [True], [None], {1: 2}.items],
            "concept": NO_CONCEPT,
            "direction": [*NOT_A_TENSOR[1:], X, X[0, :3], X[0] * 0, one(X[0], NAN), one(X[0], INF), X[0].long()],
            "story": NO_STORY,
            "min_cosine": [*NOT_A_NUMBER, -1.1, 1.1],
            "min_cosine_full": [*NOT_A_NUMBER, -1.1, 1.1],
            "min_share": SHARE,
            "n_absorbing": [*NOT_WHOLE, 0, -1],
            "chunk": CHUNK,
        },
    ),
    Function(
        metrics.mean_difference,
        lambda: base("x", "concept"),
        {
            "x": [*NOT_A_TENSOR, X[0], X.long(), one(X, NAN), one(X, INF), *(Says(x, "concept") for x in (X[1:], X[:0]))],
            "concept": [*NO_CONCEPT, CONCEPT | True],
            "chunk": CHUNK,
        },
    ),
    Function(
        metrics.linear_probe,
        lambda: base("x", "concept") | {"l1": 0.01, "l2": 0.01, "n_steps": 20},
        {
            "x": [None, 3, "a", X[0], X[None], X[:, :0], X.to(torch.complex64), one(X, NAN), one(X, INF), np.array([["a"]]), *NOT_DENSE],
            "concept": [*NO_CONCEPT, CONCEPT | True],
            "l1": [*NOT_A_NUMBER, -0.1],
            "l2": [*NOT_A_NUMBER, -0.1],
            "n_steps": [*NOT_WHOLE, 0, -1],
        },
    ),
    Function(
        metrics.Probe(np.ones(D), 0.0).scores,
        lambda: base("x"),
        {"x": [None, 3, "a", X[0], X[:, :3], X.to(torch.complex64), one(X, NAN), one(X, INF), *NOT_DENSE]},
        name="Probe.scores",
    ),
    Function(
        metrics.sparse_probe,
        lambda: base("acts", "concept", "story") | {"train": TRAIN, "n_most": 2, "min_gain": 0.03, "l1": 0.01},
        of(SCORED, "acts", "concept", "story")
        | {"train": NO_TRAIN, "n_most": [*NOT_WHOLE, 0, -1], "min_gain": NOT_A_NUMBER, "l1": [*NOT_A_NUMBER, -0.1]},
    ),
    Function(
        metrics.absorption_by_probe,
        lambda: (
            base("sae", "x", "concept", "story")
            | {"train": TRAIN, "probe": metrics.Probe(np.ones(D), 9.0), "acts": an_sae().encode(X).detach()}
            | {"n_most": 2, "min_gain": 0.03, "l1": 0.001}
        ),
        {
            "sae": SAES,
            "x": VECTORS,
            "concept": NO_CONCEPT,
            "train": NO_TRAIN,
            "story": NO_STORY,
            "probe": [3, "a", X, Says(metrics.Probe(np.ones(D + 1), 1.0), "x must have the width 5")],
            "acts": [*(3, "a", [[]], [["a"]], ACTS[0], ACTS[1:], one(ACTS, NAN)), *NOT_DENSE],
            "n_most": [*NOT_WHOLE, 0, -1],
            "min_gain": NOT_A_NUMBER,
            "l1": [*NOT_A_NUMBER, -0.1],
        },
    ),
    Function(
        metrics.bootstrap,
        lambda: {"statistic": lambda s: s[..., 0], "sums": np.ones((3, 2)), "n_resamples": 10, "confidence": 0.9, "seed": 0},
        {
            "statistic": [None, 3, "mean", lambda s: s],
            "sums": [None, 3, "a", [], np.ones(3), np.ones((0, 2)), np.ones((3, 0)), one(np.ones((3, 2)), NAN), one(np.ones((3, 2)), INF)],
            "n_resamples": [*NOT_WHOLE, 0, -1],
            "confidence": [*NOT_A_NUMBER, 0, 1, -0.5, 95],
            "seed": [*NOT_WHOLE, -1],
        },
    ),
    Function(
        metrics.reconstruction(an_sae(), X, story=STORY).against,
        lambda: {"other": metrics.reconstruction(an_sae(), X, story=STORY)},
        {"other": [None, 3, "a", X, metrics.reconstruction(an_sae(), X)]},
        name="Reconstruction.against",
    ),
    Function(
        metrics.Splice.of_sums,
        lambda: {"sums": np.ones((3, 6))},
        {"sums": [None, 3, "a", [], np.ones(6), np.ones((3, 5)), np.ones((0, 6)), one(np.ones((3, 6)), NAN)]},
        name="Splice.of_sums",
    ),
    Function(
        metrics.Splice.of_sums(np.ones((3, 6))).against,
        lambda: {"other": metrics.Splice.of_sums(2 * np.ones((3, 6)) - [1, 1, 0, 0, 0, 0])},
        {"other": [None, 3, "a", np.ones((3, 6)), metrics.Splice.of_sums(np.ones((2, 6)))]},
        name="Splice.against",
    ),
    Function(
        lambda story, columns: metrics.sum_by_story(story, columns),
        lambda: {"story": STORY, "columns": np.ones(N)},
        {
            "story": [None, 3, "a", STORY - 1, STORY[None], STORY / 2, np.array(["a"] * N), Says(STORY[1:], "got shapes")],
            "columns": [None, 3, "a", np.ones(N - 1), np.ones((N, 2)), one(np.ones(N), NAN), one(np.ones(N), INF)],
        },
        name="sum_by_story",
    ),
    *(
        Function(
            measure,
            lambda: {"acts": ACTS, "features": ACTS[:, :3]},
            {
                "acts": [*NOT_A_TENSOR, ACTS[0], ACTS[:0], ACTS[1:], one(ACTS, NAN), one(ACTS, INF)]
                + ([Says(ACTS[:, :2], "2 latents cannot be matched to 3")] if measure is metrics.assign else []),
                "features": [*NOT_A_TENSOR, ACTS[0], ACTS[1:], ACTS[:, :0], one(ACTS, NAN), one(ACTS, INF)],
            },
        )
        for measure in (metrics.assign, metrics.closest)
    ),
    Function(
        metrics.holes,
        lambda: {"acts": ACTS, "features": torch.ones(N, 3), "latent": 1, "parent": 0, "children": [1, 2], "level": 0.1},
        {
            "acts": [*NOT_A_TENSOR, ACTS[0], ACTS[1:], one(ACTS, NAN), one(ACTS, INF)],
            "features": [*NOT_A_TENSOR, ACTS[0], ACTS[1:], one(ACTS, NAN), Says(torch.zeros(N, 3), "no input has feature 0 together")],
            "latent": NO_LATENT,
            "parent": [*NOT_WHOLE, -1, 3],
            "children": [None, 3, "a", [], [3], [-1], [1.5], [None]],
            "level": NO_LEVEL,
        },
    ),
    Function(
        metrics.splice,
        lambda: {
            "lm": language_model(),
            "saes": an_sae(hook_name=HOOK),
            "texts": texts(),
            "n_texts": 2,
            "batch_size": 2,
            "progress": False,
        },
        {
            "saes": [
                *SAES,
                {},
                {"saes": 3},
                Says(an_sae(), "names no hook"),
                Says(an_sae(hook_name="there"), "no hook 'there'"),
                Says(msae.SAE(D + 1, 3, hook_name=HOOK), "reads vectors of width 5, but those at"),
            ],
            "lm": [None, 3, "bundled"],
            "texts": [None, 3, "a", ACTS],
            "n_texts": [*NOT_WHOLE[1:], 0, -1],
            "batch_size": [*NOT_WHOLE, 0, -1],
            "progress": [None, 1, "yes"],
        },
    ),
]
