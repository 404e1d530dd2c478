"""A run that is stopped at any moment, in any way, and goes on, ends at the very bits of one that was never stopped."""

import dataclasses
import os
import random
import signal
import threading

import pytest
import torch
from interruptions import After, interrupt, press

import msae
from msae.support.checkpoints import load_checkpoint
from msae.support.interrupts import uninterrupted
from msae.toy.tree import orthogonal_directions

torch.set_num_threads(1)
TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20))
PLAIN = msae.TrainConfig(20, TREE.l0, n_steps=12, batch_size=32, prefixes=msae.FullPrefix())
EXACT = dataclasses.replace(
    PLAIN, prefixes=msae.SquareRootPrefixes(), exchange_every=3, fade_prefixes=0.4, fade_penalty=0.2, lazy_adam=True
)
SAMPLED = dataclasses.replace(PLAIN, prefixes=msae.SquareRootPrefixes(), sample_prefixes=True, nonlinearity=msae.BatchTopK(2), target_l0=2)
FIXED = dataclasses.replace(PLAIN, prefixes=msae.FixedPrefixes([5, 20]), nonlinearity=msae.JumpReLU(), seed=(0, 1))
RECIPES = {"several": {"plain": PLAIN, "exact": EXACT}, "sampled": {"sampled": SAMPLED}, "fixed": {"fixed": FIXED}}


def train(recipes, path):
    return msae.train(recipes, STREAM, checkpoint=path, checkpoint_every=3, progress=False)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def stop(recipes, path, moment, how):
    """Train until the moment comes. Returns whether the run was done before."""
    if how is killed:
        child = os.fork()
        if child == 0:  # it must never come back into the tests
            try:
                with After(moment, how):
                    train(recipes, path)
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        return status == 0
    try:
        with After(moment, how):
            train(recipes, path)
    except KeyboardInterrupt:
        return False
    return True


def same(a, b, place="state"):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), place
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a.keys() - {"seconds"}:
            same(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), place
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{place}[{i}]")
    else:
        assert a == b, place


@pytest.mark.parametrize("how", [interrupt, press, killed], ids=lambda how: how.__name__)
@pytest.mark.parametrize("name", RECIPES)
def test_stopped_at_random_moments_it_ends_at_the_same_bits(name, how, tmp_path):
    """23 moments for each of three recipes and three ways to stop, drawn from all bytecodes of what is left to do: 207 in all."""
    recipes, path, whole = RECIPES[name], tmp_path / "stopped.safetensors", tmp_path / "whole.safetensors"
    with After(None, interrupt) as ran:
        expected = train(recipes, whole)
    rng = random.Random(f"{name} {how.__name__}")
    n_stopped = 0
    while n_stopped < 23:
        if stop(recipes, path, rng.randrange(1, ran.seen // 3), how):  # it was done before: from the start again
            same(load_checkpoint(path), load_checkpoint(whole))
            path.unlink()
        else:
            n_stopped += 1
    found = train(recipes, path)
    same(load_checkpoint(path), load_checkpoint(whole))
    for key, result in expected.items():
        same(result.history, found[key].history)
        for a, b in zip(result.saes, found[key].saes, strict=True):
            same(dict(a.state_dict()), dict(b.state_dict()))
    assert {p.name for p in tmp_path.iterdir()} == {path.name, whole.name}


def test_ctrl_c_loses_no_step(tmp_path):
    """What Ctrl-C stops is at the step after the one that it came in, though the next checkpoint was far."""

    class Stops(msae.TreeStream):
        def batches(self, batch_size, seed, skip=0):
            for i, x in enumerate(super().batches(batch_size, seed, skip)):
                if i == 7:
                    press()
                yield x

    with pytest.raises(KeyboardInterrupt):
        msae.train(PLAIN, Stops(TREE, STREAM.directions), checkpoint=tmp_path / "a", checkpoint_every=1000, progress=False)
    assert load_checkpoint(tmp_path / "a")["runs"]["sae"]["step"] == 7
    with After(None, interrupt) as ran:
        msae.train(PLAIN, STREAM, progress=False)
    with pytest.raises(KeyboardInterrupt), After(ran.seen // 2, press):
        msae.train(PLAIN, STREAM, checkpoint=tmp_path / "b", checkpoint_every=1000, progress=False)
    assert load_checkpoint(tmp_path / "b")["runs"]["sae"]["step"] > 2


def test_an_interruption_waits_for_the_end_of_the_block():
    said = []

    def block():
        with uninterrupted():
            press()
            with uninterrupted():
                press()
                said.append("inner")
            said.append("outer")
        said.append("after")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert said == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_goes_before_the_interruption_that_waited():
    def block():
        with uninterrupted():
            press()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_a_thread_there_is_nothing_to_hold_back():
    def block():
        with uninterrupted():
            said.append("done")

    said = []
    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert said == ["done"]
