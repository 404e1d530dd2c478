"""The table of a family: every SAE measured on stories that it never saw.

    python -m msae family measure --out family --valid valid.jsonl.zst --table results.json

A row says what an SAE is, what it took, and what was measured on each set of stories (`msae.family.rows`). Of an independent family each
large SAE is also held against every reference at its place, whatever its seed (`msae.family.pairs`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout  # comes with torch

from msae.family.members import Family, Member, checked, runs_of
from msae.family.pairs import Pairing, points
from msae.family.reading import ReadStories, read_sets
from msae.family.recorded import BROUGHT, describe, is_done, is_trained
from msae.family.rows import SAEsOnStories, measured, plain_beside
from msae.lm.sources import content_of, sha256_of_file, source
from msae.support import arguments
from msae.support.files import as_json, write_file

N_TOKENS = 50_000
"""Tokens of each set of stories that are measured on, for all but the loss recovered."""

N_SPLICED = 128
"""Texts that the language model reads with each SAE in its stream, drawn at random from all of them: the first ones are no sample."""

WRONG = (ValueError, ArithmeticError, RuntimeError)
"""What can be wrong with one SAE, so that the others are measured all the same."""


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
    references, the language model, the stories or the numbers asked for have changed. Several processes may share the work.

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
        a row for each SAE, JSON values by name; without those that another process is at.

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
    measuring = Measuring(family, arguments.path("out", out), valid, **how)
    members = [member for member in members if is_done(measuring.out, member)]
    if not members:
        raise FileNotFoundError(
            f"{out} holds none of the SAEs of {only!r}: train them first, with `python -m msae family train --out {out}`"
        )
    if failed := measuring.measure(members):
        name, why = next(iter(failed.items()))
        they = f"{len(failed)} of {len(members)} SAEs"
        raise ValueError(f"{they} cannot be measured, the rows of the others are kept; {name}: {why}") from why
    return measuring.rows(members)


def wait(family: Family, out: str | os.PathLike[str], *, only: str | Sequence[str] = "*", seconds: float = 20, **how: Any) -> None:
    """Measure what other processes train, as soon as it is there, until all is trained and measured.

    Args:
        family: whose SAEs they are.
        out: the folder that they are trained in.
        only: a pattern of ids, or several.
        seconds: from one look to the next.
        how: `valid`, `length`, `n_tokens`, `n_spliced`, `device`, `progress`, as for `measure_family`.
    """
    measuring = Measuring(checked(family), arguments.path("out", out), **how)
    members = family.members(only, measuring.length)
    while True:
        there = [member for member in members if is_done(measuring.out, member)]
        failed = measuring.measure(there)
        if len(there) == len(members) and not (failed or measuring.lacking(members)):
            return
        if failed and len(there) == len(members):
            raise next(iter(failed.values()))
        time.sleep(seconds)


class Measuring:
    """What is measured of a family, judged before any work; the stories are read when the first SAE is measured, and once."""

    def __init__(
        self,
        family: Family,
        out: Path,
        valid: str | os.PathLike[str] | None = None,
        *,
        length: float = 1.0,
        n_tokens: int = N_TOKENS,
        n_spliced: int = N_SPLICED,
        device: str = "cpu",
        progress: bool = True,
    ):
        """
        Args:
            family, out, valid, length, n_tokens, n_spliced, device, progress: as for `measure_family`.
        """
        for name, value, least in (("n_tokens", n_tokens, 2), ("n_spliced", n_spliced, 1)):
            arguments.whole(name, value, least)
        arguments.yes_or_no("progress", progress)
        self.family, self.out, self.length, self.device, self.progress = family, out, length, str(device), progress
        self.valid = None if valid is None else str(arguments.path("valid", valid))
        self.n_tokens, self.n_spliced = n_tokens, n_spliced
        self._sets: dict[str, ReadStories] = {}
        self._pairing = Pairing(out, device)
        _ = self.asked

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What a row depends on beside the weights: it is measured again where this has changed."""
        content = source(self.family.language_model, self.family.stories)["content"]
        if self.valid is not None:
            content |= {"valid": content_of("stories", self.valid)}
        asked: dict[str, Any] = {"valid": None if self.valid is None else Path(self.valid).name}
        asked |= {"n_tokens": self.n_tokens, "n_spliced": self.n_spliced, "spliced": "at random"}
        return asked | {"concepts": dict(self.family.concepts), "content": content}

    def measure(self, members: Sequence[Member]) -> dict[str, Exception]:
        """Write what is missing of the rows and pairs of some SAEs that are trained.

        Args:
            members: which.

        Returns:
            what was wrong with those that cannot be measured, by id.
        """
        there = [member for member in self.family.members(length=self.length) if is_trained(self.out, member)]
        failed: dict[str, Exception] = {}
        todo = [member for member in members if member in there and self._lacks(member, there)]
        if not todo:
            return failed
        from tqdm.auto import tqdm

        self._read([member.hook_name for member in todo])
        with tqdm(total=len(todo), unit="SAE", disable=not self.progress) as bar:
            for run in runs_of(self.family, todo):
                # Of SAEs that share a run the first one that lacks a row may be another for each process.
                mark = f"{run[0].name}-seed{run[0].seed}" if self.family.independent else f"seed{run[0].seed}"
                try:
                    with FileLock(self.out / run[0].hook_name / f".{mark}.measuring.lock", timeout=0):
                        failed |= self._measure_run(run, there)
                except Timeout:  # another process is at it
                    pass
                bar.update(len(run))
        if self.device.startswith("cuda"):  # what measuring took would stay with this process, and others train beside it
            torch.cuda.empty_cache()
        return failed

    def lacking(self, members: Sequence[Member]) -> list[Member]:
        """Those of some SAEs that are not wholly measured, for another process is at them.

        Args:
            members: which.
        """
        there = [member for member in self.family.members(length=self.length) if is_trained(self.out, member)]
        return [member for member in members if member in there and self._lacks(member, there)]

    def rows(self, members: Sequence[Member]) -> list[dict[str, Any]]:
        """The rows that there are of some SAEs, each with its pairs.

        Args:
            members: which.
        """
        places = [
            next((self.out / member.id / name for name in ("row.json", BROUGHT) if (self.out / member.id / name).is_file()), None)
            for member in members
        ]
        rows = [json.loads(place.read_text(encoding="utf-8")) for place in places if place is not None]
        if self.family.independent:
            rows = [_short(row) for row in rows]
        return [row | ({"pairs": found} if (found := points(self.out / row["id"])) else {}) for row in rows]

    def _lacks(self, member: Member, there: Sequence[Member]) -> bool:
        """Whether there is something to be measured of an SAE."""
        return not self._is_measured(member, there) or self._lacks_pairs(member, there)

    def _lacks_pairs(self, member: Member, there: Sequence[Member]) -> bool:
        """Whether an SAE of an independent family lacks replicates, of its own or of its pairs."""
        return self.family.independent and self._pairing.missing(member, _at_its_place(member, there), self.asked) != []

    def _measure_run(self, run: Sequence[Member], there: Sequence[Member]) -> dict[str, Exception]:
        """What is missing of the SAEs of one run; returns what was wrong, by id."""
        failed: dict[str, Exception] = {}
        todo = [member for member in run if self._lacks(member, there)]  # another process may have been here
        if not todo:
            return failed
        sets = self._sets
        beside = [other for other in there if (other.hook_name, other.seed) == (run[0].hook_name, run[0].seed)]
        if self.family.independent:
            beside = [other for other in beside if (other.is_reference and not run[0].is_reference) or other in run]
        folders, names = {member.name: self.out / member.id for member in beside}, [member.name for member in todo]
        on_sets = {name: SAEsOnStories(folders, self.device, names, stories, self.n_spliced) for name, stories in sets.items()}
        for member in todo:
            try:
                if not self._is_measured(member, there):
                    found = {name: measured(member.name, on) for name, on in on_sets.items()}
                    row = describe(self.out, member) | {"asked": self.asked, "references": self._references(member, there)}
                    write_file(self.out / member.id / "row.json", as_json(row | {"measured": found}, "row", indent=1))
                if self._lacks_pairs(member, there):
                    self._pairing.measure(member, _at_its_place(member, there), on_sets, self.asked)
            except WRONG as error:
                failed[member.id] = error.with_traceback(None)  # its frames would hold activations, on a GPU for good
        return failed

    def _read(self, hook_names: Sequence[str]) -> None:
        """Read the stories at these hooks, where they have not been."""
        known = next(iter(self._sets.values())).activations if self._sets else {}
        if wanted := [name for name in dict.fromkeys([*known, *hook_names]) if name not in known]:
            how: dict[str, Any] = {"n_tokens": self.n_tokens, "device": self.device, "progress": self.progress}
            self._sets = read_sets(self.family, self.valid, [*known, *wanted], **how)

    def _is_measured(self, member: Member, there: Sequence[Member]) -> bool:
        """Whether there is a row of this SAE as it is now, with the references that there are, of the numbers asked for."""
        try:
            row = json.loads((self.out / member.id / "row.json").read_text(encoding="utf-8"))
            weights = sha256_of_file(self.out / member.id / "sae.safetensors")
            is_of_these = row["sha256"] == weights and row["references"] == self._references(member, there)
            return bool(row["measured"] and row["asked"] == self.asked and is_of_these)
        except (OSError, ValueError, TypeError, KeyError):
            return False

    def _references(self, member: Member, there: Sequence[Member]) -> dict[str, str]:
        """The SAEs of its seed that a large one is compared with, and the hashes of their weights."""
        if member.is_reference:
            return {}
        beside = [other for other in there if (other.hook_name, other.seed) == (member.hook_name, member.seed)]
        plain = None if self.family.independent else plain_beside(member.name, [other.name for other in beside])
        of_its = [other for other in beside if other.is_reference or other.name == plain]
        return {other.name: sha256_of_file(self.out / other.id / "sae.safetensors") for other in of_its}


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as one of hundreds: without what the family says, and without replicates, which serve SAEs of one name together."""
    asked = {name: value for name, value in row["asked"].items() if name != "concepts"}
    measured = {
        stories: {name: value for name, value in numbers.items() if name != "replicates"} for stories, numbers in row["measured"].items()
    }
    return {name: value for name, value in row.items() if name != "made_from"} | {"asked": asked, "measured": measured}


def _at_its_place(member: Member, there: Sequence[Member]) -> list[Member]:
    """The references that a large SAE is held against; none for a reference."""
    return [other for other in there if other.is_reference and other.hook_name == member.hook_name and not member.is_reference]
