"""`python -m msae push`: an SAE on the Hugging Face hub, with the card that its files give."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from msae.cli.base import Commands, add_command, words
from msae.cli.reading import FOLDER, read_folder


def add_push_command(commands: Commands) -> None:
    """Add `push`."""
    add_command(commands, "push", push_one, "write an SAE to the Hugging Face hub, with a card that says what it is", _add_options)


def _add_options(push: argparse.ArgumentParser) -> None:
    push.add_argument("sae", type=words, help=FOLDER)
    push.add_argument("repo", type=words, help="owner/name, or owner/name/folder where a repository holds several SAEs")
    push.add_argument("--licence", type=words, metavar="NAME", help="as the hub names it, such as mit; 'not stated' where none is given")
    push.add_argument("--private", action="store_true", help="for its owner alone, where the repository is made now")
    push.add_argument("--card", action="store_true", help="print the card and send nothing")


def push_one(options: argparse.Namespace) -> None:
    """`push`: the SAE and its card; what was measured is taken from the files, and nothing is measured here."""
    from msae.sae.card import model_card
    from msae.sae.hub import push_sae

    sae = read_folder(options.sae)
    measured = measured_beside(Path(options.sae))
    if options.card:
        print(model_card(sae, options.repo, licence=options.licence, measured=measured), end="")
    else:
        address = push_sae(sae, options.repo, licence=options.licence, measured=measured, private=options.private)
        print(f"{sae}\nis {address}")


def measured_beside(folder: Path) -> dict[str, Any] | None:
    """L0, FVU and holes from the row that `family measure` left beside an SAE; None where there is none, or one of other weights."""
    from msae.lm.sources import sha256_of_file

    try:
        row = json.loads((folder / "row.json").read_text(encoding="utf-8"))
        if row["sha256"] != sha256_of_file(folder / "sae.safetensors"):
            return None
        found = row["measured"]["held_out"]
        holes = {name: concept["best"]["holes"][0] for name, concept in found["concepts"].items()}
        return {"l0": found["l0"][0], "fvu": found["fvu"][0], "holes": holes, "on": f"{found['n_tokens']:,} tokens of held-out stories"}
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
