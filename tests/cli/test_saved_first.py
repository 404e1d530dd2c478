"""What took work is saved before anything else can fail: a measurement, a figure, a page's labels, a second Ctrl-C."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import tiny_language_model

import msae
from msae.__main__ import main
from msae.explore import read_bundle
from msae.lm.loading import load_manifest
from msae.texts.stories import load_stories, split_stories

STORIES = [f"Once upon a time {name} saw a {thing}. She was {mood}." for name in ("Lily", "Sue") for thing in "abcde" for mood in "uvxyz"]
HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two language models of one shape, and stories of which the held-out one has a single token."""
    folder = tmp_path_factory.mktemp("place")
    for name, stories in (("lm", STORIES), ("other", [story.upper() for story in STORIES])):
        tiny_language_model(folder / name, stories, d_model=8, n_layers=2)
    (folder / "s.txt").write_text("\n\n".join(STORIES))
    (folder / "short.txt").write_text("\n\n".join([*STORIES[:9], "a"]))
    return folder


@pytest.fixture
def line(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A command that trains an SAE into `tmp_path / "sae"`."""
    monkeypatch.chdir(tmp_path)
    return f"train --model {place / 'lm'} --stories {place / 's.txt'} --hook {HOOK} --n-ctx 16 --out sae --n-latents 12 --target-l0 3 " + (
        "--n-steps 6 --batch-size 16"
    )


def no_training(*_: object, **__: object) -> None:
    pytest.fail("it was trained again")


def test_a_measurement_that_fails_is_a_warning(line, place, capsys, monkeypatch):
    line = line.replace("s.txt", "short.txt")
    assert main(shlex.split(line)) == 0
    said = capsys.readouterr()
    assert "msae: the SAE is in sae, but cannot be measured on the held-out stories" in said.err
    assert "`python -m msae evaluate sae --stories FILE`" in said.err
    assert "in sae" in said.out
    assert "held_out" not in msae.SAE.load("sae").config
    assert not Path("sae/checkpoint.safetensors").exists()
    assert main(["evaluate", "sae", "--stories", str(place / "s.txt")]) == 0
    assert "FVU" in capsys.readouterr().out
    monkeypatch.setattr("msae.training.loop.train", no_training)
    assert main(shlex.split(line)) == 0


def test_ctrl_c_while_it_is_measured_leaves_the_sae(line, capsys, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("msae.cli.sae._measure", interrupted)
        assert main(shlex.split(line)) == 130
    said = capsys.readouterr().err
    assert f"the SAE is in sae, but not measured. To go on: python -m msae {line}" in said
    before = list(msae.SAE.load("sae").parameters())
    monkeypatch.setattr("msae.training.loop.train", no_training)
    assert main(shlex.split(line)) == 0
    assert "held_out" in msae.SAE.load("sae").config
    for a, b in zip(msae.SAE.load("sae").parameters(), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not Path("sae/checkpoint.safetensors").exists()


def test_a_save_that_was_killed_half_way_is_made_again_from_the_checkpoint(line, monkeypatch):
    """The checkpoint stays until all is written: half a second save, with what was measured, loses nothing."""
    kept: list[bytes] = []

    def killed(*_: object) -> None:
        kept.append(Path("sae/checkpoint.safetensors").read_bytes())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("msae.cli.sae._measure", killed)
        assert main(shlex.split(line)) == 130
    assert len(kept) == 1
    before = list(msae.SAE.load("sae").parameters())
    weights = Path("sae/sae.safetensors")
    weights.write_bytes(weights.read_bytes()[:-8])
    monkeypatch.setattr("msae.training.loop._check_batch", no_training)
    assert main(shlex.split(line)) == 0
    for a, b in zip(msae.SAE.load("sae").parameters(), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("skip_first", [0, 1, 3])
def test_what_is_measured_is_what_numpy_finds(line, place, monkeypatch, skip_first):
    monkeypatch.setattr("msae.cli.sae.MEASURED_TOKENS", 20)
    assert main(shlex.split(f"{line} --skip-first {skip_first}")) == 0
    sae = msae.SAE.load("sae")
    held_out = split_stories(load_stories(place / "s.txt"))[1]
    lm = msae.load_language_model(place / "lm")
    x = msae.Activations(lm, held_out, hook_name=HOOK, n_ctx=16, skip_first=skip_first, progress=False).x[:20].double().numpy()
    W_enc, b_enc, W_dec, b_dec = (getattr(sae, name).detach().double().numpy() for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    acts = np.maximum(x @ W_enc + b_enc, 0)
    found = sae.config["held_out"]
    assert found["n_tokens"] == 20
    assert found["l0"] == pytest.approx((acts > 0).sum(1).mean(), abs=0.1)
    error, variance = np.square(x - acts @ W_dec - b_dec).sum(), np.square(x - x.mean(0)).sum()
    assert found["fvu"] == pytest.approx(error / variance, rel=1e-3)


def test_an_sae_is_looked_at_on_the_positions_that_it_was_trained_on(line, place):
    assert main(shlex.split(f"{line} --skip-first 3")) == 0
    held_out = split_stories(load_stories(place / "s.txt"))[1]
    lm = msae.load_language_model(place / "lm")
    for given, skip_first in (("", 3), ("--skip-first 1", 1)):
        assert main(shlex.split(f"explore --out page{skip_first} --sae A=sae --n-ctx 16 {given}")) == 0
        read = msae.Activations(lm, held_out, hook_name=HOOK, n_ctx=16, skip_first=skip_first, progress=False)
        assert len(read_bundle(Path(f"page{skip_first}")).tokens) == len(read)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("--lr 0.001", "lr is 0.003, and 0.001 is asked for"),
        ("--penalty l1", "penalty is 'log', and 'l1' is asked for"),
        ("--prefixes 2,12", "prefixes.name is 'SquareRootPrefixes', and 'FixedPrefixes' is asked for"),
        ("--data-seed 1", "data_seed is 0, and 1 is asked for"),
        ("--seed 1", "seed is 0, and 1 is asked for"),
        ("--n-ctx 8", "n_ctx is 16, and 8 is asked for"),
        ("--skip-first 2", "skip_first is 1, and 2 is asked for"),
        ("--n-tokens 100", "n_tokens is"),
        ("--hook blocks.0.hook_resid_pre", f"hook_name is '{HOOK}'"),
        ("--stories {place}/short.txt", "short.txt' is asked for"),
        ("--model {place}/other", "other' is asked for"),
        ("--model bundled", "'bundled' is asked for"),
    ],
)
def test_an_sae_is_not_written_over_by_another(line, place, change, words, capsys, monkeypatch):
    assert main(shlex.split(line)) == 0
    before = Path("sae/sae.json").read_bytes(), Path("sae/sae.safetensors").read_bytes()
    capsys.readouterr()
    monkeypatch.setattr("msae.training.loop.train", no_training)
    assert main(shlex.split(f"{line} {change.format(place=place)}")) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "sae holds an SAE that was trained otherwise" in said
    assert before == (Path("sae/sae.json").read_bytes(), Path("sae/sae.safetensors").read_bytes())


def test_stories_that_changed_under_their_name_are_others(line, tmp_path, capsys):
    (tmp_path / "own.txt").write_text("\n\n".join(STORIES))
    line = f"{line} --stories own.txt"
    assert main(shlex.split(line)) == 0
    (tmp_path / "own.txt").write_text("\n\n".join(STORIES[::-1]))
    assert main(shlex.split(line)) == 2
    assert "stories is 'own.txt' as it was then, and 'own.txt' as it is now is asked for" in capsys.readouterr().err
    (tmp_path / "own.txt").rename(tmp_path / "moved.txt")
    (tmp_path / "moved.txt").write_text("\n\n".join(STORIES))
    assert main(shlex.split(line.replace("own.txt", "moved.txt"))) == 0


def test_an_sae_is_looked_at_with_the_language_model_that_it_was_made_from(line, place, capsys):
    assert main(shlex.split(line)) == 0
    for command in ("evaluate sae", "explore --out page --sae A=sae --n-ctx 16"):
        capsys.readouterr()
        assert main(shlex.split(f"{command} --model {place / 'other'}")) == 2
        assert "was made from another language model" in capsys.readouterr().err
        assert not Path("page").exists()
        assert main(shlex.split(command)) == 0, "its own model and stories are what is taken where none is named"
    sae = msae.SAE.load("sae")
    sae.config["made_from"] = {"language_model": "of other weights"}
    recorded = sae.config.pop("data")
    sae.config["data"] = recorded | {"content": {}}
    sae.save("sae")
    activations = type("Stream", (), {"origin": {"language_model": "these"}})()
    from msae.cli.reading import check_activations

    with pytest.raises(ValueError, match=r"A was made otherwise \(language_model is 'of other weights', and 'these'"):
        check_activations({"A": sae}, activations)


def test_a_page_is_written_though_its_labels_fail(line, capsys, monkeypatch):
    assert main(shlex.split(line)) == 0

    def broken(*_: object, level: float) -> dict:
        raise RuntimeError("no labels today")

    monkeypatch.setattr("msae.latents.labels.concept_labels", broken)
    assert main(shlex.split("explore --out page --sae A=sae --n-ctx 16")) == 0
    assert "msae: no latent is called by its concept's name: no labels today" in capsys.readouterr().err
    assert Path("page/index.html").exists()


def test_a_language_model_is_saved_though_it_cannot_be_measured(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def broken(*_: object) -> float:
        raise ZeroDivisionError("no characters")

    with monkeypatch.context() as patched:
        patched.setattr("msae.lm.measuring.bits_per_character", broken)
        sizes = "--d-vocab 280 --d-model 8 --n-layers 1 --n-heads 1 --n-ctx 16 --n-steps 2 --batch-size 2"
        assert main(shlex.split(f"language-model train --stories {place / 's.txt'} --out own {sizes}")) == 0
        assert "the model is trained, but measuring it failed (no characters)" in capsys.readouterr().err
        assert main(shlex.split(f"language-model pack --run own --valid {place / 's.txt'} --out packed")) == 0
        assert "the model is in packed, but measuring it failed: no characters" in capsys.readouterr().err
    for folder in ("own", "packed"):
        assert load_manifest(folder)["report"]["step"] == 2
        assert msae.load_language_model(folder).cfg.d_model == 8


def test_the_numbers_of_a_setting_are_kept_when_the_next_one_fails(tmp_path, capsys, monkeypatch):
    from msae import bench

    block = {"steps": 1, "wall": 1.0, "user": 1.0, "kernel": 0.0, "faults": 0}
    row = {"ms": 1.0, "user_ms": 1.0, "kernel_ms": 0.0, "faults": 0, "peak_mb": 1.0, "flops": 1.0, "of_peak": None, "blocks": [block]}
    steps = {bench.FLOOR: row, bench.ENCODER: row}
    setting = {"d_model": 20, "n_latents": 20, "batch": 200, "l0": 1.0, "threads": 1, "steps": steps}
    about = {"machine": {"processor": "p", "cpus": 1}, "dtype": "float32", "rounds": 1, "versions": {}}
    kinds = {"memory": RuntimeError("the memory may be too small"), "interrupted": KeyboardInterrupt(), None: None}

    monkeypatch.chdir(tmp_path)
    for kind, error in kinds.items():

        def measured(settings, *, keep, error=error, **_):
            result = about | {"settings": {"toy": setting}}
            keep(result)
            if error is not None:
                raise error
            return result

        monkeypatch.setattr("msae.bench.run.bench", measured)
        monkeypatch.setattr("msae.bench.report.figure", lambda result: (_ for _ in ()).throw(ValueError("no figure today")))
        code = main(["bench", "--json", f"{kind}.json", "--figure", "f.html"])
        said = capsys.readouterr()
        assert json.loads(Path(f"{kind}.json").read_text())["settings"]["toy"] == setting
        assert "toy: d_model 20" in said.out
        assert code == {"memory": 2, "interrupted": 130, None: 0}[kind]
        assert {"memory": "too small", "interrupted": "toy are above and in interrupted.json", None: "no figure today"}[kind] in said.err
        assert not Path("f.html").exists()
