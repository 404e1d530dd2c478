"""Other orders and lengths of prefixes, stopped gradients, masked stories, TopK with two cures for dead latents: on the bundled model.

    python tools/rivals_on_stories.py --out stories      # trains and measures what is missing; stop it at any time, start it again
    python tools/rivals_on_stories.py --out stories --table msae/assets/rivals_on_stories.json      # writes the file that ships

One core needs about two minutes for each SAE. Recipes, activations and small SAEs are those of the family "architectures": where its folder
is there already, `--references` names it, and nothing of it is made again.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rivals import by_reach
from scipy.sparse import csr_array
from tables import short, write_table
from torch import Tensor
from toy_worlds import by_frequency, ranked_by

import msae
from msae.activations import read_texts
from msae.family.members import Family, Member
from msae.family.reading import read_sets
from msae.family.streams import Streams
from msae.firings.sources import encode
from msae.metrics import reconstruction, unselected_holes
from msae.support.files import write_file
from msae.support.hardware import hardware
from msae.support.origin import plain
from msae.training.config import Stream
from msae.training.step import StepInputs

HOOK, SEEDS = "blocks.3.hook_resid_pre", (0, 1)
N_TOKENS = 50_000
"""Held-out tokens that are measured on."""
MASKED = 0.15
"""Share of the training stories' tokens that are replaced."""
SMALL = ("S1", "S2", "S3")
"""Small SAEs, of 33, 100 and 333 latents."""
FIRST = (10, 33, 100, 333, 1000)
"""Lengths of a prefix that has the full one alone beside it."""
PAIR = ("holes 0.25", "precision 0.25", "average precision 0.25", "correlation, split-half")
"""What is told of an SAE beside an S2: the mean over all latents of the small one. Beside the others less is."""


class Kind(NamedTuple):
    """How an SAE differs from one of the family."""

    member: str
    """Which one's recipe, initial weights and order of batches it has."""

    changes: dict[str, Any] = {}
    """Of the recipe."""

    order: Callable[[StepInputs], Tensor] | None = None
    """What ranks its latents, if not the power."""

    masked: bool = False
    """Whether it learns from stories with random tokens in them."""


KINDS = {
    "plain": Kind("plain-20"),
    "matryoshka": Kind("matryoshka-20"),
    "matryoshka by frequency": Kind("matryoshka-20", order=by_frequency),
    "matryoshka by reach": Kind("matryoshka-20", order=by_reach),
    "plain, masked": Kind("plain-20", masked=True),
    "matryoshka, masked": Kind("matryoshka-20", masked=True),
    "TopK matryoshka, centred, AuxK": Kind("matryoshka-20-topk-centred", {"aux_latents": 128}),
    "matryoshka, stop-gradient": Kind("matryoshka-20", {"stop_gradient": True}),
    "five prefixes": Kind("fixed-20"),
    "five prefixes, stop-gradient": Kind("fixed-20", {"stop_gradient": True}),
    "plain, masked, target 22": Kind("plain-20", {"target_l0": 22.0}, masked=True),  # on text as it is, fewer fire
    "matryoshka, masked, target 22": Kind("matryoshka-20", {"target_l0": 22.0}, masked=True),
    **{f"{first} and all": Kind("matryoshka-20", {"prefixes": msae.FixedPrefixes([first, 2048])}) for first in FIRST},
    "33, 100, 333 and all": Kind("matryoshka-20", {"prefixes": msae.FixedPrefixes([33, 100, 333, 2048])}),
}


def masked(lm: Any, stories: list[str], n_ctx: int, share: float = MASKED) -> list[np.ndarray]:
    """Stories as rows of token ids, a share of them replaced by others, drawn alike from all tokens that are not special.

    Args:
        lm: the model that is to read them.
        stories: texts.
        n_ctx: tokens in a row, [BEGIN] included.
        share: of the tokens; one of them may by chance be replaced by itself.
    """
    generator = torch.Generator().manual_seed(0)
    tokens, mask, _ = read_texts(lm, stories, n_ctx)
    ordinary = torch.tensor([token for token in range(lm.cfg.d_vocab) if token not in lm.tokenizer.all_special_ids])
    drawn = ordinary[torch.randint(len(ordinary), tokens.shape, generator=generator)]
    tokens = torch.where(mask & (torch.rand(tokens.shape, generator=generator) < share), drawn, tokens)
    return [row[there].numpy() for row, there in zip(tokens, mask, strict=True)]


def stream_of(kind: Kind, family: Family, member: Member, places: tuple[Path, Path]) -> Stream:
    """What an SAE learns from: the family's activations, or those of the same stories, masked, in the same order.

    Args:
        kind: of the SAE.
        family: whose texts they are.
        member: one of its SAEs, that says how many tokens.
        places: folder of what is measured, folder of the family.
    """
    (out, references), n_tokens = places, member.made_from["n_tokens"]
    if not kind.masked:
        return Streams(family, [HOOK], references, n_tokens, "cpu", progress=False).at(HOOK)
    lm = msae.load_language_model(family.language_model)
    rows = masked(lm, msae.split_stories(msae.load_stories(family.stories))[0], family.n_ctx)
    return msae.Activations(lm, rows, HOOK, n_ctx=family.n_ctx, n_tokens=n_tokens, cache=out / "masked", progress=False)


def trained(kind: Kind, member: Member, stream: Stream) -> msae.SAE:
    """The SAE of a kind, with the initial weights and the batches of a member of the family."""
    with ranked_by(kind.order) if kind.order else nullcontext():
        return msae.train(replace(member.config, **kind.changes), stream, data_seed=member.data_seed, progress=False).sae


def measured(sae: msae.SAE, small: dict[str, csr_array], held_out: msae.Activations) -> dict[str, Any]:
    """On stories as they are: error, L0, dead latents, those of the first eighth of the order too, and what it is beside small SAEs.

    Args:
        sae: the SAE.
        small: what small SAEs make of the same stories.
        held_out: the stories.
    """
    x, story, acts = held_out.x, held_out.x_story, encode(sae, held_out.x)
    whole, silent = reconstruction(sae, x, story=story), np.bincount(acts.indices, minlength=acts.shape[1]) == 0
    row: dict[str, Any] = {"fvu": whole.fvu.value, "l0": whole.l0.value, "dead": float(whole.dead)}
    row["dead_first"] = float(silent[: max(1, len(silent) // 8)].mean())
    beside = {name: unselected_holes(other, acts, story).replicates for name, other in small.items()}
    for what in ("holes", "average precision"):
        row[what] = {name: float(found[f"{what} 0.25"][0]) for name, found in beside.items()}
    row["beside"] = {name: {each: float(found[each][0]) for each in PAIR} for name, found in beside.items() if name.startswith("S2")}
    return short(row)


def train_missing(family: Family, out: Path, references: Path, *, length: float = 1.0, only: tuple[str, ...] = tuple(KINDS)) -> None:
    """A file for each kind and seed.

    Args:
        family: whose recipes and texts they are.
        out: folder of what is measured.
        references: folder of the family, whose small SAEs are trained there if they are not there.
        length: share of the steps.
        only: which kinds.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    wanted = [f"{HOOK}/{name}-seed{seed}" for name in SMALL for seed in SEEDS]
    members = msae.train_family(family, references, only=wanted, length=length, progress=False)
    held_out = read_sets(family, None, [HOOK], n_tokens=N_TOKENS, device="cpu", progress=False)["held_out"].activations[HOOK]
    small = {f"{member.name}-seed{member.seed}": encode(msae.SAE.load(references / member.id), held_out.x) for member in members}
    for name in only:
        kind, stream = KINDS[name], None
        for seed in SEEDS:
            (member,) = family.members(f"{HOOK}/{kind.member}-seed{seed}", length)
            path = out / f"{name.replace(', ', '_').replace(' ', '-')}-seed{seed}.json"
            if not path.exists():
                place = out / "saes" / path.stem
                if not place.exists():
                    stream = stream or stream_of(kind, family, member, (out, references))
                    trained(kind, member, stream).save(place)
                row = {"kind": name, "seed": seed} | measured(msae.SAE.load(place), small, held_out)
                write_file(path, json.dumps(row | {"hardware": hardware("cpu"), "torch": torch.__version__}))
                holes = ", ".join(f"{rate:.3f}" for rate in row["holes"].values())
                print(f"{name}, seed {seed}: holes {holes}; FVU {row['fvu']:.4f}, L0 {row['l0']:.1f}, dead {row['dead']:.3f}", flush=True)


def write_asset(family: Family, out: Path, to: Path) -> None:
    """All pieces in one file, with what they were made by."""
    pieces = {(piece["kind"], piece["seed"]): piece for piece in (json.loads(path.read_text()) for path in out.glob("*.json"))}
    rows = [pieces[kind, seed] for kind in KINDS for seed in SEEDS if (kind, seed) in pieces]
    (first, *_) = family.members(f"{HOOK}/{KINDS['plain'].member}-seed0")
    about = {
        "what": "tools/rivals_on_stories.py: " + " ".join((__doc__ or "").splitlines()[0].split()),
        "hook_name": HOOK,
        "family": "architectures",
        "n_tokens": N_TOKENS,
        "masked": MASKED,
        "recipe": {name: getattr(first.config, name) for name in ("n_latents", "target_l0", "n_steps", "batch_size", "lr", "penalty")},
        "kinds": {
            name: {"member": kind.member, "changes": {key: plain(value) for key, value in kind.changes.items()}, "masked": kind.masked}
            | ({"order": kind.order.__name__} if kind.order else {})
            for name, kind in KINDS.items()
        },
        "hardware": sorted({row.pop("hardware") for row in rows}),
        "versions": {"python": platform.python_version(), "torch": sorted({row.pop("torch") for row in rows}), "msae": msae.__version__},
    }
    write_table(to, about, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is measured")
    parser.add_argument("--references", type=Path, help="folder of the family, with its small SAEs; one within --out if left out")
    parser.add_argument("--only", nargs="+", choices=tuple(KINDS), default=list(KINDS), help="some of the kinds")
    parser.add_argument("--table", type=Path, help="write what there is into this file, and train nothing")
    asked = parser.parse_args()
    family = msae.load_family("architectures")
    if asked.table:
        return write_asset(family, asked.out, asked.table)
    train_missing(family, asked.out, asked.references or asked.out / "family", only=tuple(asked.only))


if __name__ == "__main__":
    main()
