"""Vectors far too long: said where they matter, left out by a number of positions, and nothing is said of a harmless model."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from tiny_models import tiny_language_model

import msae

STORIES = ["Lily has a cat.", "Sue sees Lily and she is very happy today because of the cat that Lily has.", "She runs."] * 4
HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return tiny_language_model(tmp_path_factory.mktemp("lm"), STORIES, d_model=16, n_layers=2)


def harvest(lm, **how):
    return msae.Activations(lm, STORIES, HOOK, n_ctx=12, progress=False, **how)


def longer(factor: float, place: slice):
    """A hook that lengthens the vectors at some positions, as a model with an attention sink has them."""

    def change(value, hook):
        value = value.clone()
        value[:, place] *= factor
        return value

    return [(HOOK, change)]


def silently(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def test_a_sink_at_the_second_position_is_said_and_can_be_left_out(lm):
    with lm.hooks(fwd_hooks=longer(100, slice(1, 2))):
        with pytest.warns(UserWarning, match="position 1 of a row of story") as said:
            with_sinks = harvest(lm, dtype=torch.float32)
        assert said[0].filename == __file__
        without = silently(lambda: harvest(lm, skip_first=2, dtype=torch.float32))
    norms = with_sinks.x.double().norm(dim=1)
    is_long = norms > 10 * norms.median()
    share = float(norms[is_long].square().sum() / norms.square().sum())
    n, percent, times = re.search(r"^(\d+) of .* hold (\d+)% .* longest, (\d+) times", str(said[0].message)).groups()
    assert (int(n), int(percent), int(times)) == (int(is_long.sum()), round(100 * share), round(float(norms.max() / norms.median())))
    assert "leave them out with skip_first=2, or read another hook" in str(said[0].message)
    assert torch.equal(without.x, with_sinks.x[with_sinks.position[:, 1] >= 2])
    assert without.scale > 2 * with_sinks.scale


def test_what_stands_further_on_is_a_matter_of_the_hook(lm):
    with (
        lm.hooks(fwd_hooks=longer(100, slice(9, 10))),
        pytest.warns(UserWarning, match=r"position 9 of a row of story \d+: read another hook$"),
    ):
        harvest(lm)


def test_live_activations_say_it_too(lm):
    with lm.hooks(fwd_hooks=longer(100, slice(1, 2))), pytest.warns(UserWarning, match="skip_first=2") as said:
        live = msae.LiveActivations(lm, STORIES, HOOK, n_ctx=12)
    assert [each.filename for each in said] == [__file__]
    assert len(silently(lambda: msae.LiveActivations(lm, STORIES, HOOK, n_ctx=12, skip_first=2))) < len(live)


def test_nothing_is_said_where_all_are_alike(lm):
    silently(lambda: harvest(lm))
    with lm.hooks(fwd_hooks=longer(5, slice(1, 2))):
        silently(lambda: harvest(lm))


@pytest.mark.parametrize("n", [0, 1, 2, 5, 11])
def test_so_many_positions_are_left_out(lm, n):
    whole, part = harvest(lm, skip_first=False), harvest(lm, skip_first=n)
    torch.testing.assert_close(part.x, whole.x[whole.position[:, 1] >= n])
    assert bool(part.mask[:, :n].any()) is False


def test_where_nothing_is_left_it_is_said(lm):
    with pytest.raises(ValueError, match="no tokens beyond the first 11 positions, which skip_first leaves out"):
        msae.Activations(lm, ["Lily runs."], HOOK, n_ctx=12, skip_first=11, progress=False)
