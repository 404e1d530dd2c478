"""The figure on λ and steps: its tool runs the chapter's own loop, and its table says what the chapter says."""

from __future__ import annotations

import importlib.util
import json
from importlib.resources import files
from itertools import islice
from types import ModuleType

import pytest
import torch
from places import ROOT

import msae
from msae.toy import orthogonal_directions

TABLE = json.loads((files("msae") / "assets" / "weight_and_steps.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weight_and_steps", ROOT / "tools" / "weight_and_steps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chapters_loop(directions: torch.Tensor, penalty_weight: float, n_steps: int) -> list[torch.Tensor]:
    """What the chapter's `train_by_hand` returns."""
    chapter = json.loads((ROOT / "book" / "01_toy" / "02_absorption.ipynb").read_text(encoding="utf8"))
    (cell,) = ["".join(cell["source"]) for cell in chapter["cells"] if cell["id"] == "by-hand"]
    names = {"torch": torch, "tree": msae.FeatureTree.article(), "directions": directions}
    exec(cell, names)
    return names["train_by_hand"](penalty_weight, n_steps)


def test_the_tool_runs_the_chapters_loop(tool: ModuleType) -> None:
    directions = torch.stack([orthogonal_directions(20, 20, seed) for seed in tool.SEEDS])
    *_, batched = islice(tool.trained(directions, 5), 5)
    for k, weight in enumerate(tool.WEIGHTS):
        for mine, theirs in zip(chapters_loop(directions[0], weight, 5), batched):
            torch.testing.assert_close(mine, theirs[k * len(tool.SEEDS)].view_as(mine), atol=1e-5, rtol=1e-4)


def test_the_table_has_a_number_for_each_weight_step_and_seed(tool: ModuleType) -> None:
    assert [run["penalty_weight"] for run in TABLE["runs"]] == list(tool.WEIGHTS)
    assert TABLE["steps"] == list(tool.STEPS)
    for run in TABLE["runs"]:
        for measure in ("holes", "holes_quarter", "l0", "fvu"):
            assert torch.tensor(run[measure]).shape == (len(tool.STEPS), len(tool.SEEDS))


def test_a_small_weight_only_waits_longer() -> None:
    medians = [torch.tensor(run["holes"]).quantile(0.5, dim=1) for run in TABLE["runs"]]
    after_2000 = [median[TABLE["steps"].index(2000)].item() for median in medians]
    assert after_2000 == sorted(after_2000, reverse=True)
    assert after_2000[2] < 0.4
    assert [median[-1] > 0.99 for median in medians[:4]] == [True] * 4
    assert medians[4][-1] > medians[4][TABLE["steps"].index(8000)]
