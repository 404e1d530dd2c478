"""What was made is neither lost, nor passed off as something else, nor refused for what does not matter."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from tiny_models import tiny_language_model

import msae
from msae.__main__ import main
from msae.activations.cache import cache_lock
from msae.family.measuring import measure_family
from msae.family.members import Family
from msae.family.shipped import load_saes, pack_saes
from msae.family.training import train_family
from msae.lm import pretraining
from msae.lm.loading import load_manifest
from msae.lm.pretraining import PretrainConfig, pretrain
from msae.lm.transformer import TransformerConfig
from msae.sae.files import check_files
from msae.support.checkpoints import load_checkpoint, save_checkpoint
from msae.support.files import write_file
from msae.texts.stories import pack_stories, save_stories

STORIES = [f"Lily has {n} cats and Sue sees {m} dogs." for n in ("one", "two", "three") for m in ("four", "five", "six", "no")]
SMALL = msae.TrainConfig(12, 2.0, 8, batch_size=16)
SHAPE = TransformerConfig(257, d_model=8, n_layers=1, n_heads=2, n_ctx=8)
SIZES = "--d-vocab 257 --d-model 8 --n-layers 1 --n-heads 2 --n-ctx 8 --batch-size 2"
HOOK = "blocks.1.hook_resid_pre"


class Rows:
    """A stream of one's own."""

    hook_name, scale, d_model = None, 1.0, 8

    def __init__(self, **about):
        self.__dict__.update(about)

    def batches(self, batch_size, seed, skip=0):
        while True:
            yield torch.randn(batch_size, 8, generator=torch.Generator().manual_seed(skip))
            skip += 1


def weights(found):
    return [p.detach() for p in found.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


# --- SAEs in training ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (Rows(origin={"from": Path("a")}), r"the stream's origin\['from'\] is PosixPath"),
        (Rows(origin={"from": float("nan")}), r"the stream's origin\['from'\] is nan"),
        (Rows(origin=["a"]), r"the stream's origin must be a dict of JSON values, got \['a'\]"),
        (Rows(hook_name="\ud800"), "the stream's hook_name must be text that UTF-8 can hold"),
        (Rows(batches=lambda batch_size, seed: None), "must be a function of batch_size, seed and skip"),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_told_before_the_first_step(tmp_path, stream, words):
    with pytest.raises(ValueError, match=words):
        msae.train(SMALL, stream, checkpoint=tmp_path / "run", progress=False)
    assert not list(tmp_path.iterdir())


def test_streams_that_say_the_same_in_other_words_train_the_same(tmp_path):
    expected = msae.train(SMALL, Rows(), progress=False).sae
    listed = [x for x, _ in zip(Rows().batches(16, 0), range(8), strict=False)]
    others = [Rows(d_model=np.int64(8)), Rows(origin=None), Rows(scale=np.float32(1)), Rows(batches=lambda b, seed, skip=0: listed[skip:])]
    for i, stream in enumerate(others):
        found = msae.train(SMALL, stream, checkpoint=tmp_path / f"{i}", progress=False).sae
        assert same(found, expected)
        found.save(tmp_path / f"sae{i}")


def test_a_stream_may_fill_the_same_batch_again(tmp_path):
    """Ctrl-C comes when the batch is half filled: the one before it was trained on, and is what the checkpoint remembers."""

    class Filled(Rows):
        stops = True

        def batches(self, batch_size, seed, skip=0):
            x = torch.empty(batch_size, 8)
            for i, fresh in enumerate(Rows().batches(batch_size, seed, skip), start=skip):
                x.copy_(fresh)
                if self.stops and i == 5:
                    self.stops = False
                    raise KeyboardInterrupt
                yield x

    stream = Filled()
    with pytest.raises(KeyboardInterrupt):
        msae.train(SMALL, stream, checkpoint=tmp_path / "run", progress=False)
    found = msae.train(SMALL, stream, checkpoint=tmp_path / "run", progress=False).sae
    assert same(found, msae.train(SMALL, Rows(), progress=False).sae)


@pytest.mark.parametrize("name", ["made_from", "runs", "seconds", "sae/record", "sae/rank", "sae/optimizer"])
def test_a_checkpoint_of_another_version_is_called_so(tmp_path, name):
    path = tmp_path / "run"
    msae.train(SMALL, Rows(), checkpoint=path, progress=False)
    state = load_checkpoint(path)
    within, _, key = name.rpartition("/")
    (state["runs"][within] if within else state).pop(key)
    save_checkpoint(path, state)
    with pytest.raises(ValueError, match=f"not a checkpoint that this version of msae goes on from .it lacks '{key}'"):
        msae.train(SMALL, Rows(), checkpoint=path, progress=False)


def test_an_sae_of_a_numpy_number_is_saved(tmp_path):
    config = msae.TrainConfig(12, 2.0, 2, batch_size=16, nonlinearity=msae.JumpReLU(np.float32(0.25)))
    msae.train(config, Rows(), progress=False).sae.save(tmp_path)
    assert msae.SAE.load(tmp_path).nonlinearity == msae.JumpReLU(0.25)


def test_training_leaves_the_random_state_as_it_is(tmp_path):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    msae.train(msae.TrainConfig(12, 2.0, 4, batch_size=16, sample_prefixes=True, exchange_every=2), Rows(), progress=False)
    pretrain(STORIES, STORIES[:1], tmp_path, SHAPE, PretrainConfig(n_steps=2, batch_size=2), log=lambda line: None)
    assert torch.equal(before, torch.get_rng_state())


def test_a_disk_that_is_full_is_called_so(tmp_path):
    """Safetensors has an error of its own for it."""

    def full(part):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(OSError, match=r"x cannot be written: .*No space left on device"):
        write_file(tmp_path / "x", full)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: setattr(s, "hook_name", 3), "hook_name must be a string, got 3"),
        (lambda s: setattr(s, "scale", -1.0), "scale must be positive, got -1.0"),
        (lambda s: setattr(s, "nonlinearity", msae.BatchTopK(2)), "expected the weights W_dec, W_enc, b_enc, b_dec, threshold, got"),
        (lambda s: setattr(s, "nonlinearity", msae.TopK(9)), "k=9 latents cannot be active among 5"),
        (lambda s: setattr(s.W_dec, "data", s.W_dec.data[:2]), r"W_dec must have the shape \(5, 4\), got \(2, 4\)"),
        (lambda s: s.register_parameter("more", torch.nn.Parameter(torch.zeros(2))), "got W_dec, W_enc, b_enc, b_dec, more"),
        (lambda s: torch.nn.utils.parametrizations.weight_norm(s, "W_dec"), r"got W_enc, .*parametrizations\.W_dec"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved_over_what_can(tmp_path, change, words):
    whole, spoilt = msae.SAE(4, 5), msae.SAE(4, 5)
    whole.save(tmp_path)
    change(spoilt)
    with pytest.raises(ValueError, match=words):
        spoilt.save(tmp_path)
    assert same(msae.SAE.load(tmp_path), whole)


# --- the language model --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_stories(STORIES, "s.jsonl")
    save_stories(STORIES[::-1], "other.jsonl")
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize("change", ["--seed 1", "--stories other.jsonl", "--n-steps 2"])
def test_the_model_of_another_run_is_not_passed_off_as_this_one(place, capsys, change):
    line = f"language-model train --stories s.jsonl --out lm {SIZES} --n-steps 3"
    assert main(shlex.split(line)) == 0
    before = contents("lm")
    assert main(shlex.split(f"{line} {change}")) == 2
    assert "is of a run with other settings" in capsys.readouterr().err
    assert contents("lm") == before


def test_a_packed_model_is_not_trained_over(place, capsys):
    assert main(shlex.split(f"language-model train --stories s.jsonl --out lm {SIZES} --n-steps 2")) == 0
    assert main(shlex.split("language-model pack --run lm --valid other.jsonl --out packed")) == 0
    before = contents("packed")
    assert main(shlex.split(f"language-model train --stories s.jsonl --out packed {SIZES} --n-steps 2 --seed 1")) == 2
    assert "packed is packed already, and holds no checkpoint to go on from" in capsys.readouterr().err
    assert contents("packed") == before


def test_a_run_goes_on_whenever_it_writes_and_whatever_is_switched_off(place):
    config = PretrainConfig(n_steps=6, batch_size=2, checkpoint_every=4)
    whole, _, _ = pretrain(STORIES, STORIES[:1], place / "whole", SHAPE, config, log=lambda line: None)
    pretraining_step, calls = pretraining._step, []

    def stops(*given):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError
        return pretraining_step(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pretraining, "_step", stops)
        early = PretrainConfig(n_steps=6, batch_size=2, checkpoint_every=2)
        with pytest.raises(ZeroDivisionError):
            pretrain(STORIES, STORIES[:1], place / "run", SHAPE, early, log=lambda line: None)
    assert load_checkpoint(place / "run" / "checkpoint.safetensors")["step"] == 2
    with torch.inference_mode():
        found, _, _ = pretrain(STORIES, STORIES[:1], place / "run", SHAPE, config, log=lambda line: None)
    assert same(found, whole)
    state = load_checkpoint(place / "run" / "checkpoint.safetensors")
    state.pop("seconds")
    save_checkpoint(place / "run" / "checkpoint.safetensors", state)
    with pytest.raises(ValueError, match="this version of msae goes on from .it lacks 'seconds'"):
        pretrain(STORIES, STORIES[:1], place / "run", SHAPE, config, log=lambda line: None)


def test_a_full_disk_does_not_end_the_training_of_a_language_model(place, monkeypatch):
    def full(path, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pretraining, "save_checkpoint", full)
    with pytest.warns(UserWarning, match="the checkpoint of step 2 could not be written: .* No space left"):
        _, _, report = pretrain(STORIES, STORIES[:1], place, SHAPE, PretrainConfig(n_steps=2, batch_size=2), log=lambda line: None)
    assert report["step"] == 2


def test_a_manifest_is_not_written_over_that_of_other_files(place, capsys):
    pack_stories("stories", STORIES, manifest={})
    assert main(shlex.split(f"language-model train --stories s.jsonl --out lm {SIZES} --n-steps 2")) == 0
    for command in ("language-model pack --run lm --valid s.jsonl --out stories", "language-model sample --out lm"):
        folder = command.split()[-1]
        before = contents(folder)
        assert main(shlex.split(command)) == 2
        assert f"{folder} is packed with other files already, such as" in capsys.readouterr().err
        assert contents(folder) == before
    assert load_manifest("lm")["report"]["step"] == 2


# --- a family ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A family of three, trained; and where."""
    folder = tmp_path_factory.mktemp("kept")
    rng = np.random.default_rng(0)
    stories = [" ".join(rng.choice(["Lily", "Sue", "has", "a", "red", "ball", "."], 20)) for _ in range(60)]
    tiny_language_model(folder / "lm", stories, d_model=8, n_layers=2)
    save_stories(stories, folder / "s.jsonl")
    group = {"hook_names": [HOOK], "seeds": [0], "n_steps": 4, "references": [[3, 1], [6, 2]], "sizes": [[9, 2]]}
    family = Family(str(folder / "lm"), str(folder / "s.jsonl"), [group], n_ctx=16, recipe={"batch_size": 32})
    train_family(family, folder / "out", progress=False)
    return family, folder / "out"


@pytest.fixture
def damaged(trained, tmp_path):
    """The same, in a folder that may be damaged: the family, the folder and that of S0."""
    shutil.copytree(trained[1], tmp_path / "out")
    return trained[0], tmp_path / "out", tmp_path / "out" / HOOK / "S0-seed0"


MEASURED = {"n_tokens": 40, "n_spliced": 2, "progress": False}


def test_weights_that_are_gone_are_trained_again(damaged):
    family, out, folder = damaged
    before = weights(msae.SAE.load(folder))
    (folder / "sae.safetensors").unlink()
    assert [row["name"] for row in measure_family(family, out, **MEASURED)] == ["S1", "plain-2-9"]
    assert len(train_family(family, out, progress=False)) == 3
    assert all(torch.equal(a, b) for a, b in zip(weights(msae.SAE.load(folder)), before, strict=True))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("sae.safetensors", lambda old, other: old[:300], "deserializing"),
        ("sae.safetensors", lambda old, other: other, "of different saves"),
        ("sae.json", lambda old, other: b"{}", "of format None"),
        ("sae.json", lambda old, other: json.dumps(json.loads(old) | {"config": {}}).encode(), "it lacks 'family'"),
    ],
    ids=["cut off", "of another", "empty", "of no family"],
)
def test_an_sae_that_is_not_whole_does_not_count_as_trained(damaged, file, content, words):
    family, out, folder = damaged
    path = folder / file
    path.write_bytes(content(path.read_bytes(), (folder.parent / "S1-seed0" / file).read_bytes()))
    for use in (lambda: train_family(family, out, progress=False), lambda: measure_family(family, out, **MEASURED)):
        with pytest.raises(ValueError, match=f"S0-seed0 does not hold a whole SAE of a family .*{words}.*: delete it to train it again"):
            use()


def test_a_row_without_its_numbers_is_measured_again(damaged):
    family, out, folder = damaged
    expected = measure_family(family, out, **MEASURED)
    row = json.loads((folder / "row.json").read_text())
    (folder / "row.json").write_text(json.dumps({name: value for name, value in row.items() if name != "measured"}))
    assert measure_family(family, out, **MEASURED) == expected


def test_saes_are_not_packed_over_a_language_model(damaged):
    family, out, _ = damaged
    tiny_language_model(out / "lm", STORIES, d_model=8, n_layers=1)
    with pytest.raises(ValueError, match="lm is packed with other files already, such as model.safetensors"):
        pack_saes(family, out, "*", folder=out / "lm", command="how")
    assert msae.load_language_model(out / "lm").cfg.d_model == 8
    pack_saes(family, out, "*", folder=out / "packed", command="how")
    assert list(load_saes(folder=out / "packed")) == ["S0", "S1", "plain-2-9"]


# --- files of other people -----------------------------------------------------------------------------------------------------------


def test_a_file_that_may_not_be_read_is_there_all_the_same(tmp_path, monkeypatch):
    msae.SAE(4, 5).save(tmp_path)
    opened = Path.open

    def closed(path, *given, **more):
        if path.suffix == ".safetensors":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *given, **more)

    monkeypatch.setattr(Path, "open", closed)
    for read in (msae.SAE.load, lambda folder: load_checkpoint(folder / "sae.safetensors"), check_files):
        with pytest.raises(PermissionError, match=r"sae\.safetensors"):
            read(tmp_path)


def test_a_cache_that_may_only_be_read_is_read(trained, tmp_path, monkeypatch):
    lm, how = msae.load_language_model(trained[0].language_model), {"n_ctx": 12, "progress": False, "cache": tmp_path / "cache"}
    expected = msae.Activations(lm, STORIES, HOOK, **how).x.clone()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)

    def refused(path, content):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    monkeypatch.setattr("msae.activations.cache.write_file", refused)
    assert torch.equal(msae.Activations(lm, STORIES, HOOK, **how).x, expected)
    with pytest.raises(
        PermissionError, match=r"the cache lacks some of these activations and cannot be written to, give another folder: .*cache"
    ):
        msae.Activations(lm, STORIES, "blocks.0.hook_mlp_out", **how)


def test_a_cache_that_cannot_be_made_is_called_so(tmp_path, monkeypatch):
    def refused(path, **how):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(PermissionError, match="give another folder"):
        cache_lock(tmp_path / "new")


def test_a_reader_that_has_read_enough_is_no_error(tmp_path, capfd, monkeypatch):
    msae.SAE(4, 5).save(tmp_path)
    reads, writes = os.pipe()
    os.close(reads)
    with monkeypatch.context() as patched, io.TextIOWrapper(os.fdopen(writes, "wb")) as out:
        patched.setattr(sys, "stdout", out)
        assert main(["about", str(tmp_path), "--json"]) == 0
    assert capfd.readouterr().err == ""


def test_a_file_may_carry_the_mark_of_windows(tmp_path):
    mark = b"\xef\xbb\xbf"
    (tmp_path / "s.jsonl").write_bytes(mark + b'{"text": "A cat."}\r\n{"text": "A dog."}\r\n')
    assert msae.load_stories(tmp_path / "s.jsonl") == ["A cat.", "A dog."]
    about = {"format": "msae-family/1", "language_model": "bundled", "stories": "bundled"}
    group = {"hook_names": [HOOK], "seeds": [0], "n_steps": 4, "references": [[3, 1]]}
    (tmp_path / "f.json").write_bytes(mark + json.dumps(about | {"groups": [group]}).encode())
    assert [member.name for member in msae.family.members.load_family(tmp_path / "f.json").members()] == ["S0"]
    (tmp_path / "r.json").write_bytes(mark + b'{"format": "msae-results/1", "rows": [{"id": "a"}]}')
    assert msae.family.results.load_results(tmp_path / "r.json") == [{"id": "a"}]
