"""How fast a training step is on this machine, as a ratio against the five dense matrix products of the same size.

Every step that is compared has a process of its own (`msae.bench.worker`) and they take turns, in short blocks and alternating order, with
the five products in their midst. A ratio is the median over rounds of the ratio of two blocks of the same round: what slows the machine
down slows both. Nothing is written anywhere unless asked.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msae.bench.report import of_peak, summary
from msae.bench.settings import DTYPES, ENCODER, FLOOR, LOSSES, NONLINEARITIES, PEERS, SETTINGS, Setting
from msae.bench.worker import N_BATCHES
from msae.support import arguments

WORKER = Path(__file__).with_name("worker.py")


def bench(
    settings: Mapping[str, Setting],
    *,
    rounds: int = 7,
    losses: Sequence[str] = LOSSES,
    nonlinearities: Sequence[str] = NONLINEARITIES,
    peers: Mapping[str, str | os.PathLike] | None = None,
    threads: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    block_seconds: float = 0.25,
    counts: bool = False,
    keep: Callable[[dict[str, Any]], Any] = lambda result: None,
    log: Callable[[str], Any] = lambda line: None,
) -> dict[str, Any]:
    """Time msae's training step, and those of peers, against the five dense products.

    Args:
        settings: a name for each size.
        rounds: how often all steps have a turn; ratios are medians over rounds.
        losses, nonlinearities: which of msae's steps take part; the ReLU has the log penalty.
        peers: package name → the Python of an environment that has it.
        threads: of each process; by default the setting's, or PyTorch's choice.
        device: "cpu" or "cuda". dtype: of the products, one of `DTYPES`; parameters and sums stay float32.
        block_seconds: how long a turn lasts, at least one step.
        counts: also count operations and host reads of one step.
        keep: takes the result so far whenever a setting is done.
        log: takes a line whenever something begins.

    Returns:
        JSON values: "machine", "versions", and for each of "settings" its sizes, the order of every round and for each of "steps" its
        numbers (`summary` says which) and raw "blocks".

    Raises:
        ValueError: before any work, for what cannot be measured. RuntimeError: where a process fails, with its last words.
    """
    if peers is not None and not isinstance(peers, Mapping):
        raise ValueError(f"peers must be a dict of a package's name and a Python, got {arguments.shown(peers)}")
    peers = dict(peers or {})
    _check(settings, rounds, losses, nonlinearities, peers, threads, device, dtype, block_seconds, counts)
    for name, call in (("keep", keep), ("log", log)):
        if not callable(call):
            raise ValueError(f"{name} must be a function of one argument, got {arguments.shown(call)}")
    result: dict[str, Any] = {
        "format": "msae-bench/1",
        "machine": machine(),
        "device": device,
        "dtype": dtype,
        "rounds": rounds,
        "versions": {"msae": _version("msae")},
        "settings": {},
    }
    for name, setting in settings.items():
        tasks = _tasks(losses, nonlinearities, peers)
        common = asdict(setting) | {"device": device, "dtype": dtype, "counts": counts, "k": setting.k, "widths": setting.widths}
        common["threads"] = threads or setting.threads
        with ExitStack() as stack:
            log(f"{name}: starting {len(tasks)} processes")
            workers = {label: stack.enter_context(_worker(label, common | task, peers.get(task["kind"]))) for label, task in tasks.items()}
            for label, worker in workers.items():
                about = worker.answer()
                used = about.pop("threads")
                result["machine"] |= {"gpu": about.pop("gpu")} if "gpu" in about else {}
                owner = tasks[label]["kind"]
                result["versions"] |= about if owner == "floor" else {key: value for key, value in about.items() if key == owner}
            steps = {label: worker.warm_up(block_seconds) for label, worker in workers.items()}
            blocks: dict[str, list[dict[str, Any]]] = {label: [] for label in tasks}
            orders = []
            for number in range(rounds):
                log(f"{name}: round {number + 1} of {rounds}")
                order = list(tasks) if number % 2 == 0 else list(tasks)[::-1]
                orders.append(order)
                for label in order:
                    blocks[label].append(workers[label].ask({"steps": steps[label]}))
            ends = {label: worker.ask({"finish": True}) for label, worker in workers.items()}
        rows = summary(tasks, blocks, ends)
        rows[ENCODER]["flops"] = 2 * setting.batch * setting.d_model * setting.n_latents / (rows[ENCODER]["ms"] / 1e3)
        rows[ENCODER]["of_peak"] = of_peak(rows[ENCODER]["flops"], result["machine"].get("gpu", ""), dtype)
        result["settings"][name] = {**asdict(setting), "threads": used, "order": orders, "steps": rows}
        keep(result)
    return result


def _tasks(losses: Sequence[str], nonlinearities: Sequence[str], peers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Label → what its process builds, in the order of turns: the five products in the middle, so that they are nobody's far neighbour."""
    tasks = {
        f"{nonlinearity}, {loss.replace('_', ' ')}": {"kind": "msae", "nonlinearity": nonlinearity, "loss": loss}
        for nonlinearity in nonlinearities
        for loss in losses
    }
    tasks |= {f"{peer}, {loss}": {"kind": peer, "loss": loss} for peer in peers for loss in ("plain", "matryoshka")}
    middle = len(tasks) // 2
    items = list(tasks.items())
    return dict([*items[:middle], (FLOOR, {"kind": "floor"}), (ENCODER, {"kind": "encoder"}), *items[middle:]])


@contextmanager
def _worker(label: str, task: Mapping[str, Any], python: str | os.PathLike | None) -> Iterator[_Worker]:
    """A process that builds the task's step with the given interpreter; ours where there is none. It ends with the block."""
    here = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ  # threads that wait by spinning would count as work
    if python is None:
        here["PYTHONPATH"] = os.pathsep.join(filter(None, [str(WORKER.parents[2]), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", f"msae.bench.{WORKER.stem}"]
    else:
        command = [str(python), "-I", "-c", WORKER.read_text(encoding="utf-8")]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=here, encoding="utf-8")
        worker = _Worker(label, process, said)
        try:
            worker.send(task)
            yield worker
        finally:
            process.kill()
            process.communicate()


@dataclass
class _Worker:
    label: str
    process: subprocess.Popen[str]
    said: Any

    def send(self, request: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died: the answer says so
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """
        Raises:
            RuntimeError: where it failed or ended, with what it said last.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.said.seek(0)
            last = (self.said.read().strip().splitlines() or ["it said nothing"])[-1]
            hint = "; the memory may be too small: choose a smaller setting or fewer steps" if code in (-9, 137) else ""
            raise RuntimeError(f"the process of {self.label!r} ended with code {code}: {last}{hint}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the process of {self.label!r} failed: {answer['error']}")
        return answer

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.send(request)
        return self.answer()

    def warm_up(self, block_seconds: float) -> int:
        """Steps in a block of that length, after a step on every batch: the first ones allocate."""
        steps = 1
        for at_least in (N_BATCHES, 1):
            done = self.ask({"steps": steps})
            steps = max(at_least, math.ceil(block_seconds * steps / max(done["wall"], 1e-9)))
        return steps


def machine() -> dict[str, Any]:
    """What the numbers belong to."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from a folder"


def _check(
    settings: Mapping[str, Setting],
    rounds: int,
    losses: Sequence[str],
    nonlinearities: Sequence[str],
    peers: Mapping[str, str | os.PathLike],
    threads: int | None,
    device: str,
    dtype: str,
    block_seconds: float,
    counts: bool,
) -> None:
    if not isinstance(settings, Mapping) or not settings or not all(isinstance(each, Setting) for each in settings.values()):
        known = f"for instance {{'toy': SETTINGS['toy']}}; there are {', '.join(SETTINGS)}"
        raise ValueError(f"settings: give at least one setting, {known}, got {arguments.shown(settings)}")
    arguments.whole("rounds", rounds, 1, hint="5 or more make a median worth its name")
    for what, given, known_names in (("losses", losses, LOSSES), ("nonlinearities", nonlinearities, NONLINEARITIES)):
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise ValueError(f"{what} must be a list of some of {', '.join(known_names)}, got {arguments.shown(given)}")
        unknown = [name for name in given if name not in known_names]
        if unknown:
            raise ValueError(f"{what} must be among {', '.join(known_names)}, got {unknown[0]!r}")
    if not (losses and nonlinearities) and not peers:
        raise ValueError("nothing to time: give at least one loss and one nonlinearity, or a peer")
    if threads is not None:
        arguments.whole("threads", threads, 1, hint="leave it out for PyTorch's choice")
    arguments.number("block_seconds", block_seconds, above=0, most=60, hint="0.25 is usual")
    arguments.yes_or_no("counts", counts)
    arguments.one_of("dtype", dtype, DTYPES)
    if dtype != "float32" and peers:
        raise ValueError(f"peers take their turns in float32, got dtype={dtype!r}: leave one of the two out")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, got {arguments.shown(device)}")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("device is cuda, but PyTorch finds no GPU here: take cpu, or install a PyTorch for your card")
    for peer, python in peers.items():
        _check_peer(peer, python)


def _check_peer(peer: str, python: str | os.PathLike) -> None:
    if peer not in PEERS:
        raise ValueError(f"peers must be among {', '.join(PEERS)}, got {peer!r}")
    if not isinstance(python, (str, os.PathLike)) or not os.access(python, os.X_OK) or Path(python).is_dir():
        raise ValueError(f"{python} is no Python that can be started: give {peer}=ENVIRONMENT/bin/python of an environment that has {peer}")
    test = f"import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None or u.find_spec('{PEERS[peer]}') is None)"
    if subprocess.run([str(python), "-I", "-c", test], capture_output=True, check=False).returncode:
        raise ValueError(f"{python} has no {peer}: make an environment of its own, with {python} -m pip install {peer}")
