"""One session on a GPU: the device tests, timings of the step, and a stretch of the campaign, as JSON, each part within its seconds.

    python tools/gpu_session.py --out FOLDER --part tests:60 --part timings:80 [--device cuda] [--workers 6] [--small]
    python tools/gpu_session.py --out FOLDER --part campaign:300 --command "python -m msae family train ..." --processes 8

Each part is a process of its own that writes FOLDER/PART.json as it goes, so one that fails or is ended leaves what it had and stops no
other. `--small` takes a hundredth of the sizes: to try all this where there is no GPU, with `--device cpu`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TESTS = ["tests/devices/test_cuda.py", "tests/devices/test_cuda_uses.py"]
POLITE = 10
"""Seconds that a process has for its last checkpoint once it was asked to stop."""


class Report:
    """A JSON file that is written whenever something is added."""

    def __init__(self, path: Path, seconds: float):
        self.path, self.start, self.seconds = path, time.perf_counter(), seconds
        self.told: dict[str, Any] = {"seconds_allowed": seconds, "errors": {}}

    @property
    def left(self) -> float:
        return self.seconds - (time.perf_counter() - self.start)

    def add(self, **values: Any) -> None:
        self.told |= values
        self.told["seconds"] = round(time.perf_counter() - self.start, 2)
        beside = self.path.with_suffix(".tmp")
        beside.write_text(json.dumps(self.told, indent=1) + "\n", encoding="utf-8")
        beside.replace(self.path)

    def attempt(self, what: str, work: Any) -> Any:
        """What the work gives; where it fails, its traceback is kept under `what`, and None comes back."""
        try:
            return work()
        except Exception:
            self.told["errors"][what] = traceback.format_exc()[-3000:]
            self.add()
            return None


def about(device: str) -> dict[str, Any]:
    """The card and the versions."""
    import torch

    told = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0], "cpus": os.cpu_count()}
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        told |= {"gpu": card.name, "memory_gb": round(card.total_memory / 1e9, 1), "multiprocessors": card.multi_processor_count}
        driver = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True, check=False
        )
        told["driver"] = driver.stdout.strip()
    return told


class Outcomes:
    """A plugin of pytest that keeps what became of every test."""

    def __init__(self, report: Report):
        self.report, self.found = report, {"passed": 0, "failed": 0, "skipped": 0}
        self.failures: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.found[report.outcome] += 1
            if report.failed:
                self.failures[report.nodeid] = report.longreprtext[-2500:]
            self.report.add(tests=self.found, failures=self.failures)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failures[report.nodeid] = report.longreprtext[-2500:]
            self.report.add(failures=self.failures)


def tests(args: argparse.Namespace, report: Report) -> None:
    """Part (a): what stands in tests/devices for a real card."""
    import pytest

    os.environ["MSAE_TEST_DEVICE"] = args.device
    report.add(about=report.attempt("about", lambda: about(args.device)))
    how = ["-o", "addopts=", "-o", "timeout=0", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=short"]
    shared = ["-n", str(args.workers), "--dist", "load"] if args.workers > 1 else []
    only = ["-k", "TopK and exact"] if args.small else []
    os.chdir(ROOT)
    code = pytest.main([*how, *shared, *only, *TESTS], plugins=[Outcomes(report)])
    report.add(exit_code=int(code), finished=True)


def timings(args: argparse.Namespace, report: Report) -> None:
    """Part (b): `tools/gpu_timings.py`."""
    sys.path.insert(0, str(Path(__file__).parent))
    import gpu_timings

    report.add(about=report.attempt("about", lambda: about(args.device)))
    gpu_timings.measure(report, device=args.device, small=args.small)
    report.add(finished=True)


def campaign(args: argparse.Namespace, report: Report) -> None:
    """Part (c): the given commands, each in `--processes` processes ({i} is a process's number), asked to stop when the time is over."""
    running: list[tuple[str, subprocess.Popen[bytes]]] = []
    for command in args.command:
        for i in range(args.processes):
            name = f"campaign-{len(running)}"
            with open(args.out / f"{name}.log", "wb") as log:
                parts = [sys.executable if part == "python" else part for part in shlex.split(command.replace("{i}", str(i)))]
                running.append((command, subprocess.Popen(parts, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)))
    while report.left > POLITE and any(process.poll() is None for _, process in running):
        time.sleep(0.5)
    for _, process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for _, process in running:
        try:
            process.wait(max(1.0, report.left))
        except subprocess.TimeoutExpired:
            process.kill()
    report.add(processes=[{"command": command, "code": process.wait()} for command, process in running], finished=True)


PARTS = {"tests": tests, "timings": timings, "campaign": campaign}


def run_part(args: argparse.Namespace, part: str, seconds: float) -> None:
    """One part in this process; its report says what went wrong."""
    report = Report(args.out / f"{part}.json", seconds - 6)  # Python and PyTorch take their time to start
    report.add(part=part, device=args.device, small=args.small)
    report.attempt(part, lambda: PARTS[part](args, report))


def start_parts(args: argparse.Namespace) -> None:
    """Each part in a process of its own, one after the other, ended where it takes longer than it may."""
    for given in args.part:
        name, _, seconds = given.partition(":")
        allowed = float(seconds or 60)
        command = [
            sys.executable,
            __file__,
            "--out",
            str(args.out),
            "--only",
            given,
            "--device",
            args.device,
            "--workers",
            str(args.workers),
        ]
        command += ["--processes", str(args.processes), *(["--small"] if args.small else [])]
        command += [part for each in args.command for part in ("--command", each)]
        start = time.perf_counter()
        with open(args.out / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                said = f"ended with code {process.wait(allowed + 15 if name == 'campaign' else allowed)}"
            except subprocess.TimeoutExpired:
                said = "stopped: its time was over"
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        print(f"{name}: {said} after {time.perf_counter() - start:.0f} s", flush=True)
        last = (args.out / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-6:]
        print(*(f"    {line[:300]}" for line in last), sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON files and logs")
    parser.add_argument("--part", action="append", default=[], help=f"NAME or NAME:SECONDS, one of {', '.join(PARTS)}; may be repeated")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=6, help="processes that share the tests")
    parser.add_argument("--small", action="store_true", help="a hundredth of the sizes, to try the script")
    parser.add_argument("--command", action="append", default=[], help="of the campaign; may be repeated")
    parser.add_argument("--processes", type=int, default=1, help="of each command of the campaign")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored, and the campaign could not be asked to stop
    args.out.mkdir(parents=True, exist_ok=True)
    args.out = args.out.resolve()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    sys.path.insert(0, str(ROOT))
    if args.only:
        name, _, seconds = args.only.partition(":")
        run_part(args, name, float(seconds or 60))
    else:
        start_parts(args)


if __name__ == "__main__":
    main()
