"""What comes from elsewhere, or from a hand that slipped: rows of another machine, times of other hardware, numbers that have no ratio."""

import json
import tarfile

import numpy as np
import pytest
from filelock import FileLock

import msae
from msae.family.bundles import bundle
from msae.family.measuring import Measuring
from msae.family.pairs import Pairs
from msae.family.planning import TIMES, plan_family
from msae.family.recorded import brought
from msae.family.together import together

FAMILY = msae.load_family("first")  # the SAEs of a seed are one run there
MEMBER = FAMILY.members()[0]
ROW = {"id": MEMBER.id, "recipe": {"lr": MEMBER.config.lr}, "asked": {"n_tokens": 100}, "measured": {"held_out": {}}}


def bring(folder, row):
    place = folder / MEMBER.id / "brought.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(row if isinstance(row, str) else json.dumps(row))
    return place


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "Expecting"),
        ("[]", "list indices"),
        ("null", "NoneType"),
        ({}, "it lacks 'id'"),
        (ROW | {"id": "../../elsewhere"}, "it is of '../../elsewhere'"),
        (ROW | {"recipe": {}}, "its recipe must be a dict, got {}"),
        (ROW | {"recipe": 3}, "its recipe must be a dict, got 3"),
        ({name: value for name, value in ROW.items() if name != "measured"}, "it lacks 'measured'"),
        (ROW | {"recipe": {"lr": 9.0}}, "made with"),
    ],
)
def test_a_damaged_row_from_elsewhere_is_no_sae_that_is_done(tmp_path, row, why):
    bring(tmp_path, ROW)
    assert brought(tmp_path, MEMBER) == ROW
    place = bring(tmp_path, row)
    for use in (brought, lambda out, member: plan_family(FAMILY, out, only=member.id)):
        with pytest.raises(ValueError, match="delete it") as said:
            use(tmp_path, MEMBER)
        assert str(place) in str(said.value)
        assert why in str(said.value)


def test_a_bundle_does_not_say_who_made_it(tmp_path):
    bring(tmp_path, ROW)
    assert bundle(FAMILY, tmp_path, tmp_path / "all.tar") == [MEMBER.id]
    with tarfile.open(tmp_path / "all.tar") as tar:
        assert [(file.name, file.uid, file.gid, file.uname, file.gname) for file in tar] == [(f"{MEMBER.id}/brought.json", 0, 0, "", "")]


def test_times_of_other_hardware_stay(tmp_path):
    (tmp_path / TIMES).write_text(json.dumps({"a card": {"work": 1.5}}))
    plan_family(FAMILY, tmp_path, only=MEMBER.id)
    kept = json.loads((tmp_path / TIMES).read_text())
    assert len(kept) == 2
    assert kept["a card"] == {"work": 1.5}


def test_what_has_no_ratio_does_not_take_the_other_numbers_with_it(tmp_path, monkeypatch):
    """An SAE may add nothing to the loss in some draw of the stories, or seem to lower it."""
    members = FAMILY.members("blocks.3.*/*-30-seed?")
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 21)

    def pairs_of(folder):
        return Pairs({}, "", {}, {("held_out", ""): {"fvu": 0.5 + noise, "extra loss": noise}})

    monkeypatch.setattr("msae.family.together.read_pairs", pairs_of)
    than = next(row["than"] for row in together(tmp_path, members) if "than" in row)["alone"]["held_out"]
    assert than["fvu"][0] == 1
    assert than["extra loss"] == [None, None, None]


def test_saes_that_were_measured_otherwise_are_not_averaged(tmp_path, monkeypatch):
    """As rows of another machine that looked at fewer tokens: replicate r is of other stories there."""
    first, second, *_ = members = FAMILY.members(f"{MEMBER.hook_name}/matryoshka-30-seed?")

    def pairs_of(folder):
        return Pairs({"n_tokens": 100 if "seed0" in folder.name else 50, "valid": None}, "", {}, {("told", ""): {"fvu": np.ones(3)}})

    monkeypatch.setattr("msae.family.together.read_pairs", pairs_of)
    assert len(together(tmp_path, [first])) == 1
    with pytest.raises(ValueError, match="n_tokens") as said:
        together(tmp_path, members)
    assert first.id in str(said.value)
    assert second.id in str(said.value)


def test_one_process_measures_the_saes_of_a_run(tmp_path, monkeypatch):
    """Two that start at different SAEs of it keep each other out."""
    members = FAMILY.members(f"{MEMBER.hook_name}/S?-seed0")
    monkeypatch.setattr("msae.family.measuring.is_trained", lambda *_: True)
    monkeypatch.setattr(Measuring, "_lacks", lambda *_: True)
    monkeypatch.setattr(Measuring, "_read", lambda *_: None)
    monkeypatch.setattr(Measuring, "_measure_run", lambda self, run, there: {run[0].id: ValueError("measured")})
    measuring = Measuring(FAMILY, tmp_path, progress=False)
    (tmp_path / MEMBER.hook_name).mkdir()
    assert list(measuring.measure(members[1:])) == [members[1].id]
    with FileLock(tmp_path / MEMBER.hook_name / ".seed0.measuring.lock"):
        assert measuring.measure(members) == measuring.measure(members[1:]) == {}


def test_what_failed_does_not_hold_the_activations(tmp_path, monkeypatch):
    """The frames of an error that is kept hold them, and with them the memory of a GPU that is full."""
    monkeypatch.setattr(Measuring, "_lacks", lambda *_: True)
    monkeypatch.setattr(Measuring, "_is_measured", lambda *_: 1 // 0)
    failed = Measuring(FAMILY, tmp_path, progress=False)._measure_run([MEMBER], [MEMBER])
    assert [(name, str(error), error.__traceback__) for name, error in failed.items()] == [
        (MEMBER.id, "integer division or modulo by zero", None)
    ]
