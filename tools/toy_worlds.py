"""The toy's worlds, recipe by recipe: the table that the chapter "All prefixes at once" shows.

    python tools/toy_worlds.py --out worlds --processes 2      # trains what is missing, a file for each piece; stop it at any time
    python tools/toy_worlds.py --out worlds --table msae/assets/toy_worlds.json

One core needs about three quarters of an hour: twelve seeds of a recipe are trained in one batch.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import msae
from msae import metrics
from msae.support.files import write_file
from msae.support.hardware import hardware
from msae.toy.worlds import World, toy_worlds
from msae.training import run as training_run
from msae.training.controller import L0Controller
from msae.training.run import Run
from msae.training.step import Observed, StepInputs

SEEDS = tuple(range(100, 112))
BASE = {"n_steps": 1000, "batch_size": 200, "lr": 1e-2, "sparsify": 0.2, "seed": SEEDS}
PLAIN = {"prefixes": msae.FullPrefix()}
FADE = {"exchange_every": 25, "fade_prefixes": 0.4, "fade_penalty": 0.4}
Recipes = dict[str, dict[str, Any]]

CORE: Recipes = {
    "plain": PLAIN | {"target_l0": None, "penalty_weight": 0.05},
    "sampled": {"sample_prefixes": True},
    "all": {},
    "all, exchange, both fade": FADE,
}
TRIED: Recipes = {
    "sqrt": {"penalty": "sqrt"},
    "plain, true L0": PLAIN,
    "prefixes fade": {"fade_prefixes": 0.4},
    "uniform law": {"prefixes": msae.UniformPrefixes(10)},
    "Pareto law": {"prefixes": msae.ParetoPrefixes(10)},
    "a third on the full prefix": {"prefixes": msae.SquareRootPrefixes(3)},
    "slower sparsify": {"sparsify": 0.6},
    "target 15 % above": {"target": 1.15},
    "twice the latents": {"spare": 2.0},
}
RANKED: Recipes = {"all": {}, "all, exchange, both fade": FADE}


def config(world: World, penalty: str, changes: dict[str, Any], length: float = 1.0) -> msae.TrainConfig:
    """A recipe for a world: as many latents as features, and the true L0, where nothing else is said."""
    changes = dict(changes)
    target, n = changes.pop("target", 1.0) * world.tree.l0, changes.pop("n_latents", 0)
    n = n or round(changes.pop("spare", 1.0) * world.tree.n_features)
    full = BASE | {"n_latents": n, "target_l0": target, "penalty": penalty} | changes
    return msae.TrainConfig(**full | {"n_steps": max(2, round(length * full["n_steps"]))})


def acts_of(inputs: StepInputs) -> Tensor:
    """(S, B, N) activations of a step's inputs, in units of unit-norm decoder rows."""
    return inputs.encode(inputs.x, torch.linalg.vector_norm(inputs.params["W_dec"], dim=2))[1]


def by_frequency(inputs: StepInputs) -> Tensor:
    """(S, N) how often each latent fires."""
    return (acts_of(inputs) > 0).float().mean(1)


@contextmanager
def ranked_by(of: Callable[[StepInputs], Tensor]) -> Iterator[None]:
    """Rank latents by `of(inputs)`, (S, N), in place of the mean square of their activations."""
    gradients = Run.gradients  # of whichever form

    def ranked(run: Run, x_SBD: Tensor) -> Observed:
        return gradients(run, x_SBD)._replace(power_N=of(run._inputs(x_SBD, run.law_inclusion_N)))

    with patch.object(Run, "gradients", ranked):
        yield


@contextmanager
def old_controller() -> Iterator[None]:
    """The controller before it was mended: it added up its error ten times as fast."""
    with patch.object(training_run, "L0Controller", lambda *a, **_: L0Controller(*a, proportional=0.3, integral=0.03)):
        yield


def measured(world: World, saes: list[msae.SAE], seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """Of each seed: mean hole rate of the parents at level 0 and a quarter, worst parent, rows that are missing; L0 and FVU."""
    tree, generator, rows = world.tree, torch.Generator().manual_seed(1), []
    for seed, sae in zip(seeds, saes, strict=True):
        directions = world.directions(seed)
        x, features = tree.sample(6000, directions, generator, jitter=world.jitter, noise=world.noise)
        with torch.no_grad():
            acts = sae.encode(x)
            fvu = metrics.fvu(x, sae.decode(acts))
        closest = metrics.closest(acts, features)
        found = {}
        for name, level in (("holes", 0.0), ("holes_quarter", 0.25)):
            silent = acts <= level * acts.amax(0)
            with_child = {p: (features[:, p] > 0) & features[:, tree.children(p)].any(1) for p in tree.parents}
            found[name] = torch.stack([silent[there, closest[p]].float().mean() for p, there in with_child.items()])  # as metrics.holes
        cosine = metrics.cosines(sae.W_dec.detach(), directions).amax(0)
        fires = acts > 0.25 * acts.amax(0)
        rows.append(
            {
                **{name: rates.mean().item() for name, rates in found.items()},
                "worst": found["holes_quarter"].max().item(),
                "lost": int((cosine < 0.8).sum()),
                "whole": int((cosine > 0.99).all()),
                "l0": metrics.l0(acts),
                "dead": (acts.amax(0) <= 0).double().mean().item(),
                "l0_quarter": fires.sum(1).float().mean().item(),
                "fvu": fvu,
                "parent_cosine": cosine[tree.parents].mean().item(),
            }
        )
    return {name: [round(row[name], 4) for row in rows] for name in rows[0]}


def trained(world: World, recipes: dict[str, msae.TrainConfig]) -> dict[str, Any]:
    """What recipes make of a world; those of one length are trained on the same batches."""
    results = msae.train(recipes, world.stream(SEEDS), progress=False)
    done = {}
    for name, result in results.items():
        weight = result.history["penalty_weight"]
        about = {"seconds": round(result.seconds / len(recipes), 1), "peak": [round(v, 4) for v in weight.amax(0).tolist()]}
        done[name] = measured(world, result.saes) | about
    return done


def pieces(length: float) -> dict[str, Callable[[], Any]]:
    """All that is measured, in the order of its worth; a piece takes one core one to three minutes."""
    todo: dict[str, Callable[[], Any]] = {}
    article = toy_worlds()["article, no jitter"]

    def several(world: World, penalty: str, recipes: Recipes) -> Callable[[], Any]:
        return lambda: trained(world, {name: config(world, penalty, changes, length) for name, changes in recipes.items()})

    def within(what: Callable[[], Any], work: Callable[[], Any]) -> Callable[[], Any]:
        def both() -> Any:
            with what():
                return work()

        return both

    for n in (24, 40, 80, 20, 30, 22):
        for penalty in ("l1", "log"):
            work = several(article, penalty, {"all": {"n_latents": n, "n_steps": 3000}})
            todo[f"sweep/{penalty}/{n}/now"], todo[f"sweep/{penalty}/{n}/before"] = work, within(old_controller, work)
            todo[f"sweep/{penalty}/{n}/fading"] = several(article, penalty, {"all": FADE | {"n_latents": n, "n_steps": 3000}})
    for penalty in ("log", "l1"):
        for name, world in toy_worlds().items():
            todo[f"worlds/{name}/{penalty}"] = several(world, penalty, CORE)
    ranks = {"frequency": by_frequency, "mean": lambda inputs: acts_of(inputs).mean(1)}
    for name, world in toy_worlds().items():
        for rank, of in ranks.items():
            todo[f"ranked/{name}/{rank}"] = within(lambda of=of: ranked_by(of), several(world, "log", RANKED))
    todo["course/now"] = lambda: course(length)
    todo["course/before"] = within(old_controller, todo["course/now"])
    todo["hysteresis"] = lambda: hysteresis(length)
    for name, world in toy_worlds().items():
        todo[f"tried/{name}"] = several(world, "log", TRIED)
    for name, world in toy_worlds().items():
        todo[f"long/{name}"] = several(world, "log", {"all, 10,000 steps": {"n_steps": 10_000}})
    return todo


def course(length: float) -> dict[str, Any]:
    """λ, L0 and holes over the steps of the recipe with 24 latents for 20 features under L1."""
    world = toy_worlds()["article, no jitter"]
    recipe = config(world, "l1", {"n_latents": 24, "n_steps": 3000}, length)
    return _followed(world, Run(recipe, world.stream(SEEDS).d_model, torch.device("cpu")))


def hysteresis(length: float) -> dict[str, Any]:
    """40 latents under L1 with λ set by hand: as it is throughout, and with 0.1 for the last 60 % of the run."""
    world, found = toy_worlds()["article, no jitter"], {}
    for weight in (0.1, 0.2, 0.3, 0.5, 0.85, 1.2):
        for label, share in (("throughout", 1.0), ("then 0.1", 0.4)):
            recipe = config(world, "l1", {"n_latents": 40, "n_steps": 3000, "target_l0": None, "penalty_weight": weight}, length)

            class ByHand(Run):
                def _penalty_weight(self) -> Tensor:
                    now = super()._penalty_weight()
                    return now if self.step_number < share * self.config.n_steps else now.clamp(max=0.1)  # noqa: B023

            run = ByHand(recipe, 20, torch.device("cpu"))
            found[f"{weight}, {label}"] = _followed(world, run, every=10)
    return found


def _followed(world: World, run: Run, every: int = 40) -> dict[str, Any]:
    """Means over the seeds at `every` points of a run."""
    stream, n_steps, seen = world.stream(SEEDS), run.config.n_steps, []
    for t, x in zip(range(n_steps), stream.batches(run.config.batch_size, 0), strict=False):
        run.step(x)
        if (t + 1) % max(1, n_steps // every) == 0:
            now = measured(world, run.finish(stream))
            row = {name: round(sum(now[name]) / len(SEEDS), 4) for name in ("holes", "holes_quarter", "l0")}
            seen.append(row | {"step": t + 1, "penalty_weight": round(run.weight_S.median().item(), 4)})
    return {name: [row[name] for row in seen] for name in seen[0]}


def work(task: tuple[str, str, float, float]) -> str:
    """One piece, if it is missing and there is time."""
    name, out, length, until = task
    path = Path(out, name.replace("/", "__").replace(" ", "_") + ".json")
    if path.exists() or time.time() > until:
        return ""
    torch.set_num_threads(1)
    start = time.time()
    found = {"piece": name, "found": pieces(length)[name](), "seconds": round(time.time() - start, 1)}
    found |= {"hardware": hardware("cpu"), "torch": torch.__version__}
    write_file(path, json.dumps(found))
    return f"{name}: {found['seconds']} s"


def table(out: Path, to: Path) -> None:
    """All pieces in one file, with what they were made by."""
    found: dict[str, Any] = {}
    read = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    for piece in read:
        found[piece["piece"]] = piece["found"]
    about = {
        "what": "tools/toy_worlds.py: " + " ".join((__doc__ or "").splitlines()[0].split()),
        "seeds": list(SEEDS),
        "core_seconds": round(sum(piece["seconds"] for piece in read)),
        "hardware": sorted({piece["hardware"] for piece in read}),
        "versions": {"python": platform.python_version(), "torch": sorted({piece["torch"] for piece in read}), "msae": msae.__version__},
        "recipe": {k: v for k, v in BASE.items() if k != "seed"},
    }
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(found[name], separators=(',', ':'))}" for name in found)
    to.write_text(f'{{\n "about": {json.dumps(about)},\n "pieces": {{\n{lines}\n }}\n}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--length", type=float, default=1.0, help="share of the steps: 0.01 tries everything out")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no piece after this")
    parser.add_argument("--only", default="", help="pieces whose name begins with this")
    parser.add_argument("--table", type=Path, help="write what there is into this file, and train nothing")
    asked = parser.parse_args()
    if asked.table:
        return table(asked.out, asked.table)
    asked.out.mkdir(parents=True, exist_ok=True)
    until = time.time() + asked.seconds
    tasks = [(name, str(asked.out), asked.length, until) for name in pieces(asked.length) if name.startswith(asked.only)]
    with get_context("spawn").Pool(asked.processes) as pool:
        for done in pool.imap_unordered(work, tasks):
            if done:
                print(done, flush=True)


if __name__ == "__main__":
    main()
