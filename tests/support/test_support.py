"""Files are written whole or not at all; what a result was made from is compared in words."""

import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
import torch

import msae
from msae.support import arguments
from msae.support.files import as_json, check_writable, write_file, write_files
from msae.support.origin import check_origin, differences, plain, sha256_of_array


def fail(part):
    part.write_text("half")
    raise RuntimeError("the disk is full")


def test_of_files_that_belong_together_all_are_written_or_none(tmp_path):
    a, b = tmp_path / "a", tmp_path / "deep" / "b"
    write_files({a: "old", b: b"old"})
    with pytest.raises(RuntimeError, match="full"):
        write_files({a: "new", b: fail})
    assert (a.read_text(), b.read_text()) == ("old", "old")
    write_files({a: "new é", b: lambda part: part.write_text("new")})
    assert (a.read_text(encoding="utf-8"), b.read_text()) == ("new é", "new")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "deep"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_that_the_umask_gives(umask, tmp_path):
    def private(part):
        part.unlink()
        part.touch(0o600)  # as safetensors does

    before = os.umask(umask)
    try:
        write_files({tmp_path / "a": "text", tmp_path / "b": private})
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~umask}


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, working = tmp_path / f".a.{ended.pid}.part", tmp_path / f".a.{os.getppid()}.part"
    for part in (left, working):
        part.write_text("half")
    write_file(tmp_path / "a", "whole")
    assert not left.exists()
    assert working.exists()


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=path.name):
            check_writable(path)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, float("nan")]}, r"config\['a'\]\[1\] is nan"),
        ({1: 2}, "the key 1"),
        ({"a": object()}, "JSON keeps"),
        (float("inf"), "inf"),
    ],
)
def test_json_that_no_reader_takes_is_refused_by_place(value, place):
    with pytest.raises(ValueError, match=place):
        as_json(value, "config")


def test_what_json_keeps_comes_back():
    value = {"é": [1, 2.5, None, True, "x"], "deep": {"t": (1, 2)}}
    assert json.loads(as_json(value, "value")) == plain(value)


def test_a_setting_equals_what_was_kept_of_it():
    recipe = msae.TrainConfig(20, 2.0, 5, prefixes=msae.FixedPrefixes([5, 20]), betas=(0.9, 0.99), seed=(1, 2))
    assert json.loads(json.dumps(recipe.record())) == recipe.record()
    assert recipe.record()["prefixes"] == {"name": "FixedPrefixes", "widths": [5, 20]}


def test_arrays_are_told_apart_by_numbers_shape_and_kind():
    x = torch.arange(6.0)
    kinds = [x, x.view(2, 3), x.double(), x + 1, x.half(), x.bfloat16()]
    assert len({sha256_of_array(each) for each in kinds}) == len(kinds)
    assert sha256_of_array(x.view(2, 3).T.contiguous().T) == sha256_of_array(np.arange(6, dtype=np.float32).reshape(2, 3))


def test_differences_are_said_in_words():
    old = {"hook_name": "a", "scale": 1.0, "recipe": {"lr": 0.1, "gone": 1}}
    assert differences(old, {"hook_name": "a", "scale": 1.00001, "recipe": {"lr": 0.1, "new": 2}}) == []
    assert differences(old, {"hook_name": "b", "scale": 1.1, "recipe": {"lr": 0.2}}) == [
        "hook_name is 'a', and 'b' is asked for",
        "scale is 1.0, and 1.1 is asked for",
        "recipe.lr is 0.1, and 0.2 is asked for",
    ]
    with pytest.raises(ValueError, match=r"it was made otherwise \(hook_name is 'a', and 'b' is asked for\): delete it"):
        check_origin(old, {"hook_name": "b"}, "it", "delete it")


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: arguments.whole("n", 2.0, 1), "n must be a whole number, at least 1, got 2.0"),
        (lambda: arguments.whole("n", 7, 1, 5), "n must lie between 1 and 5, got 7"),
        (lambda: arguments.number("x", float("nan"), above=0), "x must be positive, got nan"),
        (lambda: arguments.one_of("x", True, (1, 2)), "x must be one of 1, 2, got True"),
        (lambda: arguments.tensor("x", torch.ones(2, 3), ("batch", 4)), r"x must have the shape \(batch, 4\), got \(2, 3\)"),
        (lambda: arguments.tensor("x", torch.ones(3), ("…", 2, 3)), r"x must have the shape \(…, 2, 3\), got \(3,\)"),
        (lambda: arguments.tensor("x", torch.tensor([1.0, float("inf")]), finite=True), r"x must be finite, got inf at \[1\]"),
        (lambda: arguments.device("device", "cuda:99"), "this machine has"),
        (lambda: arguments.device("device", "gpu"), "device must be a device such as 'cpu' or 'cuda', got 'gpu'"),
    ],
)
def test_wrong_arguments_are_said_in_one_sentence(check, words):
    with pytest.raises(ValueError, match=words):
        check()


def test_right_arguments_come_back_as_their_kind():
    assert arguments.whole("n", np.int64(3)) == 3
    assert type(arguments.whole("n", np.int64(3))) is int
    assert arguments.number("x", np.float32(0.5)) == 0.5
    assert arguments.tensor("x", np.ones((2, 3), np.float32), ("…", 3)).shape == (2, 3)
    assert arguments.tensor("x", torch.ones(5, 2, 3), ("…", 2, 3)).shape == (5, 2, 3)
