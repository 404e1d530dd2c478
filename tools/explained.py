"""How well token patterns explain latents: trained SAEs of three seeds, frozen ones, neurons, components and random directions.

    python tools/explained.py --saes FOLDER --out msae/assets/explained.json

The folder holds SAEs by name: `plain-30-seed0`, `matryoshka-30-seed0`, `S3-seed0`, `S2-seed0`, and those of the seeds 1 and 2, trained with
the recipe of the bundled family. Stories are those that ship: 300 are measured, 163 of which no SAE has seen, and 600 are searched. A
part that is in the file already is not computed again. About 10 minutes on one CPU core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import msae
from msae.firings.firings import Firings
from msae.latents.controls import frozen_sae, independent_components, some_latents, strongest_inputs
from msae.latents.explained import Explanation, explain
from msae.sae.nonlinearities.topk import TopK
from msae.sae.sae import SAE
from msae.support.files import as_json, write_file
from msae.support.hardware import hardware
from msae.texts.stories import split_stories

HOOK, NEURONS = "blocks.3.hook_resid_pre", "blocks.2.mlp.hook_post"
LEVEL = 0.25
DRAWN, EXPLAINED, IN_BAND = 300, 60, 20
BANDS = (0, 100, 333, 1000, 3333, 8192)
"""Places in the order of a large SAE, at which it is cut."""
TRAINED = {"plain-30": "plain-30", "matryoshka-30": "matryoshka-30", "S/3": "S3", "S/2": "S2"}
TOPK, TOPK_LATENTS, TOPK_STEPS = 16, 333, 1500
VERSIONS = {"python": platform.python_version(), "torch": str(torch.__version__), "msae": msae.__version__}


class Read(NamedTuple):
    """The stories as the model reads them."""

    at: msae.Activations
    neurons: msae.Activations
    measured: np.ndarray
    """(n_texts,) bool."""
    components: torch.Tensor
    """Directions of ICA."""
    axes: torch.Tensor
    """Directions of PCA, the largest first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stories", type=int, nargs=2, default=[300, 600], help="measured, searched")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    table: dict[str, Any] = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {}
    read = read_stories(*options.stories)
    table["about"] = {
        "n_tokens": [int(read.at.mask[read.measured].sum()), int(read.at.mask[~read.measured].sum())],
        "stories": options.stories,
        "level": LEVEL,
        "drawn": DRAWN,
        "hardware": hardware("cpu"),
        "versions": VERSIONS,
    }
    for seed in options.seeds:
        for name, measure in (("decompositions", decompositions), ("frozen in training", frozen_in_training)):
            if name in table.get(str(seed), {}):
                continue
            began = time.perf_counter()
            found = measure(read, options.saes, seed)
            table.setdefault(str(seed), {})[name] = found | {"seconds": round(time.perf_counter() - began)}
            write_file(options.out, as_json(table, "table", indent=None))


def read_stories(n_measured: int, n_searched: int) -> Read:
    lm = msae.load_language_model("bundled")
    learned, held_out = split_stories(msae.load_stories("bundled"))
    stories = (held_out + learned)[: n_measured + n_searched]
    at, neurons = (msae.Activations(lm, stories, hook_name=hook, progress=False) for hook in (HOOK, NEURONS))
    x = at.x.float()
    axes = torch.linalg.eigh(torch.cov(x.T)).eigenvectors.T.flip(0)
    return Read(at, neurons, np.asarray(at.story) < n_measured, independent_components(x[::8]), axes)


def decompositions(read: Read, folder: Path, seed: int) -> dict[str, Any]:
    """Latents of trained SAEs, each with a frozen twin; directions that fire as often as the plain SAE's latents; places in the order."""
    found: dict[str, Any] = {}
    rng = np.random.default_rng(seed)
    for name, called in TRAINED.items():
        sae = SAE.load(folder / f"{called}-seed{seed}")
        drawn = np.sort(rng.choice(sae.n_latents, min(DRAWN, sae.n_latents), replace=False))
        firings = Firings.of_sae(some_latents(sae, drawn), read.at)
        chosen, found[name] = explained(read, firings, LEVEL, rng)
        twin = frozen_sae(read.at.x.float(), firings.counts[chosen], seed=seed, hook_name=HOOK)
        found[f"frozen {name}"] = explained(read, Firings.of_sae(twin, read.at), LEVEL, rng)[1]
        if name == "plain-30":
            often = firings.take(chosen).above(LEVEL).counts
    for name, scores in directions(read, len(often), seed):
        firings = strongest_inputs(scores, often, mask=read.at.mask)
        found[name] = explained(read, firings, 0.0, rng)[1]
    found["by place"] = {}
    for name in ("plain-30", "matryoshka-30"):
        sae = SAE.load(folder / f"{name}-seed{seed}")
        for low, high in itertools.pairwise(BANDS):
            drawn = np.sort(rng.choice(np.arange(low, high), min(5 * IN_BAND, high - low), replace=False))
            firings = Firings.of_sae(some_latents(sae, drawn), read.at)
            found["by place"].setdefault(name, []).append(explained(read, firings, LEVEL, rng, most=IN_BAND)[1])
    return found


def directions(read: Read, n: int, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """(n_tokens, n) scores of directions drawn at random, by kind."""
    rng = np.random.default_rng(100 + seed)
    x = read.at.x.float()

    def some(rows: torch.Tensor) -> torch.Tensor:
        return rows[torch.from_numpy(rng.choice(len(rows), n, replace=len(rows) < n))]

    signs = torch.from_numpy(rng.choice([-1.0, 1.0], (n, 1))).float()
    yield "neurons", some(read.neurons.x.T).T.float()
    yield "stream basis", x @ (some(torch.eye(x.shape[1])) * signs).T
    yield "PCA", x @ (some(read.axes) * signs).T
    yield "ICA", x @ some(read.components).T
    yield "ICA, other side", x @ -some(read.components).T
    yield "random", x @ torch.randn(n, x.shape[1], generator=torch.Generator().manual_seed(seed)).T


def frozen_in_training(read: Read, folder: Path, seed: int) -> dict[str, Any]:
    """A small TopK SAE trained whole, with its decoder frozen at random, and with its encoder frozen."""
    rng = np.random.default_rng(200 + seed)
    found = {}
    for name in ("whole", "frozen decoder", "frozen encoder"):
        sae, fvu = topk(read.at.x.float(), name, seed)
        chosen = explained(read, Firings.of_sae(sae, read.at), LEVEL, rng)[1]
        found[name] = chosen | {"fvu": round(fvu, 4)}
    return found


@torch.enable_grad()
def topk(x: torch.Tensor, frozen: str, seed: int) -> tuple[SAE, float]:
    generator = torch.Generator().manual_seed(seed)
    sae = SAE(x.shape[1], TOPK_LATENTS, TopK(TOPK), hook_name=HOOK, generator=generator)
    sae.b_dec.data = x.mean(0)
    sae.b_enc.data = -x.mean(0) @ sae.W_enc
    part = {"frozen decoder": sae.W_dec, "frozen encoder": sae.W_enc}.get(frozen)
    learned = [weight for weight in sae.parameters() if weight is not part]
    optimizer = torch.optim.Adam(learned, lr=1e-3)
    for step in range(TOPK_STEPS):
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        error = (sae(batch) - batch).square().sum(1).mean()
        optimizer.zero_grad()
        error.backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, 5 * (1 - step / TOPK_STEPS))
        optimizer.step()
        if frozen == "whole":
            with torch.no_grad():
                lengths = sae.W_dec.norm(dim=1, keepdim=True)
                sae.W_dec /= lengths
    with torch.no_grad():
        rest = x[::4]
        fvu = float((sae(rest) - rest).square().sum() / (rest - rest.mean(0)).square().sum())
    return sae.requires_grad_(False), fvu


def explained(
    read: Read, firings: Firings, level: float, rng: np.random.Generator, most: int = EXPLAINED
) -> tuple[np.ndarray, dict[str, Any]]:
    """Which columns are explained, drawn among those alive, and how well; alive: fires on 20 searched tokens and 5 measured ones."""
    on = np.repeat(read.measured, firings.places[1])
    (total,), (there,) = firings.counts_above([level], on)
    alive = np.flatnonzero((total - there >= 20) & (there >= 5))
    chosen = np.sort(rng.choice(alive, min(most, len(alive)), replace=False))
    of: list[Explanation] = explain(
        firings, read.at.tokens, read.at.str_tokens, latents=firings.latents[chosen], measured=read.measured, level=level
    )
    fields = ("f1", "searched_f1", "detection", "fuzzing")
    numbers = {field: [round(float(getattr(each, field)), 3) for each in of] for field in fields}
    numbers["n_firing"] = [each.n_firing for each in of]
    return chosen, {"n_drawn": len(firings.latents), "n_alive": len(alive)} | numbers


if __name__ == "__main__":
    main()
