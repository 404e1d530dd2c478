"""How far SAEs follow walks away from real activations, and how much two concepts share, in SAEs of many seeds.

    python tools/walks.py runs/blocks.3.hook_resid_pre/{plain,matryoshka}-30-seed? --out msae/assets/walks.json

A folder is an SAE of the bundled language model at one place, as `python -m msae family train` leaves it; plain-30-seed3 is its name and
its seed; plain-30-uncentred are SAEs of the family `uncentred`. Ten seconds for each on one thread. What is in the file already is not
measured again.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import msae
from msae import metrics
from msae.activations.hooks import run_to_hook
from msae.activations.rows import Texts, read_texts
from msae.interventions import up_and_down, walk
from msae.support.files import as_json, write_file

HOOK, N_STEPS, N = "blocks.3.hook_resid_pre", 64, 100
PUSH = 4.0
"""How far each active latent is pushed alone, in units of the stream."""

OTHERS = ("boy", "dog", "bird")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saes", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table: dict[str, Any] = {"n_starts": N, "n_steps": N_STEPS, "push": PUSH, "rows": []}
    if options.out.is_file():
        table = json.loads(options.out.read_text(encoding="utf-8"))
    torch.set_grad_enabled(False)
    lm = msae.load_language_model("bundled")
    learned, held_out = msae.split_stories(msae.load_stories("bundled"))
    texts = starts(lm, held_out)
    x = run_to_hook(lm, texts.tokens, HOOK)[texts.mask]
    pairs = {other: streams(lm, beginnings(lm, held_out + learned), other) for other in OTHERS}
    for folder in options.saes:
        name, _, seed = folder.name.rpartition("-seed")
        if any((row["name"], row["seed"]) == (name, int(seed)) for row in table["rows"]):
            continue
        sae = msae.SAE.load(folder)
        walks = {kind: walked(sae, x, kind=kind, seed=int(seed)) for kind in ("anywhere", "active latents")}
        meets = {other: meeting(sae, its) for other, its in pairs.items()}
        table["rows"].append({"name": name, "seed": int(seed), "walks": walks, "pushed": pushed(sae, x), "meets": meets})
        write_file(options.out, as_json(table, "table", indent=None))


def starts(lm: Any, stories: list[str]) -> Texts:
    """The beginnings of a hundred stories, each with one place drawn among its tokens 7 to 15."""
    read = read_texts(lm, stories, n_ctx=16)
    read = read.pick(torch.tensor([int((read.story == story).nonzero()[0]) for story in range(N)]))
    places = torch.tensor(np.random.default_rng(0).integers(7, 16, size=N))
    return Texts(read.tokens, torch.arange(16) == places[:, None], read.story)


def walked(sae: msae.SAE, x: Tensor, *, kind: str, seed: int) -> list[float]:
    """[mean, low, high] over starts: the error of the reconstruction at the end of one kind of walk."""
    ways = {} if kind == "anywhere" else {"directions": sae.W_dec, "allowed": sae.encode(x) > 0}
    end = walk(x, N_STEPS, length=1.0, generator=torch.Generator().manual_seed(seed), **ways)[-1]
    return interval((sae(end) - end).norm(dim=1))


def pushed(sae: msae.SAE, x: Tensor) -> dict[str, Any]:
    """Each active latent pushed alone: how many others wake, and how far what the SAE adds is from the push. [mean, low, high]."""
    woken, missed = [], []
    for point in x:
        z = sae.encode(point)
        rows = sae.W_dec[z > 0]
        after = sae.encode(point + PUSH * rows)
        woken.append(((after > 0) & (z == 0)).sum(1).float().mean())
        missed.append(((after - z) @ sae.W_dec - PUSH * rows).norm(dim=1).mean())
    return {"woken": interval(torch.stack(woken)), "missed": interval(torch.stack(missed))}


def beginnings(lm: Any, stories: list[str]) -> list[Tensor]:
    """(length,) tokens of a hundred different beginnings of stories that end with "girl named" or "girl called" and have one girl."""
    girl = lm.tokenizer.encode(" girl", add_special_tokens=False)[0]
    found: dict[str, Tensor] = {}
    for story in stories:
        begun = re.match(r".{10,200}?\bgirl (?:named|called)\b", story, re.DOTALL)
        if begun and begun[0] not in found and len(found) < N:
            read = read_texts(lm, [begun[0]], n_ctx=64)
            tokens = read.tokens[0, : int(read.mask[0].sum()) + 1]
            if int((tokens == girl).sum()) == 1:
                found[begun[0]] = tokens
    return list(found.values())


def streams(lm: Any, prompts: list[Tensor], other: str) -> list[tuple[int, Tensor]]:
    """Of each beginning, the place of "girl" behind [BEGIN], and (2, length, width) the streams with it and the other word."""
    girl, word = (lm.tokenizer.encode(f" {each}", add_special_tokens=False)[0] for each in ("girl", other))
    both = [torch.stack([tokens, torch.where(tokens == girl, word, tokens)]) for tokens in prompts]
    return [(int((its[0] == girl).nonzero()) - 1, run_to_hook(lm, its, HOOK)[:, 1:]) for its in both]


def meeting(sae: msae.SAE, pairs: list[tuple[int, Tensor]]) -> dict[str, Any]:
    """[mean, low, high] over beginnings: the share of girl's activation that both have, and the way up and down over the straight one."""
    kept, way = [], []
    for at, (start, end) in pairs:
        z, its = sae.encode(torch.stack([start[at], end[at]]))
        path = up_and_down(sae, start, end)
        kept.append(torch.minimum(z, its).sum() / z.sum())
        way.append((path[1:] - path[:-1]).flatten(1).norm(dim=1).sum() / (end - start).norm())
    return {"kept": interval(torch.stack(kept)), "way": interval(torch.stack(way)), "n": len(pairs)}


def interval(values: Tensor) -> list[float]:
    sums = torch.stack([values, torch.ones_like(values)], dim=1).double().numpy()
    return [rounded(each) for each in metrics.bootstrap(metrics.ratio, sums)]


def rounded(number: Any) -> float:
    return float(f"{float(number):.4g}")


if __name__ == "__main__":
    main()
