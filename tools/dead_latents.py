"""What helps against dead latents, recipe by recipe: the table of the chapter "Dead latents".

    python tools/dead_latents.py --out dead      # trains and measures what is missing, a file for each recipe; stop it at any time
    python tools/dead_latents.py --out dead --assets msae/assets      # writes the file that ships, and trains nothing

One idle core needs five minutes. `dead_training` is the loop that all recipes share.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from dead_training import Recipe, Size, train
from tables import write_table
from torch import Tensor
from toy_worlds import measured as measured_on_the_tree

import msae
from msae import metrics
from msae.support.files import write_file
from msae.support.hardware import hardware
from msae.toy.worlds import toy_worlds

HOOK = "blocks.3.hook_resid_pre"
TOKENS = 66_000


UNIT = Recipe(unit_rows=True, sparse_start=False)
RECIPES = {
    "unit": UNIT,
    "unit, projection": replace(UNIT, project=True),
    "unit, ghost": replace(UNIT, ghost=True),
    "unit, AuxK": replace(UNIT, aux=True),
    "nested": Recipe(nested=True),
    "nested, ghost": Recipe(nested=True, ghost=True),
    "nested, AuxK": Recipe(nested=True, aux=True),
    "nested, lazy": Recipe(nested=True, lazy=True),
    "ours": Recipe(),
    "ours, ghost": Recipe(ghost=True),
    "ours, AuxK": Recipe(aux=True),
    "ours, lazy": Recipe(lazy=True),
    "ours, rows from data": Recipe(rows_from_data=True),
    "ours, slower fall": Recipe(fall=0.6),
    "nested, rows from data": Recipe(nested=True, rows_from_data=True),
    "nested, slower fall": Recipe(nested=True, fall=0.6),
    "unit, sparse start": replace(UNIT, sparse_start=True),
    "unit, ghost, one clip": replace(UNIT, ghost=True, one_clip=True),
    "unit, both": replace(UNIT, project=True, ghost=True),
}
SIZES = {
    "tree": Size(20, 1.12, 1000, 200, 1e-2, None, 50, 10, tuple(range(300, 316))),
    "stories": Size(1024, 20.0, 500, 128, 3e-3, 100.0, 50, 128, (0, 1)),
}


def on_the_tree(recipe: Recipe, size: Size) -> dict[str, Any]:
    """All seeds on the article's tree, with as many latents as features."""
    world = toy_worlds()["article, jitter 0.05"]
    saes = train(recipe, size, world.stream(size.seeds).batches(size.batch_size, size.seeds[0]))
    return measured_on_the_tree(world, saes, size.seeds)


@torch.no_grad()
def densities(sae: msae.SAE, x: Tensor) -> Tensor:
    """(N,) on what share of inputs each latent fires."""
    return torch.stack([(sae.encode(part.float()) > 0).double().sum(0) for part in x.split(4096)]).sum(0) / len(x)


def on_stories(recipe: Recipe, size: Size, data: dict[str, Tensor]) -> dict[str, Any]:
    """The bundled model's activations, an order of its own for each seed, measured on stories that none was trained on."""
    shuffled = torch.randperm(len(data["train"]), generator=torch.Generator().manual_seed(size.seeds[0]))
    (sae,) = train(recipe, size, (data["train"][at] for at in shuffled.split(size.batch_size)))
    seen, new = densities(sae, data["train"]), densities(sae, data["held out"])
    with torch.no_grad():
        fvu = metrics.fvu(data["held out"], torch.cat([sae(part) for part in data["held out"].split(4096)]))
    row = {"dead": (new == 0).double().mean(), "silent": (seen == 0).double().mean(), "l0": new.sum(), "fvu": fvu}
    row |= {"rare": ((new > 0) & (new < 1e-4)).double().mean(), "dense": (new > 0.2).sum()}
    return {name: [round(float(value), 4)] for name, value in row.items()}


def activations(out: Path) -> dict[str, Tensor]:
    """What the SAEs read, of mean norm √256: `TOKENS` to train on and all held-out ones."""
    lm = msae.load_language_model("bundled")
    training, held_out = msae.split_stories(msae.load_stories("bundled"))
    found = msae.Activations(lm, training, HOOK, n_tokens=TOKENS, cache=out / "cache", progress=False)
    new = msae.Activations(lm, held_out, HOOK, cache=out / "cache", progress=False)
    return {"train": found.x.float() * found.scale, "held out": new.x.float() * found.scale}


def jobs(place: str) -> Iterator[tuple[str, Size, str]]:
    """The recipe, its size and its file, of each piece of work: all seeds of the tree at once, one seed after the other of the rest."""
    size = SIZES[place]
    for seeds in [size.seeds] if place == "tree" else [(seed,) for seed in size.seeds]:
        for name, recipe in RECIPES.items():
            if place == "stories" or not (recipe.unit_rows and recipe.sparse_start):  # the tree has no sparse start
                slug = name.replace(", ", "_").replace(" ", "-")
                yield name, replace(size, seeds=seeds), f"{place}__{slug}__{seeds[0]}.json"


def write_asset(out: Path, to: Path) -> None:
    """The file that ships, a line for each recipe of each place."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    machines = set()
    for place in SIZES:
        for name, size, file in jobs(place):
            if not (out / file).exists():
                continue
            piece = json.loads((out / file).read_text())
            machines.add(piece["hardware"])
            row = rows.setdefault((place, name), {"place": place, "recipe": name, "seeds": [], "found": {}})
            row["seeds"] += size.seeds
            for measure, values in piece["found"].items():
                row["found"].setdefault(measure, []).extend(values)
    about = {
        "what": "tools/dead_latents.py: dead latents by recipe, on the article's tree and on the bundled model's activations",
        "hook_name": HOOK,
        "n_tokens": TOKENS,
        "recipes": {name: {k: v for k, v in asdict(recipe).items() if v != getattr(Recipe(), k)} for name, recipe in RECIPES.items()},
        "sizes": {place: asdict(size) for place, size in SIZES.items()},
        "hardware": sorted(machines),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": msae.__version__},
    }
    write_table(to / "dead_latents.json", about, rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is trained")
    parser.add_argument("--only", choices=tuple(SIZES), help="one of the two places")
    parser.add_argument("--assets", type=Path, help="write what there is into this folder, and train nothing")
    asked = parser.parse_args()
    if asked.assets:
        return write_asset(asked.out, asked.assets)
    asked.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for place in [asked.only] if asked.only else list(SIZES):
        missing = [job for job in jobs(place) if not (asked.out / job[2]).exists()]
        data = activations(asked.out) if place == "stories" and missing else {}
        for name, size, file in missing:
            begin = time.process_time()
            found = on_stories(RECIPES[name], size, data) if data else on_the_tree(RECIPES[name], size)
            write_file(asked.out / file, json.dumps({"found": found, "hardware": hardware("cpu")}))
            brief = {measure: round(sum(values) / len(values), 3) for measure, values in found.items()}
            print(f"{place}, {name}, {size.seeds[0]}: {brief}, {time.process_time() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
