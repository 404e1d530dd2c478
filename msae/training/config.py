"""The recipe of an SAE, the stream it is trained on, and what a run leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor

from msae.sae.lawful import checked_law
from msae.sae.nonlinearities import Nonlinearity, ReLU
from msae.sae.nonlinearities.base import check_answers, check_kind, is_own
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import PrefixLaw, SquareRootPrefixes, WeightedPrefixes
from msae.sae.sae import SAE
from msae.support.arguments import number, one_of, shown, whole, yes_or_no
from msae.support.origin import plain
from msae.support.renamed import by_name


class Stream(Protocol):
    """Where training inputs come from: `msae.Activations`, `msae.TreeStream`, or anything with these four.

    hook_name is the place in the language model that they are read from, None where it does not matter; scale what they were multiplied
    with; d_model their width.

    A stream may also have an `origin`, what its batches are made from as a dict of JSON values (`msae.support.origin`). It is recorded in
    checkpoints and SAEs, and a run goes on only on a stream of the same origin.

    Example:
        >>> import msae, torch
        >>> class Noise:
        ...     hook_name, scale, d_model = None, 1.0, 4
        ...     def batches(self, batch_size, seed, skip=0):
        ...         for step in range(skip, 10**9):
        ...             yield torch.randn(batch_size, 4, generator=torch.Generator().manual_seed(seed + step))
        >>> msae.train(msae.TrainConfig(8, 2.0, n_steps=3, batch_size=5), Noise(), progress=False).sae.d_model
        4
    """

    @property
    def hook_name(self) -> str | None: ...

    @property
    def scale(self) -> float: ...

    @property
    def d_model(self) -> int: ...

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """Endless (batch_size, d_model) or (n_seeds, batch_size, d_model), already multiplied by scale; the same seed, the same batches.

        Args:
            batch_size: inputs of a batch.
            seed: of their order.
            skip: batches to leave out at the start.
        """
        ...


@by_name(loss="prefixes=FullPrefix() is the plain SAE, sample_prefixes=True draws prefixes in every step, all prefixes are the default")
@dataclass(frozen=True)
class TrainConfig:
    """The recipe of one SAE; `msae.language_model_recipe` makes the one that is recommended for a language model.

    Raises:
        ValueError: settings that cannot be, or do not fit each other, naming the first.

    Example:
        >>> import msae
        >>> msae.TrainConfig(n_latents=512, target_l0=15, n_steps=1000).penalty
        'log'
        >>> msae.TrainConfig(512, None, 1000, nonlinearity=msae.TopK(15), prefixes=msae.FullPrefix()).target_l0  # a plain TopK SAE
        15.0
    """

    n_latents: int
    """Number of latents."""

    target_l0: float | None
    """Mean number of active latents per input to reach. None holds `penalty_weight` and lets L0 follow; for TopK and BatchTopK it is k."""

    n_steps: int
    """Optimizer steps."""

    batch_size: int = 1024
    """Inputs of a step."""

    lr: float = 3e-3
    """Peak learning rate of Adam."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Of Adam."""

    prefixes: PrefixLaw = field(default_factory=SquareRootPrefixes)
    """Which prefixes must reconstruct on their own, and how often; `FullPrefix()` alone makes a plain SAE."""

    sample_prefixes: bool = False
    """Draw prefixes in every step, as the article does; the loss over all of them, each as often as the law draws it, else."""

    stop_gradient: bool = False
    """Let a latent learn from the shortest prefix that holds it and from no longer one: what comes later fits what is left. b_dec, the
    penalty's weight, clipping and the ranks stay shared. How often a prefix counts then only scales its own latents' gradients, which Adam
    nearly undoes. The history's loss is the error with all latents, which b_dec learns from."""

    nonlinearity: Nonlinearity = field(default_factory=ReLU)
    """What makes activations of pre-activations."""

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

    centre: bool = False
    """Take the mean of the first batch away from every input while training, and put it into both biases at the end, so that the SAE reads
    inputs as they are. Activations of a language model lie off centre, and encoder and biases then pull at one direction together."""

    sparsify: float = 0.3
    """Share of the run over which the target moves from the first batch's L0 to `target_l0`, geometrically."""

    fade_prefixes: float = 0.0
    """Share of the run, at its end, over which the inclusion of every latent rises to 1, so that the run ends on the full prefix alone.
    The ranks stay meanwhile, and the controller answers faster, both also with `FullPrefix()`: leave it at 0 for a plain SAE."""

    fade_penalty: float = 0.0
    """Share of the run, at its end, over which the penalty's weight falls to 0, as the square of what is left: it has to be gone
    before the prefixes are, or it opens holes again. While it falls, L0 is measured and no longer held."""

    exchange_every: int = 0
    """Steps between exchanges (`msae.training.exchange`): the weakest latents of an SAE start anew where the error is largest, if that
    pays. 0 for none; they begin after `warmup` and end where `decay` begins. A moved latent needs time to settle: where more than one in a
    few hundred moves per step, L0 stays above its target, and the penalty's weight runs away."""

    exchange_moves: int = 1
    """Latents of an SAE that one exchange may move, each only where it pays beside those before it; with `exchange_every=5` and
    `lazy_adam`, n_latents // 128 leaves few dead ones on TinyStories."""

    lazy_adam: bool = False
    """Leave a latent that did not fire in a batch as it is, its moments too (`msae.training.lazy_adam`): else one firing pushes a rare
    latent on for many steps, often until nothing makes it fire again."""

    aux_latents: int = 0
    """Dead latents of each input that an auxiliary loss (`msae.training.auxiliary`) asks to reconstruct what the SAE leaves, k_aux of Gao
    et al. 2024; 0 for no such loss. A step then costs an encoder's and a decoder's product more."""

    aux_weight: float = 1 / 32
    """Of the auxiliary loss."""

    dead_after: int = 65_536
    """Inputs on which a latent must have been silent, one after the other, to count as dead in the auxiliary loss."""

    clip_norm: float = 1.0
    """Largest norm of one SAE's gradient. At 1 it is no guard against a rare huge step but scales every one: on TinyStories the norm lies
    between 3 and 150 throughout, so Adam is given the gradient's direction alone."""

    encoder_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the encoder's product, most of the arithmetic of a step; parameters, sums and everything else stay in float32. GPUs before
    Ampere, such as Colab's T4, have fast float16 and no fast bfloat16."""

    def __post_init__(self) -> None:
        for name in ("n_latents", "n_steps", "batch_size", "exchange_moves", "dead_after"):
            self._set(name, whole(name, getattr(self, name), 1))
        for name in ("exchange_every", "aux_latents"):
            self._set(name, whole(name, getattr(self, name), 0))
        for name in ("warmup", "decay", "sparsify", "fade_prefixes", "fade_penalty"):
            self._set(name, number(f"{name} is a share of the run, 0 to 1: it", getattr(self, name), 0, 1))
        for name in ("penalty_weight", "clip_norm", "aux_weight"):
            self._set(name, number(name, getattr(self, name), above=0))
        if self.start_l0 is not None:
            self._set("start_l0", number("start_l0", self.start_l0, above=0, also=" or None", hint="100 is usual"))
        self._set("lr", number("lr", self.lr, above=0, below=1, hint="1e-3 to 1e-2 is usual"))
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise ValueError(f"betas must be two numbers, got {shown(self.betas)}; (0.9, 0.99) is usual")
        self._set("betas", tuple(number("each of betas", beta, 0, below=1) for beta in self.betas))
        for name in ("sample_prefixes", "stop_gradient", "lazy_adam", "centre"):
            self._set(name, yes_or_no(name, getattr(self, name)))
        one_of("penalty", self.penalty, sorted(PENALTIES))
        one_of("encoder_dtype", self.encoder_dtype, ("float32", "bfloat16", "float16"))
        self._check_seed()
        self._check_nonlinearity()
        checked_law(self.prefixes, self.n_latents)
        if self.sample_prefixes and isinstance(self.prefixes, WeightedPrefixes):
            raise ValueError("sample_prefixes must be False with WeightedPrefixes, whose weights count in the loss over all prefixes alone")

        if self.stop_gradient and self.fade_prefixes:
            raise ValueError(f"fade_prefixes must be 0 with stop_gradient, which no share of a prefix softens, got {self.fade_prefixes}")

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
        check_kind(self.nonlinearity)
        k = self.nonlinearity.fixed_l0
        if self.target_l0 is None and k is not None:
            self._set("target_l0", float(k))
        if self.target_l0 is not None:
            hint = "a TinyStories SAE uses 15 to 60"
            self._set("target_l0", number("target_l0", self.target_l0, hint=hint))
            if not 0 < self.target_l0 < self.n_latents and k != self.target_l0:
                raise ValueError(f"target_l0 must lie between 0 and n_latents={self.n_latents}, got {self.target_l0}; {hint}")
        if k is not None and k != self.target_l0:
            raise ValueError(f"{self.nonlinearity} fixes L0 at its k: give target_l0={k}, not {self.target_l0}")
        if k is not None and k > self.n_latents:
            raise ValueError(f"k={k} latents cannot be active among n_latents={self.n_latents}: choose a smaller k or more latents")
        if not is_own(type(self.nonlinearity)):  # a test holds those of msae to it
            check_answers(self.nonlinearity, self.n_latents)

    @property
    def seeds(self) -> tuple[int, ...]:
        """`seed` as a tuple, whether one was given or several."""
        return (self.seed,) if isinstance(self.seed, int) else self.seed

    def record(self) -> dict[str, Any]:
        """The recipe as JSON values, for checkpoints and saved SAEs."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}


class TrainResult(NamedTuple):
    """What a run leaves.

    Example:
        >>> import msae
        >>> tree = msae.FeatureTree.article()
        >>> stream = msae.TreeStream(tree, msae.toy.orthogonal_directions(20, 20))
        >>> result = msae.train(msae.TrainConfig(20, tree.l0, n_steps=3, batch_size=10), stream, progress=False)
        >>> result.history["l0"].shape, result.sae.n_latents
        (torch.Size([3, 1]), 20)
    """

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


def origin_of(stream: Stream) -> dict[str, Any]:
    """What a stream's batches are made from, as JSON values; empty where it does not tell."""
    return dict(plain(getattr(stream, "origin", None) or {}))
