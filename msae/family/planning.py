"""How long a family takes on this machine: what is done, what is left, in which order, and when each part of it will be there.

print(msae.family.plan_family(msae.load_family("settle"), "settle", n_processes=2).table())
"""

from __future__ import annotations

import heapq
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock  # comes with torch

from msae.family.members import Family, Member, checked, runs_of
from msae.family.recorded import brought, is_done
from msae.support import arguments
from msae.support.files import as_json, write_file
from msae.support.hardware import hardware
from msae.support.origin import sha256_of_json
from msae.training.config import TrainConfig
from msae.training.run import Run

TIMES = ".seconds.json"
"""In the folder of the SAEs: seconds of a step, by hardware and recipe, so that they are timed once."""

IS_NO_WORK = (
    *("seed", "n_steps", "lr", "betas", "penalty", "penalty_weight", "warmup", "decay", "start_l0", "sparsify"),
    *("fade_prefixes", "fade_penalty", "clip_norm", "exchange_every", "aux_weight", "dead_after"),
)
"""Fields of `TrainConfig` that change the time of a step little or not at all."""


class Planned(NamedTuple):
    """One SAE of a plan."""

    member: Member

    seconds: float
    """What it took, where it is done; what it will take on this machine, beside nothing else."""

    is_done: bool

    there_after: float
    """Seconds from now until it is there; 0 where it is."""


class Plan(NamedTuple):
    """The SAEs of a family in the order in which they are trained.

    Example:
        >>> import msae
        >>> members = msae.load_family("bundled").members("blocks.3.*/S0-*")
        >>> planned = [msae.family.planning.Planned(member, 36.0, False, 36.0) for member in members]
        >>> print(msae.family.Plan(planned, 1, "one core").summary())
        0 of 4 SAEs are trained; the other 4 take about 2.4 min with 1 process on one core
    """

    rows: list[Planned]
    """One for each SAE."""

    n_processes: int
    """How many share the work."""

    hardware: str
    """What they run on."""

    @property
    def seconds_left(self) -> float:
        """Of training, with all processes at work; activations and measuring come on top."""
        if all(row.is_done for row in self.rows):
            return 0.0
        return max(max(row.there_after for row in self.rows), sum(row.seconds for row in self.rows if not row.is_done) / self.n_processes)

    def summary(self) -> str:
        """One sentence: how many are done, and how long the others take."""
        n_done = sum(row.is_done for row in self.rows)
        done = f"{n_done} of {len(self.rows)} SAEs are trained"
        if n_done == len(self.rows):
            return done
        processes = f"{self.n_processes} process{'es' * (self.n_processes > 1)}"
        return f"{done}; the other {len(self.rows) - n_done} take about {span(self.seconds_left)} with {processes} on {self.hardware}"

    def table(self) -> str:
        """A line for the SAEs of one name at one place, in the order of training, and the summary."""
        groups: dict[tuple[str, str], list[Planned]] = {}
        for row in self.rows:
            groups.setdefault((row.member.hook_name, row.member.name), []).append(row)
        lines = [("place", "name", "seeds", "latents", "L0", "steps", "each", "done", "there after")]
        for (hook_name, name), rows in groups.items():
            config, done = rows[0].member.config, sum(row.is_done for row in rows)
            size = f"{config.n_latents:,}", f"{config.target_l0:g}" if config.target_l0 else "", f"{config.n_steps:,}"
            seconds = span(sum(row.seconds for row in rows) / len(rows))
            after = span(max(row.there_after for row in rows)) if done < len(rows) else ""
            seeds = " ".join(str(row.member.seed) for row in rows)
            lines.append((hook_name, name, seeds, *size, seconds, f"{done} of {len(rows)}", after))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*shown, self.summary()])


def plan_family(
    family: Family,
    out: str | os.PathLike[str] | None = None,
    *,
    only: str | Sequence[str] = "*",
    length: float = 1.0,
    device: str = "cpu",
    n_processes: int = 1,
    patient: bool = True,
) -> Plan:
    """How long each SAE takes on this machine, and when it is there.

    SAEs that are done tell what they took, and what others of their size and kind will take. Of those that nothing is known of, a few
    steps are timed, on random inputs with as many latents active as in the mean over the run; where `out` is there, the times are kept.

    Args:
        family: what is to be trained.
        out: the folder of the SAEs, which need not be there.
        only: a pattern of ids, or several.
        length: the share of the steps.
        device: where to train.
        n_processes: how many share the work. Side by side each is slower than alone: how much, the first SAEs that are done tell.

        patient: wait where another process is timing the steps.

    Returns:
        the SAEs in the order in which they are trained, with seconds.

    Raises:
        ValueError: as `train_family`.
        filelock.Timeout: another process is timing the steps, and this one is not to wait.

    Example:
        >>> import msae
        >>> plan = msae.family.plan_family(msae.load_family("bundled"), only="blocks.3.*/S0-seed0", length=0.01)
        >>> plan.rows[0].member.id, plan.rows[0].is_done
        ('blocks.3.hook_resid_pre/S0-seed0', False)
    """
    members = checked(family, device).members(only, length)
    folder = None if out is None else arguments.path("out", out)
    arguments.whole("n_processes", n_processes, 1)
    arguments.yes_or_no("patient", patient)
    done = [member for member in members if folder is not None and is_done(folder, member)]
    took = {member.id: seconds for member in done if folder is not None for seconds, _ in [_took(folder, member)]}
    left = [member for member in members if member.id not in took]
    seen = {} if folder is None else _seen(folder, done, hardware(device))
    unseen = [member for member in left if _work(member.config) not in seen]
    lock = FileLock(folder / ".timing.lock", timeout=-1 if patient else 0) if folder is not None and folder.is_dir() else nullcontext()
    per_step = seen | _seconds_per_step(family, unseen, folder, device, lock)
    expected = {member.id: per_step[_work(member.config)] * member.config.n_steps for member in left}
    after = _scheduled(family, left, expected, n_processes)
    rows = [
        Planned(member, took.get(member.id, expected.get(member.id, 0.0)), member.id in took, after.get(member.id, 0.0))
        for member in members
    ]
    return Plan(rows, n_processes, hardware(device))


def span(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3.4 h".

    Args:
        seconds: of any size.
    """
    if seconds < 60:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    return f"{seconds / 60:.{0 if seconds >= 600 else 1}f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _took(out: Path, member: Member) -> tuple[float, str]:
    """The seconds of an SAE, of several that were trained together its share, and on what."""
    about = brought(out, member) or json.loads((out / member.id / "sae.json").read_text(encoding="utf-8"))["config"]["family"]
    return float(about.get("seconds", 0)) / int(about.get("n_together", 1)), str(about.get("hardware"))


def _seen(out: Path, done: Sequence[Member], here: str) -> dict[str, float]:
    """Seconds of a step of each kind of work that has been done here, beside all that ran at the time: the median."""
    times: dict[str, list[float]] = {}
    for member in done:
        seconds, where = _took(out, member)
        if where == here and seconds:
            times.setdefault(_work(member.config), []).append(seconds / member.config.n_steps)
    return {work: sorted(each)[len(each) // 2] for work, each in times.items()}


def _scheduled(family: Family, left: Sequence[Member], seconds: Mapping[str, float], n_processes: int) -> dict[str, float]:
    """When each is there, if every process takes the next run as soon as it is free."""
    free, after = [0.0] * n_processes, dict[str, float]()
    for run in runs_of(family, left):
        end = heapq.heappop(free) + sum(seconds[member.id] for member in run)
        heapq.heappush(free, end)
        after |= {member.id: end for member in run}
    return after


def _work(config: TrainConfig) -> str:
    """What recipes of about the same cost have in common."""
    of_it = {name: value for name, value in config.record().items() if name not in IS_NO_WORK}
    of_it["fades"] = bool(config.fade_prefixes)
    return sha256_of_json(of_it)[:16]


def _seconds_per_step(
    family: Family, members: Sequence[Member], out: Path | None, device: str, lock: AbstractContextManager[Any]
) -> dict[str, float]:
    """Seconds of a step of each kind of work: as they were timed here before, or timed now, by one process alone."""
    wanted = {_work(member.config): member for member in members}
    known = _known_times(out, device)
    if wanted.keys() - known.keys():
        with lock:  # side by side they would slow each other
            known = _known_times(out, device)
            todo = {work: member for work, member in wanted.items() if work not in known}  # another process may have been here
            widths = _widths(family, [member.hook_name for member in todo.values()]) if todo else {}
            known |= {work: _timed(member.config, widths[member.hook_name], torch.device(device)) for work, member in todo.items()}
            _keep_times(out, device, known)
    return {work: known[work] for work in wanted}


def _widths(family: Family, hook_names: Sequence[str]) -> dict[str, int]:
    from msae.activations.hooks import widths
    from msae.lm.loading import load_language_model

    return widths(load_language_model(family.language_model), list(dict.fromkeys(hook_names)))


def _timed(config: TrainConfig, d_model: int, device: torch.device, seconds: float = 0.25) -> float:
    """Seconds of one step, the median of those that fit into a moment, three at least."""
    trial = replace(config, n_steps=10_000, start_l0=_mean_l0(config), seed=config.seeds[0])
    run, times = Run(trial, d_model, device), list[float]()
    x = torch.randn(1, config.batch_size, d_model, generator=torch.Generator().manual_seed(0)).to(device)
    while len(times) < 5 or (sum(times) < seconds and len(times) < 50):
        started = time.perf_counter()
        run.step(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return sorted(times[2:])[len(times[2:]) // 2]


def _mean_l0(config: TrainConfig) -> float | None:
    """Active latents in the mean over a run, in which L0 falls geometrically from the start to the target."""
    if config.start_l0 is None or config.target_l0 is None or config.start_l0 <= config.target_l0:
        return config.start_l0
    falling = (config.start_l0 - config.target_l0) / math.log(config.start_l0 / config.target_l0)
    return config.sparsify * falling + (1 - config.sparsify) * config.target_l0


def _known_times(out: Path | None, device: str) -> dict[str, float]:
    try:
        return {str(work): float(seconds) for work, seconds in _all_times(out)[hardware(device)].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _all_times(out: Path | None) -> dict[str, Any]:
    """Times by hardware: a folder may be worked on by several kinds at once."""
    try:
        known = {} if out is None else json.loads((out / TIMES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _keep_times(out: Path | None, device: str, times: Mapping[str, float]) -> None:
    if out is None or not out.is_dir():
        return
    write_file(out / TIMES, as_json(_all_times(out) | {hardware(device): dict(times)}, "the times", indent=1))
