"""Train what is missing of a family, one process or several, each SAE in a folder of its own."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError

from msae.family.members import Family, Member, by_hook_and_seed, checked
from msae.lm.sources import SOURCES, source, source_differences
from msae.sae.files import check_files
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.checkpoints import load_checkpoint
from msae.support.hardware import hardware
from msae.support.origin import check_origin, plain
from msae.support.version import __version__
from msae.training.loop import train
from msae.training.recipes import recipe_differences

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from msae.activations.kept import Activations
    from msae.activations.live import LiveActivations


def train_family(
    family: Family,
    out: str | os.PathLike[str],
    *,
    only: str | Sequence[str] = "*",
    length: float = 1.0,
    device: str = "cpu",
    checkpoint_every: int = 250,
    progress: bool = True,
) -> list[Member]:
    """Train what is missing in `out`. Members of one hook and one seed are trained together, on one stream of activations.

    Several processes may work on one folder, one per GPU say: each takes the next hook and seed that no other is at. A run that was cut
    off goes on from its last checkpoint.

    Args:
        family: what to train, and on what.
        out: a folder for the SAEs; `out/<hook>/<name>-seed<n>` each.
        only: a pattern of ids, or several (`*` for anything), such as "blocks.3.*" or "*/matryoshka-30-seed0".
        length: share of the steps and of `n_tokens`: 0.001 tries everything out.
        device: where to train.
        checkpoint_every: steps between two checkpoints.
        progress: show bars.

    Returns:
        the members that are complete now; others may still be in the hands of another process.

    Raises:
        ValueError: an impossible length, or `out` holds SAEs of these names that were trained otherwise.

    Example:
        >>> import msae
        >>> msae.train_family(msae.load_family("bundled"), "out", length=2)
        Traceback (most recent call last):
        ValueError: length is a share of the whole run, above 0 and up to 1, got 2
    """
    from filelock import FileLock, Timeout  # comes with torch

    job = _Job(family, checked(family, device).members(only, length), arguments.new_folder("out", out), length, device=device)
    arguments.whole("checkpoint_every", checkpoint_every, 1)
    arguments.yes_or_no("progress", progress)
    how = {"checkpoint_every": checkpoint_every, "progress": progress}
    missing = [member for member in job.members if not is_trained(job.out, member)]  # all are held against their files before any work
    read = None
    for run in by_hook_and_seed(job.members):
        if not any(member in missing for member in run):
            continue
        read = read or _read(family, device)
        folder = job.out / run[0].hook_name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / f".seed{run[0].seed}.lock", timeout=0):
                _train_run(job, read, run, how)
        except Timeout:
            continue
    return [member for member in job.members if is_trained(job.out, member)]


@dataclass
class _Job:
    """What `train_family` is asked for."""

    family: Family

    members: Sequence[Member]
    """Those to train, at all their hooks."""

    out: Path
    length: float
    device: str


class _Read(NamedTuple):
    """What all members are trained on."""

    lm: TransformerBridge
    stories: Sequence[str]

    made_from: Mapping[str, Any]
    """Both by name and content, as `msae.lm.sources.source` tells."""


def _read(family: Family, device: str) -> _Read:
    """The language model and the stories, without those that are held out."""
    from msae.lm.loading import load_language_model
    from msae.texts.stories import load_stories, split_stories

    lm = load_language_model(family.language_model, device)
    return _Read(lm, split_stories(load_stories(family.stories))[0], source(family.language_model, family.stories))


def _train_run(job: _Job, read: _Read, run: Sequence[Member], how: Mapping[str, Any]) -> None:
    """Train what is missing of the members of one hook and seed, and save each."""
    todo = [member for member in run if not is_trained(job.out, member)]  # another process may have been here
    if not todo:
        return
    stream = _stream(job, read, run[0].hook_name, progress=how["progress"])
    for member in (each for each in run if each not in todo):
        _check_stream(job.out / member.id, stream)
    checkpoint, started = _started(job.out / run[0].hook_name, todo, run)
    configs = {member.name: member.config for member in started}
    results = train(configs, stream, data_seed=run[0].seed, checkpoint=checkpoint, device=job.device, **how)
    for member in todo:
        sae, seconds = results[member.name].sae, round(results[member.name].seconds, 1)
        took = {"seconds": seconds, "n_together": len(started), "hardware": hardware(job.device)}
        sae.config |= {"family": _about(job, member, read.made_from, len(stream)) | took}
        _in_half_precision(sae).save(job.out / member.id)
    checkpoint.unlink(missing_ok=True)


def _in_half_precision(sae: SAE) -> SAE:
    """Half the size, where every weight fits."""
    fits = all(weight.abs().max() <= torch.finfo(torch.float16).max for weight in sae.parameters())
    return sae.half() if fits else sae


def _started(folder: Path, todo: Sequence[Member], run: Sequence[Member]) -> tuple[Path, list[Member]]:
    """The checkpoint to go on from, and which members it is of: all that are missing, perhaps with some that were saved before the end.

    What a run was of need not be what is missing now: it may have been killed between two saves.
    """
    for path in sorted(folder.glob(f".seed{todo[0].seed}-*.safetensors")):
        try:
            names = set(load_checkpoint(path)["runs"])
        except Exception:  # a file of another kind, or damaged: no start to go on from
            continue
        if {member.name for member in todo} <= names <= {member.name for member in run}:
            return path, [member for member in run if member.name in names]
    mark = hashlib.sha256("\n".join(member.id for member in todo).encode()).hexdigest()[:8]
    return folder / f".seed{todo[0].seed}-{mark}.safetensors", list(todo)


def is_trained(out: Path, member: Member) -> bool:
    """Whether an SAE is complete: both of its files are there, and of one save.

    Args:
        out: the folder of all SAEs.
        member: which of them.

    Raises:
        ValueError: one of this name is there, but it is damaged, or made otherwise: with another recipe, or on other activations.
    """
    path = out / member.id / "sae.json"
    if not path.is_file() or not path.with_name("sae.safetensors").is_file():
        return False
    try:
        about = check_files(path.parent)
        recorded = dict(about["config"])
        recorded |= {"hook_name": about["hook_name"]} | dict(recorded["family"])
    except (ValueError, TypeError, AttributeError, KeyError, SafetensorError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ValueError(f"{path.parent} does not hold a whole SAE of a family ({why}): delete it to train it again") from error
    if found := other_than(member, recorded):
        of_length = any(text.startswith(("n_steps ", "n_tokens ")) for text in found)
        fix = f"give the {'--length' if of_length else 'family'} it was trained with, or another --out"
        raise ValueError(f"{path.parent} was trained with {'; '.join(found)}: {fix}")
    return True


def other_than(member: Member, recorded: Mapping[str, Any]) -> list[str]:
    """Where what an SAE, or a row of a table, was made from is not what a member is made from: "lr 0.003, and 0.001 is asked for".

    Args:
        member: what the family would make.
        recorded: the recipe, what it was trained on, `hook_name` and `seed`, in one dict. What it lacks is not compared.
    """
    asked = plain(member.config.record()) | {"hook_name": member.hook_name, "seed": member.seed}
    asked |= {name: value for name, value in member.made_from.items() if name not in SOURCES}
    if asked.get("n_tokens", 0) is None:
        asked["n_tokens"] = recorded["n_tokens"] if recorded.get("all_tokens", True) and "n_tokens" in recorded else "all"
    found = recipe_differences(recorded, asked)
    if member.made_from:
        found += source_differences(recorded, source(member.made_from["language_model"], member.made_from["stories"]))
    return [text.replace(" is ", " ", 1) for text in found]


def _check_stream(folder: Path, stream: Activations | LiveActivations) -> None:
    """Of SAEs side by side one may have been trained on other texts under the same name, from the hub say."""
    made_from = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["config"].get("made_from", {})
    now = getattr(stream, "origin", None) or {}
    asked = {name: now[name] for name in ("language_model", "texts") if name in now}
    check_origin(made_from, asked, str(folder), "give another folder, so that one folder holds SAEs of the same activations")


def _stream(job: _Job, read: _Read, hook_name: str, *, progress: bool) -> Activations | LiveActivations:
    """Activations at one hook: computed while training goes on, or from a harvest of all the hooks in one pass over the model."""
    from msae.activations.kept import harvest
    from msae.activations.live import LiveActivations

    family, n_tokens = job.family, job.members[0].made_from["n_tokens"]
    if family.live:
        return LiveActivations(read.lm, read.stories, hook_name, n_ctx=family.n_ctx, n_tokens=n_tokens, device=job.device)
    names = list(dict.fromkeys(each.hook_name for each in job.members))
    how: dict[str, Any] = {"n_ctx": family.n_ctx, "n_tokens": n_tokens, "cache": job.out / "activations", "progress": progress}
    return harvest(read.lm, read.stories, names, **how)[hook_name]


def _about(job: _Job, member: Member, made_from: Mapping[str, Any], n_tokens: int) -> dict[str, Any]:
    """What has to be known to make this SAE again."""
    return {
        "id": member.id,
        **made_from,
        "n_ctx": job.family.n_ctx,
        "n_tokens": n_tokens,
        "all_tokens": job.family.n_tokens is None,
        "live": job.family.live,
        "length": job.length,
        "data_seed": member.seed,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": __version__},
    }
