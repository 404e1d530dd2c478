"""The SAEs of part 2: small references, large plain and Matryoshka SAEs, at several hooks, trained by one command.

    python -m msae family train --family bundled --out family        # started again, it goes on; started twice, two share the work

A family is a JSON file: which model, which stories, and groups of SAEs that are alike but for hook, seed, size and L0. Each SAE ends up in
a folder of its own, `out/<hook>/<name>-seed<n>`.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any, NamedTuple

from msae.family.checks import check_fields, refuse_unknown
from msae.lm.sources import SOURCES
from msae.sae.prefixes import FullPrefix
from msae.support import arguments
from msae.training.config import TrainConfig

FAMILIES = ("bundled", "article")


class Member(NamedTuple):
    """One SAE of a family.

    Example:
        >>> import msae
        >>> msae.load_family("bundled").members()[0].id
        'blocks.3.hook_resid_pre/S0-seed0'
    """

    hook_name: str
    """Where in the language model it reads."""

    name: str
    """S0, S1, … for the references, the smallest first; vanilla-30, matryoshka-30 for large ones at an L0 of 30, vanilla-30-819 for a plain
    one of 819 latents."""

    seed: int
    """Of the weights and of the order of the batches."""

    config: TrainConfig
    """Its recipe."""

    made_from: Mapping[str, Any] = {}
    """What it is trained on: "language_model" and "stories" by name, "n_ctx", "n_tokens" (None for all there are), "live"."""

    @property
    def id(self) -> str:
        """What it is called in tables, and its folder."""
        return f"{self.hook_name}/{self.name}-seed{self.seed}"


@dataclass(frozen=True)
class Family:
    """What to train, and on what; the fields are those of the file.

    Raises:
        ValueError: a field that cannot be, two SAEs of one name, or SAEs of one hook and seed with different `n_steps`.

    Example:
        >>> import msae
        >>> group = {"hook_names": ["blocks.1.hook_resid_pre"], "seeds": [0], "n_steps": 100, "references": [[8, 2]]}
        >>> [member.id for member in msae.family.Family("bundled", "bundled", [group]).members()]
        ['blocks.1.hook_resid_pre/S0-seed0']
    """

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
        check_fields(vars(self))
        firsts: dict[tuple[str, int], Member] = {}
        ids: set[str] = set()
        for member in self._all():
            if member.id in ids:
                raise ValueError(f"two SAEs would be called {member.id}: give them sizes or seeds that differ")
            ids.add(member.id)
            first = firsts.setdefault((member.hook_name, member.seed), member)
            if first.config.n_steps != member.config.n_steps:
                sizes = f"{first.config.n_steps} and {member.config.n_steps}"
                raise ValueError(f"SAEs of one hook and seed share their steps: n_steps is {sizes} for {first.id} and {member.id}")
        if not ids:
            raise ValueError("groups must name at least one SAE: give references, sizes, or n_latents and target_l0")

    def members(self, only: str | Sequence[str] = "*", length: float = 1.0) -> list[Member]:
        """All SAEs whose id fits a pattern, or one of several, in the order of training.

        Args:
            only: a pattern of ids, or several (`*` for anything), such as "blocks.3.*" or "*/matryoshka-30-seed0".
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
            sizes = [(f"S{i}", n, l0, PLAIN) for i, (n, l0) in enumerate(group.get("references", []))]
            for l0 in group.get("target_l0", []):
                sizes += [(f"{kind}-{l0}", group["n_latents"], l0, prefixes) for kind, prefixes in KINDS.items()]
            sizes += [(f"vanilla-{l0}-{n}", n, l0, PLAIN) for n, l0 in group.get("sizes", [])]
            for name, n_latents, l0, prefixes in sizes:
                config = TrainConfig(**shared | {"n_latents": n_latents, "target_l0": float(l0), "seed": seed, **prefixes})
                yield hook_name, name, seed, config


PLAIN: Mapping[str, Any] = {"prefixes": FullPrefix(), "sample_prefixes": False}
KINDS: Mapping[str, Mapping[str, Any]] = {"vanilla": PLAIN, "matryoshka": {}}
"""What a kind of large SAE has of its own in its recipe."""


def load_family(name: str | os.PathLike[str]) -> Family:
    """A family that ships with msae, or one from a JSON file.

    Args:
        name: "bundled", "article" (the article's, at full scale), or a JSON file.

    Returns:
        the family, with all of its recipes judged.

    Raises:
        FileNotFoundError: there is no such family.
        ValueError: naming what is missing or unknown, before any work.

    Example:
        >>> import msae
        >>> msae.load_family("bundled").members("blocks.3.hook_resid_pre/matryoshka-30-seed0")[0].config.n_latents
        8192
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


def checked(family: Family, device: str = "cpu") -> Family:
    """The family, where it is one and the device is there."""
    if not isinstance(family, Family):
        raise ValueError(f"family must be a Family, such as load_family('bundled') gives, got {arguments.shown(family)}")
    arguments.device("device", device)
    return family


def by_hook_and_seed(members: Sequence[Member]) -> list[list[Member]]:
    """The runs that train some members: those of one hook and seed see the same batches, so one run trains all of them.

    Args:
        members: in any order.

    Returns:
        a list for each hook and seed, in the order of the first member of each.

    Example:
        >>> import msae
        >>> runs = by_hook_and_seed(msae.load_family("bundled").members("blocks.3.hook_resid_pre/S?-*"))
        >>> [member.name for member in runs[0]]
        ['S0', 'S1', 'S2', 'S3', 'S4', 'S5']
    """
    runs: dict[tuple[str, int], list[Member]] = {}
    for member in members:
        runs.setdefault((member.hook_name, member.seed), []).append(member)
    return list(runs.values())
