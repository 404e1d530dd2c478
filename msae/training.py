"""One training loop for every SAE: plain, sampled prefixes, all prefixes; one SAE, several on one stream, or one per seed in a batch.

Shapes: S seeds (1 for a single SAE), B inputs, D d_model, N latents. Every parameter has the leading axis S, so that a spread over seeds
costs one batched product instead of S runs.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, overload

import torch
from torch import Tensor

from msae.buffers import Buffers, keep_freed_memory
from msae.checkpoints import load_checkpoint, of_this_version, save_checkpoint
from msae.controller import L0Controller
from msae.dense import blocks, dense_step, encode
from msae.exchange import find_checked_moves
from msae.finite import FirstBad
from msae.nonlinearities import JumpReLU, Nonlinearity, ReLU
from msae.penalties import PENALTIES
from msae.prefixes import FullPrefix, PrefixLaw, SquareRootPrefixes, inclusion_of
from msae.sae import SAE
from msae.schedules import trapezoid
from msae.sparse import Observed, slots_worth, sparse_step
from msae.support import arguments
from msae.support.arguments import number, one_of, shown, whole
from msae.support.files import as_json
from msae.support.interrupts import uninterrupted
from msae.support.origin import check_origin, differences, plain

SPARSE_PAYS = 1.0
"""Times `slots_worth`: 0 trains with the dense form alone."""


class Stream(Protocol):
    """Where training inputs come from: `msae.Activations`, `msae.TreeStream`, or anything with these four.

    A stream may also have an `origin`, what its batches are made from as a dict of JSON values (`msae.support.origin`). It is recorded in
    checkpoints and SAEs, and a run goes on only on a stream of the same origin.
    """

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
        for name, least in (("n_latents", 1), ("n_steps", 1), ("batch_size", 1), ("exchange_every", 0)):
            self._set(name, whole(name, getattr(self, name), least))
        for name in ("warmup", "decay", "sparsify", "fade_prefixes", "fade_penalty"):
            self._set(name, number(f"{name} is a share of the run, 0 to 1: it", getattr(self, name), 0, 1))
        for name in ("penalty_weight", "clip_norm"):
            self._set(name, number(name, getattr(self, name), above=0))
        if self.start_l0 is not None:
            self._set("start_l0", number("start_l0", self.start_l0, above=0, also=" or None", hint="100 is usual"))
        self._set("lr", number("lr", self.lr, above=0, below=1, hint="1e-3 to 1e-2 is usual"))
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise ValueError(f"betas must be two numbers, got {shown(self.betas)}; (0.9, 0.99) is usual")
        self._set("betas", tuple(number("each of betas", beta, 0, below=1) for beta in self.betas))
        one_of("loss", self.loss, ("all_prefixes", "sampled", "plain"))
        one_of("penalty", self.penalty, sorted(PENALTIES))
        one_of("encoder_dtype", self.encoder_dtype, ("float32", "bfloat16", "float16"))
        self._check_seed()
        self._check_nonlinearity()
        if not is_dataclass(self.prefixes) or isinstance(self.prefixes, type) or not hasattr(self.prefixes, "inclusion"):
            raise ValueError(f"prefixes must be a prefix law such as msae.SquareRootPrefixes(), got {shown(self.prefixes)}")
        self.prefixes.sample(self.n_latents, torch.Generator().manual_seed(0))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_seed(self) -> None:
        if not isinstance(self.seed, (tuple, list)):
            self._set("seed", whole("seed", self.seed, 0, 2**63 - 1))
        elif self.seed:
            self._set("seed", tuple(whole("each seed", seed, 0, 2**63 - 1) for seed in self.seed))
        else:
            raise ValueError("seed must be a whole number, or a tuple of at least one, got ()")

    def _check_nonlinearity(self) -> None:
        if not isinstance(self.nonlinearity, Nonlinearity):
            raise ValueError(f"nonlinearity must be one such as msae.ReLU() or msae.TopK(32), got {shown(self.nonlinearity)}")
        k = getattr(self.nonlinearity, "k", None)
        if self.target_l0 is not None:
            hint = "a TinyStories SAE uses 15 to 60"
            self._set("target_l0", number("target_l0", self.target_l0, hint=hint))
            if not 0 < self.target_l0 < self.n_latents and k != self.target_l0:
                raise ValueError(f"target_l0 must lie between 0 and n_latents={self.n_latents}, got {self.target_l0}; {hint}")
        if k is not None and k != self.target_l0:
            raise ValueError(f"{self.nonlinearity} fixes L0 at its k: give target_l0={k}, not {self.target_l0}")
        if k is not None and k > self.n_latents:
            raise ValueError(f"k={k} latents cannot be active among n_latents={self.n_latents}: choose a smaller k or more latents")

    @property
    def seeds(self) -> tuple[int, ...]:
        return (self.seed,) if isinstance(self.seed, int) else self.seed

    def record(self) -> dict[str, Any]:
        """The recipe as JSON values, for checkpoints and saved SAEs."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}


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
        saes, made_from = [], _origin(stream)
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


@overload
def train(
    configs: TrainConfig,
    stream: Stream,
    *,
    data_seed: int = ...,
    checkpoint: str | os.PathLike | None = ...,
    checkpoint_every: int = ...,
    progress: bool = ...,
    device: str | torch.device = ...,
) -> TrainResult: ...


@overload
def train(
    configs: Mapping[str, TrainConfig],
    stream: Stream,
    *,
    data_seed: int = ...,
    checkpoint: str | os.PathLike | None = ...,
    checkpoint_every: int = ...,
    progress: bool = ...,
    device: str | torch.device = ...,
) -> dict[str, TrainResult]: ...


def train(
    configs: Mapping[str, TrainConfig] | TrainConfig,
    stream: Stream,
    *,
    data_seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
    device: str | torch.device = "cpu",
) -> TrainResult | dict[str, TrainResult]:
    """Train one SAE, or several on the same batches.

    Args:
        configs: a recipe, or a name for each of several; several must share batch_size and n_steps.
        stream: where the inputs come from.
        data_seed: of the order of the batches.
        checkpoint: a file to write every `checkpoint_every` steps, at the end and when stopped; where it exists, the run goes on from it.
            Ctrl-C takes effect between whole steps: a run that was stopped and goes on ends at the same bits as one that was not.
        checkpoint_every: steps from one to the next.
        progress: show a bar with the time left.
        device: where the SAEs are trained.

    Returns:
        a TrainResult, or a dict of them under the names given.

    Raises:
        ValueError: before any step, for settings that do not fit each other, or a checkpoint of other settings or another stream. After the
            checkpoint is written, at a batch that holds NaN or infinity, naming its first place, or where the stream ends too soon.
        FloatingPointError: the loss or a weight is no longer finite; the last good checkpoint stays.
        KeyboardInterrupt: after the checkpoint is written.
    """
    several = _checked(configs, stream)
    first = next(iter(several.values()))
    data_seed = whole("data_seed", data_seed, 0, 2**63 - 1)
    whole("checkpoint_every", checkpoint_every, 1)
    arguments.yes_or_no("progress", progress)
    place = arguments.device("device", device)
    path = None if checkpoint is None else arguments.new_file("checkpoint", checkpoint)
    for name, config in several.items():
        if config.encoder_dtype == "bfloat16" and place.type == "cuda" and torch.cuda.get_device_capability(place) < (8, 0):
            raise ValueError(f"{name!r} wants bfloat16, which {torch.cuda.get_device_name(place)} lacks: use encoder_dtype='float16'")
    runs = {name: _Run(config, int(stream.d_model), place) for name, config in several.items()}
    with of_this_version(path):
        saved = None if path is None or not path.exists() else _read_checkpoint(path, several, stream, data_seed)
        progressed = _Progress(runs, first.n_steps, stream, data_seed, path, saved)
    batches = iter(stream.batches(first.batch_size, data_seed, skip=max(0, progressed.step - 1)))
    if progressed.step > 0:
        progressed.check_stream(_next_batch(batches, progressed.step - 1, first.n_steps))
    with _bar(list(runs), first.n_steps, progressed.step, progress) as bar:
        try:
            while progressed.step < first.n_steps:
                x = _next_batch(batches, progressed.step, first.n_steps).to(place)
                _check_batch(x, stream.d_model, progressed.step)
                progressed.take_step(x)
                bar.update()
                if progressed.step % 50 == 1 and len(runs) <= 3:
                    bar.set_postfix({name: f"L0 {run.history['l0'][-1].mean():.1f}" for name, run in runs.items()})
                if progressed.step % checkpoint_every == 0 or progressed.step == first.n_steps:
                    progressed.save()
        except BaseException:  # Ctrl-C, a stream that fails: what is done stays
            progressed.save()
            raise
    results = {name: run.result(stream, progressed.seconds) for name, run in runs.items()}
    return results if isinstance(configs, Mapping) else results["sae"]


class _Progress:
    """How far all recipes of one call have come together: the state between two steps, on disk or in memory."""

    def __init__(
        self, runs: dict[str, _Run], n_steps: int, stream: Stream, data_seed: int, path: Path | None, saved: dict[str, Any] | None
    ):
        self.runs, self.n_steps, self.path = runs, n_steps, path
        self.about = {"what": WHAT, "made_from": _made_from(stream, data_seed)}
        self.step, self.before, self.last_rows = 0, 0.0, None
        self.is_whole, self.bad = True, FirstBad(next(iter(runs.values())).rank_SN.device)
        self.written = -1  # the step of the newest checkpoint
        if saved is not None:
            for name, run in runs.items():
                run.load_state(saved["runs"][name])
            self.step = self.written = next(iter(runs.values())).step_number
            self.before, self.last_rows = float(saved["seconds"]), saved.get("last_rows")
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent so far, that of earlier calls included."""
        return self.before + time.monotonic() - self.started

    def take_step(self, x: Tensor) -> None:
        """One step of every run, all of it or none: what breaks it off half-way, however it does, leaves a state that is never saved."""
        x_SBD = x if x.ndim == 3 else x[None]
        for name, run in self.runs.items():
            if len(x_SBD) not in (1, len(run.config.seeds)):
                raise ValueError(
                    f"the stream gives {len(x_SBD)} batches at once, and {name!r} has {len(run.config.seeds)} seeds: one for each, or one"
                )
        self.bad.see(x, self.step)
        with uninterrupted():
            self.is_whole = False
            if next(iter(self.runs.values())).logged:
                self.bad.look()
            for run in self.runs.values():
                run.step(x_SBD)
            self.step += 1
            self.last_rows = x_SBD[:, :N_ROWS].clone()  # a stream may fill the same batch again
            self.is_whole = True

    def save(self) -> None:
        """Write the checkpoint, where there is a place for one, something new to write, and it is whole."""
        if self.path is None or not self.is_whole or self.step == self.written:
            return
        with uninterrupted():
            self.is_whole = False  # should something be NaN, nothing is saved from here on
            self.bad.look()
            for name, run in self.runs.items():
                run.look()
                run.check_finite(name)
            self.is_whole = True
            state = self.about | {"seconds": self.seconds, "last_rows": self.last_rows}
            try:
                save_checkpoint(self.path, state | {"runs": {name: run.state() for name, run in self.runs.items()}})
                self.written = self.step
            except OSError as error:  # a full disk, say: the training itself need not end for that
                warnings.warn(f"the checkpoint of step {self.step} could not be written: {error}", stacklevel=3)

    def check_stream(self, x: Tensor) -> None:
        """Hold the batch before this step, drawn again, against what the checkpoint remembers of it.

        Raises:
            ValueError: the stream is another, whatever it calls itself.
        """
        rows = (x if x.ndim == 3 else x[None])[:, :N_ROWS].cpu()
        if self.last_rows is None:
            return
        known = self.last_rows.cpu()
        spread = known.square().mean().sqrt()  # activations computed on another machine differ in their last digits
        if rows.shape != known.shape or not torch.allclose(rows, known, rtol=0.02, atol=0.02 * float(spread)):
            raise ValueError(
                f"{self.path} is of a run on other inputs: batch {self.step - 1} of this stream is not the one it was trained on; "
                "give the stream it was begun with, choose another file, or delete it"
            )


WHAT = "SAEs in training"
N_ROWS = 8
"""Inputs of its last batch that a checkpoint remembers, to know the stream again."""


def _checked(configs: Mapping[str, TrainConfig] | TrainConfig, stream: Stream) -> Mapping[str, TrainConfig]:
    several = configs if isinstance(configs, Mapping) else {"sae": configs}
    if not several:
        raise ValueError("configs must hold at least one TrainConfig, got {}")
    first = next(iter(several.values()))
    for name, config in several.items():
        arguments.written("each name in configs", name)
        if not isinstance(config, TrainConfig):
            raise ValueError(f"configs must be a TrainConfig, or a dict of them, got {shown(config)}")
        for shared in ("batch_size", "n_steps"):
            if getattr(config, shared) != getattr(first, shared):
                raise ValueError(
                    f"SAEs on one stream share {shared}: {name!r} has {getattr(config, shared)}, the first {getattr(first, shared)}"
                )
        as_json(config.record(), f"the recipe of {name!r}")  # a prefix law of one's own may hold anything
    lacks = [name for name in ("hook_name", "scale", "d_model", "batches") if not hasattr(stream, name)]
    if lacks:
        raise ValueError(f"stream must be one such as msae.Activations or msae.TreeStream, got {shown(stream)}, which has no {lacks[0]}")
    whole("the stream's d_model", stream.d_model, 1)
    number("the stream's scale", stream.scale, above=0)
    if stream.hook_name is not None:
        arguments.written("the stream's hook_name", stream.hook_name)
    origin = getattr(stream, "origin", None)
    if origin is not None and not isinstance(origin, Mapping):
        raise ValueError(f"the stream's origin must be a dict of JSON values, got {shown(origin)}")
    as_json(_origin(stream), "the stream's origin")  # it is kept in checkpoints: better to know before the first than at it
    try:
        signature(stream.batches).bind(first.batch_size, 0, skip=0)
    except TypeError as error:
        raise ValueError(f"the stream's batches must be a function of batch_size, seed and skip, got {shown(stream)}: {error}") from error
    return several


def _origin(stream: Stream) -> dict[str, Any]:
    return dict(plain(getattr(stream, "origin", None) or {}))


def _made_from(stream: Stream, data_seed: int) -> dict[str, Any]:
    """What all SAEs of a run are made from, beside their recipes."""
    origin = {"hook_name": stream.hook_name, "d_model": int(stream.d_model), "scale": float(stream.scale)} | _origin(stream)
    return {"stream": origin, "data_seed": data_seed, "dtype": str(torch.get_default_dtype())}


def _read_checkpoint(path: Path, configs: Mapping[str, TrainConfig], stream: Stream, data_seed: int) -> dict[str, Any]:
    """A checkpoint of these very settings.

    Raises:
        ValueError: the file is no such checkpoint, is damaged, or is of other settings or another stream, naming what differs.
    """
    state = load_checkpoint(path)
    if state.get("what") != WHAT:
        raise ValueError(f"{path} is not a checkpoint of SAEs in training: choose another file")
    fix = "choose another file, or delete it to start again"
    if set(state["runs"]) != set(configs):
        raise ValueError(f"{path} is of a run of {sorted(state['runs'])}, and {sorted(configs)} are asked for: {fix}")
    for name, config in configs.items():
        differs = differences(state["runs"][name]["record"], config.record())
        if differs:
            names = ", ".join(text.split()[0] for text in differs)
            raise ValueError(f"{path} was written with other settings of {name!r} ({names}): {'; '.join(differs)}; {fix}")
    check_origin(state["made_from"], _made_from(stream, data_seed), f"{path}", fix)
    return state


def _next_batch(batches: Iterator[Tensor], step: int, n_steps: int) -> Tensor:
    """The next batch in the numbers that are trained in: float32, or what PyTorch's default is.

    Raises:
        ValueError: the stream has ended, or gives no real numbers.
    """
    x = next(batches, None)
    if x is None:
        raise ValueError(f"the stream ended after {step} of {n_steps} batches: give more data, or n_steps={max(step, 1)}")
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise ValueError(f"expected batches of floating-point numbers, got {shown(x)}")
    return x.to(torch.get_default_dtype())


def _check_batch(x: Tensor, d_model: int, step: int) -> None:
    if x.ndim not in (2, 3) or x.shape[-1] != d_model or 0 in x.shape:
        raise ValueError(f"expected batches (batch, {d_model}) or (n_seeds, batch, {d_model}), got {tuple(x.shape)}")


def _bar(names: list[str], n_steps: int, done: int, progress: bool) -> Any:
    """A bar with the time left; one that says nothing where none is wanted, or where tqdm, an extra, is not installed."""
    title = ", ".join(names) if len(names) <= 3 else f"{len(names)} SAEs, {names[0]} … {names[-1]}"
    if progress and find_spec("tqdm"):
        from tqdm.auto import tqdm

        return tqdm(total=n_steps, initial=done, unit="step", desc=title, mininterval=0.5)
    return _NoBar()


class _NoBar:
    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self) -> None:
        pass

    def set_postfix(self, values: Mapping[str, str]) -> None:
        pass
