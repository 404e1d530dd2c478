"""Which latents cause a pronoun, for several seeds: the table that the chapter *Which latents cause a behaviour* shows beside its own run.

    python tools/causes.py FOLDER [--seeds 0 1 2 3] [--out msae/assets/causes.json]

FOLDER holds SAEs of the recipe that ships, `plain-30-seed0` and so on, as `python -m msae family train` writes them. What is in the file
already is not measured again; ten seconds for each on one idle thread. The prompts lie in the file, too, under "prompts": the chapter reads
them from there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

import msae
from msae.interventions import Decomposition, Pairs, attribution, into_latents, patched, prompt_pairs, restored
from msae.support.hardware import hardware
from msae.support.version import __version__

GIRLS = "Lily Sue Mia Anna Lucy Sara Sarah Amy Emma Jane Mary Jill Lisa Ella Molly Sally Daisy Bella Jenny Polly"
BOYS = "Tim Tom Ben Max Sam Jack John Timmy Bob Billy Joe Bobby Benny Mark Jimmy Tommy Leo Fred Sammy Peter"
TEMPLATES = {
    "One day, {} was sad because": " she/ he",
    "One day, {} lost": " her/ his",
    "One day, {} went to the park with": " her/ his",
    "One day, {} went to the park because": " she/ he",
    "Once upon a time, {} was very happy because": " she/ he",
    "Once upon a time, {} loved to play with": " her/ his",
    "One day, {} was playing with a ball.": " She/ He",
    "One day, {} found a shiny stone.": " She/ He",
    "Little {} was tired, so": " she/ he",
    "One sunny day, {} went home and told": " her/ his",
    "One day, {} was playing in the park when": " she/ he",
    "In the morning, {} was very sad.": " She/ He",
}
"""Names that are one token, and sentences written down before anything was measured on latents."""

SIZES = [1, 2, 3, 5, 10, 20, 30, 50, 100, 200]


def pairs_of(lm: TransformerBridge, names: list[tuple[str, str]], templates: dict[str, str]) -> tuple[Pairs, np.ndarray]:
    """Each pair of names in each template, once as girl and once as boy; and the number of the names in each."""
    clean, other, answers, group = [], [], [], []
    for number, (girl, boy) in enumerate(names):
        for template, answer in templates.items():
            she, he = answer.split("/")
            clean += [template.format(girl), template.format(boy)]
            other += [template.format(boy), template.format(girl)]
            answers += [(she, he), (he, she)]
            group += [number, number]
    return prompt_pairs(lm, clean, other, answers=answers), np.array(group)


def measured(lm: TransformerBridge, into: Decomposition, prompts: dict[str, tuple[Pairs, np.ndarray]]) -> dict[str, object]:
    """One SAE: ranked on `rank`, measured on `new` (other names, other templates) and on `same` (other templates)."""
    ranks = attribution(lm, prompts["rank"][0], into)
    order = ranks.argsort(descending=True).tolist()
    row: dict[str, object] = {"order": order[:20], "attribution": [round(float(ranks[k]), 4) for k in order[:20]]}
    sizes = [size for size in SIZES if size <= len(order)]
    for which in ("new", "same"):
        pairs, group = prompts[which]
        found = restored(lm, pairs, into, order=order, sizes=sizes)
        row[which] = [[round(end, 4) for end in share] for share in found.shares(group)]
        whole = float((found.clean - found.other).sum())
        for part, taken in (("all", {}), ("error", {"which": [], "error": True})):
            row[f"{which}_{part}"] = round(float((found.clean - patched(lm, pairs, into, **taken)).sum()) / whole, 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("msae/assets/causes.json"))
    args = parser.parse_args()
    begin, lm = time.perf_counter(), msae.load_language_model("bundled")
    torch.set_num_threads(1)
    names, templates = list(zip(GIRLS.split(), BOYS.split(), strict=True)), list(TEMPLATES.items())
    prompts = {
        "rank": pairs_of(lm, names[::2], dict(templates[::2])),
        "new": pairs_of(lm, names[1::2], dict(templates[1::2])),
        "same": pairs_of(lm, names[::2], dict(templates[1::2])),
    }
    rows = json.loads(args.out.read_text())["rows"] if args.out.exists() else {}
    for seed in args.seeds:
        for kind in ("matryoshka-30", "plain-30", "S2"):
            path = args.folder / f"{kind}-seed{seed}"
            if path.name in rows:
                continue
            rows[path.name] = measured(lm, into_latents(msae.SAE.load(path)), prompts)
            head = {
                "version": __version__, "machine": hardware(), "seconds": round(time.perf_counter() - begin), "sizes": SIZES,
                "prompts": {"girls": GIRLS, "boys": BOYS, "templates": TEMPLATES},
            }  # fmt: skip
            lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(rows.items()))
            args.out.write_text(f'{json.dumps(head)[:-1]}, "rows": {{\n{lines}\n}}}}\n')
            print(path.name, rows[path.name]["order"][0], rows[path.name]["new"][0], flush=True)


if __name__ == "__main__":
    main()
