"""One training loop for every SAE: plain, sampled prefixes, all prefixes; one SAE, several on one stream, or one per seed in a batch.

Shapes: S seeds (1 for a single SAE), B inputs, D d_model, N latents. Every parameter has the leading axis S, so that a spread over seeds
costs one batched product instead of S runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from msae.buffers import Buffers, keep_freed_memory
from msae.checkpoints import load_checkpoint, save_checkpoint
from msae.controller import L0Controller
from msae.dense import blocks, dense_step, encode
from msae.exchange import find_moves
from msae.finite import FirstBad
from msae.nonlinearities import JumpReLU, Nonlinearity, ReLU
from msae.penalties import PENALTIES
from msae.prefixes import FullPrefix, PrefixLaw, SquareRootPrefixes, inclusion_of
from msae.sae import SAE
from msae.schedules import trapezoid
from msae.sparse import Observed, slots_worth, sparse_step

SPARSE_PAYS = 1.0
"""Times `slots_worth`: 0 trains with the dense form alone."""


class Stream(Protocol):
    """Where training inputs come from: `msae.Activations`, `msae.TreeStream`, or anything with these four."""

    hook_name: str | None
    scale: float

    @property
    def d_model(self) -> int: ...

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """Endless (batch_size, d_model) or (n_seeds, batch_size, d_model), already multiplied by scale; the same seed, the same batches."""
        ...


@dataclass(frozen=True)
class TrainConfig:
    """The recipe of one SAE."""

    n_latents: int

    target_l0: float | None
    """Mean number of active latents per input to reach; for TopK and BatchTopK their k; None holds `penalty_weight` and lets L0 follow."""

    n_steps: int
    batch_size: int = 1024

    lr: float = 3e-3
    """Peak learning rate of Adam."""

    betas: tuple[float, float] = (0.9, 0.99)

    loss: Literal["all_prefixes", "sampled", "plain"] = "all_prefixes"
    prefixes: PrefixLaw = field(default_factory=SquareRootPrefixes)
    """Which prefixes count, and how much; not used by the plain loss."""

    nonlinearity: Nonlinearity = field(default_factory=ReLU)
    penalty: str = "log"
    """One of `msae.PENALTIES`; not used where the nonlinearity fixes L0."""

    penalty_weight: float = 0.03
    """λ: where the controller starts from, or, without a target, what it stays at after a linear rise over `sparsify`."""

    seed: int | tuple[int, ...] = 0
    """Of the initial weights and the sampled prefixes; a tuple trains one SAE per seed in one batch."""

    warmup: float = 0.05
    """Share of the run over which the learning rate rises."""

    decay: float = 0.2
    """Share of the run, at its end, over which the learning rate falls."""

    start_l0: float | None = 100.0
    """Active latents per input in the first batch: the encoder's bias starts where that many fire, so that training need not pass through a
    long dense phase. None, or fewer than 2 · start_l0 latents, starts the bias at 0, where half of all latents fire."""

    sparsify: float = 0.3
    """Share of the run over which the target moves from the first batch's L0 to `target_l0`, geometrically."""

    fade_prefixes: float = 0.0
    """Share of the run, at its end, over which the inclusion of every latent rises to 1, so that the run ends on the full prefix alone."""

    fade_penalty: float = 0.0
    """Share of the run, at its end, over which the penalty's weight falls to 0, as the square of what is left: it has to be gone
    before the prefixes are, or it opens holes again. While it falls, L0 is measured and no longer held."""

    exchange_every: int = 0
    """Steps between exchanges (`msae.exchange`): the weakest latent of an SAE starts anew where the error is largest, if that pays. 0 for
    none; they begin after `warmup` and end where `decay` begins."""

    clip_norm: float = 1.0
    """Largest norm of one SAE's gradient."""

    encoder_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the encoder's product, most of the arithmetic of a step; parameters, sums and everything else stay in float32. GPUs before
    Ampere, such as Colab's T4, have fast float16 and no fast bfloat16."""

    def __post_init__(self) -> None:
        for name in ("n_latents", "n_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.target_l0 is not None and not 0 < self.target_l0 < self.n_latents:
            raise ValueError(
                f"target_l0 must lie between 0 and n_latents={self.n_latents}, got {self.target_l0}; a TinyStories SAE uses 15 to 60"
            )
        if self.nonlinearity.fixes_l0 and getattr(self.nonlinearity, "k", None) != self.target_l0:
            raise ValueError(
                f"{self.nonlinearity} fixes L0 at its k: give target_l0={getattr(self.nonlinearity, 'k', None)}, not {self.target_l0}"
            )
        if self.loss not in ("all_prefixes", "sampled", "plain"):
            raise ValueError(f"loss must be 'all_prefixes', 'sampled' or 'plain', got {self.loss!r}")
        if self.penalty not in PENALTIES:
            raise ValueError(f"penalty must be one of {sorted(PENALTIES)}, got {self.penalty!r}")
        if not 0 < self.lr < 1:
            raise ValueError(f"lr must lie between 0 and 1, got {self.lr}; 1e-3 to 1e-2 is usual")
        if self.encoder_dtype not in ("float32", "bfloat16", "float16"):
            raise ValueError(f"encoder_dtype must be 'float32', 'bfloat16' or 'float16', got {self.encoder_dtype!r}")
        if not self.penalty_weight > 0:
            raise ValueError(f"penalty_weight must be positive, got {self.penalty_weight}")
        if self.exchange_every < 0:
            raise ValueError(f"exchange_every is a number of steps, or 0 for no exchange, got {self.exchange_every}")
        if self.start_l0 is not None and not self.start_l0 > 0:
            raise ValueError(f"start_l0 must be positive or None, got {self.start_l0}; 100 is usual")
        for name in ("warmup", "decay", "sparsify", "fade_prefixes", "fade_penalty"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share of the run, 0 to 1, got {getattr(self, name)}")
        self.prefixes.sample(self.n_latents, torch.Generator().manual_seed(0))

    @property
    def seeds(self) -> tuple[int, ...]:
        return (self.seed,) if isinstance(self.seed, int) else self.seed

    def record(self) -> dict[str, Any]:
        """The recipe as JSON values, for checkpoints and saved SAEs."""
        named = {"prefixes": type(self.prefixes).__name__, "nonlinearity": type(self.nonlinearity).__name__}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return plain | {key: {"name": name, **asdict(getattr(self, key))} for key, name in named.items()}


class TrainResult(NamedTuple):
    """What a run leaves."""

    saes: list[SAE]
    """One per seed, latents sorted by importance, decoder rows of norm 1, in units of the raw activations."""

    history: dict[str, Tensor]
    """Per logged step: "step" (n,), and "loss", "l0", "penalty_weight" each (n, n_seeds)."""

    seconds: float
    """Wall time of the steps."""

    @property
    def sae(self) -> SAE:
        """The SAE of the first seed."""
        return self.saes[0]


class _Run:
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
        moves = find_moves(x_SBD, residual_SBD, self.power_SN)
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
        saes = []
        for s, seed in enumerate(self.config.seeds):
            order = self.rank_SN[s].argsort()
            p = {name: tensor[s].detach().cpu() for name, tensor in self.params.items()}
            norm = p["W_dec"].norm(dim=1)
            trained = self.config.record() | {"seed": seed}
            sae = SAE(len(p["b_dec"]), len(norm), self.config.nonlinearity, hook_name=stream.hook_name, scale=stream.scale, config=trained)
            order = order.cpu()
            sae.W_enc.copy_((p["W_encT"] * norm[:, None])[order].T)
            sae.b_enc.copy_((p["b_enc"] * norm)[order] / stream.scale)
            sae.W_dec.copy_((p["W_dec"] / norm[:, None])[order])
            sae.b_dec.copy_(p["b_dec"] / stream.scale)
            if sae.threshold is not None:
                sae.threshold.copy_(p["threshold"].relu()[order] / stream.scale)
            saes.append(sae)
        return saes


def train(
    configs: Mapping[str, TrainConfig] | TrainConfig,
    stream: Stream,
    *,
    data_seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
    device: str | torch.device = "cpu",
) -> Any:
    """Train one SAE, or several on the same batches.

    Args:
        configs: a recipe, or a name for each of several; several must share batch_size and n_steps.
        stream: where the inputs come from.
        data_seed: of the order of the batches.
        checkpoint: a file to write every `checkpoint_every` steps and when interrupted; where it exists, the run goes on from it.
        progress: show a bar with the time left.

    Returns:
        a TrainResult, or a dict of them under the names given.

    Raises:
        ValueError: before any step, for settings that do not fit each other, the checkpoint or the stream; at a batch that holds NaN or
            infinity, naming its first place.
        KeyboardInterrupt: after the checkpoint is written.
    """
    several = configs if isinstance(configs, Mapping) else {"sae": configs}
    if not several:
        raise ValueError("give at least one TrainConfig")
    first = next(iter(several.values()))
    for name, config in several.items():
        for shared in ("batch_size", "n_steps"):
            if getattr(config, shared) != getattr(first, shared):
                raise ValueError(
                    f"SAEs on one stream share {shared}: {name!r} has {getattr(config, shared)}, the first {getattr(first, shared)}"
                )
    device = torch.device(device)
    for name, config in several.items():
        if config.encoder_dtype == "bfloat16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
            raise ValueError(f"{name!r} wants bfloat16, which {torch.cuda.get_device_name(device)} lacks: use encoder_dtype='float16'")
    runs = {name: _Run(config, stream.d_model, device) for name, config in several.items()}
    seconds = 0.0
    if checkpoint is not None and Path(checkpoint).exists():
        seconds = _resume(runs, load_checkpoint(checkpoint), checkpoint, data_seed)
    start_step = next(iter(runs.values())).step_number
    start = time.monotonic()

    def save(step: int) -> None:
        if checkpoint is not None:
            bad.look()
            for run in runs.values():
                run.look()
            spent = seconds + time.monotonic() - start
            state = {"data_seed": data_seed, "seconds": spent, "runs": {name: run.state() for name, run in runs.items()}}
            save_checkpoint(checkpoint, state)

    bad = FirstBad(device)
    batches = stream.batches(first.batch_size, data_seed, skip=start_step)
    with ExitStack() as stack:
        bar = None
        if progress:
            from tqdm.auto import tqdm

            bar = stack.enter_context(tqdm(total=first.n_steps, initial=start_step, unit="step", desc=_title(list(runs)), mininterval=0.5))
        try:
            for step in range(start_step, first.n_steps):
                x = next(batches).to(device)
                if x.shape[-1] != stream.d_model or x.ndim not in (2, 3):
                    d_model = stream.d_model
                    raise ValueError(f"expected batches (batch, {d_model}) or (n_seeds, batch, {d_model}), got {tuple(x.shape)}")
                bad.see(x, step)
                if next(iter(runs.values())).logged:
                    bad.look()
                x_SBD = x if x.ndim == 3 else x[None]
                for run in runs.values():
                    run.step(x_SBD)
                if bar is not None:
                    bar.update()
                    if step % 50 == 0 and len(runs) <= 3:
                        bar.set_postfix({name: f"L0 {run.history['l0'][-1].mean():.1f}" for name, run in runs.items()})
                if (step + 1) % checkpoint_every == 0 and step + 1 < first.n_steps:
                    save(step + 1)
        except KeyboardInterrupt:
            save(next(iter(runs.values())).step_number)
            raise
    spent = seconds + time.monotonic() - start
    results = {}
    for name, run in runs.items():
        logged = {key: torch.tensor(value) if key == "step" else torch.stack(value) for key, value in run.history.items()}
        results[name] = TrainResult(run.finish(stream), logged, spent)
    return results if isinstance(configs, Mapping) else results["sae"]


def _title(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} SAEs, {names[0]} … {names[-1]}"


def _resume(runs: dict[str, _Run], state: dict[str, Any], path: str | os.PathLike, data_seed: int) -> float:
    if set(state["runs"]) != set(runs) or state["data_seed"] != data_seed:
        raise ValueError(
            f"{path} is of a run of {sorted(state['runs'])} with data_seed={state['data_seed']}: choose another file or delete it"
        )
    for name, run in runs.items():
        saved = state["runs"][name]
        differs = [key for key, value in run.config.record().items() if saved["record"].get(key) != value]
        if differs:
            raise ValueError(f"{path} was written with other settings of {name!r} ({', '.join(differs)}): choose another file or delete it")
        run.load_state(saved)
    return float(state["seconds"])
