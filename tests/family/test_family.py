"""A family of SAEs: trained by one command that can be stopped, measured into rows, packed; and what ships."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock
from tiny_models import tiny_language_model

import msae
from msae import metrics
from msae.__main__ import main
from msae.family.measuring import measure_family
from msae.family.members import Family, load_family
from msae.family.recorded import is_trained, other_than
from msae.family.results import load_results, save_results
from msae.family.rows import SAEsOnStories
from msae.family.shipped import load_saes, pack_saes
from msae.family.training import train_family
from msae.texts.stories import load_stories, split_stories

WORDS = ["Lily", "Sue", "Tim", "she", "he", "has", "sees", "a", "the", "cat", "dog", "ball", "and", "red", "."]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON file of a family: a random language model, stories of random words, two hooks, two seeds."""
    folder = tmp_path_factory.mktemp("family")
    rng = np.random.default_rng(0)
    stories = [" ".join(rng.choice(WORDS, 30)) for _ in range(80)]
    tiny_language_model(folder / "lm", stories, d_model=8, n_layers=2)
    (folder / "stories.jsonl").write_text("".join(json.dumps({"text": story}) + "\n" for story in stories))
    group = {"n_steps": 12, "references": [[3, 1], [4, 1], [6, 2]], "n_latents": 12, "target_l0": [2, 3]}
    about = {
        "format": "msae-family/1",
        "language_model": str(folder / "lm"),
        "stories": str(folder / "stories.jsonl"),
        "n_ctx": 16,
        "groups": [
            group | {"hook_names": ["blocks.1.hook_resid_pre"], "seeds": [0, 1]},
            group | {"hook_names": ["blocks.0.hook_mlp_out"], "seeds": [0]},
        ],
        "recipe": {"batch_size": 64},
        "concepts": {"capitals": "/.*[LST].*/", "nowhere": "crocodile"},
    }
    (folder / "family.json").write_text(json.dumps(about))
    return folder / "family.json"


@pytest.fixture(scope="module")
def trained(family: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert len(train_family(load_family(family), out, progress=False)) == 21
    return out


def weights(folder: Path) -> list[torch.Tensor]:
    return [p.detach() for p in msae.SAE.load(folder).parameters()]


def test_the_names_say_what_each_sae_is(family):
    members = load_family(family).members()
    assert [member.name for member in members[:7]] == ["S0", "S1", "S2", "plain-2", "matryoshka-2", "plain-3", "matryoshka-3"]
    assert members[0].id == "blocks.1.hook_resid_pre/S0-seed0"
    assert members[-1].id == "blocks.0.hook_mlp_out/matryoshka-3-seed0"
    by_id = {member.id: member.config for member in members}
    assert by_id["blocks.1.hook_resid_pre/plain-3-seed1"] == msae.TrainConfig(
        12, 3.0, 12, batch_size=64, prefixes=msae.FullPrefix(), seed=1
    )
    assert by_id["blocks.1.hook_resid_pre/matryoshka-3-seed1"].prefixes == msae.SquareRootPrefixes()
    assert load_family(family).members("*", length=0.5)[0].config.n_steps == 6


def test_a_group_may_have_plain_saes_of_more_sizes(family, tmp_path):
    about = json.loads(family.read_text())
    about["groups"][1]["sizes"] = [[5, 2], [9, 2]]
    (tmp_path / "sizes.json").write_text(json.dumps(about))
    members = load_family(tmp_path / "sizes.json").members("blocks.0.*")
    assert [member.name for member in members[-2:]] == ["plain-2-5", "plain-2-9"]
    assert members[-1].config == msae.TrainConfig(9, 2.0, 12, batch_size=64, prefixes=msae.FullPrefix(), seed=0)


def test_an_sae_of_a_family_is_what_train_makes(family, trained):
    about = load_family(family)
    lm = msae.load_language_model(about.language_model)
    stories = split_stories(load_stories(about.stories))[0]
    stream = msae.Activations(lm, stories, hook_name="blocks.0.hook_mlp_out", n_ctx=16, progress=False)
    member = about.members("blocks.0.*/matryoshka-3-*")[0]
    expected = msae.train(member.config, stream, data_seed=0, progress=False).sae.half()
    for a, b in zip(weights(trained / member.id), expected.parameters()):
        torch.testing.assert_close(a, b.detach().float(), rtol=0, atol=0)
    config = msae.SAE.load(trained / member.id).config["family"]
    assert config["n_tokens"] == len(stream)
    assert config["seconds"] >= 0
    assert "CPU" in config["hardware"]


def test_one_alone_is_the_one_among_many(family, trained, tmp_path):
    name = "blocks.1.hook_resid_pre/S1-seed1"
    assert [member.id for member in train_family(load_family(family), tmp_path, only=name, progress=False)] == [name]
    for a, b in zip(weights(tmp_path / name), weights(trained / name)):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_run_that_was_stopped_goes_on(family, trained, tmp_path, monkeypatch):
    """Interrupted in the second location: the first is not trained again, the second goes on from its checkpoint to the same weights."""
    from msae.family import training as module

    train, calls = module.train, []

    def stop(x, d_model, step):
        if step == 7:
            raise KeyboardInterrupt

    def interrupted(configs, stream, **options):
        calls.append(stream.hook_name)
        if len(calls) == 3:
            monkeypatch.setattr(
                "msae.training.loop._check_batch", lambda x, d, step: (_ for _ in ()).throw(KeyboardInterrupt) if step == 7 else None
            )
        return train(configs, stream, **options)

    monkeypatch.setattr(module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_family(load_family(family), tmp_path, progress=False)
    assert not (tmp_path / "blocks.0.hook_mlp_out" / "S0-seed0").exists()
    monkeypatch.undo()
    steps = []
    monkeypatch.setattr("msae.training.loop._check_batch", lambda x, d, step: steps.append(step))
    assert len(train_family(load_family(family), tmp_path, progress=False)) == 21
    assert steps == [7, 8, 9, 10, 11]
    for path in sorted(trained.glob("*/*/sae.json")):
        for a, b in zip(weights(path.parent), weights(tmp_path / path.parent.relative_to(trained))):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not list(tmp_path.glob("*/.seed*.safetensors"))


def test_what_another_process_is_at_is_left_to_it(family, tmp_path):
    (tmp_path / "blocks.1.hook_resid_pre").mkdir()
    with FileLock(tmp_path / "blocks.1.hook_resid_pre" / ".seed0.lock"):
        done = train_family(load_family(family), tmp_path, only="*/S0-*", progress=False)
    assert [member.id for member in done] == ["blocks.1.hook_resid_pre/S0-seed1", "blocks.0.hook_mlp_out/S0-seed0"]


@torch.no_grad()
def test_rows_hold_what_the_measures_say(family, trained):
    about = load_family(family)
    rows = measure_family(about, trained, n_tokens=300, n_spliced=10, progress=False)
    assert len(rows) == 21
    row = {row["id"]: row for row in rows}["blocks.1.hook_resid_pre/matryoshka-3-seed1"]
    assert (row["n_latents"], row["target_l0"], row["seed"], row["recipe"]["prefixes"]["name"]) == (12, 3.0, 1, "SquareRootPrefixes")
    found = row["measured"]["held_out"]
    sae, reference = (msae.SAE.load(trained / f"blocks.1.hook_resid_pre/{name}-seed1") for name in ("matryoshka-3", "S2"))
    lm = msae.load_language_model(about.language_model)
    held_out = load_stories(about.stories)[19::20]
    n_held_out = len(msae.Activations(lm, held_out, hook_name="blocks.1.hook_resid_pre", n_ctx=16, progress=False))
    read = msae.Activations(lm, held_out, hook_name="blocks.1.hook_resid_pre", n_ctx=16, n_tokens=min(300, n_held_out), progress=False)
    assert found["n_tokens"] == len(read)
    x = read.x.float()
    acts = sae.encode(x).detach()
    assert found["l0"][0] == pytest.approx(metrics.l0(acts), rel=1e-3)
    assert found["fvu"][0] == pytest.approx(metrics.fvu(x, sae.decode(acts)), rel=1e-3)
    both = torch.cat([reference.encode(x), acts], dim=1).T
    correlation = torch.corrcoef(both)[:6, 6:].nan_to_num(-1).max(1).values
    alive = (reference.encode(x) > 0).any(0)
    assert found["mean_max_correlation"]["S2"][0] == pytest.approx(correlation[alive].mean().item(), abs=1e-3)
    plain = msae.SAE.load(trained / "blocks.1.hook_resid_pre/plain-3-seed1")
    spliced = metrics.splice(lm, {"all": sae, "plain": plain}, read, n_texts=10)
    assert found["against"]["plain-3"]["kl"] == pytest.approx(spliced["all"].against(spliced["plain"]).kl, rel=1e-3)
    assert found["n_spliced"] == spliced["all"].n_tokens
    for name in ("l0", "fvu", "kl"):
        assert len(found["replicates"][name]) == 201
        assert found["replicates"][name][0] == pytest.approx(found[name][0], rel=2e-3)
    assert set(found["concepts"]) == {"capitals"}, "a concept that is nowhere in these stories is left out"
    tokens = [read.str_tokens[i] for i in read.tokens[read.mask]]
    mask = np.array([any(letter in token for letter in "LST") for token in tokens])
    assert found["concepts"]["capitals"]["n_tokens"] == mask.sum() > 0
    best = found["concepts"]["capitals"]["best"]
    mask = msae.patterns.matching.match("/.*[LST].*/", read.tokens, read.str_tokens, mask=read.mask)[read.mask.numpy()]
    fires = acts[:, best["latent"]].numpy()
    fires = fires > fires.max() / 4
    assert best["recall"][0] == pytest.approx((fires & mask).sum() / mask.sum(), rel=1e-3)
    assert best["holes"][0] == pytest.approx(1 - best["recall"][0], abs=1e-3)
    followed = found["concepts"]["capitals"]["match of S2"]
    column = torch.corrcoef(both)[followed["reference"], 6:].nan_to_num(-1)
    assert followed["latent"] == column.argmax()
    assert followed["correlation"][0] == pytest.approx(column.max().item(), abs=1e-3)


def test_rows_are_measured_once_and_again_where_something_changed(family, trained, monkeypatch):
    about, only, how = load_family(family), "blocks.0.*/S[01]-*", {"n_tokens": 300, "n_spliced": 4, "progress": False}
    first = measure_family(about, trained, only=only, **how)
    calls = []
    monkeypatch.setattr("msae.family.measuring.measured", lambda name, *_: calls.append(name) or {})
    assert measure_family(about, trained, only=only, **how) == first
    assert calls == []
    folder = trained / "blocks.0.hook_mlp_out" / "S0-seed0"
    sae, whole = msae.SAE.load(folder), {file: (folder / file).read_bytes() for file in ("sae.json", "sae.safetensors")}
    with torch.no_grad():
        sae.b_dec += 1
    sae.save(folder)
    measure_family(about, trained, only=only, **how)
    assert calls == ["S0"]
    for file, content in whole.items():
        (folder / file).write_bytes(content)
    (folder / "row.json").unlink()
    measure_family(about, trained, only="blocks.0.*/S1-*", **(how | {"n_tokens": 200}))
    assert calls[1:] == ["S1"]
    (folder.with_name("S1-seed0") / "row.json").unlink()


def test_packed_saes_are_loaded_by_name_and_checked(family, trained, tmp_path):
    about = load_family(family)
    with pytest.raises(ValueError, match="several hooks or seeds"):
        pack_saes(about, trained, "*", folder=tmp_path, command="")
    assert pack_saes(about, trained, "blocks.1.*-seed1", folder=tmp_path, command="the command")[:2] == ["S0", "S1"]
    saes = load_saes(["S/1", "matryoshka-3"], tmp_path)
    assert list(saes) == ["S/1", "matryoshka-3"]
    for a, b in zip(saes["S/1"].parameters(), weights(trained / "blocks.1.hook_resid_pre/S1-seed1")):
        torch.testing.assert_close(a.detach(), b, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"no SAE 'S/9'.*there are S0, S1, S2, matryoshka-2"):
        load_saes(["S/9"], tmp_path)
    with pytest.raises(ValueError, match="expected a list of names"):
        load_saes("S0", tmp_path)
    file = tmp_path / "S0" / "sae.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match="was altered"):
        load_saes(["S0"], tmp_path)


def test_the_command_line(family, tmp_path, capsys):
    common = ["--family", str(family), "--out", str(tmp_path / "out"), "--only", "blocks.0.*/*-2-seed0"]
    assert main(["family", "train", *common]) == 0
    assert "2 of 2 SAEs are trained" in capsys.readouterr().out
    assert main(["family", "measure", *common, "--n-tokens", "200", "--table", str(tmp_path / "table.json")]) == 0
    assert "blocks.0.hook_mlp_out/plain-2-seed0: L0 " in capsys.readouterr().out
    assert [row["name"] for row in load_results(tmp_path / "table.json")] == ["plain-2", "matryoshka-2"]
    of_these = [word for word in common if word not in ("--out", str(tmp_path / "out"))]
    run, packed = str(tmp_path / "out"), tmp_path / "packed"
    assert main(["family", "pack", *of_these, "--run", run, "--out", str(packed)]) == 0
    assert list(load_saes(folder=packed)) == ["matryoshka-2", "plain-2"]
    assert main(["family", "pack", *common, "--to", str(tmp_path / "as in 0.1")]) == 0
    assert list(load_saes(folder=tmp_path / "as in 0.1")) == ["matryoshka-2", "plain-2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "its format is not msae-family/1"),
        ({"groups": [{"hook_names": ["a"]}]}, "'n_steps'"),
        ({"recipe": {"learning_rate": 1}}, "learning_rate"),
        ({"recipe": {"lr": -1}}, "lr must lie between 0 and 1"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_file_that_is_no_family_is_refused(family, tmp_path, change, message):
    (tmp_path / "bad.json").write_text(json.dumps(json.loads(family.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_family(tmp_path / "bad.json")


def test_wrong_arguments_are_refused_before_any_work(family, tmp_path):
    about = load_family(family)
    with pytest.raises(ValueError, match="no SAE of this family is called 'S7'; there are 21"):
        train_family(about, tmp_path, only="S7")
    with pytest.raises(ValueError, match="length is a share of the whole run"):
        train_family(about, tmp_path, length=2)
    short = about.members("*", length=0.5)[0]
    recorded = {name: getattr(short.config, name) for name in ("n_steps", "n_latents", "target_l0", "sample_prefixes")}
    msae.SAE(8, 3, hook_name=short.hook_name, config=recorded | {"family": {}}).save(tmp_path / short.id)
    assert is_trained(tmp_path, short)
    with pytest.raises(ValueError, match=r"was trained with n_steps 6, and 12 is asked for: give the --length"):
        train_family(about, tmp_path)
    (tmp_path / short.id / "sae.json").unlink()
    with pytest.raises(FileNotFoundError, match="train them first"):
        measure_family(about, tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no family 'bundle'"):
        load_family("bundle")
    (tmp_path / "table.json").write_text("[]")
    with pytest.raises(ValueError, match="is not a table of results"):
        load_results(tmp_path / "table.json")


def test_a_table_comes_back_as_it_was(tmp_path):
    rows = [{"id": "a", "measured": {"held_out": {"l0": [1.5, None, 2.0]}}}]
    save_results(rows, tmp_path / "table.json")
    assert load_results(tmp_path / "table.json") == rows


@pytest.mark.parametrize("name", ["bundled", "first", "article"])
def test_the_families_that_ship_can_be_read(name):
    family = load_family(name)
    d_model = {"bundled": 256, "first": 256, "article": 768}[name]
    large = [member for member in family.members("blocks.3.hook_resid_pre/matryoshka-*") if member.seed == 0]
    assert [member.config.target_l0 for member in large] == ([30] if name == "bundled" else [15, 30, 60])
    assert {member.config.n_latents for member in large} == {32 * d_model}
    hooks = {f"blocks.{layer}.hook_{kind}" for layer in range(4) for kind in ("resid_pre", "attn_out", "mlp_out")}
    assert {member.hook_name for member in family.members()} == ({"blocks.3.hook_resid_pre"} if name == "bundled" else hooks)
    assert isinstance(family, Family)


# What ships


def test_the_tables_tell_of_what_ships():
    place = Path(msae.__file__).parent / "assets" / "saes"
    for name in ("bundled", "first", "uncentred", "places", "longer"):
        rows = {row["id"]: row for row in load_results(None if name == "bundled" else place.parent / f"{name}.json", load_family(name))}
        assert list(rows) == [member.id for member in load_family(name).members()]
    rows = {row["id"]: row for row in load_results()}
    names = [path.parent.name for path in place.glob("*/sae.json")]
    assert set(names) == {"S0", "S1", "S2", "S3", "S4", "S5", "plain-30", "matryoshka-30"}
    for name in names:
        row = rows[f"blocks.3.hook_resid_pre/{name}-seed3"]
        assert row["sha256"] == hashlib.sha256((place / name / "sae.safetensors").read_bytes()).hexdigest()
    assert sum(path.stat().st_size for path in place.rglob("*")) <= 25e6


def test_the_saes_of_the_chapters_have_the_l0_they_were_trained_for():
    for row in load_results():
        assert row["measured"]["held_out"]["l0"][0] == pytest.approx(row["target_l0"], rel=0.05), row["id"]
        assert {"fvu", "loss_recovered", "kl"} <= set(row["measured"]["valid"]), row["id"]


@torch.no_grad()
def test_a_shipped_sae_is_as_good_as_its_row_says():
    (row,) = (row for row in load_results() if row["id"] == "blocks.3.hook_resid_pre/S3-seed3")
    sae = load_saes(["S/3"])["S/3"]
    held_out = split_stories(load_stories("bundled"))[1]
    read = msae.Activations(msae.load_language_model(), held_out, hook_name=str(sae.hook_name), progress=False)
    found = metrics.reconstruction(sae, read.x)
    assert found.n_inputs == row["measured"]["held_out"]["n_tokens"]
    assert found.l0.value == pytest.approx(row["measured"]["held_out"]["l0"][0], rel=1e-3)
    assert found.fvu.value == pytest.approx(row["measured"]["held_out"]["fvu"][0], rel=1e-3)


# What an SAE was made from, and runs that are cut off


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": {"batch_size": 64, "lr": 1e-3}}, "lr 0.003, and 0.001 is asked for"),
        ({"recipe": {"batch_size": 64, "penalty": "l1"}}, "penalty 'log', and 'l1' is asked for"),
        ({"recipe": {"batch_size": 64, "betas": [0.8, 0.99]}}, r"betas \[0.9, 0.99\], and \[0.8, 0.99\] is asked for"),
        ({"recipe": {"batch_size": 64, "prefixes": msae.UniformPrefixes(10)}}, "prefixes.name 'SquareRootPrefixes', and 'UniformPrefixes'"),
        ({"recipe": {"batch_size": 32}}, "batch_size 64, and 32 is asked for"),
        ({"n_ctx": 8}, "n_ctx 16, and 8 is asked for"),
        ({"skip_first": 2}, "skip_first 1, and 2 is asked for"),
        ({"n_tokens": 500}, r"n_tokens \d+, and 500 is asked for"),
        ({"live": True}, "live False, and True is asked for"),
        ({"language_model": "bundled"}, "language_model '.*lm', and 'bundled' is asked for"),
        ({"stories": "bundled"}, "stories '.*', and 'bundled' is asked for"),
        ({"stories": "nowhere.txt"}, "and 'nowhere.txt' is asked for"),
    ],
)
def test_an_sae_that_was_made_otherwise_is_refused(family, trained, change, words, tmp_path):
    about = replace(load_family(family), **change)
    how = [
        lambda: train_family(about, trained, only="blocks.0.*", progress=False),
        lambda: measure_family(about, trained, only="blocks.0.*", progress=False),
        lambda: pack_saes(about, trained, "blocks.0.*", folder=tmp_path / "packed", command=""),
    ]
    for call in how:
        with pytest.raises(ValueError, match=rf"blocks.0.hook_mlp_out/\S+-seed0 was trained with .*{words}.*: give the"):
            call()
    assert not (tmp_path / "packed").exists()


def test_stories_that_changed_under_their_name_are_others_and_moved_ones_are_not(family, tmp_path):
    about = load_family(family)
    text = Path(about.stories).read_text()
    (tmp_path / "own.jsonl").write_text(text)
    own = replace(about, stories=str(tmp_path / "own.jsonl"))
    only = "blocks.0.*/S0-*"
    train_family(own, tmp_path / "out", only=only, progress=False)
    assert is_trained(tmp_path / "out", about.members(only)[0]), "the same stories in another file"
    (tmp_path / "own.jsonl").write_text(text.replace("Lily", "Anna"))
    with pytest.raises(ValueError, match="own.jsonl' as it was then, and '.*own.jsonl' as it is now is asked for"):
        measure_family(own, tmp_path / "out", only=only, progress=False)


def test_the_table_and_the_saes_that_ship_are_of_the_bundled_family_alone():
    rows = load_results(family=load_family("bundled"))
    place = Path(msae.__file__).parent / "assets" / "saes"
    by_id = {member.id: member for member in load_family("bundled").members()}
    for path in place.glob("*/sae.json"):
        about = json.loads(path.read_text())
        member = by_id[about["config"]["family"]["id"]]
        assert other_than(member, about["config"] | about["config"]["family"] | {"hook_name": about["hook_name"]}) == []
        assert other_than(by_id[rows[-1]["id"]], about["config"]) != []
    changed = replace(load_family("bundled"), recipe={"lr": 0.001})
    with pytest.raises(ValueError, match=r"blocks.3.hook_resid_pre/S0-seed3 has lr 0.003, and 0.001 is asked for"):
        load_results(family=changed)
    with pytest.raises(ValueError, match="this family has no such SAE|'tinymodel' is asked for"):
        load_results(family=load_family("article"))


def test_a_run_that_was_killed_between_two_saves_goes_on_from_its_checkpoint(family, trained, tmp_path):
    """SIGKILL in a process of its own at the third save: two are there, and no step is done again."""
    kill = f"""
import os, signal
import msae
from msae.family import load_family, train_family
save, calls = msae.SAE.save, []
def killed(self, folder):
    calls.append(folder)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, folder)
msae.SAE.save = killed
train_family(load_family({str(family)!r}), {str(tmp_path)!r}, only="blocks.0.*", checkpoint_every=5, progress=False)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(msae.__file__).parent.parent), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    assert subprocess.run([sys.executable, "-c", kill], env=environment, timeout=300, check=False).returncode == -signal.SIGKILL
    members = load_family(family).members("blocks.0.*")
    assert [member.name for member in members if is_trained(tmp_path, member)] == ["S0", "S1"]
    steps: list[int] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("msae.training.loop._check_batch", lambda x, d_model, step: steps.append(step))
        assert train_family(load_family(family), tmp_path, only="blocks.0.*", progress=False) == members
    assert steps == []
    for member in members:
        for a, b in zip(weights(trained / member.id), weights(tmp_path / member.id)):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not list(tmp_path.glob("*/.seed*.safetensors"))


def test_what_a_killed_process_left_is_in_nobodys_way(family, tmp_path):
    """A lock that nobody holds, half a file, a folder without its last file, a checkpoint that is none."""
    place = tmp_path / "blocks.0.hook_mlp_out"
    (place / "S0-seed0").mkdir(parents=True)
    (place / ".seed0.lock").write_text("")
    (place / ".seed0-00000000.safetensors").write_bytes(b"half")
    (place / "S0-seed0" / ".sae.safetensors.12.part").write_bytes(b"half")
    (place / "S0-seed0" / "sae.safetensors").write_bytes(b"half")
    (done,) = train_family(load_family(family), tmp_path, only="blocks.0.*/S0-*", progress=False)
    assert msae.SAE.load(tmp_path / done.id).n_latents == 3


def test_rows_that_were_measured_are_kept(family, trained, tmp_path, monkeypatch):
    about, how = load_family(family), {"only": "blocks.0.*/S*", "n_tokens": 100, "n_spliced": 2, "progress": False}
    shutil.copytree(trained, tmp_path / "out")
    for row in (tmp_path / "out").rglob("row.json"):
        row.unlink()
    calls = []

    def measured(name, *_, stop=None):
        calls.append(name)
        if stop is not None and name == "S1":
            raise stop
        return {"l0": [1.0, None, None]}

    monkeypatch.setattr("msae.family.measuring.measured", partial(measured, stop=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        measure_family(about, tmp_path / "out", **how)
    assert calls == ["S0", "S1"]
    monkeypatch.setattr("msae.family.measuring.measured", partial(measured, stop=ValueError("too few tokens")))
    with pytest.raises(
        ValueError, match="1 of 3 SAEs cannot be measured, the rows of the others are kept; blocks.0.hook_mlp_out/S1-seed0: too few"
    ):
        measure_family(about, tmp_path / "out", **how)
    assert calls[2:] == ["S1", "S2"]
    monkeypatch.setattr("msae.family.measuring.measured", measured)
    assert [row["name"] for row in measure_family(about, tmp_path / "out", **how)] == ["S0", "S1", "S2"]
    assert calls[4:] == ["S1"]


def test_a_row_is_made_again_when_a_reference_or_the_stories_measured_on_change(family, trained, tmp_path, monkeypatch):
    about, how = load_family(family), {"only": "blocks.0.*", "n_tokens": 100, "n_spliced": 2, "progress": False}
    shutil.copytree(trained, tmp_path / "out")
    calls: list[str] = []
    monkeypatch.setattr("msae.family.measuring.measured", lambda name, *_: calls.append(name) or {})
    measure_family(about, tmp_path / "out", **how)
    calls.clear()
    folder = tmp_path / "out" / "blocks.0.hook_mlp_out" / "S0-seed0"
    sae = msae.SAE.load(folder)
    with torch.no_grad():
        sae.b_dec += 1
    sae.save(folder)
    measure_family(about, tmp_path / "out", **how)
    assert calls == ["S0", "plain-2", "matryoshka-2", "plain-3", "matryoshka-3"]
    how |= {"only": "blocks.0.*/S0-*", "valid": str(tmp_path / "valid.txt")}
    for story in ("Lily has a cat.", "Sue has a dog."):
        (tmp_path / "valid.txt").write_text(story)
        calls.clear()
        measure_family(about, tmp_path / "out", **how)
        measure_family(about, tmp_path / "out", **how)
        assert set(calls) == {"S0"}
        assert len(calls) == 2, "held-out and valid stories, once"


def test_an_sae_is_not_measured_with_other_weights_under_the_same_name(family, trained, tmp_path):
    shutil.copytree(trained / "blocks.0.hook_mlp_out", tmp_path / "blocks.0.hook_mlp_out")
    folder = tmp_path / "blocks.0.hook_mlp_out" / "S0-seed0"
    sae = msae.SAE.load(folder)
    sae.config["made_from"] = {"language_model": "other weights"}
    stories = SimpleNamespace(activations={"blocks.0.hook_mlp_out": SimpleNamespace(origin={"language_model": "these weights"})})
    sae.save(folder)
    with pytest.raises(ValueError, match=r"S0 was made otherwise \(language_model is 'other weights', and 'these weights' is asked for\)"):
        _ = SAEsOnStories({"S0": folder}, "cpu", ["S0"], stories, 1).activations


def test_saes_are_packed_all_or_none_and_beside_no_others(family, trained, tmp_path):
    about = load_family(family)
    pack_saes(about, trained, "blocks.1.*/S*-seed1", folder=tmp_path / "packed", command="")
    with pytest.raises(ValueError, match=r"holds other packed SAEs \(S1, S2\): pack all of them at once"):
        pack_saes(about, trained, "blocks.1.*/S0-seed1", folder=tmp_path / "packed", command="")
    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    file = broken / "blocks.1.hook_resid_pre" / "S2-seed1" / "sae.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    before = {path: path.read_bytes() for path in (tmp_path / "packed").rglob("*.*")}
    with pytest.raises(ValueError, match="does not hold a whole SAE"):
        pack_saes(about, broken, "blocks.1.*/S*-seed1", folder=tmp_path / "packed", command="")
    assert before == {path: path.read_bytes() for path in (tmp_path / "packed").rglob("*.*")}
    assert list(load_saes(folder=tmp_path / "packed")) == ["S0", "S1", "S2"]
    (broken / "blocks.1.hook_resid_pre" / "S2-seed1" / "sae.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no blocks.1.hook_resid_pre/S2-seed1: train it first"):
        pack_saes(about, broken, "blocks.1.*/S*-seed1", folder=tmp_path / "new", command="")
    assert not (tmp_path / "new").exists()


def test_files_have_the_mode_that_the_umask_gives(family, trained, tmp_path):
    before = os.umask(0o022)
    try:
        save_results([{"id": "a"}], tmp_path / "t.json")
        pack_saes(load_family(family), trained, "blocks.1.*/S*-seed1", folder=tmp_path / "packed", command="")
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*.*") if path.is_file()} == {"0o644"}


def test_a_checkpoint_of_another_recipe_is_refused(family, tmp_path, monkeypatch):
    about, only = load_family(family), "blocks.0.*/S0-*"

    def check(x, d_model, step):
        if step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("msae.training.loop._check_batch", check)
        with pytest.raises(KeyboardInterrupt):
            train_family(about, tmp_path, only=only, progress=False)
    (checkpoint,) = tmp_path.glob("*/.seed0-*.safetensors")
    before = checkpoint.read_bytes()
    (tmp_path / "other.txt").write_text("\n\n".join(["Sue sees the red ball and Tim has a dog ."] * 80))
    for change, words in [({"recipe": {"batch_size": 64, "lr": 1e-3}}, "lr"), ({"stories": str(tmp_path / "other.txt")}, "texts")]:
        with pytest.raises(ValueError, match=words):
            train_family(replace(about, **change), tmp_path, only=only, progress=False)
    assert checkpoint.read_bytes() == before
    assert len(train_family(about, tmp_path, only=only, progress=False)) == 1
