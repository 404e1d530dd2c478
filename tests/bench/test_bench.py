"""`python -m msae bench`: what it reports follows from what it measured. No test depends on how fast anything is."""

from __future__ import annotations

import json
import shlex
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from msae import bench
from msae.__main__ import main
from msae.bench import worker
from msae.bench.settings import ENCODER, FLOOR, SETTINGS, Setting

TINY = Setting(d_model=16, n_latents=64, batch=50, l0=4)

ANSWERS_BY_THE_CLOCK = """
import json, sys
if "find_spec" in sys.argv[-1]:
    sys.exit(0)
assert sys.argv[1:3] == ["-I", "-c"]
print("a library says hello", file=sys.stderr)
task = json.loads(sys.stdin.readline())
seconds = {"plain": 2.0, "matryoshka": 3.0}[task["loss"]]
print(json.dumps({"torch": "0", "threads": 1, "python": "3", "sae-lens": "1.2.3"}), flush=True)
for number, line in enumerate(sys.stdin):
    steps = json.loads(line).get("steps")
    cost = {"steps": steps, "wall": seconds * (steps or 0), "user": steps, "kernel": 0.5 * (steps or 0), "faults": 7 * (steps or 0)}
    end = {"peak_mb": 1.0, "l0": 4.0, "active": [4, 4, 4, 4, 4]}
    print(json.dumps(cost if steps else end), flush=True)
"""

RUNS_WHAT_IT_IS_SENT = """
import sys, types
if "find_spec" in sys.argv[-1]:
    sys.exit(0)
class Loader:
    def find_spec(self, name, path=None, target=None):
        if name == "sae_lens":
            print("this library prints when it is imported")
            raise ImportError("it is broken")
sys.meta_path.insert(0, Loader())
exec(compile(sys.argv[-1], "sent", "exec"), {"__name__": "__main__"})
"""

DIES = """
import sys
if "find_spec" in sys.argv[-1]:
    sys.exit(0)
sys.exit("out of cheese")
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory) -> Callable[[str], Path]:
    """Makes a program that is started like a Python."""

    def make(source: str) -> Path:
        path = tmp_path_factory.mktemp("peer") / "python"
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


@pytest.fixture(scope="module")
def result(interpreter) -> dict[str, Any]:
    peer = {"sae-lens": interpreter(ANSWERS_BY_THE_CLOCK)}
    losses = ["plain", "all_prefixes"]
    found = bench.bench(
        {"tiny": TINY}, rounds=4, losses=losses, nonlinearities=["relu"], peers=peer, threads=1, block_seconds=0.02, counts=True
    )
    return json.loads(json.dumps(found))


def per_step(row: dict[str, Any], *keys: str) -> np.ndarray:
    return np.array([sum(block[key] for key in keys) / block["steps"] for block in row["blocks"]])


def test_every_number_follows_from_the_blocks(result):
    rows = result["settings"]["tiny"]["steps"]
    labels = {"relu, plain", "relu, all prefixes", "sae-lens, plain", "sae-lens, matryoshka", FLOOR, ENCODER}
    assert set(rows) == labels
    for label, row in rows.items():
        assert len(row["blocks"]) == 4
        assert row["ms"] == pytest.approx(1e3 * np.median(per_step(row, "wall")))
        assert row["best_ms"] == pytest.approx(1e3 * per_step(row, "wall").min())
        assert row["faults"] == pytest.approx(np.median(per_step(row, "faults")))
        for name in ("five", "plain"):
            other = rows[FLOOR] if name == "five" else rows.get(label.split(",")[0] + ", plain")
            if other in (None, row):
                assert f"x_{name}" not in row
                continue
            wall = per_step(row, "wall") / per_step(other, "wall")
            assert row[f"x_{name}"] == pytest.approx(np.median(wall))
            assert row[f"x_{name}_low"] == pytest.approx(np.quantile(wall, 0.25))
            assert row[f"x_{name}_high"] == pytest.approx(np.quantile(wall, 0.75))
            cpu = per_step(row, "user", "kernel") / per_step(other, "user", "kernel")
            assert row[f"cpu_x_{name}"] == pytest.approx(np.median(cpu))
    assert result["settings"]["tiny"]["threads"] == 1
    assert result["versions"]["torch"] == torch.__version__


def test_turns_alternate_around_the_five_products(result):
    orders = result["settings"]["tiny"]["order"]
    assert len(orders) == 4
    assert orders[0] == orders[2] == orders[1][::-1] == orders[3][::-1]
    assert orders[0].index(FLOOR) in (2, 3)
    assert set(orders[0]) == set(result["settings"]["tiny"]["steps"])


def test_a_peer_is_compared_with_its_own_plain_step(result):
    rows = result["settings"]["tiny"]["steps"]
    assert rows["sae-lens, plain"]["ms"] == 2000
    assert rows["sae-lens, matryoshka"]["x_plain"] == 1.5
    assert rows["sae-lens, matryoshka"]["cpu_x_plain"] == 1
    assert rows["sae-lens, matryoshka"]["faults"] == 7
    assert result["versions"]["sae-lens"] == "1.2.3"


def test_what_is_told_at_the_end(result):
    rows = result["settings"]["tiny"]["steps"]
    assert rows["relu, plain"]["l0"] == pytest.approx(TINY.l0, rel=0.15)
    assert rows["relu, plain"]["peak_mb"] >= 0
    assert (rows[FLOOR]["kernels"], rows[FLOOR]["host_reads"]) == (5, 0)
    assert rows["relu, plain"]["kernels"] > 5
    assert rows[ENCODER]["flops"] == pytest.approx(2 * 50 * 16 * 64 / (rows[ENCODER]["ms"] / 1e3))


def test_table_figure_and_claim_show_these_numbers(result):
    rows = result["settings"]["tiny"]["steps"]
    lines = {line.split("  ")[0]: line for line in bench.table(result).splitlines()}
    for label, row in rows.items():
        assert label in lines
        assert label == FLOOR or f"{row['x_five']:,.2f}" in lines[label]
    assert f"{rows['relu, all prefixes']['x_plain']:.2f} times a plain step" in bench.claim(result)
    drawn = bench.figure(result)
    dots = {trace.name: trace.x for trace in drawn.data}
    wall = per_step(rows["relu, plain"], "wall") / per_step(rows[FLOOR], "wall")
    assert dots["tiny, relu, plain"] == pytest.approx(wall, rel=1e-3)
    assert dots["tiny, median of relu, plain"] == pytest.approx([np.median(wall)], rel=1e-3)
    assert f"{rows['sae-lens, plain']['x_five']:.2f}" in drawn.layout.meta["alt"]
    assert "times a plain step" in drawn.layout.title.text.replace("<br>", " ")


def test_the_command_writes_what_it_is_asked_for_and_nothing_else(result, tmp_path, monkeypatch, capsys):
    asked = {}

    def measured(settings: Any, **options: Any) -> dict[str, Any]:
        asked.update(options, settings=settings)
        return dict(result)

    monkeypatch.setattr("msae.bench.run.bench", measured)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--setting", "toy", "--threads", "1"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert asked["settings"] == {"toy": SETTINGS["toy"]}
    assert "relu, all prefixes" in capsys.readouterr().out
    sizes = "--d-model 16 --n-latents 64 --batch 50 --l0 4"
    command = f"bench {sizes} --peer sae-lens=a=b --json r.json --figure f.html"
    assert main(shlex.split(command)) == 0
    assert asked["settings"] == {"own": TINY}
    assert asked["peers"] == {"sae-lens": "a=b"}
    assert json.loads(Path("r.json").read_text()) == result | {"command": f"python -m msae {command}"}
    assert "five products" in Path("f.html").read_text(encoding="utf-8")
    assert main(["bench"]) == 0
    assert asked["settings"] == SETTINGS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--rounds 0", "rounds must be at least 1, got 0"),
        ("--threads 0", "threads must be at least 1, got 0"),
        ("--d-model 16 --batch 50 --l0 4", "--n-latents is missing"),
        ("--d-model 16 --n-latents 64 --batch 50 --l0 4 --setting toy", "not both"),
        ("--d-model 0 --n-latents 64 --batch 50 --l0 4", "d_model must be a whole number of at least 1, got 0"),
        ("--d-model 16 --n-latents 64 --batch 50 --l0 64", "l0 must lie between 0 and n_latents=64, got 64.0"),
        ("--json nowhere/r.json", "there is no folder nowhere"),
        ("--peer somebody=python", "peers must be among sae-lens, dictionary-learning, got 'somebody'"),
        ("--peer sae-lens", "no Python that can be started"),
        ("--peer sae-lens=python --dtype bfloat16", "peers take their turns in float32, got dtype='bfloat16'"),
        ("--peer sae-lens=.", "no Python that can be started"),
        (f"--peer sae-lens={sys.executable}", "has no sae-lens: make an environment of its own"),
        pytest.param(
            "--device cuda", "PyTorch finds no GPU here", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
        ),
    ],
)
def test_wrong_input_is_one_line_before_any_work(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("msae.bench.run.running", lambda *_: pytest.fail("a process was started"))
    assert main(["bench", *shlex.split(options)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("peer", "message"),
    [(RUNS_WHAT_IT_IS_SENT, "'sae-lens, plain' failed: ImportError: it is broken"), (DIES, "ended with code 1: out of cheese")],
)
def test_a_peer_that_fails_is_named_with_its_words(peer, message, interpreter):
    with pytest.raises(RuntimeError, match=message):
        bench.bench({"tiny": TINY}, rounds=1, losses=[], peers={"sae-lens": interpreter(peer)}, threads=1, block_seconds=0.01)


# The steps themselves, in this process


def task(setting: Setting, **more: Any) -> dict[str, Any]:
    sizes = {name: getattr(setting, name) for name in ("d_model", "n_latents", "batch", "l0", "k", "widths")}
    return {**sizes, "device": "cpu", "dtype": "float32", "nonlinearity": "relu", "loss": "all_prefixes", **more}


@pytest.mark.parametrize("setting", [SETTINGS["toy"], Setting(64, 1024, 256, 30)], ids=["toy", "small"])
@pytest.mark.parametrize("nonlinearity", ["relu", "topk"])
def test_the_sae_is_in_the_state_that_the_setting_names_and_stays_there(setting, nonlinearity):
    step = worker.ours(task(setting, nonlinearity=nonlinearity))
    before = step.active()
    wanted = setting.l0 if nonlinearity == "relu" else setting.k
    assert len(before) == worker.N_BATCHES * setting.batch
    assert before.float().mean().item() == pytest.approx(wanted, rel=0.06)
    assert (before.min() < before.max()) == (nonlinearity == "relu")
    for _ in range(2 * worker.N_BATCHES):
        step.run()
    assert step.active().equal(before)


def test_the_floor_is_five_products():
    step = worker.floor(task(TINY))
    with FlopCounterMode(display=False) as counter:
        step.run()
    assert counter.get_total_flops() == 10 * TINY.batch * TINY.d_model * TINY.n_latents


def test_counting_leaves_out_views_and_finds_host_reads():
    x = torch.ones(4, 3)
    assert worker.counts(lambda: x.view(12)[2:].add(1).sum().item()) == {"kernels": 2, "host_reads": 1}


def test_a_block_runs_its_steps():
    ran = []
    assert worker.block(lambda: ran.append(1), 5, "cpu")["steps"] == len(ran) == 5


def test_peers_get_ten_widths_of_the_square_root_law():
    widths = SETTINGS["large"].widths
    assert len(widths) == 10
    shares = np.sqrt(np.array(widths) / SETTINGS["large"].n_latents)
    assert shares == pytest.approx(np.arange(1, 11) / 10, abs=1e-3)
    toy = SETTINGS["toy"].widths
    assert toy == sorted(set(toy))
    assert toy[-1] == 20
