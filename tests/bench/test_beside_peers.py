"""The same SAEs from three libraries: the tool plans and measures what its table says, and the table holds what the chapter says of it.

What trains in a peer's environment is skipped where no variable names its Python, as in `tests/sae/test_formats_peers.py`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
import torch
from places import ROOT
from safetensors.torch import save_file

PYTHONS = {"sae-lens": "MSAE_SAE_LENS", "dictionary-learning": "MSAE_DICTIONARY_LEARNING"}
ASSET = files("msae") / "assets" / "beside_peers.json"
TABLE = json.loads(ASSET.read_text(encoding="utf-8"))


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return module("beside_peers")


def test_every_library_is_tried_at_its_default_and_at_the_same_others(tool: ModuleType) -> None:
    first = tool.first_runs()
    assert len({run.name for run in first}) == len(first)
    for library, default in tool.DEFAULT_LR.items():
        assert {run.lr for run in first if run.library == library} == {default, *tool.TRIED}


def test_each_library_goes_on_at_its_own_best(tool: ModuleType) -> None:
    best = tool.DEFAULT_LR | {"sae-lens": tool.TRIED[0]}
    fvu = {run: 0.1 if run.lr == best[run.library] else 0.2 for run in tool.first_runs()}
    assert {library: tool.best_lr(fvu, library) for library in best} == best
    runs = tool.other_runs(fvu)
    assert len({run.name for run in runs}) == len(runs) == 6 * len(tool.SEEDS)
    assert all(run.lr == best[run.library] for run in runs)
    ours = {("msae", law) for law in ("all", "fixed, centred", "all, centred")}
    assert {(run.library, run.law) for run in runs} == {*((library, "fixed, aux") for library in best), *ours}
    assert [run.seed for run in runs] == sorted(run.seed for run in runs), "seed by seed"


def test_a_library_gets_the_same_batches_again_and_its_own_copy_of_each() -> None:
    worker = module("beside_peers_worker")
    vectors = torch.arange(12.0).view(6, 2).half()
    batches = worker.Batches(vectors, torch.tensor([5, 0, 3, 1]), 2)
    assert len(batches) == 2
    for batch in batches:
        batch /= 7
    assert [batch.tolist() for batch in batches] == [[[10, 11], [0, 1]], [[6, 7], [2, 3]]]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["msae", *PYTHONS])
def test_a_run_from_vectors_to_its_row(tool: ModuleType, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = sys.executable if library == "msae" else os.environ.get(PYTHONS[library])
    if not python:
        pytest.skip(f"{library} is not here: {PYTHONS[library]} has to name the Python of an environment that has it")
    g = torch.Generator().manual_seed(0)
    vectors = {name: torch.randn(400, 256, generator=g).half() for name in ("train", "held_out")}
    save_file(vectors | {"held_out_story": torch.arange(400) // 20}, tmp_path / "vectors.safetensors")
    save_file({"order": torch.randint(400, (32 * 20,), generator=g).int()}, tmp_path / "order0.safetensors")
    small = {"n_latents": 64, "k": 4, "widths": [8, 64], "n_steps": 20, "batch_size": 32, "dead_after": 64, "n_known": 100}
    monkeypatch.setattr(tool, "TASK", tool.TASK | small)
    for law in ("fixed", "fixed, aux", "all") if library == "msae" else ("fixed", "fixed, aux"):
        run = tool.Run(library, law, 1e-3, 0)
        tool.train(tmp_path, run, os.path.abspath(python))
        row = tool.measure(tmp_path, run)
        assert row.keys() == TABLE["rows"][0].keys() | {"versions"}
        assert len(row["fvu_by_width"]) == 2
        assert row["fvu_by_width"][-1] == pytest.approx(row["fvu"], rel=1e-5)
        assert max(row["difference"].values()) < 1e-5
        assert row["cpu_seconds"] > 0
        before = (tmp_path / "runs" / run.name / "cost.json").stat().st_mtime_ns
        tool.train(tmp_path, run, "no Python at all")
        assert (tmp_path / "runs" / run.name / "cost.json").stat().st_mtime_ns == before, "what is there is not made again"


def test_the_table_has_every_run_that_it_should(tool: ModuleType) -> None:
    rows = TABLE["rows"]
    fvu = {tool.Run(row["library"], row["law"], row["lr"], row["seed"]): row["fvu"] for row in rows}
    wanted = {*tool.first_runs(), *tool.other_runs(fvu)}
    assert wanted <= fvu.keys()
    assert len(fvu) == len(rows)
    assert TABLE["about"]["task"].items() <= tool.TASK.items()
    assert len(ASSET.read_bytes()) < 30_000


def test_what_the_peers_wrote_computes_the_same_here() -> None:
    for row in TABLE["rows"]:
        assert row["difference"]["acts"] < 1e-5 * max(1, row["largest"]["acts"])
        assert row["difference"]["x_hat"] < 1e-5 * max(1, row["largest"]["x_hat"])
        assert row["fvu_by_width"][-1] == pytest.approx(row["fvu"], rel=1e-3)
