"""What helps against dead latents: ghost gradients, AuxK, the projection of the decoder's gradient, lazy Adam. The table of the chapter "Dead latents".

    python tools/dead_latents.py --out dead      # trains and measures what is missing, a file for each recipe; stop it at any time
    python tools/dead_latents.py --out dead --assets msae/assets      # writes the file that ships, and trains nothing

One idle core needs half an hour. Every recipe is trained by the one plain loop below, which is not the library's: it is dense, and autograd
finds its gradients, so that what the recipes differ in stands in a few lines. Start, schedules, controller and measures are the library's.

Shapes: S SAEs, B inputs, D d_model, N latents.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from toy_worlds import measured as measured_on_the_tree
from torch import Tensor

import msae
from msae import metrics
from msae.sae.files import About
from msae.support.hardware import hardware
from msae.support.schedules import trapezoid
from msae.toy.worlds import toy_worlds
from msae.training.auxiliary import add_auxiliary
from msae.training.controller import L0Controller, integral_for
from msae.training.lazy_adam import LazyAdam

HOOK = "blocks.3.hook_resid_pre"
TOKENS = 66_000
EXACT = 1e-8
"""Below this a norm counts as 0."""


@dataclass(frozen=True)
class Recipe:
    """What may be done against dead latents, and for which SAE."""

    unit_rows: bool = False
    """Decoder rows are divided by their norms after every step, and the penalty is L1. Else rows are free, and the penalty is log(1 + a/0.1)
    of activations times row norms, as everywhere in the book."""

    project: bool = False
    """Take away what lies along each row from its gradient, before Adam sees it."""

    ghost: bool = False
    """Ghost gradients for dead latents."""

    aux: bool = False
    """AuxK for dead latents, as `TrainConfig(aux_latents=…)` has it."""

    lazy: bool = False
    """Adam that skips latents without a gradient, as `TrainConfig(lazy_adam=True)` has it."""

    sparse_start: bool = True
    """Lower encoder biases until `start_l0` latents fire. Else they start at 0, and half of all latents fire, as is usual with unit rows."""

    nested: bool = False
    """Ten prefixes drawn in every step, as in the article; else the full one alone."""


@dataclass(frozen=True)
class Size:
    """What all recipes share."""

    n_latents: int
    target_l0: float
    n_steps: int
    batch_size: int
    lr: float
    start_l0: float | None
    """Latents that fire per input where biases start sparse; None for 0 everywhere."""

    dead_after: int
    """Steps without a firing after which ghost gradients and AuxK take a latent for dead."""

    k_aux: int
    seeds: tuple[int, ...]


UNIT = Recipe(unit_rows=True, sparse_start=False)
RECIPES = {
    "unit": UNIT,
    "unit, projection": replace(UNIT, project=True),
    "unit, ghost": replace(UNIT, ghost=True),
    "unit, both": replace(UNIT, project=True, ghost=True),
    "unit, AuxK": replace(UNIT, aux=True),
    "unit, sparse start": replace(UNIT, sparse_start=True),
    "ours": Recipe(),
    "ours, ghost": Recipe(ghost=True),
    "ours, AuxK": Recipe(aux=True),
    "ours, lazy": Recipe(lazy=True),
    "nested": Recipe(nested=True),
    "nested, ghost": Recipe(nested=True, ghost=True),
    "nested, AuxK": Recipe(nested=True, aux=True),
    "nested, lazy": Recipe(nested=True, lazy=True),
}
SIZES = {
    "tree": Size(20, 1.12, 1000, 200, 1e-2, None, 50, 10, tuple(range(300, 316))),
    "stories": Size(1024, 20.0, 500, 128, 3e-3, 100.0, 50, 128, (0, 1, 2)),
}


def ghost_loss(pre_SBN: Tensor, W_dec: Tensor, residual_SBD: Tensor, dead_SN: Tensor) -> Tensor:
    """Dead latents reconstruct the residual with exp in place of ReLU (Jermyn and Templeton 2024); the size of it counts as given.

    Returns:
        (S,) as large as the mean squared residual, which is its scale; 0 where no latent is dead.
    """
    target_SBD = residual_SBD.detach()
    acts_SBN = pre_SBN.masked_fill(~dead_SN[:, None], -torch.inf).exp()
    out_SBD = acts_SBN @ W_dec
    length_SB1 = out_SBD.detach().norm(dim=2, keepdim=True).clamp(min=EXACT)
    half_SB1 = target_SBD.norm(dim=2, keepdim=True) / (2 * length_SB1)
    error_S = (half_SB1 * out_SBD - target_SBD).square().sum(2).mean(1)
    scale_S = target_SBD.square().sum(2).mean(1) / error_S.detach().clamp(min=EXACT)
    return error_S * scale_S * dead_SN.any(1)


def without_part_along(grad_SND: Tensor, rows_SND: Tensor) -> Tensor:
    """A gradient of unit rows without what would change their length alone (Bricken et al. 2023)."""
    return grad_SND - (grad_SND * rows_SND).sum(2, keepdim=True) * rows_SND


def prefix_error(x_SBD: Tensor, acts_SBN: Tensor, params: dict[str, Tensor], order_SN: Tensor, lengths: list[int]) -> Tensor:
    """(S,) the mean over prefixes of the squared error, latents in this order; a prefix adds its rows to those of the one before."""
    acts = acts_SBN.gather(2, order_SN[:, None].expand_as(acts_SBN))
    rows = params["W_dec"].gather(1, order_SN[..., None].expand_as(params["W_dec"]))
    left_SBD, total_S = x_SBD - params["b_dec"][:, None], torch.zeros(len(rows))
    for start, end in pairwise([0, *lengths]):
        if end > start:
            left_SBD = left_SBD - acts[..., start:end] @ rows[:, start:end]
        total_S = total_S + left_SBD.square().sum(2).mean(1)
    return total_S / len(lengths)


def first_params(size: Size, recipe: Recipe, x_SBD: Tensor) -> dict[str, Tensor]:
    """As the library starts: an encoder that is its decoder's transpose, and a small decoder where rows are free."""
    d_model = x_SBD.shape[2]
    saes = [msae.SAE(d_model, size.n_latents, generator=torch.Generator().manual_seed(seed)) for seed in size.seeds]
    params = {name: torch.stack([dict(sae.named_parameters())[name].detach() for sae in saes]) for name in ("W_dec", "b_enc", "b_dec")}
    params["W_encT"] = params["W_dec"].clone()
    if not recipe.unit_rows:
        params["W_dec"] *= 0.1
    if size.start_l0 is not None and recipe.sparse_start:
        pre_SX = (x_SBD @ params["W_encT"].mT).flatten(1)
        kept = int(size.start_l0 / size.n_latents * pre_SX.shape[1])
        params["b_enc"] -= pre_SX.kthvalue(pre_SX.shape[1] - kept, dim=1, keepdim=True).values
    return params


class Training:
    """The state of S runs of one recipe, and a step of them."""

    def __init__(self, recipe: Recipe, size: Size, x_SBD: Tensor):
        self.recipe, self.size, n_seeds = recipe, size, len(size.seeds)
        self.params = {name: p.requires_grad_() for name, p in first_params(size, recipe, x_SBD).items()}
        adam = LazyAdam if recipe.lazy else torch.optim.Adam
        self.optimizer = adam(self.params.values(), lr=size.lr, betas=(0.9, 0.99), fused=True)
        self.controller = L0Controller(n_seeds, integral=integral_for(size.n_steps))
        self.silent_SN = torch.zeros(n_seeds, size.n_latents)
        self.power_SN = torch.zeros(n_seeds, size.n_latents)
        self.generator = torch.Generator().manual_seed(size.seeds[0])
        self.penalty = msae.PENALTIES["l1" if recipe.unit_rows else "log"]
        self.first_l0_S: Tensor | None = None

    def step(self, x_SBD: Tensor, t: int) -> None:
        """One step: losses, what is added to their gradients, Adam."""
        recipe, size, params = self.recipe, self.size, self.params
        dead_SN = self.silent_SN >= size.dead_after
        pre_SBN = x_SBD @ params["W_encT"].mT + params["b_enc"][:, None]
        acts_SBN = pre_SBN.relu()
        residual_SBD = x_SBD - params["b_dec"][:, None] - acts_SBN @ params["W_dec"]
        if recipe.nested:
            lengths = msae.SquareRootPrefixes().sample(size.n_latents, self.generator).tolist()
            error_S = prefix_error(x_SBD, acts_SBN, params, self.power_SN.argsort(dim=1, descending=True, stable=True), lengths)
        else:
            error_S = residual_SBD.square().sum(2).mean(1)
        sparsity_S = self.penalty.value(acts_SBN * params["W_dec"].norm(dim=2)[:, None]).sum(2).mean(1)
        loss_S = error_S + self.controller.weight() * sparsity_S
        if recipe.ghost and dead_SN.any():
            loss_S = loss_S + ghost_loss(pre_SBN, params["W_dec"], residual_SBD, dead_SN)
        self.optimizer.zero_grad(set_to_none=True)
        loss_S.sum().backward()
        if recipe.aux and dead_SN.any():
            grads = {name: p.grad for name, p in params.items() if p.grad is not None}
            add_auxiliary((x_SBD, residual_SBD.detach()), dead_SN, params, grads, k=size.k_aux, weight=1 / 32)
        self.move(t)
        self.observe(acts_SBN.detach(), t)

    @torch.no_grad()
    def move(self, t: int) -> None:
        """Adam's step from the gradients, each SAE's scaled to a norm of 1 at most, as in the library."""
        rows, grads = self.params["W_dec"], {name: p.grad for name, p in self.params.items() if p.grad is not None}
        if self.recipe.project:
            grads["W_dec"].copy_(without_part_along(grads["W_dec"], rows))
        norm_S = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads.values()]).norm(dim=0)
        for grad in grads.values():
            grad.mul_((1 / (norm_S + 1e-6)).clamp(max=1).view(-1, *[1] * (grad.ndim - 1)))
        self.optimizer.param_groups[0]["lr"] = self.size.lr * trapezoid(t, self.size.n_steps)
        self.optimizer.step()
        if self.recipe.unit_rows:
            rows /= rows.norm(dim=2, keepdim=True)

    def observe(self, acts_SBN: Tensor, t: int) -> None:
        """Who fired, who is how strong, and what the penalty must weigh next."""
        fires_SBN = acts_SBN > 0
        self.silent_SN = (self.silent_SN + 1) * ~fires_SBN.any(1)
        self.power_SN.lerp_(acts_SBN.square().mean(1) * self.params["W_dec"].detach().square().sum(2), 0.05)
        l0_S, target = fires_SBN.sum(2).float().mean(1), self.size.target_l0
        if self.first_l0_S is None:
            self.first_l0_S = l0_S.clamp(min=target)
        left = max(0.0, 1 - t / (0.3 * self.size.n_steps))  # the target moves over the first three tenths, as in the library
        self.controller.update(l0_S, target * (self.first_l0_S / target) ** left)


def train(recipe: Recipe, size: Size, batches: Iterator[Tensor]) -> tuple[list[msae.SAE], dict[str, list[list[float]]]]:
    """The SAEs of a recipe, and for forty steps the share of latents that have been silent for `dead_after` steps."""
    dead: dict[str, list[list[float]]] = {"step": [], "silent": []}
    run: Training | None = None
    for t, x in zip(range(size.n_steps), batches, strict=False):
        x_SBD = x if x.ndim == 3 else x[None]
        run = run or Training(recipe, size, x_SBD[:, :256])
        run.step(x_SBD, t)
        if (t + 1) % (size.n_steps // 40) == 0:
            dead["step"].append(t + 1)
            dead["silent"].append([round(share, 3) for share in (run.silent_SN >= size.dead_after).float().mean(1).tolist()])
    assert run is not None
    about = About(msae.ReLU(), None, 1.0, None)
    rank = run.power_SN.argsort(dim=1, descending=True).argsort(dim=1)
    return [msae.SAE.from_training({n: p[s] for n, p in run.params.items()}, rank[s], about) for s in range(len(size.seeds))], dead


def on_the_tree(recipe: Recipe, size: Size) -> dict[str, Any]:
    """All seeds on the article's tree, with as many latents as features."""
    world = toy_worlds()["article, jitter 0.05"]
    saes, dead = train(recipe, size, world.stream(size.seeds).batches(size.batch_size, size.seeds[0]))
    return {"found": measured_on_the_tree(world, saes, size.seeds), "while": dead}


@torch.no_grad()
def densities(sae: msae.SAE, x: Tensor) -> Tensor:
    """(N,) on what share of inputs each latent fires."""
    return torch.stack([(sae.encode(part.float()) > 0).double().sum(0) for part in x.split(4096)]).sum(0) / len(x)


def on_stories(recipe: Recipe, size: Size, data: dict[str, Tensor]) -> dict[str, Any]:
    """The bundled model's activations, an order of its own for each seed, measured on stories that none was trained on."""
    shuffled = torch.randperm(len(data["train"]), generator=torch.Generator().manual_seed(size.seeds[0]))
    (sae,), dead = train(recipe, size, (data["train"][at] for at in shuffled.split(size.batch_size)))
    seen, new = densities(sae, data["train"]), densities(sae, data["held out"])
    with torch.no_grad():
        fvu = metrics.fvu(data["held out"], torch.cat([sae(part) for part in data["held out"].split(4096)]))
    row = {"dead": (new == 0).double().mean(), "silent": (seen == 0).double().mean(), "l0": new.sum(), "fvu": fvu}
    row |= {"rare": ((new > 0) & (new < 1e-4)).double().mean(), "dense": (new > 0.2).sum()}
    return {"found": {name: [round(float(value), 4)] for name, value in row.items()}, "while": dead}


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
            row = rows.setdefault((place, name), {"place": place, "recipe": name, "seeds": [], "found": {}, "step": piece["while"]["step"], "silent_then": []})
            row["seeds"] += size.seeds
            for measure, values in piece["found"].items():
                row["found"].setdefault(measure, []).extend(values)
            row["silent_then"] += [list(its) for its in zip(*piece["while"]["silent"], strict=True)]
    about = {
        "what": "tools/dead_latents.py: dead latents by recipe, on the article's tree and on the bundled model's activations",
        "hook_name": HOOK,
        "n_tokens": TOKENS,
        "recipes": {name: {k: v for k, v in asdict(recipe).items() if v != getattr(Recipe(), k)} for name, recipe in RECIPES.items()},
        "sizes": {place: asdict(size) for place, size in SIZES.items()},
        "hardware": sorted(machines),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": msae.__version__},
    }
    lines = ",\n".join(f"  {json.dumps(row, separators=(',', ':'))}" for row in rows.values())
    (to / "dead_latents.json").write_text(f'{{\n "about": {json.dumps(about)},\n "rows": [\n{lines}\n ]\n}}\n')


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
            row = on_stories(RECIPES[name], size, data) if data else on_the_tree(RECIPES[name], size)
            part = asked.out / f"{file}.part"
            part.write_text(json.dumps(row | {"hardware": hardware("cpu")}))
            part.rename(asked.out / file)
            brief = {measure: round(sum(values) / len(values), 3) for measure, values in row["found"].items()}
            print(f"{place}, {name}, {size.seeds[0]}: {brief}, {time.process_time() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
