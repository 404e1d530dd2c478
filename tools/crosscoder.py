"""A crosscoder of the bundled model: one dictionary for two of its places, with prefixes and without.

    python tools/crosscoder.py --out crosscoder     # trains and measures what is missing; stop it at any time, start it again
    python tools/crosscoder.py --out crosscoder --table msae/assets/crosscoder.json     # the same, then writes the file that ships

One core needs about half an hour. Activations of both places stand side by side, so that the library's training serves as it is
(Lindsey et al. 2024; the chapter "Open questions, asked of the tree" tells why no more is needed).
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tables import kept, short, write_table
from torch import Tensor

import msae
from msae import metrics
from msae.support.hardware import hardware

HOOKS = ("blocks.1.hook_resid_pre", "blocks.3.hook_resid_pre")
SEEDS, N_STEPS = (0, 1), 1500
SMALL = {"n_latents": 100, "target_l0": 6.0}
LARGE = {"n_latents": 2048, "target_l0": 20.0}
KINDS: dict[str, dict[str, Any]] = {
    "S2": SMALL,
    "plain": LARGE | {"prefixes": msae.FullPrefix()},
    "matryoshka": LARGE,
}
LEVEL = 0.25


@dataclass(frozen=True)
class Joined:
    """A stream of several places, side by side: their batches come in one order, for the texts are the same."""

    parts: Mapping[str, msae.Activations]
    scales: tuple[float, ...]
    """Of each place: those of the stories that are trained on, for others too."""

    hook_name = None
    scale = 1.0

    @property
    def d_model(self) -> int:
        return sum(part.d_model for part in self.parts.values())

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """(batch_size, d_model), each place in its own scale.

        Args:
            batch_size: tokens of a batch.
            seed: of their order.
            skip: batches to leave out at the start.
        """
        streams = [part.batches(batch_size, seed, skip) for part in self.parts.values()]
        for batch in zip(*streams, strict=True):
            yield torch.cat(batch, dim=-1)

    @property
    def x(self) -> Tensor:
        """(n_tokens, d_model) all of it, scaled."""
        return torch.cat([part.x.float() * scale for part, scale in zip(self.parts.values(), self.scales, strict=True)], dim=1)


def harvested(stories: list[str], n_tokens: int | None, cache: Path, like: Joined | None = None) -> Joined:
    """Both places of the bundled model, on some stories; read from the folder where they are kept.

    Args:
        stories: texts.
        n_tokens: how many tokens, all where it is None.
        cache: the folder.
        like: what SAEs were trained on that are to read these: its scales.
    """
    parts = msae.harvest(msae.load_language_model("bundled"), stories, HOOKS, n_tokens=n_tokens, cache=cache)
    return Joined(parts, like.scales if like else tuple(part.scale for part in parts.values()))


def trained(out: Path, stream: Joined, kind: str, seed: int) -> msae.SAE:
    """One crosscoder, read where it is there; the small ones have seeds and batches of their own."""
    folder = out / f"{kind}-seed{seed}"
    if not folder.exists():
        own = seed + 100 * (kind == "S2")
        recipe = dict(msae.load_family("architectures").recipe)
        config = msae.TrainConfig(n_steps=N_STEPS, seed=own, **recipe | KINDS[kind])
        msae.train(config, stream, data_seed=own).sae.save(folder)
    return msae.SAE.load(folder)


def measured(sae: msae.SAE, references: Mapping[str, msae.SAE], told: Joined) -> dict[str, Any]:
    """Errors of each place, dead latents, holes over all latents of each reference, and where the rows' norms lie."""
    x, story = told.x, next(iter(told.parts.values())).x_story
    with torch.no_grad():
        acts = sae.encode(x)
        places = [part.split(x.shape[1] // len(HOOKS), dim=1) for part in (x, sae.decode(acts))]
        norms = torch.stack([rows.norm(dim=1) for rows in sae.W_dec.split(x.shape[1] // len(HOOKS), dim=1)])
    found = {name: metrics.unselected_holes(ref.encode(x).detach(), acts, story, levels=(LEVEL,)) for name, ref in references.items()}
    alive = acts.amax(0) > 0
    share = (norms[1] / norms.sum(0))[alive]
    return {
        "l0": metrics.l0(acts),
        "dead": 1 - alive.float().mean().item(),
        "fvu": {hook: metrics.fvu(*pair) for hook, pair in zip(HOOKS, zip(*places, strict=True), strict=True)},
        "holes": {name: float(result.holes[0].mean()) for name, result in found.items()},
        "average precision": {name: float(result.replicates[f"average precision {LEVEL}"][0]) for name, result in found.items()},
        "share of the second place": torch.histc(share, 20, 0, 1).int().tolist(),
    }


def rows(out: Path, n_tokens: int | None = None) -> list[dict[str, Any]]:
    """What is measured of each kind and seed; what is missing is trained.

    Args:
        out: folder of crosscoders and measurements.
        n_tokens: how many to train on, all where left out.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = [(kind, seed) for kind in KINDS for seed in SEEDS]
    if all((out / f"{kind}-seed{seed}.json").exists() for kind, seed in names):
        return [kept(out / f"{kind}-seed{seed}.json", dict) for kind, seed in names]
    train, held_out = msae.split_stories(msae.load_stories("bundled"))
    stream = harvested(train, n_tokens, out / "activations")
    told = harvested(held_out, None, out / "activations", like=stream)
    references = {f"S2-seed{seed}": trained(out, stream, "S2", seed) for seed in SEEDS}
    found: list[dict[str, Any]] = []
    for kind, seed in names:
        sae = trained(out, stream, kind, seed)
        about = {"kind": kind, "seed": seed, "hardware": hardware("cpu"), "torch": torch.__version__}
        path = out / f"{kind}-seed{seed}.json"
        found.append(kept(path, lambda: about | short(measured(sae, {} if kind == "S2" else references, told))))  # noqa: B023
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is trained")
    parser.add_argument("--table", type=Path, help="write the table into this file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = rows(asked.out)
    if asked.table:
        about = {
            "what": "tools/crosscoder.py: " + " ".join((__doc__ or "").splitlines()[0].split()),
            "hook_names": HOOKS,
            "recipe": {"n_steps": N_STEPS, "small": SMALL, "large": LARGE},
            "hardware": sorted({row.pop("hardware") for row in found}),
            "torch": sorted({row.pop("torch") for row in found}),
            "versions": {"python": platform.python_version(), "msae": msae.__version__},
        }
        write_table(asked.table, about, found)


if __name__ == "__main__":
    main()
