"""How fast a training step is on this machine, as a ratio against the five dense matrix products of the same size.

Every step that is compared has a process of its own (`_bench_worker`) and they take turns, in short blocks and alternating order, with
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
from statistics import median, quantiles
from typing import Any

from msae._bench_worker import N_BATCHES
from msae.support import arguments

FLOOR, ENCODER = "five products", "encoder product"
LOSSES = ("plain", "sampled", "all_prefixes")
NONLINEARITIES = ("relu", "topk")
PEERS = {"sae-lens": "sae_lens", "dictionary-learning": "dictionary_learning"}
"""Packages that can take part, each with the module it is imported as."""

DTYPES = ("float32", "bfloat16", "float16")
WORKER = Path(__file__).with_name("_bench_worker.py")

PEAK_FLOPS = {
    "H200": {"float32": 67e12, "bfloat16": 989e12, "float16": 989e12},
    "H100 80GB HBM3": {"float32": 67e12, "bfloat16": 989e12, "float16": 989e12},
    "A100": {"float32": 19.5e12, "bfloat16": 312e12, "float16": 312e12},
    "L4": {"float32": 30.3e12, "bfloat16": 121e12, "float16": 121e12},
    "T4": {"float32": 8.1e12, "float16": 65e12},
}
"""Operations per second by a word of the card's name, dense, without TF32: NVIDIA's data sheets."""


@dataclass(frozen=True)
class Setting:
    """The sizes of one comparison."""

    d_model: int
    n_latents: int
    batch: int

    l0: float
    """Mean number of active latents per input; TopK takes the nearest whole number, at least 1."""

    threads: int | None = None
    """Of each process, where the call names none; None leaves it to PyTorch."""

    def __post_init__(self) -> None:
        for name in ("d_model", "n_latents", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {arguments.shown(value)}")
        if self.threads is not None:
            arguments.whole("threads", self.threads, 1, hint="leave it out for PyTorch's choice")
        if isinstance(self.l0, bool) or not isinstance(self.l0, (int, float)) or not 0 < self.l0 < self.n_latents:
            got = arguments.shown(self.l0)
            raise ValueError(f"l0 must lie between 0 and n_latents={self.n_latents}, got {got}; a language model's SAE uses 15 to 60")

    @property
    def k(self) -> int:
        return max(1, round(self.l0))

    @property
    def widths(self) -> list[int]:
        """Ten fixed prefixes (fewer where they coincide) at the tenths of the square-root law, for peers that draw none."""
        return sorted({math.ceil(self.n_latents * (i / 10) ** 2) for i in range(1, 11)})


SETTINGS = {
    "toy": Setting(d_model=20, n_latents=20, batch=200, l0=1.12, threads=1),  # a second thread would only wait
    "mid": Setting(d_model=256, n_latents=4096, batch=2048, l0=30),
    "large": Setting(d_model=768, n_latents=24576, batch=1024, l0=30),
}


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
        rows[ENCODER]["of_peak"] = _of_peak(rows[ENCODER]["flops"], result["machine"].get("gpu", ""), dtype)
        result["settings"][name] = {**asdict(setting), "threads": used, "order": orders, "steps": rows}
        keep(result)
    return result


def _of_peak(flops: float, gpu: str, dtype: str) -> float | None:
    """Share of the card's peak; None where the card is not known."""
    known = next((peak for word, peak in PEAK_FLOPS.items() if word in gpu), {})
    return flops / known[dtype] if dtype in known else None


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


def summary(
    tasks: Mapping[str, Mapping[str, Any]], blocks: Mapping[str, Sequence[Mapping[str, Any]]], ends: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The numbers of each step, from its blocks and those of its neighbours in the same rounds.

    Per label: what it is ("kind", "nonlinearity", "loss"), and

    - "ms", "user_ms", "kernel_ms", "faults": a step's wall time, CPU time in user and kernel mode, page faults; medians over rounds;
    - "best_ms": the least wall time of a round;
    - "x_five", with the quartiles "x_five_low" and "x_five_high": median of the paired ratios of wall time to the five products;
      "cpu_x_five": of CPU time; "x_plain" and its companions: to the plain step of the same library and nonlinearity;
    - "peak_mb": memory over what the imports took;
    - "l0" and "active": latents active per input, their mean, and least, 5 %, median, 95 % and most; as measured at the end;
    - "kernels", "host_reads": of one step, where asked;
    - "blocks": per round "steps", "wall", "user" and "kernel" seconds, "faults".
    """
    rows = {}
    for label, task in tasks.items():
        own = blocks[label]
        row: dict[str, Any] = dict(task)
        walls = [1e3 * per_step(block, "wall") for block in own]
        row |= {"ms": median(walls), "best_ms": min(walls)}
        row |= {f"{key}_ms": median(1e3 * per_step(block, key) for block in own) for key in ("user", "kernel")}
        row["faults"] = None if own[0]["faults"] is None else median(per_step(block, "faults") for block in own)
        for against, other in (("five", FLOOR), ("plain", _plain_of(label, tasks))):
            if other in (None, label):
                continue
            wall = paired(own, blocks[other], "wall")
            low, _, high = quantiles(wall, n=4, method="inclusive") if len(wall) > 1 else wall * 3
            row |= {f"x_{against}": median(wall), f"x_{against}_low": low, f"x_{against}_high": high}
            row[f"cpu_x_{against}"] = median(paired(own, blocks[other], "user", "kernel"))
        rows[label] = row | dict(ends[label]) | {"blocks": list(own)}
    return rows


def _plain_of(label: str, tasks: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The plain step that the step of this label is compared with."""
    wanted = {**tasks[label], "loss": "plain"}
    return next((other for other, task in tasks.items() if task == wanted), None)


def per_step(block: Mapping[str, Any], *keys: str) -> float:
    return sum(float(block[key]) for key in keys) / float(block["steps"])


def paired(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], *keys: str) -> list[float]:
    """Per round, what a step costs over what another's step costs."""
    return [per_step(a, *keys) / max(per_step(b, *keys), 1e-9) for a, b in zip(ours, theirs, strict=True)]


# The processes


@contextmanager
def _worker(label: str, task: Mapping[str, Any], python: str | os.PathLike | None) -> Iterator[_Worker]:
    """A process that builds the task's step with the given interpreter; ours where there is none. It ends with the block."""
    here = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ  # threads that wait by spinning would count as work
    if python is None:
        here["PYTHONPATH"] = os.pathsep.join(filter(None, [str(WORKER.parent.parent), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", f"msae.{WORKER.stem}"]
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


# The machine, and what it cannot do


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


# What is shown


COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "ms": lambda row: _number(row["ms"]),
    "x five": lambda row: _number(row.get("x_five"), 2),
    "quartiles": lambda row: f"{row['x_five_low']:.2f}-{row['x_five_high']:.2f}" if "x_five" in row else "",
    "CPU x five": lambda row: _number(row.get("cpu_x_five"), 2),
    "x plain": lambda row: _number(row.get("x_plain"), 2),
    "CPU x plain": lambda row: _number(row.get("cpu_x_plain"), 2),
    "user ms": lambda row: _number(row["user_ms"]),
    "kernel ms": lambda row: _number(row["kernel_ms"]),
    "faults": lambda row: _number(row["faults"], 0),
    "peak MB": lambda row: _number(row["peak_mb"], 0),
    "L0 (5 to 95 %)": lambda row: f"{row['l0']:.2f} ({row['active'][1]}-{row['active'][3]})" if "l0" in row else "",
    "kernels": lambda row: str(row.get("kernels", "")),
    "host reads": lambda row: str(row.get("host_reads", "")),
}


def table(result: Mapping[str, Any], columns: Sequence[str] = tuple(COLUMNS)) -> str:
    """All settings as plain text; of the columns asked for, those that hold something."""
    its = result["machine"]
    where = its.get("gpu") or f"{its['processor']}, {its['cpus']} CPUs"
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    parts = [f"{where}, {result['dtype']}, {result['rounds']} rounds; {versions}", ""]
    for name, setting in result["settings"].items():
        rows = setting["steps"]
        lines = [["step", *rows], *([heading, *map(COLUMNS[heading], rows.values())] for heading in columns)]
        filled = [column for column in lines if any(column[1:])]
        widths = [max(map(len, column)) for column in filled]
        encoder = rows[ENCODER]
        speed = f"the encoder's product runs at {encoder['flops'] / 1e12:.3g} TFLOP/s"
        speed += f", {100 * encoder['of_peak']:.0f} % of the card's peak" if encoder["of_peak"] else ""
        shape = f"d_model {setting['d_model']}, {setting['n_latents']:,} latents, batch {setting['batch']:,}, L0 {setting['l0']:g}"
        parts.append(f"{name}: {shape}; threads: {setting['threads']}; {speed}")
        for cells in zip(*filled, strict=True):
            label, *numbers = (cell.rjust(width) for cell, width in zip(cells, widths))
            parts.append("  ".join([label.strip().ljust(widths[0]), *numbers]).rstrip())
        parts.append("")
    parts.append("x five: over the five dense products of the same round; x plain: over the plain step of the same kind; both medians")
    return "\n".join(parts)


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return ""
    if digits is None:
        digits = max(0, 2 - math.floor(math.log10(value))) if 0 < value < 1000 else 0
    return f"{value:,.{min(digits, 3)}f}"


def claim(result: Mapping[str, Any]) -> str:
    """One sentence, from the numbers, on the last setting: what the exact loss costs there."""
    name, setting = list(result["settings"].items())[-1]
    rows = setting["steps"]
    label, row = next(((k, r) for k, r in rows.items() if "x_plain" in r and r["loss"] == "all_prefixes"), (None, None))
    if row is None:
        label, row = next((k, r) for k, r in rows.items() if "loss" in r)
        return f"{name}: a step of {label} takes {row['x_five']:.2f} times five dense products"
    return f"{name}: all prefixes take {row['x_plain']:.2f} times a plain step, and {row['x_five']:.2f} times five dense products"


def figure(result: Mapping[str, Any], *, title: str | None = None, alt: str | None = None) -> Any:
    """Every paired ratio as a dot, a plotly figure; title and alt text say the numbers where none are given."""
    from msae import figures

    rows = {name: {k: r for k, r in setting["steps"].items() if k != FLOOR} for name, setting in result["settings"].items()}
    ratios = {
        name: {label: paired(row["blocks"], result["settings"][name]["steps"][FLOOR]["blocks"], "wall") for label, row in its.items()}
        for name, its in rows.items()
    }
    said = "; ".join(f"{name}, {label}: {row['x_five']:.2f}" for name, its in rows.items() for label, row in its.items())
    return figures.ratios(
        ratios,
        title=title or claim(result),
        alt=alt or f"Time of a step over that of five dense products. {said}.",
        axis="step / five products",
        one="five products",
    )
