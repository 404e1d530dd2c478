"""Recipes that were recorded before are read as what they said."""

import dataclasses
import json
from importlib.resources import files

import pytest

import msae
from msae.family import load_family
from msae.family.recorded import other_than
from msae.support.checkpoints import load_checkpoint, save_checkpoint
from msae.toy.tree import orthogonal_directions
from msae.training.recipes import recipe_differences, settings, todays

TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20))
PLAIN = msae.TrainConfig(20, TREE.l0, 8, batch_size=32, prefixes=msae.FullPrefix())
MATRYOSHKA = dataclasses.replace(PLAIN, prefixes=msae.ParetoPrefixes())
SAMPLED = dataclasses.replace(MATRYOSHKA, sample_prefixes=True)


def before(config, loss):
    """The recipe as it was recorded while a word told the kinds of training apart; the plain one kept a law that it did not use."""
    record = config.record()
    del record["sample_prefixes"]
    return record | {"loss": loss} | ({"prefixes": {"name": "SquareRootPrefixes", "n": 10}} if loss == "plain" else {})


@pytest.mark.parametrize(("config", "loss"), [(PLAIN, "plain"), (SAMPLED, "sampled"), (MATRYOSHKA, "all_prefixes")])
def test_a_recipe_of_before_is_that_of_today(config, loss, tmp_path):
    assert todays(before(config, loss)) == config.record()
    assert todays(config.record()) == config.record()
    for other in {PLAIN, SAMPLED, MATRYOSHKA} - {config}:
        assert recipe_differences(before(config, loss), other.record())

    class Stops(msae.TreeStream):
        def batches(self, batch_size, seed, skip=0):
            yield from (x for x, _ in zip(super().batches(batch_size, seed, skip), range(5), strict=False))

    with pytest.raises(ValueError, match="ended after 5"):
        msae.train(config, Stops(TREE, STREAM.directions), checkpoint=tmp_path / "run", progress=False)
    state = load_checkpoint(tmp_path / "run")
    state["runs"]["sae"]["record"] = before(config, loss)
    save_checkpoint(tmp_path / "run", state)
    resumed, whole = msae.train(config, STREAM, checkpoint=tmp_path / "run", progress=False), msae.train(config, STREAM, progress=False)
    assert resumed.sae.W_dec.equal(whole.sae.W_dec)


def test_what_is_no_recipe_of_before_stays():
    for other in ({}, {"loss": 3.0, "lr": 0.1}, {"loss": [1]}, {"prefixes": None}):
        assert todays(other) == other


@pytest.mark.parametrize(
    "law", [msae.FullPrefix(), msae.FixedPrefixes([5, 20]), msae.ParetoPrefixes(alpha=0.7), msae.SquareRootPrefixes(n=3)]
)
@pytest.mark.parametrize("kind", [msae.ReLU(), msae.TopK(3), msae.BatchTopK(3), msae.JumpReLU(bandwidth=0.8)])
def test_a_recipe_is_read_as_it_was_recorded(law, kind):
    config = msae.TrainConfig(20, 3.0, 8, prefixes=law, nonlinearity=kind, betas=(0.8, 0.9), seed=(1, 2), fade_prefixes=0.25)
    assert msae.TrainConfig(**settings(json.loads(json.dumps(config.record())))) == config


def test_what_is_no_recipe_is_called_so():
    assert settings({"target_l0": 4.0, "nonlinearity": {"name": "BatchTopK"}})["nonlinearity"] == msae.BatchTopK(4)
    for field, spelled, words in (
        ("prefixes", {"name": "BatchTopK"}, "the name of prefixes"),
        ("nonlinearity", {}, "the name of nonlinearity"),
        ("prefixes", {"name": "FullPrefix", "n": 3}, "prefixes FullPrefix has no 'n'; it has no settings"),
    ):
        with pytest.raises(ValueError, match=words):
            settings({field: spelled})


def test_the_saes_that_ship_are_those_of_their_family():
    members = {member.id: member for member in load_family("bundled").members()}
    shipped = sorted((files("msae") / "assets" / "saes").glob("*/sae.json"))
    assert len(shipped) == 8
    for path in shipped:
        config = json.loads(path.read_text())["config"]
        assert "prefixes" in config
        assert other_than(members[config["family"]["id"]], config | config["family"]) == []


@pytest.mark.parametrize("kind", [msae.TopK(3), msae.BatchTopK(3)], ids=str)
def test_the_target_of_topk_is_its_k(kind):
    config = msae.TrainConfig(20, None, 8, nonlinearity=kind)
    assert config.target_l0 == 3
    assert config == msae.TrainConfig(20, 3, 8, nonlinearity=kind)


@pytest.mark.parametrize("name", ["matryoshka-30", "plain-30"])
def test_the_recommended_recipe_is_that_of_the_saes_that_ship(name):
    about = json.loads((files("msae") / "assets" / "saes" / name / "sae.json").read_text("utf-8"))
    ships = todays({field: value for field, value in about["config"].items() if field in PLAIN.record()})
    prefixes = {"prefixes": msae.FullPrefix()} if name == "plain-30" else {}
    assert msae.language_model_recipe(8192, 30, 1500, seed=ships["seed"], **prefixes).record() == ships


def test_a_recommended_recipe_fits_any_size_and_takes_changes():
    for n_latents in (3, 64, 127, 128, 1000, 24_576):
        config = msae.language_model_recipe(n_latents, 2, 500)
        assert config.exchange_moves / config.exchange_every / n_latents < 1 / 500  # more, and L0 runs away
        assert (config.centre, config.lazy_adam, config.fade_prefixes) == (True, True, 0.4)
    changed = msae.language_model_recipe(64, 2, 500, centre=False, fade_prefixes=0.2, exchange_moves=3, betas=(0.8, 0.9))
    assert (changed.centre, changed.fade_prefixes, changed.exchange_moves, changed.betas) == (False, 0.2, 3, (0.8, 0.9))
    nothing_to_fade = ({"stop_gradient": True}, {"prefixes": msae.FullPrefix()}, {"prefixes": msae.FixedPrefixes([64])})
    assert {msae.language_model_recipe(64, 2, 500, **which).fade_prefixes for which in nothing_to_fade} == {0}
    with pytest.raises(TypeError, match="no_such"):
        msae.language_model_recipe(64, 2, 500, no_such=1)
