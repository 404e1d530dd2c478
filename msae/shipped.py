"""The SAEs that ship with msae: small references, and a large plain and a large Matryoshka SAE, at one place of the bundled model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from msae.family import Family
from msae.language_model import ASSETS, check_manifest, write_manifest
from msae.sae import SAE

FILES = ("sae.json", "sae.safetensors")


def load_saes(names: Sequence[str] | None = None, folder: str | os.PathLike | None = None) -> dict[str, SAE]:
    """SAEs by name, such as "S2", "vanilla-30", "matryoshka-30"; all that ship where none is named.

    `msae.results.load_results()` tells how each was trained and what was measured on it.

    Args:
        names: with or without the article's slash: "S/2" is "S2".
        folder: another that `pack_saes` wrote.

    Raises:
        ValueError: a name that is not there, naming those that are; or a file that is not the one the manifest names.
    """
    if isinstance(names, str):
        raise ValueError(f"expected a list of names, got {names!r}: put it into a list")
    place = ASSETS / "saes" if folder is None else Path(folder)
    there = sorted(path.parent.name for path in place.glob("*/sae.json"))
    chosen = {name: name.replace("/", "") for name in (there if names is None else names)}
    missing = [name for name, plain in chosen.items() if plain not in there]
    if missing:
        raise ValueError(f"there is no SAE {missing[0]!r} in {place}; there are {', '.join(there)}")
    check_manifest(place, tuple(f"{plain}/{file}" for plain in chosen.values() for file in FILES))
    return {name: SAE.load(place / plain) for name, plain in chosen.items()}


def pack_saes(family: Family, trained: str | os.PathLike, only: str | Sequence[str], folder: str | os.PathLike, command: str) -> list[str]:
    """Copy trained SAEs of one hook and seed into a folder that `load_saes` reads; returns their names.

    Raises:
        ValueError: two of them would have the same name.
        FileNotFoundError: one is not trained yet.
    """
    members, folder = family.members(only), Path(folder)
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise ValueError(f"{only!r} names SAEs of several hooks or seeds: pack those of one, such as {members[0].hook_name}/*-seed0")
    for member in members:
        (folder / member.name).mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copyfile(Path(trained) / member.id / file, folder / member.name / file)
    about = {
        "what": f"SAEs of the bundled language model at {members[0].hook_name}, seed {members[0].seed}, in half precision",
        "command": command,
        "trained_on": "stories sampled from the bundled language model, which was trained on TinyStories (CDLA-Sharing-1.0)",
    }
    write_manifest(folder, tuple(f"{name}/{file}" for name in names for file in FILES), about)
    return names
