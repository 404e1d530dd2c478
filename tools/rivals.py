"""Other ways to close holes on the tree: orthogonal rows (OrtSAE), taxes by frequency, other orders and lengths of prefixes.

    python tools/rivals.py --out rivals                                      # trains what is missing; stop it at any time, start it again
    python tools/rivals.py --out rivals --table msae/assets/rivals.json      # writes the file that ships

One core needs about half an hour: sixteen seeds of a rival are trained in one batch. What has no prefixes is written out with autograd, so
that a rival is a line; the plain SAE of the same loop stands beside them.

Shapes: S seeds, B inputs, D d_model, N latents.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tables import write_table
from torch import Tensor, nn
from toy_worlds import acts_of, by_frequency, measured, ranked_by

import msae
from msae.sae.files import About
from msae.sae.penalties import PENALTIES
from msae.support.files import write_file
from msae.support.hardware import hardware
from msae.toy.worlds import World, toy_worlds
from msae.training.controller import L0Controller
from msae.training.step import StepInputs

SEEDS = tuple(range(300, 316))
N_LATENTS, N_STEPS, BATCH, LR = 20, 2000, 200, 1e-2
RIVALS: dict[str, dict[str, float]] = {
    "plain": {},
    "orthogonal rows, 0.1": {"orthogonal": 0.1},
    "orthogonal rows, 0.3": {"orthogonal": 0.3},
    "orthogonal rows, 1": {"orthogonal": 1.0},
    "orthogonal rows, 3": {"orthogonal": 3.0},
    "frequent latents pay more": {"by_frequency": 0.5},
    "rare latents pay more": {"by_frequency": -0.5},
    "rare latents pay much more": {"by_frequency": -1.0},
}
RIVALLED = ("article, jitter 0.05", "children twice as strong", "independent children")
FIRST_IN = ("article, jitter 0.05", "children 1.4 times as strong", "children twice as strong")
ORDERED = (
    "article, jitter 0.05",
    "children 1.4 times as strong",
    "children twice as strong",
    "strengths 0.5 to 2",
    "three levels",
    "independent children",
)
FIRST = tuple(range(1, 9))
"""Lengths of a prefix that has the full one alone beside it; the article's tree has three parents."""

FOUR = (0.15, 0.3, 0.6, 1.0)
"""Fixed widths, as shares of the latents."""

REACHED = 0.5
"""An input reaches along a row where its projection is above this share of the batch's largest."""


def by_power(inputs: StepInputs) -> Tensor:
    """(S, N) mean squared activation: what msae ranks latents by, as the article does."""
    return acts_of(inputs).square().mean(1)


def by_reach(inputs: StepInputs) -> Tensor:
    """(S, N) on how many inputs the projection on a latent's row is large, whether the latent fires there or not: it sees through holes."""
    unit = nn.functional.normalize(inputs.params["W_dec"], dim=2)
    along = (inputs.x - inputs.params["b_dec"][:, None]) @ unit.mT
    return (along > REACHED * along.amax(1, keepdim=True)).float().mean(1)


ORDERS: dict[str, Callable[[StepInputs], Tensor]] = {"power": by_power, "frequency": by_frequency, "reach": by_reach}


def overlap(W_dec: Tensor) -> Tensor:
    """(S,) mean over latents of the squared largest cosine with another row: what OrtSAE (Korznikov et al. 2025) adds, in one chunk."""
    unit = nn.functional.normalize(W_dec, dim=2)
    others = unit @ unit.mT - 2 * torch.eye(unit.shape[1])
    return others.amax(2).clamp(min=0).square().mean(1)


def train_rival(world: World, *, orthogonal: float = 0.0, by_frequency: float = 0.0, n_steps: int = N_STEPS) -> list[msae.SAE]:
    """Plain ReLU SAEs with the log penalty at the tree's L0, one a seed, and a rival's change.

    Args:
        world: what they are trained on.
        orthogonal: weight of `overlap`.
        by_frequency: a latent's penalty is multiplied with (its frequency over the mean frequency) to this power, between 1/20 and 20.
        n_steps: batches.
    """
    stream, n_seeds = world.stream(SEEDS), len(SEEDS)
    d_model = stream.d_model
    start = torch.randn(n_seeds, N_LATENTS, d_model, generator=torch.Generator().manual_seed(0)) / d_model**0.5
    W_dec, W_enc = nn.Parameter(start.clone()), nn.Parameter(start.mT.clone())
    b_enc, b_dec = nn.Parameter(torch.zeros(n_seeds, 1, N_LATENTS)), nn.Parameter(torch.zeros(n_seeds, 1, d_model))
    adam = torch.optim.Adam([W_dec, W_enc, b_enc, b_dec], LR, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, 5 * (1 - step / n_steps)))
    controller, log, frequency = L0Controller(n_seeds), PENALTIES["log"], torch.full((n_seeds, N_LATENTS), 0.1)
    for x, _ in zip(stream.batches(BATCH, 0), range(n_steps), strict=False):
        acts = (x @ W_enc + b_enc).relu()
        tax = (frequency / frequency.mean(1, keepdim=True)).clamp(0.05, 20) ** by_frequency
        penalty = (log.value(acts * W_dec.norm(dim=2)[:, None]) * tax[:, None]).sum(2).mean(1)
        error = (x - acts @ W_dec - b_dec).square().sum(2).mean(1)
        adam.zero_grad()
        (error + controller.weight() * penalty + orthogonal * overlap(W_dec)).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
        decay.step()
        fires = (acts.detach() > 0).float().mean(1)
        frequency.lerp_(fires, 0.05)
        controller.update(fires.sum(1), world.tree.l0)
    stacks = {"W_dec": W_dec, "W_enc": W_enc, "b_enc": b_enc[:, 0], "b_dec": b_dec[:, 0]}
    return [
        msae.SAE.from_weights({name: stack[seed] for name, stack in stacks.items()}, About(msae.ReLU(), None, 1.0, None))
        for seed in range(n_seeds)
    ]


def matryoshka(world: World, order: Callable[[StepInputs], Tensor], **more: Any) -> list[msae.SAE]:
    """SAEs of the library with prefixes, all where `more` says nothing else, of the same length and aimed at the same L0.

    Args:
        world: what they are trained on.
        order: what ranks the latents.
        more: of the recipe.
    """
    how: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": BATCH, "lr": LR, "sparsify": 0.2, "seed": SEEDS, **more}
    config = msae.TrainConfig(n_latents=world.tree.n_features, target_l0=world.tree.l0, **how)
    with ranked_by(order):
        return msae.train(config, world.stream(SEEDS), progress=False).saes


def pieces() -> dict[tuple[str, str], Callable[[], list[msae.SAE]]]:
    """What trains, by world and rival, the orders first."""
    todo: dict[tuple[str, str], Callable[[], list[msae.SAE]]] = {}
    for name in ORDERED:
        for order in ORDERS:
            todo[name, f"prefixes by {order}"] = partial(matryoshka, toy_worlds()[name], ORDERS[order])
        four = msae.FixedPrefixes([round(share * toy_worlds()[name].tree.n_features) for share in FOUR])
        laws: dict[str, dict[str, Any]] = {
            "all prefixes, stopped": {"stop_gradient": True},
            "four prefixes": {"prefixes": four},
            "four prefixes, stopped": {"prefixes": four, "stop_gradient": True},
        }
        for law, how in laws.items():
            todo[name, law] = partial(matryoshka, toy_worlds()[name], by_power, **how)
    for name in FIRST_IN:
        for first in FIRST:
            two = msae.FixedPrefixes([first, toy_worlds()[name].tree.n_features])
            todo[name, f"{first} and all"] = partial(matryoshka, toy_worlds()[name], by_power, prefixes=two)
    for name in RIVALLED:
        for rival, how in RIVALS.items():
            todo[name, rival] = partial(train_rival, toy_worlds()[name], **how)
    return todo


def train_missing(out: Path) -> None:
    """A file for each world and rival."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for (name, rival), train in pieces().items():
        path = out / f"{name}__{rival}.json".replace(" ", "_")
        if path.exists():
            continue
        found = measured(toy_worlds()[name], train(), SEEDS)
        piece = {"world": name, "rival": rival, "found": found, "hardware": hardware("cpu"), "torch": torch.__version__}
        write_file(path, json.dumps(piece))
        mean = {what: sum(found[what]) / len(SEEDS) for what in ("holes_quarter", "lost", "l0", "fvu")}
        print(name, rival, ", ".join(f"{what} {value:.3f}" for what, value in mean.items()), sep=": ", flush=True)


def write_asset(out: Path, to: Path) -> None:
    """All pieces in one file, with what they were made by."""
    found = {(piece["world"], piece["rival"]): piece for piece in (json.loads(path.read_text()) for path in out.glob("*.json"))}
    about = {
        "what": "tools/rivals.py: " + " ".join((__doc__ or "").splitlines()[0].split()),
        "seeds": list(SEEDS),
        "hardware": sorted({piece["hardware"] for piece in found.values()}),
        "versions": {"python": platform.python_version(), "torch": sorted({p["torch"] for p in found.values()}), "msae": msae.__version__},
        "recipe": {"n_steps": N_STEPS, "batch_size": BATCH, "lr": LR, "penalty": "log"},
    }
    rows = [{"world": world, "rival": rival} | found[world, rival]["found"] for world, rival in pieces() if (world, rival) in found]
    write_table(to, about, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is measured")
    parser.add_argument("--table", type=Path, help="write what there is into this file, and train nothing")
    asked = parser.parse_args()
    if asked.table:
        return write_asset(asked.out, asked.table)
    train_missing(asked.out)


if __name__ == "__main__":
    main()
