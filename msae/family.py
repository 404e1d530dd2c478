"""The SAEs of part 2: small references, large plain and Matryoshka SAEs, at several hooks, trained by one command.

    python -m msae family train --family bundled --out family        # started again, it goes on; started twice, two share the work

A family is a JSON file: which model, which stories, and groups of SAEs that are alike but for hook, seed, size and L0. Each SAE ends up in
a folder of its own, `out/<hook>/<name>-seed<n>`.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError

from msae._family_checks import check_family, refuse_unknown
from msae.checkpoints import load_checkpoint
from msae.sae import check_files
from msae.sources import SOURCES, source, source_differences
from msae.support import arguments
from msae.support.origin import check_origin, differences, plain
from msae.training import TrainConfig, train

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

FAMILIES = ("bundled", "article")


class Member(NamedTuple):
    """One SAE of a family."""

    hook_name: str

    name: str
    """S0, S1, … for the references, the smallest first; vanilla-30, matryoshka-30 for large ones at an L0 of 30, vanilla-30-819 for a plain
    one of 819 latents."""

    seed: int
    """Of the weights and of the order of the batches."""

    config: TrainConfig

    made_from: Mapping[str, Any] = {}
    """What it is trained on: "language_model" and "stories" by name, "n_ctx", "n_tokens" (None for all there are), "live"."""

    @property
    def id(self) -> str:
        """What it is called in tables, and its folder."""
        return f"{self.hook_name}/{self.name}-seed{self.seed}"


@dataclass(frozen=True)
class Family:
    """What to train, and on what; the fields are those of the file."""

    language_model: str
    """As for `msae.load_language_model`."""

    stories: str
    """As for `msae.load_stories`; every 20th is held out."""

    groups: Sequence[Mapping[str, Any]]
    """`hook_names`, `seeds` and `n_steps`, and what to train there: `references` [[n_latents, L0], …], `n_latents` and `target_l0` [L0, …]
    of the large SAEs, or `sizes` [[n_latents, L0], …], more plain SAEs, to see what size is worth."""

    n_ctx: int = 128
    """Tokens in a text, [BEGIN] included."""

    n_tokens: int | None = None
    """How many of the stories' tokens are trained on; all where none is given."""

    live: bool = False
    """Compute activations while training reads them, for streams that no disk holds; else they are harvested once, to disk."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig` that all SAEs share."""

    concepts: Mapping[str, str] = field(default_factory=dict)
    """Token patterns (`msae.patterns`) by name: the concepts whose fate is measured."""

    what: str = ""
    """For people."""

    def __post_init__(self) -> None:
        check_family(self)
        alike: dict[tuple[str, int], Member] = {}
        ids: set[str] = set()
        for member in self._all():
            if member.id in ids:
                raise ValueError(f"two SAEs would be called {member.id}: give them sizes or seeds that differ")
            ids.add(member.id)
            first = alike.setdefault((member.hook_name, member.seed), member)
            if first.config.n_steps != member.config.n_steps:
                sizes = f"{first.config.n_steps} and {member.config.n_steps}"
                raise ValueError(f"SAEs of one hook and seed share their steps: n_steps is {sizes} for {first.id} and {member.id}")
        if not ids:
            raise ValueError("groups must name at least one SAE: give references, sizes, or n_latents and target_l0")

    def members(self, only: str | Sequence[str] = "*", length: float = 1.0) -> list[Member]:
        """All SAEs whose id fits a pattern, or one of several, in the order of training.

        Args:
            length: the share of the steps to train for.

        Raises:
            ValueError: an impossible length, or a pattern that no id fits.
        """
        if isinstance(length, bool) or not isinstance(length, (int, float)) or not 0 < length <= 1:
            raise ValueError(f"length is a share of the whole run, above 0 and up to 1, got {arguments.shown(length)}")
        patterns = [only] if isinstance(only, str) else only
        if not isinstance(patterns, Sequence) or not patterns or not all(isinstance(pattern, str) for pattern in patterns):
            raise ValueError(f"only must be a pattern of ids such as 'blocks.3.*', or a list of them, got {arguments.shown(only)}")
        found = list(self._all(length))
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(member.id, pattern) for member in found):
                raise ValueError(
                    f"no SAE of this family is called {pattern!r}; there are {len(found)}, such as {found[0].id!r} and {found[-1].id!r}"
                )
        return [member for member in found if any(fnmatch.fnmatchcase(member.id, pattern) for pattern in patterns)]

    def _all(self, length: float = 1.0) -> Iterator[Member]:
        n_tokens = None if self.n_tokens is None else max(1, round(length * self.n_tokens))
        made_from = {name: getattr(self, name) for name in (*SOURCES, "n_ctx", "live")} | {"n_tokens": n_tokens}
        for group in self.groups:
            for hook_name, name, seed, config in _members(group, self.recipe, length):
                yield Member(hook_name, name, seed, config, made_from)


def _members(group: Mapping[str, Any], recipe: Mapping[str, Any], length: float) -> Iterator[tuple[str, str, int, TrainConfig]]:
    shared: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in recipe.items()}
    shared["n_steps"] = max(1, round(length * group["n_steps"]))
    for hook_name in group["hook_names"]:
        for seed in group["seeds"]:
            sizes = [(f"S{i}", n, l0, "plain") for i, (n, l0) in enumerate(group.get("references", []))]
            for l0 in group.get("target_l0", []):
                sizes += [(f"{kind}-{l0}", group["n_latents"], l0, loss) for kind, loss in KINDS.items()]
            sizes += [(f"vanilla-{l0}-{n}", n, l0, "plain") for n, l0 in group.get("sizes", [])]
            for name, n_latents, l0, loss in sizes:
                config = TrainConfig(**shared | {"n_latents": n_latents, "target_l0": float(l0), "loss": loss, "seed": seed})
                yield hook_name, name, seed, config


KINDS = {"vanilla": "plain", "matryoshka": "all_prefixes"}


def load_family(name: str | os.PathLike) -> Family:
    """A family that ships with msae ("bundled" or "article"), or one from a JSON file.

    Raises:
        FileNotFoundError, ValueError: naming what is missing or unknown, before any work.
    """
    shipped = files("msae") / "assets" / "families" / f"{name}.json"
    path = shipped if str(name) in FAMILIES else arguments.path("name", name)
    if not path.is_file():
        raise FileNotFoundError(f"there is no family {str(name)!r}: give {', '.join(FAMILIES)}, or a JSON file of your own")
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))  # written by hand, and Windows marks its text files
        if not isinstance(about, dict):
            raise ValueError(f"expected an object, got {arguments.shown(about)}")
        if about.pop("format", None) != "msae-family/1":
            raise ValueError("its format is not msae-family/1")
        known = [field.name for field in fields(Family)]
        for field_name in about.keys() - set(known):
            refuse_unknown("it", field_name, known)
        for field_name in {"language_model", "stories", "groups"} - about.keys():
            raise ValueError(f"it lacks {field_name!r}")
        return Family(**about)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        fix = "msae/assets/families/bundled.json shows what one looks like"
        raise ValueError(f"{name} is not a family of SAEs: {error}; {fix}") from error


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

    from msae.language_model import load_language_model
    from msae.stories import load_stories, split_stories

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


def checked(family: Any, device: Any = "cpu") -> Family:
    """The family, where it is one and the device is there."""
    if not isinstance(family, Family):
        raise ValueError(f"family must be a Family, such as load_family('bundled') gives, got {arguments.shown(family)}")
    arguments.device("device", device)
    return family


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
    found = differences(recorded, asked)
    if member.made_from:
        found += source_differences(recorded, source(member.made_from["language_model"], member.made_from["stories"]))
    return [text.replace(" is ", " ", 1) for text in found]


def _check_stream(folder: Path, stream: Any) -> None:
    """Of SAEs side by side one may have been trained on other texts under the same name, from the hub say."""
    made_from = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["config"].get("made_from", {})
    now = getattr(stream, "origin", None) or {}
    asked = {name: now[name] for name in ("language_model", "texts") if name in now}
    check_origin(made_from, asked, str(folder), "give another folder, so that one folder holds SAEs of the same activations")


def together(members: Sequence[Member]) -> list[list[Member]]:
    """Members of one hook and seed in one list, in the order of the first of each."""
    parts: dict[tuple[str, int], list[Member]] = {}
    for member in members:
        parts.setdefault((member.hook_name, member.seed), []).append(member)
    return list(parts.values())


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
    from msae.activations import LiveActivations, harvest

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
