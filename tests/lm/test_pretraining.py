"""Training the language model: whatever interrupts it, and however often, it ends where an unbroken run does."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from interruptions import After, full_disk, interrupt, press

from msae.lm import pretraining
from msae.lm.pretraining import PretrainConfig, batches, pretrain
from msae.lm.transformer import TransformerConfig
from msae.support.checkpoints import load_checkpoint

STORIES = [f"Lily has {n} cats and Sue sees them. She is happy." for n in ("one", "two", "three", "four", "five", "six")]
SHAPE = TransformerConfig(257, d_model=8, n_layers=1, n_heads=2, n_ctx=8)
CONFIG = PretrainConfig(n_steps=6, batch_size=2, checkpoint_every=2)


def run(out, stories=STORIES, shape=SHAPE, config=CONFIG, valid=STORIES[:1]):
    return pretrain(stories, valid, out, shape, config, log=lambda line: None)


def flat(value, name=""):
    if isinstance(value, dict):
        return {path: leaf for key, item in value.items() for path, leaf in flat(item, f"{name}/{key}").items()}
    if isinstance(value, list):
        return flat(dict(enumerate(value)), name)
    return {name: value}


def check_equal(out, whole):
    a, b = (flat(load_checkpoint(folder / "checkpoint.safetensors")) for folder in (out, whole))
    assert a.keys() == b.keys()
    for name in a.keys() - {"/seconds"}:
        assert torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name], name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


@pytest.mark.parametrize("action", [interrupt, full_disk, press])
def test_interrupted_anywhere_and_often_it_ends_where_an_unbroken_run_does(tmp_path, whole, action):
    with After(None, None) as counted:
        run(tmp_path / "counted")
    check_equal(tmp_path / "counted", whole)
    assert counted.seen > 10_000
    rng = random.Random(0)
    for attempt in range(20):
        out, n_stopped = tmp_path / f"{attempt}", 0
        for _ in range(4):
            try:
                with After(rng.randrange(1, counted.seen), action):
                    run(out)
            except (KeyboardInterrupt, OSError):
                n_stopped += 1
        run(out)
        assert n_stopped or action is full_disk, "a checkpoint that cannot be written is a warning"
        check_equal(out, whole)


def test_ctrl_c_in_a_step_saves_that_step(tmp_path, whole, monkeypatch):
    """Between the two optimizers, after the third batch: the step is finished, saved, and not taken again."""
    step, calls = torch.optim.AdamW.step, []

    def pressed(self, *args, **how):
        calls.append(1)
        if len(calls) == 3:
            press()
        return step(self, *args, **how)

    monkeypatch.setattr(torch.optim.AdamW, "step", pressed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 3
    run(tmp_path)
    assert len(calls) == 6
    check_equal(tmp_path, whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stories": [*STORIES[:5], STORIES[0]]}, "stories is"),
        ({"config": replace(CONFIG, seed=1)}, r"config\.seed is 0, and 1"),
        ({"config": replace(CONFIG, matrix_lr=0.01)}, r"config\.matrix_lr"),
        ({"shape": replace(SHAPE, layer_norm=True)}, r"shape\.layer_norm"),
    ],
)
def test_a_run_of_other_stories_or_settings_does_not_go_on(whole, change, words):
    with pytest.raises(ValueError, match=f"other settings.*{words}"):
        run(whole, **change)


def test_a_checkpoint_needs_its_own_tokenizer(tmp_path, whole):
    for name in ("checkpoint.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    content = (tmp_path / "tokenizer.json").read_text()
    for wrong, words in ((content.replace('"Ġ"', '"ġ"'), r"no tokenizer|not the tokenizer"), (content[:-9], "is no tokenizer")):
        (tmp_path / "tokenizer.json").write_text(wrong)
        with pytest.raises(ValueError, match=words):
            run(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no tokenizer\.json"):
        run(tmp_path)


def test_a_tokenizer_of_other_stories_is_not_taken_for_these(tmp_path, whole):
    run(tmp_path, ["What a day! Go, go, go, said the red balloon."] * 6)
    (tmp_path / "checkpoint.safetensors").unlink()
    run(tmp_path)
    check_equal(tmp_path, whole)


def test_settings_of_numpy_survive_their_own_file(tmp_path, whole):
    config = PretrainConfig(n_steps=np.int64(6), batch_size=np.int32(2), checkpoint_every=2, matrix_lr=np.float64(4e-3))
    run(tmp_path, config=config)
    run(tmp_path, config=config)
    check_equal(tmp_path, whole)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    step = pretraining._step

    def spoilt(model, both, rows, config, n):
        if n == 3:
            model.head.weight.data[0, 0] = float("nan")
        return step(model, both, rows, config, n)

    monkeypatch.setattr(pretraining, "_step", spoilt)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 3: lower matrix_lr"):
        run(tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 2


def test_stories_too_short_for_a_row_are_named_and_not_waited_for(tmp_path):
    with pytest.raises(ValueError, match=r"stories have \d+ tokens: expected at least 17"):
        run(tmp_path / "new", ["Lily."], valid=["Sue"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="expected at least 9"):
        next(batches([np.arange(7)], 4, 2, 0))
    assert next(batches([np.arange(8)], 4, 2, 0)).shape == (2, 5)
