"""Train what is missing of a family, one process or several, each SAE in a folder of its own."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from msae.family.members import Family, Member, checked, together
from msae.lm.sources import SOURCES, source, source_differences
from msae.sae.files import check_files
from msae.support import arguments
from msae.support.checkpoints import load_checkpoint
from msae.support.origin import check_origin, plain
from msae.training.loop import train
from msae.training.recipes import recipe_differences

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def train_family(
    family: Family,
    out: str | os.PathLike,
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
        only: a pattern of ids, or several (`*` for anything), such as "blocks.3.*" or "*/matryoshka-30-seed0".
        length: share of the steps and of `n_tokens`: 0.001 tries everything out.

    Returns:
        the members that are complete now; others may still be in the hands of another process.

    Raises:
        ValueError: an impossible length, or `out` holds SAEs of these names that were trained otherwise.
    """
    from filelock import FileLock, Timeout  # comes with torch

    from msae.lm.loading import load_language_model
    from msae.texts.stories import load_stories, split_stories

    members = checked(family, device).members(only, length)
    out = arguments.new_folder("out", out)
    arguments.whole("checkpoint_every", checkpoint_every, 1)
    arguments.yes_or_no("progress", progress)
    missing = [member for member in members if not is_trained(out, member)]  # all are held against their files before any work
    lm = stories = None
    made_from: Mapping[str, Any] = {}
    for alike in together(members):
        hook_name, seed = alike[0].hook_name, alike[0].seed
        if not any(member in missing for member in alike):
            continue
        if lm is None:
            lm = load_language_model(family.language_model, device)
            stories = split_stories(load_stories(family.stories))[0]
            made_from = source(family.language_model, family.stories)
        (out / hook_name).mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(out / hook_name / f".seed{seed}.lock", timeout=0):
                todo = [member for member in alike if not is_trained(out, member)]  # another may have been here
                if not todo:
                    continue
                stream = _stream(family, lm, stories, alike[0], members, out / "activations", device, progress)
                for member in (each for each in alike if each not in todo):
                    _check_stream(out / member.id, stream)
                checkpoint, started = _started(out / hook_name, todo, alike)
                results = train(
                    {member.name: member.config for member in started},
                    stream,
                    data_seed=seed,
                    checkpoint=checkpoint,
                    checkpoint_every=checkpoint_every,
                    progress=progress,
                    device=device,
                )
                for member in todo:
                    sae = results[member.name].sae
                    took = {"seconds": round(results[member.name].seconds, 1), "n_together": len(started), "hardware": hardware(device)}
                    sae.config |= {"family": _about(family, member, made_from, len(stream), length) | took}
                    fits = all(weight.abs().max() <= torch.finfo(torch.float16).max for weight in sae.parameters())
                    (sae.half() if fits else sae).save(out / member.id)
                checkpoint.unlink(missing_ok=True)
        except Timeout:
            continue
    return [member for member in members if is_trained(out, member)]


def _started(folder: Path, todo: Sequence[Member], alike: Sequence[Member]) -> tuple[Path, list[Member]]:
    """The checkpoint to go on from, and which members it is of: all that are missing, perhaps with some that were saved before the end.

    What a run was of need not be what is missing now: it may have been killed between two saves.
    """
    for path in sorted(folder.glob(f".seed{todo[0].seed}-*.safetensors")):
        try:
            names = set(load_checkpoint(path)["runs"])
        except Exception:  # a file of another kind, or damaged: no start to go on from
            continue
        if {member.name for member in todo} <= names <= {member.name for member in alike}:
            return path, [member for member in alike if member.name in names]
    mark = hashlib.sha256("\n".join(member.id for member in todo).encode()).hexdigest()[:8]
    return folder / f".seed{todo[0].seed}-{mark}.safetensors", list(todo)


def is_trained(out: Path, member: Member) -> bool:
    """Whether an SAE is complete: both of its files are there, and of one save.

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


def _check_stream(folder: Path, stream: Any) -> None:
    """Of SAEs side by side one may have been trained on other texts under the same name, from the hub say."""
    made_from = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["config"].get("made_from", {})
    now = getattr(stream, "origin", None) or {}
    asked = {name: now[name] for name in ("language_model", "texts") if name in now}
    check_origin(made_from, asked, str(folder), "give another folder, so that one folder holds SAEs of the same activations")


def _stream(
    family: Family,
    lm: TransformerBridge | None,
    stories: Sequence[str] | None,
    member: Member,
    members: Sequence[Member],
    cache: Path,
    device: str,
    progress: bool,
) -> Any:
    """Activations at one hook: computed while training goes on, or from a harvest of all the hooks in one pass over the model."""
    from msae.activations.kept import harvest
    from msae.activations.live import LiveActivations

    assert lm is not None
    assert stories is not None
    n_tokens = member.made_from["n_tokens"]
    if family.live:
        return LiveActivations(lm, stories, member.hook_name, n_ctx=family.n_ctx, n_tokens=n_tokens, device=device)
    names = list(dict.fromkeys(each.hook_name for each in members))
    return harvest(lm, stories, names, n_ctx=family.n_ctx, n_tokens=n_tokens, cache=cache, progress=progress)[member.hook_name]


def _about(family: Family, member: Member, made_from: Mapping[str, Any], n_tokens: int, length: float) -> dict[str, Any]:
    """What has to be known to make this SAE again."""
    from msae import __version__

    return {
        "id": member.id,
        **made_from,
        "n_ctx": family.n_ctx,
        "n_tokens": n_tokens,
        "all_tokens": family.n_tokens is None,
        "live": family.live,
        "length": length,
        "data_seed": member.seed,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": __version__},
    }


def hardware(device: str = "cpu") -> str:
    """What a time was measured on."""
    if (found := arguments.device("device", device)).type == "cuda":
        return torch.cuda.get_device_name(found)
    return f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores, {platform.machine()}"
