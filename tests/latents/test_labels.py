"""What latents are called, and where their holes are seen."""

from __future__ import annotations

import numpy as np
import pytest

import msae
from msae.explore import LatentActivations
from msae.latents import concept_labels, holed_look_alike


def test_a_concept_names_the_best_latent_of_each_sae_where_it_is_good():
    rng = np.random.default_rng(0)
    she = rng.random((3, 20)) < 0.3
    good, bad, other = she & (rng.random(she.shape) < 0.9), rng.random(she.shape) < 0.5, ~she
    dense = {"S": np.stack([bad, good], -1), "L": np.stack([other, bad], -1)}
    acts = {name: LatentActivations.from_dense(fires.astype(np.float32)) for name, fires in dense.items()}

    def f1(fires: np.ndarray) -> float:
        return 2 * (fires & she).sum() / (fires.sum() + she.sum())

    assert f1(good) > 0.6 > max(f1(bad), f1(other))
    assert concept_labels(acts, {"she": she, "nowhere": np.zeros_like(she)}) == {"S/1": "she"}
    assert concept_labels(acts, {"first": she, "second": she}) == {"S/1": "first"}
    assert concept_labels(acts, {"she": she}, least_f1=f1(good) + 1e-6) == {}
    assert concept_labels(acts, {"she": she}, least_f1=0) == {"S/1": "she", f"L/{int(f1(bad) > f1(other))}": "she"}
    assert concept_labels({name: msae.firings.as_firings(each) for name, each in acts.items()}, {"she": she}) == {"S/1": "she"}


def test_a_faint_latent_is_named_at_the_level_at_which_it_fires():
    she = np.array([[True, True, False, False]])
    acts = {"S": LatentActivations.from_dense(np.array([[[1.0], [0.9], [0.2], [0.2]]], np.float32))}
    assert concept_labels(acts, {"she": she}, least_f1=0.9) == {"S/0": "she"}
    assert concept_labels(acts, {"she": she}, least_f1=0.9, level=0.0) == {}


def test_of_the_look_alikes_in_the_largest_saes_that_one_is_pinned_which_misses_most_of_the_clear_firings():
    rng = np.random.default_rng(1)
    parent = np.zeros((1, 80), np.float32)
    parent[0, :40], parent[0, 40:60] = 1.0, 0.1  # the last twenty are faint
    faithful, misses_clear = parent.copy(), parent.copy()
    faithful[0, 35:60] = 0  # 25 tokens silent, 5 of them clear
    misses_clear[0, 20:40] = 0  # 20 tokens silent, all of them clear
    nearly_silent = np.where(np.arange(80) < 5, parent, 0).astype(np.float32)
    noise = (rng.random((1, 80)) < 0.1).astype(np.float32)
    acts = {
        "XS": LatentActivations.from_dense(np.stack([parent, noise], -1)),  # before its own: not asked
        "S": LatentActivations.from_dense(parent[..., None]),
        "MS": LatentActivations.from_dense(nearly_silent[..., None]),  # smaller than those behind it
        "M": LatentActivations.from_dense(np.stack([noise, faithful], -1)),
        "L": LatentActivations.from_dense(np.stack([misses_clear, noise], -1)),
    }
    assert holed_look_alike(acts, {"L/1": "no SAE behind it", "S/0": "all"}) == ("S/0", "L/0")
    assert holed_look_alike({name: acts[name] for name in ("S", "MS", "M")}, {"S/0": "all"}) == ("S/0", "M/1")
    assert holed_look_alike({name: acts[name] for name in ("S", "MS")}, {"S/0": "all"}) == ("S/0", "MS/0")
    assert holed_look_alike(acts, {"L/0": "the last"}) is None
    assert holed_look_alike(acts, {}) is None
    with pytest.raises(ValueError, match=r"there is no latent 'Q/0'"):
        holed_look_alike(acts, {"Q/0": "all"})
    with pytest.raises(ValueError, match=r"there is no latent 7 here; there are"):
        holed_look_alike(acts, {"S/7": "all"})
