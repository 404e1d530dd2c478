"""Every architecture with every prefix law, on the toy tree and on TinyStories: the table of the chapter that compares them.

    python tools/architectures.py --out architectures     # trains and measures what is missing; stop it at any time, start it again
    python tools/architectures.py --out architectures --assets msae/assets     # writes the two files that ship

Two cores need about two hours, nearly all of it for TinyStories: `python -m msae family plan --family architectures` says how long.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from tables import write_table
from toy_worlds import measured

import msae
from msae.support.files import write_file
from msae.support.hardware import hardware
from msae.toy.worlds import World, toy_worlds

SEEDS = tuple(range(200, 216))
BASE = {"n_latents": 20, "n_steps": 1000, "batch_size": 200, "lr": 1e-2, "sparsify": 0.2, "seed": SEEDS}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "ReLU, log": {"penalty": "log"},
    "ReLU, L1": {"penalty": "l1"},
    "ReLU, sqrt": {"penalty": "sqrt"},
    "ReLU, tanh": {"penalty": "tanh"},
    "TopK, k = 1": {"nonlinearity": msae.TopK(1)},
    "TopK, k = 2": {"nonlinearity": msae.TopK(2)},
    "BatchTopK, k = 1": {"nonlinearity": msae.BatchTopK(1)},
    "BatchTopK, k = 2": {"nonlinearity": msae.BatchTopK(2)},
    "JumpReLU": {"nonlinearity": msae.JumpReLU()},
}
LAWS: dict[str, dict[str, Any]] = {
    "plain": {"prefixes": msae.FullPrefix()},
    "fixed": {"prefixes": msae.FixedPrefixes([3, 6, 12, 20])},
    "sampled": {"sample_prefixes": True},
    "all": {},
    "all, fading": {"fade_prefixes": 0.4},
}


def recipe(world: World, architecture: str, law: str) -> msae.TrainConfig:
    """The same length, size and batches for all; the tree's own L0, where the architecture does not fix it."""
    changes = ARCHITECTURES[architecture] | LAWS[law]
    return msae.TrainConfig(**BASE | {"target_l0": None if "TopK" in architecture else world.tree.l0} | changes)


def on_the_tree(out: Path) -> None:
    """A file for each architecture and law: what sixteen seeds of it make of the article's tree."""
    out.mkdir(parents=True, exist_ok=True)
    world = toy_worlds()["article, jitter 0.05"]
    for architecture in ARCHITECTURES:
        for law in LAWS:
            path = out / f"{architecture}__{law}.json".replace(" ", "_")
            if path.exists():
                continue
            torch.set_num_threads(1)
            result = msae.train(recipe(world, architecture, law), world.stream(SEEDS), progress=False)
            found = measured(world, result.saes, SEEDS)
            piece = {"architecture": architecture, "law": law, "found": found, "hardware": hardware("cpu"), "torch": torch.__version__}
            write_file(path, json.dumps(piece))
            print(f"{architecture}, {law}: holes {sum(found['holes_quarter']) / len(SEEDS):.3f}, {result.seconds:.0f} s", flush=True)


def on_stories(out: Path, valid: str | None) -> None:
    """The family of the same name, trained and measured by the command line."""
    for do, more in (("train", []), ("measure", ["--valid", valid] if valid else [])):
        subprocess.run([sys.executable, "-m", "msae", "family", do, "--family", "architectures", "--out", str(out), *more], check=True)


def write_assets(out: Path, to: Path) -> None:
    """Both files that ship."""
    pieces = [json.loads(path.read_text()) for path in sorted((out / "tree").glob("*.json"))]
    about = {
        "what": "tools/architectures.py: every architecture with every prefix law, on the article's tree",
        "seeds": list(SEEDS),
        "hardware": sorted({piece["hardware"] for piece in pieces}),
        "versions": {"python": platform.python_version(), "torch": sorted({piece["torch"] for piece in pieces}), "msae": msae.__version__},
        "recipe": {k: v for k, v in BASE.items() if k != "seed"},
    }
    keys = [(architecture, law) for architecture in ARCHITECTURES for law in LAWS]
    found = {(piece["architecture"], piece["law"]): piece["found"] for piece in pieces}
    rows = [{"architecture": a, "law": law} | found[a, law] for a, law in keys if (a, law) in found]
    write_table(to / "toy_architectures.json", about, rows)
    table = ["--family", "architectures", "--out", str(out / "stories"), "--table", str(to / "architectures.json")]
    subprocess.run([sys.executable, "-m", "msae", "family", "measure", *table], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is trained")
    parser.add_argument("--valid", help="real stories to measure on beside the told ones")
    parser.add_argument("--only", choices=("tree", "stories"), help="one of the two")
    parser.add_argument("--assets", type=Path, help="write what there is into this folder, and train nothing")
    asked = parser.parse_args()
    if asked.assets:
        return write_assets(asked.out, asked.assets)
    if asked.only != "stories":
        on_the_tree(asked.out / "tree")
    if asked.only != "tree":
        on_stories(asked.out / "stories", asked.valid)


if __name__ == "__main__":
    main()
