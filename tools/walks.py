"""How far SAEs follow walks away from real activations, and what the model says where two concepts meet, in SAEs of many seeds.

    python tools/walks.py runs/blocks.3.hook_resid_pre/{plain,matryoshka}-30-seed? --out msae/assets/walks.json

A folder is an SAE of the bundled language model at one place, as `python -m msae family train` leaves it; plain-30-seed3 is its name and
its seed. Ten seconds for each on one thread. What is in the file already is not measured again.
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
from msae.interventions import along, placed, up_and_down, walk
from msae.support.files import as_json, write_file

HOOK, STOPS, N = "blocks.3.hook_resid_pre", [0, 64], 100
PUSH = 4.0
"""How far each active latent is pushed alone, in units of the stream."""

OTHERS = ("boy", "dog", "bird")
NAMES = {
    "girls": "lily sue mia anna lucy sara amy jane mary jill sally molly ella emma kate sarah lisa",
    "boys": "tim tom ben max sam jack john timmy bob billy joe bobby benny mark jimmy tommy leo fred",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saes", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table: dict[str, Any] = {"n_starts": N, "stops": STOPS, "push": PUSH, "rows": []}
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
        walks = {kind: walked(lm, sae, x, texts, kind=kind, seed=int(seed)) for kind in ("anywhere", "decoder rows", "active latents")}
        meets = {other: meeting(lm, sae, its) for other, its in pairs.items()}
        table["rows"].append({"name": name, "seed": int(seed), "walks": walks, "pushed": pushed(sae, x), "meets": meets})
        write_file(options.out, as_json(table, "table", indent=None))


def starts(lm: Any, stories: list[str]) -> Texts:
    """The beginnings of a hundred stories, each with one place drawn among its tokens 7 to 15."""
    read = read_texts(lm, stories, n_ctx=16)
    read = read.pick(torch.tensor([int((read.story == story).nonzero()[0]) for story in range(N)]))
    places = torch.tensor(np.random.default_rng(0).integers(7, 16, size=N))
    return Texts(read.tokens, torch.arange(16) == places[:, None], read.story)


def walked(lm: Any, sae: msae.SAE, x: Tensor, texts: Texts, *, kind: str, seed: int) -> dict[str, Any]:
    """Of one kind of walk, at each stop, [mean, low, high] over starts of what `along` measures."""
    ways = {} if kind == "anywhere" else {"directions": sae.W_dec}
    if kind == "active latents":
        ways["allowed"] = sae.encode(x) > 0
    path = walk(x, STOPS[-1], length=1.0, generator=torch.Generator().manual_seed(seed), **ways)
    measured = along(lm, sae, path[STOPS], texts=texts)._asdict()
    return {name: [interval(at) for at in values] for name, values in measured.items()}


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


def streams(lm: Any, prompts: list[Tensor], other: str) -> list[tuple[Tensor, int, Tensor]]:
    """Of each beginning its tokens, the place of "girl" behind [BEGIN], and (2, length, width) the streams with it and with the other word."""
    girl, word = (lm.tokenizer.encode(f" {each}", add_special_tokens=False)[0] for each in ("girl", other))
    both = [torch.stack([tokens, torch.where(tokens == girl, word, tokens)]) for tokens in prompts]
    return [(its[0], int((its[0] == girl).nonzero()) - 1, run_to_hook(lm, its, HOOK)[:, 1:]) for its in both]


def meeting(lm: Any, sae: msae.SAE, pairs: list[tuple[Tensor, int, Tensor]]) -> dict[str, Any]:
    """[mean, low, high] over beginnings: what girl and the other word share, how long the way is, and which names come where they meet."""
    vocabulary = [lm.tokenizer.decode([i]).strip().lower() for i in range(lm.cfg.d_vocab)]
    ids = {kind: [i for i, text in enumerate(vocabulary) if text in names.split()] for kind, names in NAMES.items()}
    found: dict[str, list[Tensor]] = {}
    for tokens, at, (start, end) in pairs:
        path = up_and_down(sae, start, end)
        z, its = sae.encode(torch.stack([start[at], end[at]]))
        legs = (path[1:] - path[:-1]).flatten(1).norm(dim=1)
        measured = {"kept": torch.minimum(z, its).sum() / z.sum(), "way": legs.sum() / (end - start).norm()}
        with placed(lm, HOOK, path[1][None], places=torch.arange(1, len(tokens))[None]):
            p = lm(tokens[None], return_type="logits")[0, -1].softmax(-1)
        measured |= {f"{kind}' names": p[which].sum() for kind, which in ids.items()}
        for name, value in measured.items():
            found.setdefault(name, []).append(value)
    return {name: interval(torch.stack(values)) for name, values in found.items()} | {"n": len(pairs)}


def interval(values: Tensor) -> list[float]:
    sums = torch.stack([values, torch.ones_like(values)], dim=1).double().numpy()
    return [rounded(each) for each in metrics.bootstrap(metrics.ratio, sums)]


def rounded(number: Any) -> float:
    return float(f"{float(number):.4g}")


if __name__ == "__main__":
    main()
