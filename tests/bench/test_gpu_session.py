"""The script for a session on a GPU, tried on the CPU with tiny sizes: what it tells, and what it leaves where something goes wrong."""

import json
import shlex
import subprocess
import sys

import pytest
from places import ROOT

TOOLS = ROOT / "tools"
SIZE = {"d_model": 16, "n_latents": 256, "batch": 64, "l0": 5}


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import gpu_session
    import gpu_timings

    monkeypatch.setattr(gpu_timings, "ROUNDS", 1)
    monkeypatch.setattr(gpu_timings, "BLOCK_SECONDS", 1e-4)
    monkeypatch.setattr(gpu_timings, "SIZES", {gpu_timings.COMPARED: SIZE, "width 256": SIZE})
    monkeypatch.setattr(gpu_timings, "L0S", (5, 60))
    monkeypatch.setattr(gpu_timings, "small_of", lambda size: size)
    return gpu_session, gpu_timings


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_timings_tell_every_step_beside_the_five_products_of_its_precision(tools, tmp_path):
    session, timings = tools
    report = session.Report(tmp_path / "timings.json", 1000)
    timings.measure(report, device="cpu", small=True)
    told = read(tmp_path / "timings.json")
    assert told["errors"] == {}
    rows = told["steps"]["width 256"]["rows"]
    assert {*timings.asked_steps()} < {*rows}
    for label, row in rows.items():
        assert row["least"] <= row["ms"] <= row["most"]
        assert row["x_five"] == pytest.approx(row["ms"] / rows[f"five products, {label.rsplit(', ', 1)[1]}"]["ms"])
        assert row["vectors_per_second"] == pytest.approx(64e3 / row["ms"])
    assert {*told["crossover"]} == {f"{name}, L0 {l0}" for name in timings.SIZES for l0 in (5, 60)}
    assert told["crossover"]["width 256, L0 5"]["l0"] == pytest.approx(5, rel=0.05)
    assert len(told["profiles"]) == 6
    assert told["training"]["exact"]["vectors_per_second"] > 0


def test_what_fails_is_written_down_and_the_rest_goes_on(tools, tmp_path, monkeypatch):
    session, timings = tools
    monkeypatch.setattr(timings, "compare", lambda *_: 1 / 0)
    monkeypatch.setattr(timings, "profiled", lambda size: {})
    timings.measure(session.Report(tmp_path / "timings.json", 1000), device="cpu", small=True)
    told = read(tmp_path / "timings.json")
    assert "ZeroDivisionError" in told["errors"]["steps, width 256"]
    assert told["crossover"]


def test_a_campaign_is_asked_to_stop_in_time(tmp_path):
    command = "python -c 'import time; print({i}, flush=True); time.sleep(100)'"
    asked = [sys.executable, TOOLS / "gpu_session.py", "--out", tmp_path, "--part", "campaign:18", "--command", command, "--processes", "2"]
    subprocess.run(asked, check=True, capture_output=True, timeout=90)
    told = read(tmp_path / "campaign.json")
    assert told["errors"] == {}
    assert [process["code"] for process in told["processes"]] == [-2, -2]
    assert [(tmp_path / f"campaign-{i}.log").read_text(encoding="utf-8")[0] for i in range(2)] == ["0", "1"]


def test_a_campaign_can_be_stopped_where_a_shell_put_it_in_the_background(tmp_path):
    """There SIGINT is ignored, and what is ignored stays so in all processes that are started."""
    command = "python -c 'import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)'"
    asked = [sys.executable, TOOLS / "gpu_session.py", "--out", tmp_path, "--part", "campaign:30", "--command", command]
    background = f"trap '' INT; {shlex.join(map(str, asked))}"
    subprocess.run(["sh", "-c", background], check=True, capture_output=True, timeout=90)
    assert (tmp_path / "campaign-0.log").read_text(encoding="utf-8") == "True\n"
