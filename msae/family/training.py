"""Train what is missing of a family, one process or several, each SAE in a folder of its own."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from msae.family.members import Family, Member, checked, runs_of
from msae.family.recorded import about, is_done, is_trained
from msae.family.streams import Streams, TimeIsUp, Until
from msae.lm.sources import source
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.checkpoints import load_checkpoint
from msae.support.hardware import hardware
from msae.support.origin import check_origin
from msae.training.config import Stream
from msae.training.loop import train


def train_family(
    family: Family,
    out: str | os.PathLike[str],
    *,
    only: str | Sequence[str] = "*",
    length: float = 1.0,
    device: str = "cpu",
    checkpoint_every: int = 250,
    minutes: float | None = None,
    then: Callable[[Sequence[Member]], None] | None = None,
    progress: bool = True,
) -> list[Member]:
    """Train what is missing in `out`, in the order of the family. Members of one hook and one seed are trained together, on one stream of
    activations; those of an independent family each on its own. Several processes may share a folder: each takes the first run
    that no other is at. One that was cut off goes on.

    Args:
        family: what to train, and on what.
        out: a folder for the SAEs; `out/<hook>/<name>-seed<n>` each.
        only: a pattern of ids, or several (`*` for anything), such as "blocks.3.*" or "*/matryoshka-30-seed0".
        length: share of the steps and of `n_tokens`: 0.001 tries everything out.
        device: where to train.
        checkpoint_every: steps between two checkpoints.
        minutes: stop after this long, with a checkpoint; go on until all is done if left out.
        then: called with the members of each run as soon as they are saved: to measure them, say.
        progress: show bars.

    Returns:
        the members that are complete now; others may still be in the hands of another process.

    Raises:
        ValueError: an impossible length, or `out` holds SAEs of these names that were trained otherwise.
        FileNotFoundError: the stories have to be made first, with the command that the family names.

    Example:
        >>> import msae
        >>> msae.train_family(msae.load_family("bundled"), "out", length=2)
        Traceback (most recent call last):
        ValueError: length is a share of the whole run, above 0 and up to 1, got 2
    """
    job = _Job(family, checked(family, device).members(only, length), arguments.new_folder("out", out), length, device=device)
    how = {"checkpoint_every": arguments.whole("checkpoint_every", checkpoint_every, 1)}
    how["progress"] = arguments.yes_or_no("progress", progress)
    end = time.monotonic() + 60 * (float("inf") if minutes is None else arguments.number("minutes", minutes, above=0))
    if then is not None and not callable(then):
        raise ValueError(f"then must be a function of the members of a run, got {arguments.shown(then)}")
    missing = {member.id for member in job.members if not is_done(job.out, member)}  # all are held against their files before any work
    left = [run for run in runs_of(family, job.members) if any(member.id in missing for member in run)]
    if left:
        family.check_stories()
        names = list(dict.fromkeys(run[0].hook_name for run in left))
        streams = Streams(family, names, job.out, job.members[0].made_from["n_tokens"], device=device, progress=progress)
        try:
            while time.monotonic() < end and (run := _next_trained(job, streams, left, end, how)):
                left.remove(run)
                if then is not None:
                    then(run)
        except TimeIsUp:
            pass
    return [member for member in job.members if is_done(job.out, member)]


@dataclass
class _Job:
    """What `train_family` is asked for."""

    family: Family

    members: Sequence[Member]
    """Those to train, at all their hooks."""

    out: Path
    length: float
    device: str


def _next_trained(job: _Job, streams: Streams, left: list[list[Member]], end: float, how: Mapping[str, Any]) -> list[Member] | None:
    """Train the first run that no other process is at; None where there is none. What others have done meanwhile is taken out of `left`."""
    from filelock import FileLock, Timeout  # comes with torch

    for run in list(left):
        folder = job.out / run[0].hook_name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / f"{_mark(job, run)}.lock", timeout=0):
                todo = [member for member in run if not is_done(job.out, member)]
                if todo:
                    _train_run(job, streams, [member for member in run if member in todo or is_trained(job.out, member)], end, how)
                    return run
        except Timeout:
            continue
        left.remove(run)
    return None


def _mark(job: _Job, run: Sequence[Member]) -> str:
    """What the lock and the checkpoint of a run are called, beside its SAEs."""
    return f".{run[0].name}-seed{run[0].seed}" if job.family.independent else f".seed{run[0].seed}"


def _train_run(job: _Job, streams: Streams, run: Sequence[Member], end: float, how: Mapping[str, Any]) -> None:
    """Train what is missing of the members of one run, and save each."""
    todo = [member for member in run if not is_done(job.out, member)]
    stream = streams.at(run[0].hook_name)
    for member in (each for each in run if each not in todo):
        _check_stream(job.out / member.id, stream)
    checkpoint, started = _started(job.out / run[0].hook_name / _mark(job, run), todo, run)
    configs = {member.name: member.config for member in started}
    results = train(configs, Until(stream, end), data_seed=run[0].data_seed, checkpoint=checkpoint, device=job.device, **how)
    made_from = source(job.family.language_model, job.family.stories)
    for member in todo:
        sae, seconds = results[member.name].sae, round(results[member.name].seconds, 1)
        took = {"seconds": seconds, "n_together": len(started), "hardware": hardware(job.device)}
        of_it = about(member, made_from, n_tokens=len(stream), length=job.length, independent=job.family.independent)
        sae.config |= {"family": of_it | took}
        _in_half_precision(sae).save(job.out / member.id)
    checkpoint.unlink(missing_ok=True)


def _in_half_precision(sae: SAE) -> SAE:
    """Half the size, where every weight fits."""
    fits = all(weight.abs().max() <= torch.finfo(torch.float16).max for weight in sae.parameters())
    return sae.half() if fits else sae


def _started(place: Path, todo: Sequence[Member], run: Sequence[Member]) -> tuple[Path, list[Member]]:
    """The checkpoint to go on from, and which members it is of: all that are missing, perhaps with some that were saved before the end.

    What a run was of need not be what is missing now: it may have been killed between two saves.
    """
    for path in sorted(place.parent.glob(f"{place.name}-*.safetensors")):
        try:
            names = set(load_checkpoint(path)["runs"])
        except Exception:  # a file of another kind, or damaged: no start to go on from
            continue
        if {member.name for member in todo} <= names <= {member.name for member in run}:
            return path, [member for member in run if member.name in names]
    mark = hashlib.sha256("\n".join(member.id for member in todo).encode()).hexdigest()[:8]
    return place.with_name(f"{place.name}-{mark}.safetensors"), list(todo)


def _check_stream(folder: Path, stream: Stream) -> None:
    """Of SAEs side by side one may have been trained on other texts under the same name, from the hub say."""
    made_from = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["config"].get("made_from", {})
    now = getattr(stream, "origin", None) or {}
    asked = {name: now[name] for name in ("language_model", "texts") if name in now}
    check_origin(made_from, asked, str(folder), "give another folder, so that one folder holds SAEs of the same activations")
