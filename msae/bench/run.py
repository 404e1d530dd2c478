"""How fast a training step is on this machine, as a ratio against the five dense matrix products of the same size.

Every step that is compared has a process of its own (`msae.bench.worker`) and they take turns, in short blocks and alternating order, with
the five products in their midst. A ratio is the median over rounds of the ratio of two blocks of the same round: what slows the machine
down slows both. Nothing is written anywhere unless asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, NamedTuple

from msae.bench.plan import Steps, Turns, check_functions, check_peers, check_settings
from msae.bench.processes import running
from msae.bench.report import of_peak, summary
from msae.bench.settings import ENCODER, LOSSES, NONLINEARITIES, Setting
from msae.support.hardware import machine
from msae.support.version import version_of


def bench(
    settings: Mapping[str, Setting],
    *,
    rounds: int = 7,
    losses: Sequence[str] = LOSSES,
    nonlinearities: Sequence[str] = NONLINEARITIES,
    peers: Mapping[str, str | os.PathLike[str]] | None = None,
    threads: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    block_seconds: float = 0.25,
    counts: bool = False,
    keep: Callable[[dict[str, Any]], object] = lambda result: None,
    log: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Time msae's training step, and those of peers, against the five dense products.

    Args:
        settings: a name for each size.
        rounds: how often all steps have a turn; ratios are medians over rounds.
        losses: which of msae's steps take part, some of `LOSSES`.
        nonlinearities: and with which of `NONLINEARITIES`; the ReLU has the log penalty.
        peers: package name → the Python of an environment that has it.
        threads: of each process; by default the setting's, or PyTorch's choice.
        device: "cpu" or "cuda".
        dtype: of the products, one of `DTYPES`; parameters and sums stay float32.
        block_seconds: how long a turn lasts, at least one step.
        counts: also count operations and host reads of one step.
        keep: takes the result so far whenever a setting is done.
        log: takes a line whenever something begins.

    Returns:
        JSON values: "machine", "versions", and for each of "settings" its sizes, the order of every round and for each of "steps" its
        numbers (`summary` says which) and raw "blocks".

    Raises:
        ValueError: before any work, for what cannot be measured.
        RuntimeError: where a process fails, with its last words.

    Example:
        >>> from msae import bench
        >>> bench.bench({"toy": bench.SETTINGS["toy"]}, rounds=0)
        Traceback (most recent call last):
        ValueError: rounds must be at least 1, got 0; 5 or more make a median worth its name
    """
    check_settings(settings)
    steps = Steps(losses, nonlinearities, {} if peers is None else peers)
    turns = Turns(rounds, threads, device, dtype, block_seconds=block_seconds, counts=counts)
    check_peers(steps.peers, dtype)
    check_functions(keep=keep, log=log)
    result: dict[str, Any] = {"format": "msae-bench/1", "machine": machine(), "device": device, "dtype": dtype, "rounds": rounds}
    result |= {"versions": {"msae": version_of("msae") or "from a folder"}, "settings": {}}
    for name, setting in settings.items():
        found = _compare(name, setting, steps, turns, log)
        result["machine"] |= {"gpu": found.gpu} if found.gpu else {}
        result["versions"] |= found.versions
        result["settings"][name] = found.numbers
        keep(result)
    return result


class _Compared(NamedTuple):
    """All steps at one size."""

    gpu: str
    """The card's name; empty where there is none."""

    versions: dict[str, str]
    """By package."""

    numbers: dict[str, Any]
    """Of the setting in the result."""


def _compare(name: str, setting: Setting, steps: Steps, turns: Turns, log: Callable[[str], object]) -> _Compared:
    """Start a process for each step, give them their turns, and sum up."""
    tasks = steps.tasks()
    common = asdict(setting) | {"device": turns.device, "dtype": turns.dtype, "counts": turns.counts}
    common |= {"k": setting.k, "widths": setting.widths, "threads": turns.threads or setting.threads}
    with ExitStack() as stack:
        log(f"{name}: starting {len(tasks)} processes")
        workers = {
            label: stack.enter_context(running(label, common | task, steps.peers.get(task["kind"]))) for label, task in tasks.items()
        }
        about = {label: worker.answer() for label, worker in workers.items()}
        n_steps = {label: worker.warm_up(turns.block_seconds) for label, worker in workers.items()}
        blocks: dict[str, list[dict[str, Any]]] = {label: [] for label in tasks}
        orders = []
        for number in range(turns.rounds):
            log(f"{name}: round {number + 1} of {turns.rounds}")
            orders.append(list(tasks) if number % 2 == 0 else list(tasks)[::-1])
            for label in orders[-1]:
                blocks[label].append(workers[label].ask({"steps": n_steps[label]}))
        ends = {label: worker.ask({"finish": True}) for label, worker in workers.items()}
    gpu = next((told["gpu"] for told in about.values() if "gpu" in told), "")
    rows = summary(tasks, blocks, ends)
    rows[ENCODER]["flops"] = 2 * setting.batch * setting.d_model * setting.n_latents / (rows[ENCODER]["ms"] / 1e3)
    rows[ENCODER]["of_peak"] = of_peak(rows[ENCODER]["flops"], gpu, turns.dtype)
    threads = list(about.values())[-1]["threads"]
    return _Compared(gpu, _versions(tasks, about), {**asdict(setting), "threads": threads, "order": orders, "steps": rows})


def _versions(tasks: Mapping[str, Mapping[str, str]], about: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Python's and PyTorch's here, as the process of the five products tells, and each peer's own."""
    versions: dict[str, str] = {}
    for label, told in about.items():
        kind = tasks[label]["kind"]
        here = kind == "floor"
        versions |= {key: value for key, value in told.items() if (here and key not in ("threads", "gpu")) or key == kind}
    return versions
