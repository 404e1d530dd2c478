"""The two files of an SAE: both or neither, of one save, in the umask's mode; and each way in which they can be wrong is named."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import msae
from msae.family import shipped
from msae.support import files

KINDS = [msae.ReLU(), msae.TopK(3), msae.BatchTopK(3), msae.JumpReLU()]
PAIR = ("sae.json", "sae.safetensors")


def make(nonlinearity=None, seed=0, **more):
    return msae.SAE(6, 10, nonlinearity, generator=torch.Generator().manual_seed(seed), **more)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def weights_of(sae):
    return {name: value.detach() for name, value in sae.named_parameters()}


def rewrite(folder, **changes):
    about = json.loads((folder / "sae.json").read_text())
    (folder / "sae.json").write_text(json.dumps({name: value for name, value in (about | changes).items() if value != "left out"}))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_every_precision_comes_back(kind, dtype, tmp_path):
    for sae in (make(kind).to(dtype), make(kind).to(dtype).prefix(2)):
        sae.save(tmp_path)
        loaded = msae.SAE.load(tmp_path)
        wide = torch.promote_types(dtype, torch.float32)
        assert weights_of(loaded).keys() == weights_of(sae).keys()
        for name, value in weights_of(loaded).items():
            assert value.dtype == wide
            assert value.equal(weights_of(sae)[name].to(wide))


def test_the_same_sae_makes_the_same_bytes(tmp_path):
    make().save(tmp_path / "a")
    make().save(tmp_path / "b")
    make(seed=1).save(tmp_path / "c")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert bytes_of(tmp_path / "a")["sae.json"] != bytes_of(tmp_path / "c")["sae.json"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_both_files_have_the_mode_of_the_umask(mask, tmp_path):
    before = os.umask(mask)
    try:
        make().save(tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~mask}


class Thing:
    def __repr__(self):
        return "Thing()"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"lr": float("nan")}, r"config\['lr'\] is nan"),
        ({"a": {"b": [1, float("inf")]}}, r"config\['a'\]\['b'\]\[1\] is inf"),
        ({"what": Thing()}, r"config\['what'\] is Thing\(\)"),
        ({3: "a"}, r"config has the key 3: expected strings"),
        ({"a": "\ud800"}, "half of a surrogate pair"),
        ({"a": torch.ones(2)}, r"config\['a'\] is tensor"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_the_old_files_stay(config, words, tmp_path):
    make().save(tmp_path)
    before = bytes_of(tmp_path)
    other = make(seed=1)
    other.config = config
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(ValueError, match=words):
            other.save(folder)
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_neither_saved_nor_loaded(value, tmp_path):
    sae = make()
    sae.save(tmp_path)
    before = bytes_of(tmp_path)
    sae.b_enc.data[3] = value
    with pytest.raises(ValueError, match=r"b_enc must be finite, got (nan|inf) at \[3\]"):
        sae.save(tmp_path)
    assert bytes_of(tmp_path) == before
    save_file({name: weight.contiguous() for name, weight in weights_of(sae).items()}, tmp_path / "sae.safetensors")
    with pytest.raises(ValueError, match=r"b_enc must be finite, got (nan|inf) at \[3\]"):
        msae.SAE.load(tmp_path)


def test_a_failed_write_leaves_both_old_files(tmp_path, monkeypatch):
    make().save(tmp_path)
    before = bytes_of(tmp_path)
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left on device")))
    with pytest.raises(OSError, match="no space left"):
        make(seed=1).save(tmp_path)
    assert bytes_of(tmp_path) == before


def test_files_of_two_saves_are_refused(tmp_path):
    """What a crash between the two moves leaves."""
    make().save(tmp_path / "a")
    make(seed=1).save(tmp_path / "b")
    make(hook_name="somewhere else").save(tmp_path / "c")
    for other in ("b", "c"):
        shutil.copyfile(tmp_path / "a" / "sae.safetensors", tmp_path / other / "sae.safetensors")
        with pytest.raises(ValueError, match="are of different saves"):
            msae.SAE.load(tmp_path / other)


def test_files_without_a_mark_load_as_before(tmp_path):
    sae = make(config={"seed": 3})
    sae.save(tmp_path)
    rewrite(tmp_path, save="left out")
    assert msae.SAE.load(tmp_path).W_enc.equal(sae.W_enc)
    sae.save(tmp_path)
    save_file({name: weight.contiguous() for name, weight in weights_of(sae).items()}, tmp_path / "sae.safetensors")
    assert msae.SAE.load(tmp_path).config == {"seed": 3}


@pytest.mark.parametrize("name", ["S2", "matryoshka-30"])
def test_what_ships_loads_as_it_did(name):
    folder = shipped.ASSETS / "saes" / name
    loaded = msae.SAE.load(folder)
    for key, value in load_file(folder / "sae.safetensors").items():
        assert getattr(loaded, key).equal(value.float())


@pytest.mark.parametrize("device", ["cuda", "cuda:7", torch.device("cuda"), "mps", "xpu", "tpu", "", None, 3.5])
def test_a_device_that_is_not_there_is_named_and_no_file_is_blamed(device, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    make().save(tmp_path)
    for folder in (tmp_path, tmp_path / "nothing"):  # before any file is looked for
        with pytest.raises(ValueError, match="device") as caught:
            msae.SAE.load(folder, device=device)
        assert "copy or save it again" not in str(caught.value)


def test_another_format_is_refused(tmp_path):
    make().save(tmp_path)
    for written, words in [("msae-sae/2", "'msae-sae/2'"), ("other", "'other'"), ("left out", "None"), (3, "3")]:
        rewrite(tmp_path, format=written)
        with pytest.raises(ValueError, match=rf"is of format {words}, this version of msae reads 'msae-sae/1'"):
            msae.SAE.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_latents": 11}, r"W_dec must have the shape \(11, 6\), got \(10, 6\)"),
        ({"n_latents": True}, "n_latents must be a whole number"),
        ({"d_model": "6"}, "d_model must be a whole number"),
        ({"d_model": "left out"}, "there is no 'd_model'"),
        ({"nonlinearity": {"name": "GELU"}}, "nonlinearity must be one of"),
        ({"nonlinearity": {"name": "TopK"}}, "missing 1 required positional argument: 'k'"),
        ({"nonlinearity": {"name": "TopK", "k": 11}}, "k=11 latents cannot be active among 10"),
        ({"nonlinearity": {"name": "JumpReLU", "bandwidth": 0.1}}, "expected the weights W_dec, W_enc, b_enc, b_dec, threshold, got"),
        ({"nonlinearity": None}, "NoneType"),
        ({"scale": 0}, "scale must be positive, got 0"),
        ({"scale": float("nan")}, "scale must be positive"),
        ({"hook_name": 3}, "hook_name must be a string"),
        ({"config": [1]}, "config must be a dict"),
    ],
)
def test_a_description_that_does_not_fit_is_one_sentence(changes, words, tmp_path):
    make().save(tmp_path)
    rewrite(tmp_path, **changes)
    with pytest.raises(ValueError, match=words) as caught:
        msae.SAE.load(tmp_path)
    assert f"{tmp_path} does not hold a whole SAE (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w | {"W_enc": w["W_enc"].T}, r"W_enc must have the shape \(6, 10\), got \(10, 6\)"),
        (lambda w: w | {"b_enc": w["b_enc"].long()}, "b_enc must hold floating-point numbers of 16 to 64 bits, got torch.int64"),
        (lambda w: w | {"b_dec": w["b_dec"].to(torch.complex64)}, "b_dec must hold floating-point numbers of 16 to 64 bits"),
        (lambda w: w | {"b_dec": w["b_dec"].to(torch.float8_e5m2)}, "b_dec must hold floating-point numbers of 16 to 64 bits"),
        (lambda w: {"W_enc": w["W_enc"]}, "expected the weights W_dec, W_enc, b_enc, b_dec, got W_enc"),
        (lambda w: w | {"threshold": w["b_enc"].clone()}, "expected the weights W_dec, W_enc, b_enc, b_dec, got"),
        (lambda w: {}, "expected the weights W_dec, W_enc, b_enc, b_dec, got none"),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence(change, words, tmp_path):
    sae = make()
    sae.save(tmp_path)
    save_file({name: weight.contiguous() for name, weight in change(weights_of(sae)).items()}, tmp_path / "sae.safetensors")
    with pytest.raises(ValueError, match=words) as caught:
        msae.SAE.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", PAIR)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe{}", b"[1, 2]", b"null", b'{"format": "msae-sae/1"}', b"{" * 5000])
def test_a_file_of_something_else_is_one_sentence(file, content, tmp_path):
    make().save(tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        msae.SAE.load(tmp_path)
    assert "does not hold a whole SAE" in str(caught.value)
    assert "\n" not in str(caught.value)
