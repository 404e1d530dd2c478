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
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

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

    def members(self, only: str | Sequence[str] = "*", length: float = 1.0) -> list[Member]:
        """All SAEs whose id fits a pattern, or one of several, in the order of training.

        Args:
            length: the share of the steps to train for.

        Raises:
            ValueError: no id fits.
        """
        found = [member for group in self.groups for member in _members(group, self.recipe, length)]
        patterns = [only] if isinstance(only, str) else only
        chosen = [member for member in found if any(fnmatch.fnmatchcase(member.id, pattern) for pattern in patterns)]
        if not chosen:
            raise ValueError(
                f"no SAE of this family is called {only!r}; there are {len(found)}, such as {found[0].id!r} and {found[-1].id!r}"
            )
        return chosen


def _members(group: Mapping[str, Any], recipe: Mapping[str, Any], length: float) -> Iterator[Member]:
    shared = dict(recipe) | {"n_steps": max(1, round(length * group["n_steps"]))}
    for hook_name in group["hook_names"]:
        for seed in group["seeds"]:
            sizes = [(f"S{i}", n, l0, "plain") for i, (n, l0) in enumerate(group.get("references", []))]
            for l0 in group.get("target_l0", []):
                sizes += [(f"{kind}-{l0}", group["n_latents"], l0, loss) for kind, loss in KINDS.items()]
            sizes += [(f"vanilla-{l0}-{n}", n, l0, "plain") for n, l0 in group.get("sizes", [])]
            for name, n_latents, l0, loss in sizes:
                config = TrainConfig(**shared | {"n_latents": n_latents, "target_l0": float(l0), "loss": loss, "seed": seed})
                yield Member(hook_name, name, seed, config)


KINDS = {"vanilla": "plain", "matryoshka": "all_prefixes"}


def load_family(name: str | os.PathLike) -> Family:
    """A family that ships with msae ("bundled" or "article"), or one from a JSON file.

    Raises:
        FileNotFoundError, ValueError: naming what is missing or unknown, before any work.
    """
    shipped = files("msae") / "assets" / "families" / f"{name}.json"
    path = shipped if str(name) in FAMILIES else Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"there is no family {str(name)!r}: give {', '.join(FAMILIES)}, or a JSON file of your own")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about.pop("format", None) != "msae-family/1":
            raise ValueError("its format is not msae-family/1")
        family = Family(**about)
        family.members()
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is not a family of SAEs: {error}; msae/assets/families/bundled.json shows what one looks like") from error
    return family


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

    if not 0 < length <= 1:
        raise ValueError(f"length is a share of the whole run, above 0 and up to 1, got {length}")
    members = family.members(only, length)
    out = Path(out)
    lm = stories = None
    for alike in together(members):
        hook_name, _, seed, _ = alike[0]
        todo = [member for member in alike if not is_trained(out, member)]
        if not todo:
            continue
        if lm is None:
            lm = load_language_model(family.language_model, device)
            stories = split_stories(load_stories(family.stories))[0]
        (out / hook_name).mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(out / hook_name / f".seed{seed}.lock", timeout=0):
                todo = [member for member in alike if not is_trained(out, member)]  # another may have been here
                if not todo:
                    continue
                mark = hashlib.sha256("\n".join(member.id for member in todo).encode()).hexdigest()[:8]
                stream = _stream(
                    family, lm, stories, hook_name, [m.hook_name for m in members], out / "activations", length, device, progress
                )
                checkpoint = out / hook_name / f".seed{seed}-{mark}.safetensors"
                configs = {member.name: member.config for member in todo}
                results = train(
                    configs,
                    stream,
                    data_seed=seed,
                    checkpoint=checkpoint,
                    checkpoint_every=checkpoint_every,
                    progress=progress,
                    device=device,
                )
                for member in todo:
                    sae = results[member.name].sae
                    sae.config |= {"family": _about(family, member, stream, results[member.name].seconds, len(todo), length, device)}
                    sae.half().save(out / member.id)
                checkpoint.unlink(missing_ok=True)
        except Timeout:
            continue
    return [member for member in members if is_trained(out, member)]


def is_trained(out: Path, member: Member) -> bool:
    """Whether an SAE is complete; `SAE.save` writes this file last.

    Raises:
        ValueError: one of this name is there, but it was trained for another number of steps, or at another size or L0.
    """
    path = out / member.id / "sae.json"
    if not path.is_file():
        return False
    recorded = json.loads(path.read_text(encoding="utf-8")).get("config", {})
    for name in ("n_steps", "n_latents", "target_l0", "loss"):
        asked = getattr(member.config, name)
        if recorded.get(name) != asked:
            raise ValueError(
                f"{path.parent} was trained with {name} {recorded.get(name)}, and {asked} is asked for: "
                "give the --length it was trained with, or another --out"
            )
    return True


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
    hook_name: str,
    hook_names: Sequence[str],
    cache: Path,
    length: float,
    device: str,
    progress: bool,
) -> Any:
    """Activations at one hook: computed while training goes on, or from a harvest of all the hooks in one pass over the model."""
    from msae.activations import LiveActivations, harvest

    assert lm is not None
    assert stories is not None
    n_tokens = None if family.n_tokens is None else max(1, round(length * family.n_tokens))
    if family.live:
        return LiveActivations(lm, stories, hook_name, n_ctx=family.n_ctx, n_tokens=n_tokens, device=device)
    names = list(dict.fromkeys(hook_names))
    return harvest(lm, stories, names, n_ctx=family.n_ctx, n_tokens=n_tokens, cache=cache, progress=progress)[hook_name]


def _about(family: Family, member: Member, stream: Any, seconds: float, n_together: int, length: float, device: str) -> dict[str, Any]:
    """What has to be known to make this SAE again, and what it took: `seconds` for all of the `n_together` that shared the stream."""
    from msae import __version__

    return {
        "id": member.id,
        "language_model": family.language_model,
        "stories": family.stories,
        "n_ctx": family.n_ctx,
        "n_tokens": len(stream),
        "length": length,
        "data_seed": member.seed,
        "seconds": round(seconds, 1),
        "n_together": n_together,
        "hardware": hardware(device),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": __version__},
    }


def hardware(device: str = "cpu") -> str:
    """What a time was measured on."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores, {platform.machine()}"
