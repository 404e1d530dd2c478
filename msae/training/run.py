"""One training loop for every SAE: plain, sampled prefixes, all prefixes; one SAE, or one per seed in a batch.

Shapes: S seeds (1 for a single SAE), B inputs, D d_model, N latents. Every parameter has the leading axis S, so that a spread over seeds
costs one batched product instead of S runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from msae.sae.files import About
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import inclusion_of
from msae.sae.sae import SAE
from msae.support.schedules import trapezoid
from msae.training.auxiliary import add_auxiliary
from msae.training.buffers import Buffers, keep_freed_memory
from msae.training.config import Stream, TrainConfig, TrainResult, origin_of
from msae.training.controller import L0Controller, integral_for, integral_in_fade
from msae.training.dense import blocks, dense_step
from msae.training.exchange import find_checked_moves, start_anew
from msae.training.lazy_adam import LazyAdam
from msae.training.schedule import faded, is_for_exchange, is_logged, sparsify_left
from msae.training.sparse import slots_worth, sparse_step
from msae.training.step import Observed, StepInputs


class Run:
    """All state of one recipe in training: everything in it is indexed by latent, and no latent ever changes its place."""

    def __init__(self, config: TrainConfig, d_model: int, device: torch.device, *, sparse_up_to: float | None = None):
        """
        Args:
            config: the recipe.
            d_model: width of the inputs.
            device: where everything lies.
            sparse_up_to: mean number of slots per input up to which the sparse form is taken; `slots_worth` where None, 0 for the dense
                form alone.
        """
        self.config, self.nonlinearity = config, config.nonlinearity
        self.sparse_up_to = slots_worth(config, d_model, device) if sparse_up_to is None else sparse_up_to
        n_seeds, n = len(config.seeds), config.n_latents
        self.params = {name: tensor.to(device) for name, tensor in _start(config, d_model).items()}
        learnt = {name: p for name, p in self.params.items() if name != "threshold" or self.nonlinearity.learns_threshold}
        self.grads = {name: torch.zeros_like(p) for name, p in learnt.items()}
        for name, p in learnt.items():
            p.requires_grad_().grad = self.grads[name]
        adam = LazyAdam if config.lazy_adam else torch.optim.Adam
        self.optimizer = adam(learnt.values(), lr=config.lr, betas=config.betas, fused=device.type in ("cpu", "cuda"))
        keep_freed_memory()
        self.buffers = Buffers()
        self.controller = L0Controller(n_seeds, config.penalty_weight, device, integral=integral_for(config.n_steps))
        self.weight_S = torch.full((n_seeds,), config.penalty_weight, device=device)
        self.power_SN = torch.zeros(n_seeds, n, device=device)
        self.silent_SN = torch.zeros(n_seeds, n, dtype=torch.long, device=device)
        self.centre_SD = torch.zeros(n_seeds, d_model, device=device)
        self.threshold_mass = 0.0
        self.first_l0_S: Tensor | None = None
        self.rank_SN = torch.arange(n, device=device).expand(n_seeds, n).clone()
        self.generator = torch.Generator().manual_seed(config.seeds[0])
        self.law_inclusion_N = config.prefixes.inclusion(n).to(self.params["W_dec"].dtype)
        self.law_on_device_N = self.law_inclusion_N.to(device)
        self.step_number = 0
        self.last_loss = 0, torch.zeros(n_seeds, device=device)
        self.history: dict[str, list[Any]] = {"step": [], "loss": [], "l0": [], "penalty_weight": []}

    @torch.no_grad()
    def step(self, x_SBD: Tensor) -> None:
        """One optimizer step on x (S, B, D), or (1, B, D) shared by all seeds."""
        config, t = self.config, self.step_number
        if config.centre:
            if t == 0:
                self.centre_SD.copy_(x_SBD.mean(1))
            x_SBD = x_SBD - self.centre_SD[: len(x_SBD), None]
        if t == 0:
            self._start_sparse(x_SBD[:, :256])
        self.weight_S = self._penalty_weight()
        seen = self.gradients(x_SBD)
        if config.aux_latents:  # nobody else asks how long a latent has been silent
            self.silent_SN = (self.silent_SN + x_SBD.shape[1]) * (seen.power_N == 0)
            self._add_auxiliary(x_SBD)
        self.last_loss, logged = (t, seen.error), self.logged
        if logged or x_SBD.device.type == "cpu":  # elsewhere a look costs a stall
            self.look()
        self._clip()
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * trapezoid(t, config.n_steps, config.warmup, config.decay)
        self.optimizer.step()
        self._observe(seen)
        if is_for_exchange(config, t):
            self.exchange(x_SBD)
        self.step_number += 1
        if logged:
            for name, value in (("step", t), ("loss", seen.error), ("l0", seen.l0), ("penalty_weight", self.weight_S)):
                self.history[name].append(value if isinstance(value, int) else value.to("cpu", copy=True))

    @property
    def logged(self) -> bool:
        """Whether the next step is one that the history tells of."""
        return is_logged(self.config, self.step_number)

    def look(self) -> None:
        """Raise FloatingPointError where the last loss was NaN or infinite: from then on every loss and every parameter is."""
        t, error_S = self.last_loss
        if not torch.isfinite(error_S).all():
            loss, lr = error_S.tolist(), self.config.lr
            raise FloatingPointError(f"the loss is {loss} at step {t}: lower lr (now {lr}), or look for huge inputs")

    def gradients(self, x_SBD: Tensor) -> Observed:
        """Fill `grads`, by whichever form of the same loss costs least here."""
        by_rank_N = self._inclusion_by_rank()
        inputs = self._inputs(x_SBD, by_rank_N)
        if len(self.rank_SN) == 1 and self.sparse_up_to > 4:
            grads = {name: grad[0] for name, grad in self.grads.items()}
            dtype = getattr(torch, self.config.encoder_dtype) if self.config.encoder_dtype != "float32" else None
            seen = sparse_step(inputs.one(), grads, max_mean=self.sparse_up_to, dtype=dtype, buffers=self.buffers)
            if seen is not None:
                return Observed(*(value[None] for value in seen))
        return dense_step(inputs, self.grads, blocks(by_rank_N, self.config.stop_gradient))

    def _add_auxiliary(self, x_SBD: Tensor) -> None:
        """Give the dead latents gradients, so that `lazy_adam` does not skip them either."""
        config, dead_SN = self.config, self.silent_SN >= self.config.dead_after
        if dead_SN.any():
            residual_SBD = self._residual(x_SBD)
            add_auxiliary((x_SBD, residual_SBD), dead_SN, self.params, self.grads, k=config.aux_latents, weight=config.aux_weight)

    def _inputs(self, x_SBD: Tensor, by_rank_N: Tensor) -> StepInputs:
        there_N = self.law_on_device_N if by_rank_N is self.law_inclusion_N else by_rank_N.to(x_SBD.device)
        penalty, stop = None if self.nonlinearity.fixes_l0 else PENALTIES[self.config.penalty], self.config.stop_gradient
        return StepInputs(
            x_SBD, self.params, self.nonlinearity, there_N, self.rank_SN, penalty=penalty, weight=self.weight_S, stop_gradient=stop
        )

    def _start_sparse(self, x_SBD: Tensor) -> None:
        """Lower every encoder bias to where `start_l0` latents fire on these inputs."""
        n, start_l0 = self.config.n_latents, self.config.start_l0
        if start_l0 is None or n < 2 * start_l0 or self.nonlinearity.fixes_l0:
            return
        for s, W_encT in enumerate(self.params["W_encT"]):
            pre = (x_SBD[min(s, len(x_SBD) - 1)] @ W_encT.T).flatten()
            self.params["b_enc"][s] = -pre.kthvalue(len(pre) - int(start_l0 / n * len(pre))).values

    def _inclusion_by_rank(self) -> Tensor:
        """(N,) on the host: how often the latent of each rank lies in a prefix, at this step."""
        by_rank_N = self.law_inclusion_N
        if self.config.sample_prefixes:
            lengths = self.config.prefixes.sample(self.config.n_latents, self.generator)
            by_rank_N = inclusion_of(lengths, self.config.n_latents).to(by_rank_N)
        done = faded(self.config, self.config.fade_prefixes, self.step_number)
        return by_rank_N + done * (1 - by_rank_N) if done else by_rank_N

    def _penalty_weight(self) -> Tensor:
        """(S,) λ for this step: after a linear rise fixed, or what the controller last said; less while the penalty fades."""
        config, t = self.config, self.step_number
        kept = (1 - faded(config, config.fade_penalty, t)) ** 2
        if config.target_l0 is None:
            return torch.full_like(self.weight_S, config.penalty_weight * (1 - sparsify_left(config, t)) * kept)
        return self.controller.weight() * kept

    def _clip(self) -> None:
        """Scale each SAE's gradient to at most `clip_norm`; one SAE of the batch never shrinks another's."""
        if len(self.config.seeds) == 1:  # all parameters in one launch
            grads = list(self.grads.values())
            norm = torch.stack(torch._foreach_norm(grads)).square().sum().sqrt()
            torch._foreach_mul_(grads, (self.config.clip_norm / (norm + 1e-6)).clamp(max=1))
            return
        norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in self.grads.values()])
        factor_S = (self.config.clip_norm / (norms.square().sum(0).sqrt() + 1e-6)).clamp(max=1)
        for g in self.grads.values():
            g.mul_(factor_S.view(-1, *[1] * (g.ndim - 1)))

    def _observe(self, seen: Observed) -> None:
        """Update the penalty's weight, the ranks, by the running mean of squared activations, and the thresholds that are observed."""
        config, t = self.config, self.step_number
        if config.target_l0 is not None and not self.nonlinearity.fixes_l0 and faded(config, config.fade_penalty, t) == 0:
            if self.first_l0_S is None:
                self.first_l0_S = seen.l0.clamp(min=config.target_l0)
            if faded(config, config.fade_prefixes, t):  # what the penalty weighs changes with them, and time is short
                self.controller.integral = integral_in_fade(max(1, round(config.fade_prefixes * config.n_steps)))
            # From the first batch's L0 to the target, geometrically.
            self.controller.update(seen.l0, config.target_l0 * (self.first_l0_S / config.target_l0) ** sparsify_left(config, t))
        self.power_SN.lerp_(seen.power_N, 0.05)  # its start at 0 scales all latents alike: the order is right from step 1
        if faded(config, config.fade_prefixes, t) == 0:  # while the prefixes fade, the ranks they fade from stay
            order = self.power_SN.argsort(dim=-1, descending=True, stable=True)
            self.rank_SN.scatter_(-1, order, torch.arange(order.shape[-1], device=order.device).expand_as(order))
        if self.nonlinearity.observes_smallest:
            self.threshold_mass = self.nonlinearity.observe(self.params["threshold"], seen.smallest, self.threshold_mass)

    @torch.no_grad()
    def exchange(self, x_SBD: Tensor) -> None:
        """Start at most `exchange_moves` latents of each SAE anew (`find_moves`), moments and all; ranks stay until the next step."""
        p = self.params
        moves = find_checked_moves(x_SBD, self._residual(x_SBD), self.power_SN, most=self.config.exchange_moves)
        start_anew(moves, p, torch.linalg.vector_norm(p["W_dec"], dim=2), self._moments())
        start = self.nonlinearity.start_threshold
        if self.nonlinearity.learns_threshold and start is not None:
            p["threshold"][moves.sae, moves.latent] = start
        self.power_SN[moves.sae, moves.latent] = moves.power
        self.silent_SN[moves.sae, moves.latent] = 0

    def _residual(self, x_SBD: Tensor) -> Tensor:
        """(S, B, D) the inputs minus their full reconstructions."""
        p, norm_SN = self.params, torch.linalg.vector_norm(self.params["W_dec"], dim=2)
        _, acts_SBN = self._inputs(x_SBD, self.law_inclusion_N).encode(x_SBD, norm_SN)
        left_SBD: Tensor = x_SBD - p["b_dec"].unsqueeze(-2) - acts_SBN @ (p["W_dec"] / norm_SN.unsqueeze(-1))
        return left_SBD

    def _moments(self) -> Iterator[Tensor]:
        """What the optimizer remembers of the latents; nothing before its first step."""
        for name in self.grads.keys() - {"b_dec"}:
            moments = self.optimizer.state.get(self.params[name], {})
            yield from (moment for key, moment in moments.items() if key in ("exp_avg", "exp_avg_sq"))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: with it a run goes on bit for bit."""
        return {
            "record": self.config.record(),
            "step": self.step_number,
            "params": self.params,
            "optimizer": self.optimizer.state_dict(),
            "controller": self.controller.state,
            "power": self.power_SN,
            "silent": self.silent_SN,
            "centre": self.centre_SD,
            "threshold_mass": self.threshold_mass,
            "first_l0": self.first_l0_S,
            "rank": self.rank_SN,
            "generator": self.generator.get_state(),
            "history": self.history,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, here or on another device."""
        with torch.no_grad():
            for name, tensor in state["params"].items():
                self.params[name].copy_(tensor)
        for saved, own in zip(state["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True):
            saved["fused"] = own["fused"]  # what this device has, not the one that wrote the checkpoint
        self.optimizer.load_state_dict(state["optimizer"])
        device = self.power_SN.device
        self.controller.state = {name: value.to(device) for name, value in state["controller"].items()}
        self.first_l0_S = None if state["first_l0"] is None else state["first_l0"].to(device)
        self.power_SN.copy_(state["power"])
        self.silent_SN.copy_(state["silent"])
        self.centre_SD.copy_(state["centre"])
        self.rank_SN.copy_(state["rank"])
        self.threshold_mass = state["threshold_mass"]
        self.step_number, self.history = state["step"], state["history"]
        self.generator.set_state(state["generator"])

    def finish(self, stream: Stream) -> list[SAE]:
        """The SAEs as they are now, fit for raw activations of the stream."""
        saes, made_from = [], origin_of(stream)
        for s, seed in enumerate(self.config.seeds):
            params = {name: tensor[s] for name, tensor in self.params.items()}
            if self.config.centre:  # the same on inputs as they are
                b_enc, b_dec = params["b_enc"] - params["W_encT"] @ self.centre_SD[s], params["b_dec"] + self.centre_SD[s]
                params |= {"b_enc": b_enc, "b_dec": b_dec}
            trained = self.config.record() | {"seed": seed, "made_from": made_from}
            saes.append(SAE.from_training(params, self.rank_SN[s], About(self.nonlinearity, stream.hook_name, stream.scale, trained)))
        return saes

    def result(self, stream: Stream, seconds: float) -> TrainResult:
        """What the run leaves, once all of its steps are taken."""
        self.check_finite("sae")
        logged = {key: torch.tensor(value) if key == "step" else torch.stack(value) for key, value in self.history.items()}
        return TrainResult(self.finish(stream), logged, seconds)

    def check_finite(self, name: str) -> None:
        """Raise FloatingPointError where a weight is NaN or infinite: such a state is neither kept nor handed out."""
        for key, values in self.params.items():
            if not torch.isfinite(values).all():
                raise FloatingPointError(
                    f"{key} of {name!r} is no longer finite at step {self.step_number}: lower lr (now {self.config.lr})"
                )


def _start(config: TrainConfig, d_model: int) -> dict[str, Tensor]:
    """The parameters before the first step, with the leading axis S: as `SAE` starts each seed's, with a small decoder."""
    made = []
    for seed in config.seeds:
        sae = SAE(d_model, config.n_latents, config.nonlinearity, generator=torch.Generator().manual_seed(seed))
        made.append({name: weight.detach() for name, weight in sae.named_parameters()})
    stack = {name: torch.stack([weights[name] for weights in made]) for name in made[0]}
    stack["W_dec"] *= 0.1  # the article's start: small decoder, so that early reconstructions do not overshoot
    if "threshold" in stack:
        stack["threshold"] += config.nonlinearity.start_threshold or 0
    stack["W_encT"] = stack.pop("W_enc").mT.contiguous()  # a row per latent: what is gathered and summed lies together
    return stack
