"""What a latent is called: "S/2/66", the name of its SAE and its number there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from msae.support.arguments import shown


def split_id(latent_id: str) -> tuple[str, int]:
    """("S/2", 65) of "S/2/65"."""
    name, _, number = latent_id.rpartition("/")
    return name, int(number)


def check_sae(name: Any, sizes: Mapping[str, int]) -> str:
    """The name of an SAE that is there.

    Args:
        name: what was given.
        sizes: name → number of latents.

    Raises:
        ValueError: it is none, naming the nearest.
    """
    if isinstance(name, str) and name in sizes:
        return name
    raise ValueError(f"there is no SAE {shown(name)} here, but {some_of(sizes)}; is {_nearest(str(name), sizes)} meant?")


def check_latent(latent: Any, sizes: Mapping[str, int]) -> tuple[str, int]:
    """("S/2", 65) of "S/2/65", if it is there.

    Args:
        latent: what was given.
        sizes: name → number of latents.

    Raises:
        ValueError: it is not, naming the nearest.
    """
    name, _, number = latent.rpartition("/") if isinstance(latent, str) else ("", "", "")
    written = number.isascii() and number.isdecimal() and len(number) < 19
    if name in sizes and written and int(number) < sizes[name]:
        return name, int(number)
    near = next((each for each in (name, latent) if isinstance(each, str) and each in sizes), None) or _nearest(name or str(latent), sizes)
    written = written and near != latent
    at = min(int(number), sizes[near] - 1) if written else 0
    raise ValueError(f"latent: there is none called {shown(latent)}; is {near}/{at} meant? {near} has {near}/0 to {near}/{sizes[near] - 1}")


def some_of(names: Iterable[str]) -> str:
    """The names in one line; of many the first ten, and how many more."""
    first, rest = list(names)[:10], list(names)[10:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")


def _nearest(name: str, sizes: Mapping[str, int]) -> str:
    return difflib.get_close_matches(name, list(sizes), n=1, cutoff=0)[0]
