"""An independent family: each SAE a run of its own, several processes, stopped and killed anywhere; its plan, its kinds and its pairs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import tiny_language_model

import msae
from msae.__main__ import main
from msae.activations.reopened import reopened
from msae.family.measuring import Measuring
from msae.family.members import Family, load_family
from msae.family.pairs import Pairs, read_pairs
from msae.family.planning import plan_family, span
from msae.family.recorded import is_trained
from msae.family.results import load_results, load_together, pair_numbers, save_results
from msae.family.together import together
from msae.family.training import train_family
from msae.texts.stories import load_stories, split_stories

WORDS = ["Lily", "Sue", "Tim", "she", "he", "has", "sees", "a", "the", "cat", "dog", "ball", "and", "red", "."]
HOOK, OTHER = "blocks.1.hook_resid_pre", "blocks.0.hook_mlp_out"
KINDS = {
    "plain": {"prefixes": {"name": "FullPrefix"}},
    "fading-20": {"fade_prefixes": 0.2},
    "fixed": {"prefixes": {"name": "FixedPrefixes", "widths": [3, 12]}, "sample_prefixes": True},
}
GROUPS = [
    {"hook_names": [HOOK], "seeds": [0, 1], "n_steps": 12, "references": {"S1": [3, 1], "S2": [6, 2]}},
    {"hook_names": [HOOK], "seeds": [0], "n_steps": 12, "n_latents": 12, "target_l0": [2], "kinds": KINDS},
    {"hook_names": [HOOK, OTHER], "seeds": [0], "n_steps": 20, "n_latents": [12, 16], "target_l0": [3], "ending": "long",
     "kinds": {"plain": KINDS["plain"]}, "recipe": {"nonlinearity": {"name": "BatchTopK"}}},
]  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    rng = np.random.default_rng(0)
    stories = [" ".join(rng.choice(WORDS, 30)) for _ in range(80)]
    tiny_language_model(folder / "lm", stories, d_model=8, n_layers=2)
    (folder / "told.jsonl").write_text("".join(json.dumps({"text": story}) + "\n" for story in stories))
    about = {"format": "msae-family/1", "language_model": str(folder / "lm"), "stories": str(folder / "told.jsonl"), "n_ctx": 16}
    about |= {"stories_made_by": "a command", "independent": True, "groups": GROUPS, "recipe": {"batch_size": 64}}
    (folder / "family.json").write_text(json.dumps(about))
    return folder / "family.json"


@pytest.fixture(scope="module")
def trained(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert len(train_family(load_family(file), out, progress=False)) == 11
    return out


QUICK = {"n_tokens": 100, "n_spliced": 2, "progress": False}


def vars_of(family: Family) -> dict[str, object]:
    return {field.name: getattr(family, field.name) for field in fields(family)}


def shared(file: Path, folder: Path) -> Path:
    """SAEs of a family that is not independent: its rows need no replicates."""
    family = Family(**{**vars_of(load_family(file)), "independent": False, "groups": GROUPS[:1]})
    train_family(family, folder / "shared", progress=False)
    return folder / "shared"


def weights(folder: Path) -> list[torch.Tensor]:
    return [p.detach() for p in msae.SAE.load(folder).parameters()]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(msae.__file__).parent.parent), "OMP_NUM_THREADS": str(torch.get_num_threads())}


def test_kinds_are_recipes_by_name(file):
    members = {member.id: member.config for member in load_family(file).members()}
    assert list(members) == [
        *(f"{HOOK}/{name}-seed{seed}" for seed in (0, 1) for name in ("S1", "S2")),
        *(f"{HOOK}/{kind}-2-seed0" for kind in KINDS),
        *(f"{hook}/plain-3-{n}-long-seed0" for hook in (HOOK, OTHER) for n in (12, 16)),
    ]
    assert members[f"{HOOK}/plain-2-seed0"].prefixes == members[f"{HOOK}/S1-seed0"].prefixes == msae.FullPrefix()
    assert (members[f"{HOOK}/fading-20-2-seed0"].fade_prefixes, members[f"{HOOK}/fixed-2-seed0"].sample_prefixes) == (0.2, True)
    assert members[f"{HOOK}/fixed-2-seed0"].prefixes == msae.FixedPrefixes([3, 12])
    long = members[f"{OTHER}/plain-3-16-long-seed0"]
    assert (long.n_latents, long.n_steps, long.nonlinearity) == (16, 20, msae.BatchTopK(3))
    seeds = [seed for member in load_family(file).members() for seed in (member.config.seed, member.data_seed)]
    assert len(set(seeds)) == 22, "no two SAEs share initial weights or an order of batches"
    shared = Family(**{name: getattr(load_family(file), name) for name in ("language_model", "stories", "recipe")}, groups=GROUPS[:1])
    assert [member.config.seed for member in shared.members()] == [member.data_seed for member in shared.members()] == [0, 0, 1, 1]


def test_an_sae_is_what_train_makes_of_its_own_seeds(file, trained):
    family = load_family(file)
    stories = split_stories(load_stories(family.stories))[0]
    stream = msae.Activations(msae.load_language_model(family.language_model), stories, HOOK, n_ctx=16, progress=False)
    (member,) = family.members("*/fading-20-2-seed0")
    expected = msae.train(member.config, stream, data_seed=member.data_seed, progress=False).sae.half()
    for a, b in zip(weights(trained / member.id), expected.parameters()):
        torch.testing.assert_close(a, b.detach().float(), rtol=0, atol=0)
    config = msae.SAE.load(trained / member.id).config
    assert (config["family"]["seed"], config["family"]["weights_seed"], config["family"]["data_seed"]) == (
        0,
        config["seed"],
        member.data_seed,
    )


def test_activations_on_disk_are_the_same_stream_without_the_model(file, trained, monkeypatch):
    family = load_family(file)
    stories = split_stories(load_stories(family.stories))[0]
    stream = msae.Activations(msae.load_language_model(family.language_model), stories, OTHER, n_ctx=16, progress=False)
    monkeypatch.setattr("msae.lm.loading.load_language_model", None)
    from msae.family.streams import Streams

    found = Streams(family, [OTHER], trained, None, device="cpu", progress=False).at(OTHER)
    assert (len(found), found.origin, found.scale, found.hook_name) == (len(stream), stream.origin, stream.scale, OTHER)
    for seed, skip in ((0, 0), (3, 5)):
        batches = zip(range(20), found.batches(64, seed, skip), stream.batches(64, seed, skip))
        assert all(torch.equal(a, b) for _, a, b in batches)


@pytest.mark.parametrize("live", [False, True])
def test_positions_that_a_family_skips_are_trained_and_measured_without(file, tmp_path, live):
    from msae.family.reading import read_sets
    from msae.family.streams import Streams

    family = replace(load_family(file), skip_first=4, live=live)
    learnt_from, held_out = split_stories(load_stories(family.stories))
    lm, how = msae.load_language_model(family.language_model), {"n_ctx": 16, "skip_first": 4}
    found = Streams(family, [HOOK], tmp_path, None, device="cpu", progress=False).at(HOOK)
    stream = msae.LiveActivations(lm, learnt_from, HOOK, **how) if live else msae.Activations(lm, learnt_from, HOOK, progress=False, **how)
    assert all(torch.equal(a, b) for _, a, b in zip(range(20), found.batches(64, 0), stream.batches(64, 0)))
    read = read_sets(family, None, [HOOK], n_tokens=100_000, device="cpu", progress=False)["held_out"].activations[HOOK]
    torch.testing.assert_close(read.x, msae.Activations(lm, held_out, HOOK, progress=False, **how).x, rtol=0, atol=0)
    assert not read.mask[:, :4].any()
    assert read.mask[:, 4].any()


def test_activations_that_were_altered_are_not_reopened(file, trained, tmp_path):
    shutil.copytree(trained / "activations", tmp_path / "activations")
    (place,) = (tmp_path / "activations").glob(f"{HOOK}-*/x.npy")
    family = load_family(file)
    from msae.family.streams import Streams

    streams = Streams(family, [HOOK], tmp_path, None, device="cpu", progress=False)
    asked = streams._asked(HOOK)
    assert reopened(tmp_path / "activations", asked) is not None
    assert reopened(tmp_path / "activations", asked | {"n_ctx": 8}) is None
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    with pytest.warns(UserWarning, match="were altered"):
        assert reopened(tmp_path / "activations", asked) is None
    with pytest.warns(UserWarning, match="were altered"):
        assert len(streams.at(HOOK)) > 0


def test_two_processes_and_a_kill_leave_what_one_makes(file, trained, tmp_path):
    """Two share the work, the first is killed in the middle of an SAE; the second, and then a third, complete it; nothing is done twice."""
    slow = f"""
import sys, time
import msae.training.loop as loop
from msae.family import load_family, train_family
check = loop._check_batch
def slowly(x, d_model, step):
    print("step", step, flush=True)
    time.sleep(0.02)
    check(x, d_model, step)
loop._check_batch = slowly
train_family(load_family({str(file)!r}), {str(tmp_path)!r}, checkpoint_every=4, progress=False)
"""
    how = {"env": environment(), "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", slow], **how) for _ in range(2)]
    assert both[0].stdout
    assert both[1].stdout
    while both[0].stdout.readline() != "step 6\n":
        assert both[0].poll() is None
    both[0].send_signal(signal.SIGKILL)
    both[0].wait()
    n_second = len(both[1].communicate(timeout=300)[0].splitlines())
    third = subprocess.run([sys.executable, "-c", slow], **how, timeout=300, check=True).stdout.splitlines()
    members = load_family(file).members()
    assert all(is_trained(tmp_path, member) for member in members)
    assert n_second + len(third) <= sum(member.config.n_steps for member in members), "no step that was in a checkpoint is done again"
    for member in members:
        for a, b in zip(weights(trained / member.id), weights(tmp_path / member.id)):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not list(tmp_path.glob("*/.*.safetensors"))


def test_training_stops_when_its_time_is_over_and_goes_on(file, trained, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("msae.family.training.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("msae.family.streams.time.monotonic", lambda: clock[0])
    steps = []

    def tick(x, d_model, step):
        steps.append(step)
        clock[0] += 1.0

    monkeypatch.setattr("msae.training.loop._check_batch", tick)
    family, saved = load_family(file), []
    done = train_family(family, tmp_path, minutes=0.5, then=saved.append, checkpoint_every=1000, progress=False)
    assert [member.name for member in done] == ["S1", "S2"] == [run[0].name for run in saved]
    assert len(steps) == 31
    (checkpoint,) = tmp_path.glob("*/.*.safetensors")
    assert checkpoint.name.startswith(".S1-seed1-")
    assert len(train_family(family, tmp_path, progress=False)) == 11
    assert len(steps) == sum(member.config.n_steps for member in family.members())
    for member in family.members():
        for a, b in zip(weights(trained / member.id), weights(tmp_path / member.id)):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_plan_says_what_is_done_and_how_long_the_rest_takes(file, trained, monkeypatch):
    monkeypatch.setattr("msae.family.planning._timed", lambda config, *_: 2.0 if config.n_latents < 12 else 10.0)
    family = load_family(file)
    plan = plan_family(family, n_processes=2)
    assert [row.seconds for row in plan.rows] == [24.0] * 4 + [120.0] * 3 + [200.0] * 4
    assert [row.there_after for row in plan.rows] == [24, 24, 48, 48, 168, 168, 288, 368, 488, 568, 688]
    assert plan.seconds_left == 688
    assert "0 of 11 SAEs are trained; the other 11 take about 11 min with 2 processes on" in plan.table()
    done = plan_family(family, trained)
    assert (done.seconds_left, done.summary()) == (0, "11 of 11 SAEs are trained")
    assert [span(s) for s in (0.04, 42, 90, 1200, 40_000)] == ["0.0 s", "42 s", "1.5 min", "20 min", "11.1 h"]


def test_what_was_timed_is_kept(file, tmp_path):
    first = plan_family(load_family(file), tmp_path, only="*/S1-*")
    assert 0 < first.rows[0].seconds < 100
    assert plan_family(load_family(file), tmp_path, only="*/S1-*").rows == first.rows


def count(monkeypatch, calls, alone):
    """Measures that note what they are asked for."""

    def of_pair(reference, large, story):
        calls.append((reference.shape[1], large.shape[1]))
        found = {"correlation": np.array([reference.sum(), large.sum(), len(story)]), "holes 0.25": np.full(3, np.nan)}
        return SimpleNamespace(replicates=found)

    def of_one(found, loss):
        alone.append(len(found.density))
        return {"fvu": np.array([0.1, 0.2, 0.3])}

    monkeypatch.setattr("msae.family.pairs.unselected_holes", of_pair)
    monkeypatch.setattr("msae.family.pairs.of_one", of_one)


def test_each_large_sae_is_held_against_every_reference_at_its_place(file, trained, tmp_path, monkeypatch):
    out, family, calls, alone = tmp_path / "out", load_family(file), [], []
    count(monkeypatch, calls, alone)
    shutil.copytree(trained, out)
    measuring = Measuring(family, out, n_tokens=100, n_spliced=2, progress=False)
    members = family.members(f"{HOOK}/*")
    late = out / HOOK / "S2-seed1"
    late.rename(tmp_path / "late")
    there = [member for member in members if is_trained(out, member)]
    assert measuring.measure(there) == {}
    assert len(calls) == 5 * 3, "five large SAEs, three references, one set of stories"
    (tmp_path / "late").rename(late)
    assert measuring.measure(members) == {}
    assert len(calls) == 5 * 4, "only the pairs that are new"
    assert measuring.measure(members) == {}
    assert len(calls) == 5 * 4
    pairs = read_pairs(out / HOOK / "plain-2-seed0")
    assert pairs is not None
    references = {f"{HOOK}/{name}-seed{seed}" for name in ("S1", "S2") for seed in (0, 1)}
    assert {reference for _, reference in pairs.numbers} == {"", *references}
    assert pairs.numbers["held_out", ""]["fvu"] == pytest.approx([0.1, 0.2, 0.3], rel=1e-3)
    assert len(alone) == 9
    rows = {row["id"]: row for row in measuring.rows(members)}
    n_tokens = rows[f"{HOOK}/plain-2-seed0"]["measured"]["held_out"]["n_tokens"]
    assert all(pairs.numbers["held_out", reference]["correlation"][2] == n_tokens for reference in references)
    assert set(rows[f"{HOOK}/plain-2-seed0"]["pairs"]["held_out"]) == {"S1-seed0", "S2-seed0", "S1-seed1", "S2-seed1"}
    assert rows[f"{HOOK}/plain-2-seed0"]["pairs"]["held_out"]["S1-seed0"][1] is None
    assert set(rows[f"{HOOK}/plain-2-seed0"]["measured"]["held_out"]["mean_max_correlation"]) == {"S1", "S2"}
    assert "pairs" not in rows[f"{HOOK}/S1-seed0"]


def test_what_lies_beside_an_sae_is_what_its_row_says(file, trained, tmp_path):
    """The numbers that seeds are averaged by, those of the row, and those of the measures themselves are the same."""
    out, family = tmp_path / "out", load_family(file)
    shutil.copytree(trained, out)
    measuring = Measuring(family, out, n_tokens=100, n_spliced=2, progress=False)
    members = [member for member in family.members(f"{HOOK}/*") if member.name in ("S1", "plain-2")]
    assert measuring.measure(members) == {}
    (row,) = (row["measured"]["held_out"] for row in measuring.rows(members) if row["name"] == "plain-2")
    pairs = read_pairs(out / HOOK / "plain-2-seed0")
    assert pairs is not None
    alone = pairs.numbers["held_out", ""]
    assert set(alone) == {"l0", "fvu", "kl", "extra loss", "loss recovered", "loss recovered, mean"}
    for number in ("l0", "fvu", "kl"):
        assert alone[number][0] == pytest.approx(row[number][0], rel=2e-3)
        assert len(alone[number]) == 201
    assert alone["loss recovered"][0] == pytest.approx(row["loss_recovered"][0], abs=2e-3)
    assert alone["loss recovered, mean"][0] == pytest.approx(row["recovered_from_mean"][0], abs=2e-3)
    assert {key for key, _ in pairs.numbers.items() if key[1]} == {
        ("held_out", f"{HOOK}/{s}-seed{k}") for s in ("S1", "S2") for k in (0, 1)
    }
    assert all(len(numbers["holes 0.25"]) == 201 for key, numbers in pairs.numbers.items() if key[1])


def test_saes_of_one_name_are_told_together(file, trained, tmp_path, monkeypatch):
    """Each number is the mean over the seeds of the SAE and of the reference, and stands beside that of the plain SAEs."""

    def hierarchical(values, other=None, *, compare="difference"):
        value = values[..., 0].mean()
        if other is not None:
            value = value / other[..., 0].mean() if compare == "ratio" else value - other[..., 0].mean()
        return SimpleNamespace(interval=(value, value - 1, values.shape[-2] + values.ndim))

    monkeypatch.setattr("msae.family.together.hierarchical", hierarchical)
    out, family, numbers = tmp_path / "out", load_family(file), iter(range(1, 1000))
    shutil.copytree(trained, out)
    measuring = Measuring(family, out, n_tokens=100, n_spliced=2, progress=False)
    known: dict[tuple[int, int], float] = {}

    def of_pair(reference, large, story):
        known[large.shape[1], len(known)] = number = float(next(numbers))
        return SimpleNamespace(replicates={"holes 0.25": np.array([number, np.nan if large.shape[1] == 16 else 0])})

    monkeypatch.setattr("msae.family.pairs.unselected_holes", of_pair)
    monkeypatch.setattr("msae.family.pairs.of_one", lambda found, _: {"fvu": np.array([len(found.density), 0.5])})
    members = family.members(f"{HOOK}/*")
    assert measuring.measure(members) == {}
    rows = {row["name"]: row for row in together(out, members)}
    assert list(rows) == ["S1", "S2", "plain-2", "fading-20-2", "fixed-2", "plain-3-12-long", "plain-3-16-long"]
    assert rows["S1"]["seeds"] == [0, 1]
    assert rows["S1"]["alone"]["held_out"]["fvu"] == [3, 2, 4]
    drawn = list(known.values())
    assert rows["plain-2"]["pairs"]["held_out"]["S1"]["holes 0.25"][0] == (drawn[0] + drawn[2]) / 2
    assert rows["fading-20-2"]["against"] == "plain-2"
    assert rows["fading-20-2"]["than"]["alone"]["held_out"]["fvu"][0] == 1
    assert rows["fading-20-2"]["than"]["pairs"]["held_out"]["S2"]["holes 0.25"][0] == (drawn[5] + drawn[7] - drawn[1] - drawn[3]) / 2
    assert rows["plain-3-16-long"]["pairs"]["held_out"]["S1"]["holes 0.25"] == [None, None, None]


def test_two_names_are_compared_by_the_references_that_both_were_held_against(file, tmp_path, monkeypatch):
    """Not every SAE of a campaign that was stopped has met every reference."""
    members = [member for member in load_family(file).members(f"{HOOK}/*") if member.name in ("plain-2", "fading-20-2")]

    def pairs_of(folder):
        plain, seed = "plain" in folder.name, int(folder.name[-1])
        known = {0: 0.5, 1: 0.7, 2: 0.9} if plain else {1: 0.4, 2: 0.5, 3: 9.0}
        numbers = {("told", f"{HOOK}/S1-seed{k}"): {"holes 0.25": np.array([v + seed, v + seed, v])} for k, v in known.items()}
        return Pairs({}, "", {}, numbers | {("told", ""): {"fvu": np.array([2.0 - plain, 1.0, 1.5])}})

    monkeypatch.setattr("msae.family.together.read_pairs", pairs_of)
    rows = {row["name"]: row for row in together(tmp_path, members)}
    than = rows["fading-20-2"]["than"]
    assert than["pairs"]["told"]["S1"]["holes 0.25"][0] == pytest.approx((0.4 + 0.5) / 2 - (0.7 + 0.9) / 2)
    assert than["alone"]["told"]["fvu"][0] == 2
    assert rows["plain-2"]["pairs"]["told"]["S1"]["holes 0.25"][0] == pytest.approx(0.7 + np.mean(rows["plain-2"]["seeds"]))


def test_one_command_trains_measures_and_tells(file, tmp_path, capsys, monkeypatch):
    count(monkeypatch, [], [])
    row = [{"name": "plain-2", "seeds": [0]}]
    monkeypatch.setattr("msae.family.together.together", lambda *_: row)
    common = ["--family", str(file), "--out", str(tmp_path / "out"), "--only", f"{HOOK}/S?-seed0", f"{HOOK}/plain-2-seed0"]
    measures = ["--n-tokens", "100", "--n-spliced", "2"]
    assert main(["family", "train", *common, "--measure", *measures, "--for", "10"]) == 0
    said = capsys.readouterr()
    assert "3 of 3 SAEs are trained" in said.out
    assert "0 of 3 SAEs are trained; the other 3 take about" in said.err
    assert len(list((tmp_path / "out").rglob("row.json"))) == 3
    assert main(["family", "plan", *common]) == 0
    assert "1 of 1" in capsys.readouterr().out
    assert main(["family", "measure", *common, "--wait", *measures, "--table", str(tmp_path / "table.json")]) == 0
    assert [row["name"] for row in load_results(tmp_path / "table.json", load_family(file))] == ["S1", "S2", "plain-2"]
    assert main(["family", "collect", *common[:4], "--weights", "*/S1-*", "--to", str(tmp_path / "all.tar")]) == 0
    assert "3 SAEs are in" in capsys.readouterr().out
    with tarfile.open(tmp_path / "all.tar") as tar:
        tar.extractall(tmp_path / "there", filter="data")
    there = [*common[:3], str(tmp_path / "there"), *common[4:]]
    assert {path.name for path in (tmp_path / "there" / HOOK / "plain-2-seed0").iterdir()} == {"brought.json", "pairs.npz"}
    assert (tmp_path / "there" / HOOK / "S1-seed0" / "sae.safetensors").is_file()
    monkeypatch.setattr("msae.family.training.train", None)
    assert main(["family", "train", *there, "--measure", *measures]) == 0
    assert "3 of 3 SAEs are trained" in capsys.readouterr().out
    assert main(["family", "measure", *there, *measures, "--table", str(tmp_path / "again.json")]) == 0
    assert load_results(tmp_path / "again.json") == load_results(tmp_path / "table.json")
    assert load_together(tmp_path / "again.json") == row


def test_rows_of_a_table_are_made_again(file, tmp_path, capsys):
    """Two drawn at random: what is trained again is what was recorded."""
    family = load_family(file)
    rows = msae.measure_family(Family(**{**vars_of(family), "independent": False, "groups": GROUPS[:1]}), shared(file, tmp_path), **QUICK)
    save_results(rows, tmp_path / "table.json")
    about = json.loads(file.read_text()) | {"independent": False, "groups": GROUPS[:1]}
    (tmp_path / "shared.json").write_text(json.dumps(about))
    common = ["--family", str(tmp_path / "shared.json"), "--table", str(tmp_path / "table.json"), "--out", str(tmp_path / "again")]
    assert main(["family", "reproduce", "--draw", "2", "--seed", "3", *common]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[1].removeprefix("recorded  ") == lines[2].removeprefix("yours     ")
    assert {lines[0], lines[3]} < {row["id"] for row in rows}
    assert lines[0] != lines[3]


def test_stories_that_must_be_made_first_are_asked_for(file, tmp_path):
    family = load_family(file, stories=str(tmp_path / "told.jsonl"))
    with pytest.raises(FileNotFoundError, match="make it with `a command`, or give others with --stories"):
        train_family(family, tmp_path, progress=False)
    assert load_family(file, stories="bundled").check_stories() is None


def test_the_campaign_can_be_read():
    family = load_family("settle")
    members = family.members()
    assert len({member.config.seed for member in members} | {member.data_seed for member in members}) == 2 * len(members)
    assert [member.name for member in members[:3]] == ["S1", "S2", "S3"]
    with pytest.raises(FileNotFoundError, match="language-model sample"):
        replace(family, stories="nowhere.jsonl").check_stories()


def test_a_number_of_a_pair_is_that_of_its_own_kind_of_reference():
    ids = ("S2-seed0", "S2-seed12", "S2-batchtopk-seed0", "S20-seed0", "S2-half-seed0")
    row = {"id": "a", "pairs": {"held_out": {id: [10 * i + j for j in range(6)] for i, id in enumerate(ids)}}}
    assert pair_numbers(row, "S2", "holes 0.25") == {0: 2, 12: 12}
    assert pair_numbers(row, "S2-batchtopk", "correlation") == {0: 20}
    assert pair_numbers(row, "S2", "correlation", "valid") == pair_numbers({"id": "S1-seed0"}, "S2", "correlation") == {}
    row["pairs"]["held_out"]["S2-seed0"][0] = None  # a latent that never fires has no correlation
    assert pair_numbers(row, "S2", "correlation") == {12: 10}
