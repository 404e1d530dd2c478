"""The SAEs that ship with msae: small references, and a large plain and a large Matryoshka SAE, at one place of the bundled model."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from msae.family.members import Family, checked
from msae.family.recorded import is_trained
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.manifests import ASSETS, check_manifest, write_with_manifest
from msae.support.renamed import by_name

FILES = ("sae.json", "sae.safetensors")
BUNDLED_STORIES = "stories sampled from the bundled language model, which was trained on TinyStories (CDLA-Sharing-1.0)"


def load_saes(names: Sequence[str] | None = None, folder: str | os.PathLike[str] | None = None) -> dict[str, SAE]:
    """SAEs by name, such as "S2", "plain-30", "matryoshka-30"; all that ship where none is named.

    `msae.load_results()` tells how each was trained and what was measured on it.

    Args:
        names: with or without the article's slash: "S/2" is "S2".
        folder: another that `pack_saes` wrote.

    Returns:
        the names as they were given → the SAEs.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: a name that is not there, naming those that are; or a file that is not the one the manifest names.

    Example:
        >>> import msae
        >>> msae.load_saes(["S/0"])["S/0"].n_latents
        10
    """
    if isinstance(names, str):
        raise ValueError(f"expected a list of names, got {names!r}: put it into a list")
    if names is not None and not (isinstance(names, Sequence) and names and all(isinstance(name, str) for name in names)):
        raise ValueError(f"names must be a list of names such as 'S2', or None for all, got {arguments.shown(names)}")
    place = ASSETS / "saes" if folder is None else arguments.path("folder", folder)
    there = packed_names(place)
    if not there:
        raise FileNotFoundError(f"{place} holds no packed SAEs: give a folder that `python -m msae family pack` wrote")
    chosen = {name: name.replace("/", "") for name in (there if names is None else names)}
    missing = [name for name, plain in chosen.items() if plain not in there]
    if missing:
        raise ValueError(f"there is no SAE {missing[0]!r} in {place}; there are {', '.join(there)}")
    check_manifest(place, tuple(f"{plain}/{file}" for plain in chosen.values() for file in FILES))
    return {name: SAE.load(place / plain) for name, plain in chosen.items()}


def packed_names(folder: Path) -> list[str]:
    """The SAEs that a folder's manifest names; none where there is no manifest.

    Args:
        folder: what `pack_saes` wrote.

    Raises:
        ValueError: the manifest is damaged.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return []
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        return sorted(name.rpartition("/")[0] for name in listed if name.endswith("/sae.json"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no manifest of packed SAEs ({arguments.shown(error)}): write the folder again") from error


@by_name()
def pack_saes(
    family: Family,
    trained: str | os.PathLike[str],
    only: str | Sequence[str],
    *,
    folder: str | os.PathLike[str],
    command: str,
    length: float = 1.0,
) -> list[str]:
    """Copy trained SAEs of one hook and seed into a folder that `load_saes` reads.

    All files are written, or none; what was packed there before under the same names is replaced.

    Args:
        family: whose SAEs they are.
        trained: the folder that `train_family` filled.
        only: a pattern of ids, or several.
        folder: where to write.
        command: how to do this again, kept in the manifest.
        length: the share of the steps that they were trained for.

    Returns:
        their names.

    Raises:
        ValueError: two of them would have the same name, one was made otherwise than the family makes it, or the folder holds others.
        FileNotFoundError: one is not trained yet.

    Example:
        >>> import msae
        >>> family, one = msae.load_family("bundled"), "blocks.3.hook_resid_pre/S0-seed0"
        >>> msae.family.pack_saes(family, "out", one, folder="packed", command="")
        Traceback (most recent call last):
        FileNotFoundError: out holds no blocks.3.hook_resid_pre/S0-seed0: train it first, with `python -m msae family train --out out`
    """
    members = checked(family).members(only, length)
    trained, folder = arguments.path("trained", trained), arguments.new_folder("folder", folder)
    arguments.text("command", command)
    names = [member.name for member in members]
    if len({(member.hook_name, member.seed) for member in members}) > 1:
        raise ValueError(f"{only!r} names SAEs of several hooks or seeds: pack those of one, such as {members[0].hook_name}/*-seed0")
    for member in members:
        if not is_trained(trained, member):
            raise FileNotFoundError(f"{trained} holds no {member.id}: train it first, with `python -m msae family train --out {trained}`")
        SAE.load(trained / member.id)
    if others := set(packed_names(folder)) - set(names):
        raise ValueError(
            f"{folder} holds other packed SAEs ({', '.join(sorted(others))}): pack all of them at once, or give another folder"
        )
    contents = {f"{m.name}/{file}": (trained / m.id / file).read_bytes() for m in members for file in FILES}
    lm = "bundled language model" if family.language_model == "bundled" else f"language model {family.language_model}"
    about = {
        "what": f"SAEs of the {lm} at {members[0].hook_name}, seed {members[0].seed}, in half precision",
        "command": command,
        "trained_on": BUNDLED_STORIES if family.stories == "bundled" else family.stories,
    }
    write_with_manifest(folder, contents, about)
    return names
