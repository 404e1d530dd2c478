"""Whoever writes what was right before is told what to write now, in one sentence."""

import importlib
import inspect
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from places import ROOT

import msae
from msae import metrics
from msae.explore import Explorer
from msae.firings import Firings
from msae.patterns import match, rank_latents
from msae.support.moved import MOVED, sentence

ACTS = Firings.of_dense(np.array([[[0.0, 2.0], [1.0, 0.0]]]))
TOKENS, VOCABULARY = np.array([[0, 1]]), ["Lily", " sat"]
CONCEPT = np.array([[True, False]])


@pytest.mark.parametrize("module", MOVED)
def test_a_module_that_moved_says_where_to(module):
    for statement in (f"import msae.{module}", f"from msae.{module} import anything"):
        with pytest.raises(ModuleNotFoundError, match=re.escape(sentence(module))):
            exec(statement)
    if module not in msae._MOVED:  # those still lead to their place, as attributes
        with pytest.raises(ImportError, match=re.escape(sentence(module))):
            exec(f"from msae import {module}")
        with pytest.raises(AttributeError, match=re.escape(sentence(module))):
            getattr(msae, module)
    place = re.match(r"msae[.\w]*", MOVED[module])
    assert importlib.import_module(place.group())


def test_other_modules_are_missing_as_ever():
    with pytest.raises(ModuleNotFoundError, match="No module named 'msae.nothing'"):
        importlib.import_module("msae.nothing")
    assert importlib.util.find_spec("msae.nothing") is None


def test_the_changelog_names_every_module_that_moved():
    said = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [module for module in MOVED if f"`msae.{module}" not in said] == []


X = torch.ones(3, 2)
BEFORE = {
    "TrainConfig takes no loss= any more: prefixes=FullPrefix()": lambda: msae.TrainConfig(20, 3, 10, loss="plain"),
    "TrainConfig takes no loss=": lambda: replace(msae.TrainConfig(20, 3, 10), loss="plain"),
    "prefixes must be a prefix law": lambda: msae.TrainConfig(20, 3, 10, 5, 1e-3, (0.9, 0.99), "plain"),
    "holes takes no threshold= any more: write level=": lambda: metrics.holes(X, X, 0, parent=0, children=[1], threshold=0.1),
    "holes takes acts, features, latent by place and the rest by name: parent=, children=, level=; got 5 by place": (
        lambda: metrics.holes(X, X, 0, 0, [1])
    ),
    "bootstrap takes no level= any more: write confidence=": lambda: metrics.bootstrap(lambda s: s[:, 0], X, level=0.9),
    "rank_latents takes no thresholds= any more: write levels=": lambda: rank_latents(ACTS, CONCEPT, thresholds=(0.1,)),
    "rank_latents takes no marked= any more": lambda: rank_latents(acts=ACTS, marked=CONCEPT),
    "write rank_latents(acts, concept)": lambda: rank_latents(CONCEPT, ACTS),
    "Explorer takes acts, tokens, str_tokens by place and the rest by name: labels=": (
        lambda: Explorer({"S": ACTS}, TOKENS, VOCABULARY, {"S/0": "sat"})
    ),
    "match takes pattern, tokens, str_tokens by place and the rest by name: acts=, mask=": lambda: match("Lily", TOKENS, VOCABULARY, None),
    "absorption takes sae, x, concept by place and the rest by name: latents=": (
        lambda: metrics.absorption(msae.SAE(2, 3), X, [0], X[:, 0] > 0, story=None)
    ),
    "reconstruction takes sae, x by place": lambda: metrics.reconstruction(msae.SAE(2, 3), X, np.arange(3)),
}


@pytest.mark.parametrize("said", BEFORE)
def test_a_call_of_before_says_what_to_write(said):
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        BEFORE[said]()


def test_labels_of_an_explorer_are_given_by_with_labels():
    explorer = Explorer({"S": ACTS}, TOKENS, VOCABULARY)
    with pytest.raises(AttributeError, match=re.escape("explorer = explorer.with_labels(labels)")):
        explorer.labels = {"S/0": "sat"}
    assert explorer.with_labels({"S/0": "sat"}).labels == {"S/0": "sat"}


def test_what_says_so_is_otherwise_as_it_was():
    config = msae.TrainConfig(20, 3, 10)
    assert pickle.loads(pickle.dumps(config)) == config
    assert [*inspect.signature(msae.TrainConfig).parameters][:3] == ["n_latents", "target_l0", "n_steps"]
    assert [*inspect.signature(metrics.holes).parameters] == ["acts", "features", "latent", "parent", "children", "level"]
    assert metrics.holes.__module__ == "msae.metrics.toy"
    assert metrics.holes.__doc__.startswith("Count the holes")
    assert Path(inspect.getsourcefile(inspect.unwrap(metrics.holes))).name == "toy.py"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'n_steps'"):
        msae.TrainConfig(20, 3)
