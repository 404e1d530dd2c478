"""The loop of `dead_latents`: every recipe in one, dense, with gradients that autograd finds.

It is not the library's, so that what the recipes differ in stands in a few lines; start, schedules, controller and AuxK are.

Shapes: S SAEs, B inputs, D d_model, N latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from math import ceil

import torch
from torch import Tensor

import msae
from msae.sae.files import About
from msae.support.schedules import trapezoid
from msae.training.auxiliary import add_auxiliary
from msae.training.controller import L0Controller, integral_for
from msae.training.lazy_adam import LazyAdam

EXACT = 1e-8
"""Below this a norm counts as 0."""


@dataclass(frozen=True)
class Recipe:
    """What may be done against dead latents, and for which SAE."""

    unit_rows: bool = False
    """Decoder rows are divided by their norms after every step, and the penalty is L1. Else rows are free, and the penalty is the log of
    the library, on activations times row norms."""

    project: bool = False
    """Take away what lies along each row from its gradient, before Adam sees it."""

    ghost: bool = False
    """Ghost gradients for dead latents."""

    aux: bool = False
    """AuxK for dead latents, as `TrainConfig(aux_latents=…)` has it."""

    one_clip: bool = False
    """Clip the gradients of living and dead latents together. Else each by themselves: ghost gradients are the larger by far."""

    lazy: bool = False
    """Adam that skips latents without a gradient, as `TrainConfig(lazy_adam=True)` has it."""

    sparse_start: bool = True
    """Lower encoder biases until `start_l0` latents fire. Else they start at 0, where half of all latents fire."""

    rows_from_data: bool = False
    """Rows start along inputs of the first batches, drawn at random, less their mean. Else in random directions."""

    fall: float = 0.3
    """Over which share of the run the target of L0 falls from where training starts; three tenths in the library."""

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


def rows_along(x_SBD: Tensor, size: Size) -> Tensor:
    """(S, N, D) unit rows along inputs less their mean, drawn without one coming twice."""
    drawn = [torch.randperm(len(x_BD), generator=torch.Generator().manual_seed(seed)) for x_BD, seed in zip(x_SBD, size.seeds, strict=True)]
    from_mean_SBD = x_SBD - x_SBD.mean(1, keepdim=True)
    rows = torch.stack([x_BD[at[: size.n_latents]] for x_BD, at in zip(from_mean_SBD, drawn, strict=True)])
    return torch.nn.functional.normalize(rows, dim=2)


def first_params(size: Size, recipe: Recipe, x_SBD: Tensor) -> dict[str, Tensor]:
    """As the library starts: an encoder that is its decoder's transpose, and a small decoder where rows are free."""
    d_model = x_SBD.shape[2]
    saes = [msae.SAE(d_model, size.n_latents, generator=torch.Generator().manual_seed(seed)) for seed in size.seeds]
    params = {name: torch.stack([dict(sae.named_parameters())[name].detach() for sae in saes]) for name in ("W_dec", "b_enc", "b_dec")}
    if recipe.rows_from_data:
        params["W_dec"] = rows_along(x_SBD, size)
    params["W_encT"] = params["W_dec"].clone()
    if not recipe.unit_rows:
        params["W_dec"] *= 0.1
    if size.start_l0 is not None and recipe.sparse_start:
        pre_SX = (x_SBD[:, :256] @ params["W_encT"].mT).flatten(1)
        kept = int(size.start_l0 / size.n_latents * pre_SX.shape[1])
        params["b_enc"] -= pre_SX.kthvalue(pre_SX.shape[1] - kept, dim=1, keepdim=True).values
    return params


def clip(grads: dict[str, Tensor], apart_SN: Tensor) -> None:
    """Scale each SAE's gradient to a norm of 1 at most, as the library does, and that of latents `apart` by itself."""
    of_latents = [grads[name] for name in ("W_dec", "W_encT", "b_enc")]
    square_SN = torch.stack([grad.square().reshape(*apart_SN.shape, -1).sum(2) for grad in of_latents]).sum(0)
    rest_S = (square_SN * ~apart_SN).sum(1) + grads["b_dec"].square().sum(1)
    apart_S1, rest_S1 = ((1 / (square_S.sqrt() + 1e-6)).clamp(max=1)[:, None] for square_S in ((square_SN * apart_SN).sum(1), rest_S))
    factor_SN = torch.where(apart_SN, apart_S1, rest_S1)
    for grad in of_latents:
        grad.mul_(factor_SN.view(*apart_SN.shape, *[1] * (grad.ndim - 2)))
    grads["b_dec"].mul_(rest_S1)


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
        self.move(dead_SN, t)
        self.observe(acts_SBN.detach(), t)

    @torch.no_grad()
    def move(self, dead_SN: Tensor, t: int) -> None:
        """Adam's step from the gradients."""
        rows, grads = self.params["W_dec"], {name: p.grad for name, p in self.params.items() if p.grad is not None}
        if self.recipe.project:
            grads["W_dec"].copy_(without_part_along(grads["W_dec"], rows))
        clip(grads, torch.zeros_like(dead_SN) if self.recipe.one_clip else dead_SN)
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
        left = max(0.0, 1 - t / (self.recipe.fall * self.size.n_steps))
        self.controller.update(l0_S, target * (self.first_l0_S / target) ** left)


def train(recipe: Recipe, size: Size, batches: Iterator[Tensor]) -> list[msae.SAE]:
    """The SAEs of a recipe, one for each seed, from batches (B, D) or (S, B, D)."""
    every_SBD = (x if x.ndim == 3 else x[None] for x in batches)
    first = list(islice(every_SBD, ceil(2 * size.n_latents / size.batch_size) if recipe.rows_from_data else 1))
    if not first:
        raise ValueError("there is no batch to train on")
    run = Training(recipe, size, torch.cat(first, dim=1))
    for t, x_SBD in zip(range(size.n_steps), chain(first, every_SBD), strict=False):
        run.step(x_SBD, t)
    about = About(msae.ReLU(), None, 1.0, None)
    rank_SN = run.power_SN.argsort(dim=1, descending=True).argsort(dim=1)
    return [msae.SAE.from_training({name: p[s] for name, p in run.params.items()}, rank_SN[s], about) for s in range(len(size.seeds))]
