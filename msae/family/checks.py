"""What a family may say: every field is judged before any work, whether it comes from a file or from Python."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from msae.support import arguments
from msae.training.config import TrainConfig

GROUP = ("what", "hook_names", "seeds", "n_steps", "references", "n_latents", "target_l0", "kinds", "sizes", "recipe", "ending")
OF_EACH_SAE = ("n_latents", "target_l0", "n_steps", "seed")
"""Fields of `TrainConfig` that a group sets, so that the shared recipe cannot."""

HOOK_NAME = re.compile(r"\w[\w.\-]*")
"""It is the name of a folder too."""


def check_fields(family: Mapping[str, Any]) -> None:
    """Judge what a family says.

    Args:
        family: the fields of `Family` by name.

    Raises:
        ValueError: naming the first field that cannot be, what it holds and what it must.
    """
    for name in ("language_model", "stories"):
        _words(name, family[name])
    if not isinstance(family["what"], str):
        raise ValueError(f"what must be a string, got {arguments.shown(family['what'])}")
    n_ctx = arguments.whole("n_ctx", family["n_ctx"], 2)
    arguments.whole("skip_first", family["skip_first"], 0, n_ctx - 1, most_is=f"{n_ctx - 1}, below n_ctx")
    if family["n_tokens"] is not None:
        arguments.whole("n_tokens", family["n_tokens"], 1, hint="or leave it out for all tokens of the stories")
    for name in ("live", "independent"):
        arguments.yes_or_no(name, family[name])
    if not isinstance(family["stories_made_by"], str):
        raise ValueError(f"stories_made_by must be a command, got {arguments.shown(family['stories_made_by'])}")
    _recipe("recipe", family["recipe"])
    _mapping("concepts", family["concepts"])
    for name, pattern in family["concepts"].items():
        _check_pattern(f"concepts[{name!r}]", pattern)
    groups = _list("groups", family["groups"], "groups of SAEs")
    for i, group in enumerate(groups):
        _check_group(f"groups[{i}]", group)


def _check_group(place: str, group: Any) -> None:
    _mapping(place, group, GROUP)
    if lacking := [repr(name) for name in ("hook_names", "seeds", "n_steps") if name not in group]:
        raise ValueError(f"{place} lacks {', '.join(lacking)}")
    for hook_name in _list(f"{place}: hook_names", group["hook_names"], "hook names"):
        if not (isinstance(hook_name, str) and HOOK_NAME.fullmatch(hook_name)):
            raise ValueError(f"{place}: hook_names must be such as 'blocks.3.hook_resid_pre', got {arguments.shown(hook_name)}")
    for seed in _list(f"{place}: seeds", group["seeds"], "whole numbers"):
        arguments.whole(f"{place}: each of seeds", seed, 0, 2**63 - 1)
    arguments.whole(f"{place}: n_steps", group["n_steps"], 1)
    _recipe(f"{place}: recipe", group.get("recipe", {}))
    if "ending" in group:
        _name(f"{place}: ending", group["ending"])
    for name in ("references", "sizes"):
        given = group.get(name, [])
        if name == "references" and isinstance(given, Mapping):
            for each in given:
                _name(f"{place}: a name in references", each, begins="S")
            given = list(given.values())
        for pair in _list(f"{place}: {name}", given, "pairs [n_latents, L0]", least=0):
            if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
                raise ValueError(f"{place}: {name} must be a list of pairs [n_latents, L0], got {arguments.shown(pair)} in it")
            _size(f"{place}: {name}", *pair)
    _check_large(place, group)


def _check_large(place: str, group: Mapping[str, Any]) -> None:
    """The large SAEs of a group: their sizes, L0s and kinds."""
    kinds = group.get("kinds", {})
    _mapping(f"{place}: kinds", kinds)
    for name, recipe in kinds.items():
        _name(f"{place}: a name in kinds", name, begins_not="S")
        _recipe(f"{place}: kinds[{name!r}]", recipe)
    l0s = _list(f"{place}: target_l0", group.get("target_l0", []), "numbers", least=0)
    if l0s and "n_latents" not in group:
        raise ValueError(f"{place} has target_l0 for large SAEs and lacks 'n_latents', their size")
    if "kinds" in group and not (kinds and l0s):
        raise ValueError(f"{place} has kinds of large SAEs: give at least one, n_latents and target_l0")
    given = group.get("n_latents", [])
    for n in (
        _list(f"{place}: n_latents", given, "whole numbers") if isinstance(given, list) and given else [given] * ("n_latents" in group)
    ):
        arguments.whole(f"{place}: n_latents", n, 1)
        for l0 in l0s:
            _size(f"{place}: n_latents and target_l0", n, l0)


def _recipe(place: str, recipe: Any) -> None:
    _mapping(place, recipe, [field.name for field in fields(TrainConfig) if field.name not in OF_EACH_SAE])


def _name(place: str, name: object, *, begins: str = "", begins_not: str = "") -> None:
    """A part of the name of an SAE, which is the name of a folder too."""
    if not (isinstance(name, str) and HOOK_NAME.fullmatch(name)):
        raise ValueError(f"{place} must be letters, digits, '-', '_' and '.', got {arguments.shown(name)}")
    if not name.startswith(begins) or (begins_not and name.startswith(begins_not)):
        raise ValueError(f"{place}: references begin with 'S', such as S2, and large SAEs do not, got {name!r}")


def _size(place: str, n_latents: object, l0: object) -> None:
    n = arguments.whole(f"{place}: the number of latents", n_latents, 1)
    arguments.number(f"{place}: L0", l0, above=0, below=n)


def _check_pattern(place: str, pattern: Any) -> None:
    from msae.patterns.reading import parse

    _words(place, pattern)
    try:
        parse(pattern)
    except ValueError as error:
        raise ValueError(f"{place} is no token pattern: {' '.join(str(error).split())}") from error


def _words(name: str, value: object) -> None:
    words = arguments.text(name, str(value) if hasattr(value, "__fspath__") else value)
    if not words.strip():
        raise ValueError(f"{name} must not be empty, got {words!r}")
    if any("\ud800" <= letter <= "\udfff" for letter in words):
        raise ValueError(f"{name} must be text that UTF-8 can hold, got {arguments.shown(words)}")


def _mapping(place: str, value: Any, known: Collection[str] | None = None) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} must be an object of names and values, got {arguments.shown(value)}")
    for name in value:
        if known is not None and name not in known:
            refuse_unknown(place, name, known)
        _words(f"a name in {place}", name)


def refuse_unknown(place: str, name: object, known: Collection[str]) -> None:
    """Raise a ValueError that names the nearest of the known names."""
    if name in OF_EACH_SAE and ("recipe" in place or "kinds" in place):
        raise ValueError(f"{place} cannot have {name!r}: every group sets it for its SAEs")
    nearest = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"it can have {', '.join(known)}"
    raise ValueError(f"{place} cannot have {arguments.shown(name)}; {hint}")


def _list(place: str, value: Any, of: str, least: int = 1) -> Sequence[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or len(value) < least:
        raise ValueError(f"{place} must be a list of {of}{', not empty' * (least > 0)}, got {arguments.shown(value)}")
    return value
