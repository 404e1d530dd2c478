"""What an SAE of a family remembers of its making, and whether that is what the family would make."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from msae.family.members import Member
from msae.lm.sources import SOURCES, sha256_of_file, source, source_differences
from msae.sae.files import check_files
from msae.support.arguments import shown
from msae.support.origin import plain
from msae.support.version import __version__
from msae.training.recipes import recipe_differences, todays


def is_trained(out: Path, member: Member) -> bool:
    """Whether an SAE is complete: both of its files are there, and of one save.

    Args:
        out: the folder of all SAEs.
        member: which of them.

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


BROUGHT = "brought.json"
"""The row of an SAE that was trained and measured elsewhere, where its weights stayed (`msae.family.bundles`)."""


def brought(out: Path, member: Member) -> dict[str, Any] | None:
    """The row of an SAE that was trained and measured elsewhere; None where none was brought.

    Args:
        out: the folder of all SAEs.
        member: which of them.

    Raises:
        ValueError: it is no whole row of this SAE, or one that was made otherwise than the family makes it.
    """
    path = out / member.id / BROUGHT
    if not path.is_file():
        return None
    try:
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if row["id"] != member.id:
            raise ValueError(f"it is of {shown(row['id'])}")
        for name in ("recipe", "asked", "measured"):  # without them it would count as done, and stand in no table
            if not (isinstance(row[name], dict) and row[name]):
                raise ValueError(f"its {name} must be a dict, got {shown(row[name])}")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ValueError(f"{path} is not the row of {member.id} ({why}): bring it again, or delete it to train the SAE here") from error
    if found := other_than(member, dict(row["recipe"]) | row):
        raise ValueError(f"{path} is of an SAE with {'; '.join(found)}: give the family it was made with, or delete it")
    return row


def is_done(out: Path, member: Member) -> bool:
    """Whether an SAE need not be trained: it is there, or its row was brought from elsewhere.

    Args:
        out: the folder of all SAEs.
        member: which of them.
    """
    return is_trained(out, member) or brought(out, member) is not None


def other_than(member: Member, recorded: Mapping[str, Any]) -> list[str]:
    """Where what an SAE, or a row of a table, was made from is not what a member is made from: "lr 0.003, and 0.001 is asked for".

    Args:
        member: what the family would make.
        recorded: the recipe, what it was trained on, `hook_name` and `seed`, in one dict. What it lacks is not compared.
    """
    asked = plain(member.config.record()) | {"hook_name": member.hook_name, "seed": member.seed, "data_seed": member.data_seed}
    asked |= {"weights_seed": member.config.seed}
    asked |= {name: value for name, value in member.made_from.items() if name not in SOURCES}
    if asked.get("n_tokens", 0) is None:
        asked["n_tokens"] = recorded["n_tokens"] if recorded.get("all_tokens", True) and "n_tokens" in recorded else "all"
    found = recipe_differences(recorded, asked)
    if member.made_from:
        found += source_differences(recorded, source(member.made_from["language_model"], member.made_from["stories"]))
    return [text.replace(" is ", " ", 1) for text in found]


def about(member: Member, made_from: Mapping[str, Any], *, n_tokens: int, length: float, independent: bool) -> dict[str, Any]:
    """What has to be known to make an SAE again, beside its recipe.

    Args:
        member: which SAE.
        made_from: the language model and the stories, by name and content.
        n_tokens: how many activations it was trained on.
        length: the share of the steps.
        independent: its initial weights are its own.
    """
    return {
        "id": member.id,
        **made_from,
        "n_ctx": member.made_from["n_ctx"],
        "skip_first": member.made_from["skip_first"],
        "n_tokens": n_tokens,
        "all_tokens": member.made_from["n_tokens"] is None,
        "live": member.made_from["live"],
        "length": length,
        **({"seed": member.seed, "weights_seed": member.config.seed} if independent else {}),
        "data_seed": member.data_seed,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": __version__},
    }


def describe(out: Path, member: Member) -> dict[str, Any]:
    """What an SAE is and what it took, from its own file: the beginning of its row.

    Args:
        out: the folder of all SAEs.
        member: which of them.
    """
    folder = out / member.id
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
