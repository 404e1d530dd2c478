"""One training loop for every SAE: plain, sampled prefixes, all prefixes; one SAE, several on one stream, or one per seed in a batch.

Shapes: S seeds (1 for a single SAE), B inputs, D d_model, N latents. Every parameter has the leading axis S, so that a spread over seeds
costs one batched product instead of S runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from msae.sae.nonlinearities import JumpReLU
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import FullPrefix, inclusion_of
from msae.sae.sae import SAE
from msae.support.schedules import trapezoid
from msae.training.buffers import Buffers, keep_freed_memory
from msae.training.config import Stream, TrainConfig, TrainResult, origin_of
from msae.training.controller import L0Controller
from msae.training.dense import blocks, dense_step, encode
from msae.training.exchange import find_checked_moves
from msae.training.sparse import Observed, slots_worth, sparse_step

SPARSE_PAYS = 1.0
"""Times `slots_worth`: 0 trains with the dense form alone."""


class Run:
    """All state of one recipe in training: everything in it is indexed by latent, and no latent ever changes its place."""

    def __init__(self, config: TrainConfig, d_model: int, device: torch.device):
        self.config = config
        n_seeds, n = len(config.seeds), config.n_latents
        made = [SAE(d_model, n, config.nonlinearity, generator=torch.Generator().manual_seed(seed)) for seed in config.seeds]
        stack = {name: torch.stack([dict(sae.named_parameters())[name].detach() for sae in made]) for name, _ in made[0].named_parameters()}
        stack["W_dec"] *= 0.1  # the article's start: small decoder, so that early reconstructions do not overshoot
        if isinstance(config.nonlinearity, JumpReLU):
            stack["threshold"] += config.nonlinearity.bandwidth / 4  # at 0 its estimated gradient is 0 and it would stay there
        stack["W_encT"] = stack.pop("W_enc").mT.contiguous()  # a row per latent: what is gathered and summed lies together
        self.params = {name: tensor.to(device) for name, tensor in stack.items()}
        self.grads = {
            name: torch.zeros_like(p) for name, p in self.params.items() if name != "threshold" or isinstance(config.nonlinearity, JumpReLU)
        }
        for name, grad in self.grads.items():
            self.params[name].requires_grad_().grad = grad
        learnt = [self.params[name] for name in self.grads]
        self.optimizer = torch.optim.Adam(learnt, lr=config.lr, betas=config.betas, fused=device.type in ("cpu", "cuda"))
        keep_freed_memory()
        self.buffers = Buffers()
        self.controller = L0Controller(n_seeds, config.penalty_weight, device)
        self.weight_S = torch.full((n_seeds,), config.penalty_weight, device=device)
        self.power_SN = torch.zeros(n_seeds, n, device=device)
        self.threshold_mass = 0.0
        self.first_l0_S: Tensor | None = None
        self.rank_SN = torch.arange(n, device=device).expand(n_seeds, n).clone()
        self.generator = torch.Generator().manual_seed(config.seeds[0])
        law = FullPrefix() if config.loss == "plain" else config.prefixes
        self.law_inclusion_N = law.inclusion(n).to(self.params["W_dec"].dtype)
        self.law_on_device_N = self.law_inclusion_N.to(device)
        self.step_number = 0
        self.last_loss = 0, torch.zeros(n_seeds, device=device)
        self.history: dict[str, list[Any]] = {"step": [], "loss": [], "l0": [], "penalty_weight": []}

    @torch.no_grad()
    def step(self, x_SBD: Tensor) -> None:
        """One optimizer step on x (S, B, D), or (1, B, D) shared by all seeds."""
        config, t = self.config, self.step_number
        if t == 0:
            self._start_sparse(x_SBD[:, :256])
        self.weight_S = self._penalty_weight()
        seen = self._gradients(x_SBD)
        self.last_loss, logged = (t, seen.error), self.logged
        if logged or x_SBD.device.type == "cpu":  # elsewhere a look costs a stall
            self.look()
        self._clip()
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * trapezoid(t, config.n_steps, config.warmup, config.decay)
        self.optimizer.step()
        self._observe(seen)
        if config.exchange_every and t % config.exchange_every == 0 and config.warmup <= t / config.n_steps < 1 - config.decay:
            self._exchange(x_SBD)
        self.step_number += 1
        if logged:
            for name, value in (("step", t), ("loss", seen.error), ("l0", seen.l0), ("penalty_weight", self.weight_S)):
                self.history[name].append(value if isinstance(value, int) else value.to("cpu", copy=True))

    @property
    def logged(self) -> bool:
        """Whether the next step is one that the history tells of."""
        return self.step_number % max(1, self.config.n_steps // 200) == 0 or self.step_number + 1 == self.config.n_steps

    def look(self) -> None:
        """Raise FloatingPointError where the last loss was NaN or infinite: from then on every loss and every parameter is."""
        t, error_S = self.last_loss
        if not torch.isfinite(error_S).all():
            loss, lr = error_S.tolist(), self.config.lr
            raise FloatingPointError(f"the loss is {loss} at step {t}: lower lr (now {lr}), or look for huge inputs")

    def _start_sparse(self, x_SBD: Tensor) -> None:
        """Lower every encoder bias to where `start_l0` latents fire on these inputs."""
        n, start_l0 = self.config.n_latents, self.config.start_l0
        if start_l0 is None or n < 2 * start_l0 or self.config.nonlinearity.fixes_l0:
            return
        for s, W_encT in enumerate(self.params["W_encT"]):
            pre = (x_SBD[min(s, len(x_SBD) - 1)] @ W_encT.T).flatten()
            self.params["b_enc"][s] = -pre.kthvalue(len(pre) - int(start_l0 / n * len(pre))).values

    def _gradients(self, x_SBD: Tensor) -> Observed:
        """Fill `grads`, by whichever form of the same loss costs least here."""
        config = self.config
        by_rank_N = self._inclusion_by_rank()
        there_N = self.law_on_device_N if by_rank_N is self.law_inclusion_N else by_rank_N.to(x_SBD.device)
        penalty = None if config.nonlinearity.fixes_l0 else PENALTIES[config.penalty]
        max_mean = SPARSE_PAYS * slots_worth(config.n_latents)
        if len(self.rank_SN) == 1 and max_mean > 4:
            seen = sparse_step(
                x_SBD[0],
                {name: p[0] for name, p in self.params.items()},
                {name: g[0] for name, g in self.grads.items()},
                there_N[self.rank_SN[0]],
                penalty,
                self.weight_S[0],
                config.nonlinearity,
                max_mean=max_mean,
                dtype=getattr(torch, config.encoder_dtype) if config.encoder_dtype != "float32" else None,
                buffers=self.buffers,
            )
            if seen is not None:
                return Observed(*(value[None] for value in seen))
        return dense_step(
            x_SBD, self.params, self.grads, there_N, self.rank_SN, penalty, self.weight_S, config.nonlinearity, blocks(by_rank_N)
        )

    def _inclusion_by_rank(self) -> Tensor:
        """(N,) on the host: how often the latent of each rank lies in a prefix, at this step."""
        by_rank_N = self.law_inclusion_N
        if self.config.loss == "sampled":
            lengths = self.config.prefixes.sample(self.config.n_latents, self.generator)
            by_rank_N = inclusion_of(lengths, self.config.n_latents).to(by_rank_N)
        faded = self._faded(self.config.fade_prefixes)
        return by_rank_N + faded * (1 - by_rank_N) if faded else by_rank_N

    def _faded(self, share: float) -> float:
        """How much of a fading over the last `share` of the run is done: 0 before it, almost 1 at the last step."""
        left = self.config.n_steps - self.step_number
        return max(0.0, 1 - left / (share * self.config.n_steps)) if share > 0 else 0.0

    def _penalty_weight(self) -> Tensor:
        """(S,) λ for this step: after a linear rise fixed, or what the controller last said; less while the penalty fades."""
        config = self.config
        kept = (1 - self._faded(config.fade_penalty)) ** 2
        if config.target_l0 is None:
            return torch.full_like(self.weight_S, config.penalty_weight * (1 - self._sparsify_left()) * kept)
        return self.controller.weight() * kept

    def _sparsify_left(self) -> float:
        return max(0.0, 1 - self.step_number / (self.config.sparsify * self.config.n_steps + 1e-9))

    def _clip(self) -> None:
        """Scale each SAE's gradient to at most `clip_norm`; one SAE of the batch never shrinks another's."""
        norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in self.grads.values()])
        factor_S = (self.config.clip_norm / (norms.square().sum(0).sqrt() + 1e-6)).clamp(max=1)
        for g in self.grads.values():
            g.mul_(factor_S.view(-1, *[1] * (g.ndim - 1)))

    def _observe(self, seen: Observed) -> None:
        """Update the penalty's weight, the ranks, by the running mean of squared activations, and BatchTopK's threshold."""
        config = self.config
        if config.target_l0 is not None and not config.nonlinearity.fixes_l0 and self._faded(config.fade_penalty) == 0:
            if self.first_l0_S is None:
                self.first_l0_S = seen.l0.clamp(min=config.target_l0)
            # From the first batch's L0 to the target, geometrically.
            self.controller.update(seen.l0, config.target_l0 * (self.first_l0_S / config.target_l0) ** self._sparsify_left())
        self.power_SN.lerp_(seen.power_N, 0.05)  # its start at 0 scales all latents alike: the order is right from step 1
        if self._faded(config.fade_prefixes) == 0:  # while the prefixes fade, the ranks they fade from stay
            order = self.power_SN.argsort(dim=-1, descending=True, stable=True)
            self.rank_SN.scatter_(-1, order, torch.arange(order.shape[-1], device=order.device).expand_as(order))
        if config.nonlinearity.threshold_shape == "one":
            self.threshold_mass = 0.99 * self.threshold_mass + 0.01
            threshold = self.params["threshold"]
            smallest = torch.where(seen.smallest.isfinite(), seen.smallest, threshold[:, 0])
            threshold.lerp_(smallest[:, None].expand_as(threshold), 0.01 / self.threshold_mass)

    @torch.no_grad()
    def _exchange(self, x_SBD: Tensor) -> None:
        """Start at most one latent of each SAE anew, optimizer moments and all (`msae.exchange`); it keeps its rank until the next step."""
        p = self.params
        norm_SN = torch.linalg.vector_norm(p["W_dec"], dim=2)
        _, acts_SBN = encode(x_SBD, p, norm_SN[:, None], self.config.nonlinearity)
        residual_SBD = x_SBD - p["b_dec"].unsqueeze(-2) - acts_SBN @ (p["W_dec"] / norm_SN.unsqueeze(-1))
        moves = find_checked_moves(x_SBD, residual_SBD, self.power_SN)
        at = moves.sae, moves.latent
        norm_M = norm_SN[moves.sae].mean(1)
        p["W_dec"][at] = moves.direction * norm_M[:, None]
        p["W_encT"][at] = moves.direction / norm_M[:, None]
        p["b_enc"][at] = moves.bias / norm_M
        if isinstance(self.config.nonlinearity, JumpReLU):
            p["threshold"][at] = self.config.nonlinearity.bandwidth / 4
        self.power_SN[at] = moves.power
        for name in self.grads.keys() - {"b_dec"}:
            for moment in ("exp_avg", "exp_avg_sq"):
                if p[name] in self.optimizer.state:
                    self.optimizer.state[p[name]][moment][at] = 0

    def state(self) -> dict[str, Any]:
        return {
            "record": self.config.record(),
            "step": self.step_number,
            "params": self.params,
            "optimizer": self.optimizer.state_dict(),
            "controller": self.controller.state,
            "power": self.power_SN,
            "threshold_mass": self.threshold_mass,
            "first_l0": self.first_l0_S,
            "rank": self.rank_SN,
            "generator": self.generator.get_state(),
            "history": self.history,
        }

    def load_state(self, state: dict[str, Any]) -> None:
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
        self.rank_SN.copy_(state["rank"])
        self.threshold_mass = state["threshold_mass"]
        self.step_number, self.history = state["step"], state["history"]
        self.generator.set_state(state["generator"])

    @torch.no_grad()
    def finish(self, stream: Stream) -> list[SAE]:
        """SAEs with latents sorted by rank, unit decoder rows, and the input's scale folded in: they read raw activations."""
        saes, made_from = [], origin_of(stream)
        for s, seed in enumerate(self.config.seeds):
            order = self.rank_SN[s].argsort().cpu()
            p = {name: tensor[s].detach().cpu() for name, tensor in self.params.items()}
            norm = p["W_dec"].norm(dim=1)
            weights = {
                "W_enc": (p["W_encT"] * norm[:, None])[order].T,
                "b_enc": (p["b_enc"] * norm)[order] / stream.scale,
                "W_dec": (p["W_dec"] / norm[:, None])[order],
                "b_dec": p["b_dec"] / stream.scale,
            }
            if "threshold" in p:
                weights["threshold"] = p["threshold"].relu()[order] / stream.scale
            trained = self.config.record() | {"seed": seed, "made_from": made_from}
            saes.append(SAE._of(weights, self.config.nonlinearity, stream.hook_name, stream.scale, trained))
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
