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
from msae.family.groups import id_of, saes_of
from msae.lm.sources import SOURCES
from msae.support import arguments
from msae.texts.tinystories import SOURCES as DATA_SETS
from msae.training.config import TrainConfig

FAMILIES = ("bundled", "first", "article", "settle", "architectures", "uncentred", "places", "longer")


class Member(NamedTuple):
    """One SAE of a family.

    Example:
        >>> import msae
        >>> msae.load_family("bundled").members()[0].id
        'blocks.3.hook_resid_pre/S0-seed3'
    """

    hook_name: str
    """Where in the language model it reads."""

    name: str
    """S0, S1, … for the references, the smallest first; plain-30, matryoshka-30 for large ones at an L0 of 30, plain-30-819 for a plain
    one of 819 latents; of a group with kinds of its own <kind>-<L0>, and what else tells it apart (`msae.family.groups`)."""

    seed: int
    """Of the weights and of the order of the batches, unless the family is independent: then both are drawn from the id."""

    config: TrainConfig
    """Its recipe."""

    made_from: Mapping[str, Any] = {}
    """What it is trained on: "language_model" and "stories" by name, "n_ctx", "skip_first", "n_tokens" (None for all there are), "live"."""

    data_seed: int = 0
    """Of the order of its batches."""

    @property
    def id(self) -> str:
        """What it is called in tables, and its folder."""
        return id_of(self.hook_name, self.name, self.seed)

    @property
    def is_reference(self) -> bool:
        """Whether large SAEs are compared with it."""
        return self.name.startswith("S")


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
    """`hook_names`, `seeds` and `n_steps`, and what to train there: `references` [[n_latents, L0], …] or by name, `n_latents`, one or
    several, and `target_l0` [L0, …] of the large SAEs, their `kinds` by name, each with what it has of its own in its recipe, or `sizes`
    [[n_latents, L0], …], more plain SAEs, to see what size is worth; `recipe` for what its SAEs share; `ending` of their names."""

    n_ctx: int = 128
    """Tokens in a text, [BEGIN] included."""

    skip_first: int = 1
    """Positions at the start of a text that are left out, [BEGIN] included."""

    n_tokens: int | None = None
    """How many of the stories' tokens are trained on; all where none is given."""

    live: bool = False
    """Compute activations while training reads them, for streams that no disk holds; else they are harvested once, to disk."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig` that all SAEs share."""

    concepts: Mapping[str, str] = field(default_factory=dict)
    """Token patterns (`msae.patterns`) by name: the concepts whose fate is measured."""

    independent: bool = False
    """Train every SAE on its own, with initial weights and an order of batches that its id alone decides; else those of one place and seed
    share both, and one run."""

    stories_made_by: str = ""
    """The command that makes the file `stories`, where one must be made first."""

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
            if first.config.n_steps != member.config.n_steps and not self.independent:
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
        kept: dict[float, list[Member]] = vars(self).setdefault("_by_length", {})  # many recipes take a while to judge
        found = kept[length] = kept.get(length) or list(self._all(length))
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(member.id, pattern) for member in found):
                raise ValueError(
                    f"no SAE of this family is called {pattern!r}; there are {len(found)}, such as {found[0].id!r} and {found[-1].id!r}"
                )
        return [member for member in found if any(fnmatch.fnmatchcase(member.id, pattern) for pattern in patterns)]

    @property
    def places(self) -> dict[str, Any]:
        """Which tokens of its stories count, as `msae.activations` asks for it."""
        return {"n_ctx": self.n_ctx, "skip_first": self.skip_first}

    def check_stories(self) -> None:
        """See that the stories are there, where they are a file.

        Raises:
            FileNotFoundError: they are not; with the command that makes them, where the family names one.
        """
        if self.stories in ("bundled", *DATA_SETS) or os.path.isfile(self.stories):
            return
        made = f"make it with `{self.stories_made_by}`, or " if self.stories_made_by else ""
        raise FileNotFoundError(f"there is no file {self.stories} with the stories of this family: {made}give others with --stories")

    def _all(self, length: float = 1.0) -> Iterator[Member]:
        n_tokens = None if self.n_tokens is None else max(1, round(length * self.n_tokens))
        made_from = {name: getattr(self, name) for name in (*SOURCES, "n_ctx", "skip_first", "live")} | {"n_tokens": n_tokens}
        for group in self.groups:
            for named in saes_of(group, self.recipe, length, independent=self.independent):
                yield Member(named.hook_name, named.name, named.seed, named.config, made_from=made_from, data_seed=named.data_seed)


def load_family(name: str | os.PathLike[str], stories: str | None = None) -> Family:
    """A family that ships with msae, or one from a JSON file.

    Args:
        name: "bundled", "first" (as it was before, at every place), "article" (the article's, at full scale), "settle" (the experiments
            behind the book's verdicts), "architectures" (every kind of SAE with every law of prefixes), "uncentred" (the large
            SAEs with inputs as they are), "places" (four places, references of three L0, two lengths of training), "longer" (those that
            ship, trained longer on more stories), or a JSON file.
        stories: train on these in place of the family's own, as for `msae.load_stories`.

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
        return Family(**about | ({} if stories is None else {"stories": stories}))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        fix = "msae/assets/families/bundled.json shows what one looks like"
        raise ValueError(f"{name} is not a family of SAEs: {error}; {fix}") from error


def checked(family: Family, device: str = "cpu") -> Family:
    """The family, where it is one and the device is there."""
    if not isinstance(family, Family):
        raise ValueError(f"family must be a Family, such as load_family('bundled') gives, got {arguments.shown(family)}")
    arguments.device("device", device)
    return family


def runs_of(family: Family, members: Sequence[Member]) -> list[list[Member]]:
    """The runs that train some members of a family: each alone where they are independent; else those of one hook and seed see the same
    batches, and one run trains all of them.

    Args:
        family: whose they are.
        members: in any order.

    Returns:
        a list for each run, in the order of their first members.

    Example:
        >>> import msae
        >>> family = msae.load_family("bundled")
        >>> [member.name for member in runs_of(family, family.members("blocks.3.hook_resid_pre/S?-*"))[0]]
        ['S0', 'S1', 'S2', 'S3', 'S4', 'S5']
    """
    if family.independent:
        return [[member] for member in members]
    return by_hook_and_seed(members)


def by_hook_and_seed(members: Sequence[Member]) -> list[list[Member]]:
    """Members of one hook and seed together.

    Args:
        members: in any order.

    Returns:
        a list for each hook and seed, in the order of their first members.

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
