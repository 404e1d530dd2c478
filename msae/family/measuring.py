"""The table of a family: every SAE measured on stories that it never saw.

    python -m msae family measure --out family --valid valid.jsonl.zst --table results.json

A row says what an SAE is, what it took, and what was measured on each set of stories (`msae.family.rows`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msae.family.members import Family, Member, by_hook_and_seed, checked
from msae.family.reading import read_sets
from msae.family.rows import SAEsOnStories, measured, plain_beside
from msae.family.training import is_trained
from msae.lm.sources import content_of, sha256_of_file, source
from msae.support import arguments
from msae.support.files import as_json, write_file
from msae.training.recipes import todays

N_TOKENS = 50_000
"""Tokens of each set of stories that are measured on, for all but the loss recovered."""

N_SPLICED = 128
"""Texts that the language model reads with each SAE in its stream, drawn at random from all of them: the first ones are no sample."""


def measure_family(
    family: Family,
    out: str | os.PathLike[str],
    *,
    valid: str | os.PathLike[str] | None = None,
    only: str | Sequence[str] = "*",
    length: float = 1.0,
    n_tokens: int = N_TOKENS,
    n_spliced: int = N_SPLICED,
    device: str = "cpu",
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Measure the SAEs in `out` that have not been measured, and return the rows of all.

    A row lies beside its SAE, in `row.json`, as soon as it is measured; it is made again where the weights, its own or those of its
    references, the language model, the stories or the numbers asked for have changed.

    Args:
        family: whose SAEs they are.
        out: the folder that `train_family` filled.
        valid: more stories to measure on, as for `msae.load_stories`. Every 20th of the family's own is measured on in any case.
        only: a pattern of ids, or several.
        length: the share of the steps that they were trained for.
        n_tokens: at most so many tokens of each set.
        n_spliced: at most so many texts of each set for loss recovered and KL, drawn at random.
        device: where the model and the SAEs compute.
        progress: show a bar.

    Returns:
        a row for each SAE: JSON values by name.

    Raises:
        FileNotFoundError: none of the SAEs is there.
        ValueError: one was made otherwise than this family makes it; or one cannot be measured, after all others have been.

    Example:
        >>> import msae
        >>> msae.measure_family(msae.load_family("bundled"), "nowhere")
        Traceback (most recent call last):
        FileNotFoundError: nowhere holds none of the SAEs of '*': train them first, with `python -m msae family train --out nowhere`
    """
    members = checked(family, device).members(only, length)
    how: dict[str, Any] = {"length": length, "n_tokens": n_tokens, "n_spliced": n_spliced, "device": device, "progress": progress}
    job = _Job(family, arguments.path("out", out), valid, **how)
    members = [member for member in members if is_trained(job.out, member)]
    if not members:
        raise FileNotFoundError(
            f"{out} holds none of the SAEs of {only!r}: train them first, with `python -m msae family train --out {out}`"
        )
    if failed := _measure_missing(job, members):
        name, why = next(iter(failed.items()))
        they = f"{len(failed)} of {len(members)} SAEs"
        raise ValueError(f"{they} cannot be measured, the rows of the others are kept; {name}: {why}") from why
    return [json.loads((job.out / member.id / "row.json").read_text(encoding="utf-8")) for member in members]


@dataclass
class _Job:
    """What `measure_family` is asked for, judged before any work."""

    family: Family
    out: Path
    valid: str | os.PathLike[str] | None
    length: float
    n_tokens: int
    n_spliced: int
    device: str
    progress: bool

    def __post_init__(self) -> None:
        for name, value, least in (("n_tokens", self.n_tokens, 2), ("n_spliced", self.n_spliced, 1)):
            arguments.whole(name, value, least)
        arguments.yes_or_no("progress", self.progress)
        self.valid = None if self.valid is None else str(arguments.path("valid", self.valid))
        _ = self.asked

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What a row depends on beside the weights: it is measured again where this has changed."""
        content = source(self.family.language_model, self.family.stories)["content"]
        if self.valid is not None:
            content |= {"valid": content_of("stories", str(self.valid))}
        asked: dict[str, Any] = {"valid": None if self.valid is None else Path(self.valid).name}
        asked |= {"n_tokens": self.n_tokens, "n_spliced": self.n_spliced, "spliced": "at random"}
        return asked | {"concepts": dict(self.family.concepts), "content": content}


def _measure_missing(job: _Job, members: Sequence[Member]) -> dict[str, Exception]:
    """Write the rows that are missing; returns what was wrong with the SAEs that cannot be measured, by id."""
    beside = {}
    for hook_name, seed in dict.fromkeys((member.hook_name, member.seed) for member in members):
        all_there = [member for member in job.family.members(length=job.length) if (member.hook_name, member.seed) == (hook_name, seed)]
        beside[hook_name, seed] = [member for member in all_there if is_trained(job.out, member)]
    todo = [member for member in members if not _is_measured(job, member, beside[member.hook_name, member.seed])]
    failed: dict[str, Exception] = {}
    if not todo:
        return failed
    from tqdm.auto import tqdm

    hook_names = list(dict.fromkeys(member.hook_name for member in todo))
    valid = None if job.valid is None else str(job.valid)
    sets = read_sets(job.family, valid, hook_names, n_tokens=job.n_tokens, device=job.device, progress=job.progress)
    with tqdm(total=len(todo) * len(sets), unit="SAE", disable=not job.progress) as bar:
        for run in by_hook_and_seed(todo):
            others = beside[run[0].hook_name, run[0].seed]
            folders, names = {member.name: job.out / member.id for member in others}, [member.name for member in run]
            on_sets = {name: SAEsOnStories(folders, job.device, names, stories, job.n_spliced) for name, stories in sets.items()}
            for member in run:
                found: dict[str, Any] = {}
                try:
                    for name, on in on_sets.items():
                        found[name] = measured(member.name, on)
                        bar.update()
                except (ValueError, ArithmeticError, RuntimeError) as error:  # the others are measured all the same
                    failed[member.id] = error
                    continue
                row = _describe(job.out / member.id, member) | {"asked": job.asked, "references": _references(job.out, member, others)}
                write_file(job.out / member.id / "row.json", as_json(row | {"measured": found}, "row", indent=1))
    return failed


def _is_measured(job: _Job, member: Member, beside: Sequence[Member]) -> bool:
    """Whether there is a row of this SAE as it is now, with the references that there are, of the numbers asked for."""
    out = job.out
    try:
        row = json.loads((out / member.id / "row.json").read_text(encoding="utf-8"))
        weights = sha256_of_file(out / member.id / "sae.safetensors")
        is_of_these = row["sha256"] == weights and row["references"] == _references(out, member, beside)
        return bool(row["measured"] and row["asked"] == job.asked and is_of_these)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _references(out: Path, member: Member, beside: Sequence[Member]) -> dict[str, str]:
    """The SAEs that a large one is compared with, and the hashes of their weights."""
    if member.name.startswith("S"):
        return {}
    plain = plain_beside(member.name, [other.name for other in beside])
    compared = [other for other in beside if other.name.startswith("S") or other.name == plain]
    return {other.name: sha256_of_file(out / other.id / "sae.safetensors") for other in compared}


def _describe(folder: Path, member: Member) -> dict[str, Any]:
    """What an SAE is and what it took, from its own file."""
    config = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["config"]
    recipe = todays({name: value for name, value in config.items() if name not in ("family", "seed", "made_from")})
    about = dict(config["family"])
    about.pop("id", None)
    return {
        "id": member.id,
        "hook_name": member.hook_name,
        "name": member.name,
        "seed": member.seed,
        "n_latents": member.config.n_latents,
        "target_l0": member.config.target_l0,
        "sha256": sha256_of_file(folder / "sae.safetensors"),
        **about,
        "recipe": recipe,
        **({"made_from": config["made_from"]} if "made_from" in config else {}),
    }
