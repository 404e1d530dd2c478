"""What a nonlinearity is, and the few questions that SAEs and training ask it. A new one is a new file with other answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from msae.support.arguments import shown, tensor
from msae.support.origin import plain

Found = TypeVar("Found", covariant=True)


class Candidates(Protocol[Found]):
    """The activations of a batch, of which a training step never holds all. A nonlinearity asks for its own in one of three ways.

    Activations are in units of unit-norm decoder rows.
    """

    n_inputs: int

    def above(self, lowest: Tensor | float) -> Found | None:
        """All above a bound, one for each latent (n_latents,) or one for all; None where they are so many that dense products pay."""
        ...

    def largest_of_each(self, k: int) -> Found:
        """The k largest of each input, whatever their sign."""
        ...

    def largest_of_all(self, n: int, usual: Tensor) -> Found:
        """The n largest of the batch; `usual` (n_latents,) is about where the cut lies, and only saves time."""
        ...


class Nonlinearity:
    """From pre-activations to activations: each is kept as it is, or set to 0. The gradients of training rest on that.

    A kind is a frozen dataclass whose fields are JSON values; SAE files hold its name and its fields. The answers here are those of a
    `ReLU`, but for `__call__`; another kind gives those in which it differs. One of your own is loaded where its class is defined first.

    Training reads x · scale and the SAE that it leaves reads x, so that activations must grow with pre-activations and thresholds. A level
    of yours is therefore no number in `__call__` but a threshold: `start_threshold` gives it, and training divides it by the scale.

    Example:
        >>> from dataclasses import dataclass
        >>> from typing import ClassVar
        >>> import msae
        >>> from msae.sae import Nonlinearity
        >>> @dataclass(frozen=True)
        ... class Above(Nonlinearity):
        ...     theta: float = 0.5
        ...     def __call__(self, pre, threshold=None, training=False):
        ...         return pre * (pre > threshold)
        ...     def lowest(self, threshold):
        ...         return threshold
        ...     @property
        ...     def start_threshold(self):
        ...         return self.theta
        >>> msae.SAE(2, 4, Above(1.0)).nonlinearity
        Above(theta=1.0)
    """

    learns_threshold: ClassVar[bool] = False
    """Whether the thresholds follow the gradient that `threshold_slope` estimates; they are held at 0 or above."""

    observes_smallest: ClassVar[bool] = False
    """Whether `observe` wants each step's smallest activation, which costs a look at all of them."""

    latents_compete: ClassVar[bool] = False
    """Whether a latent's activation depends on the others of the same input, even after training. A prefix then keeps their encoder."""

    def __call__(self, pre: Tensor, threshold: Tensor | None = None, training: bool = False) -> Tensor:
        """Activations of pre-activations (…, batch, n_latents).

        Args:
            pre: the pre-activations.
            threshold: (n_latents,) of the SAE; None for a kind without thresholds.
            training: whether a batch of training is given; it matters for `BatchTopK` alone.
        """
        raise NotImplementedError

    @property
    def fixed_l0(self) -> float | None:
        """The L0 that it holds by construction, so that no penalty is needed and the batch is seen whole; None for a penalty's work."""
        return None

    @property
    def fixes_l0(self) -> bool:
        """Whether it holds L0 by construction."""
        return self.fixed_l0 is not None

    @property
    def start_threshold(self) -> float | None:
        """Where training starts every latent's threshold, in units of x · scale; None for a kind without thresholds."""
        return None

    def check_width(self, n_latents: int) -> None:
        """Raise a ValueError where it cannot be the nonlinearity of so few latents."""

    def lowest(self, threshold: Tensor | None) -> Tensor | float:
        """What a candidate must exceed to be active; of the shape of `threshold`, or one number."""
        return 0.0

    def select(self, candidates: Candidates[Found], threshold: Tensor | None) -> Found | None:
        """Ask for the activations of a training batch that may be active, or that the threshold's gradient rests on.

        Args:
            candidates: the batch.
            threshold: (n_latents,), or None.

        Returns:
            what the candidates gave; None, as from a kind that none of their ways fits, leaves the step to dense products.
        """
        return candidates.above(self.lowest(threshold))

    def threshold_slope(self, pre: Tensor, threshold: Tensor) -> Tensor:
        """An estimate of ∂ activations / ∂ threshold, for a kind that learns its thresholds.

        Args:
            pre: pre-activations of any shape.
            threshold: of a shape that fits them, 0 or above.
        """
        raise NotImplementedError

    def observe(self, threshold_SN: Tensor, smallest_S: Tensor, mass: float) -> float:
        """Update the thresholds, in place, by the smallest activation of a step, for a kind that observes it.

        Args:
            threshold_SN: (n_seeds, n_latents) thresholds.
            smallest_S: (n_seeds,) the smallest activation that is not 0; infinity where there was none.
            mass: what the step before returned, 0 at first.

        Returns:
            what the next step is given as `mass`.
        """
        return mass


def check_kind(nonlinearity: object) -> Nonlinearity:
    """The nonlinearity, where it is one that an SAE file can hold.

    Raises:
        ValueError: it is not.
    """
    name = type(nonlinearity).__name__
    known = kinds().get(name)
    if not isinstance(nonlinearity, Nonlinearity) or known is None:
        raise ValueError(f"nonlinearity must be a ReLU(), TopK(k), BatchTopK(k) or JumpReLU() of msae, got {shown(nonlinearity)}")
    if not is_dataclass(nonlinearity):
        raise ValueError(f"nonlinearity must be a dataclass, so that a file can hold its fields, got {shown(nonlinearity)}")
    if known is not type(nonlinearity) and is_own(known):
        raise ValueError(f"nonlinearity is called {name!r}, as one of msae's own is: give yours another name")
    for field in fields(nonlinearity):
        value = getattr(nonlinearity, field.name)
        if isinstance(plain(value), str) and not isinstance(value, str):  # a file would hold its hash
            raise ValueError(f"{field.name} of {name} must be a JSON value, as a number or a list is, got {shown(value)}")
    return nonlinearity


def check_answers(nonlinearity: Nonlinearity, n_latents: int) -> None:
    """Refuse a kind of one's own on which the gradients of training, or the scale that is folded into an SAE, cannot rest.

    Raises:
        ValueError: it changes what it keeps, keeps what is not above `lowest`, or has a level that does not grow with its input.
    """
    rows = 1 + 128 // n_latents
    pre = torch.logspace(-20, 20, rows * n_latents, base=2.0).reshape(rows, n_latents)
    pre = torch.cat([pre, -pre, pre.flip(1)])
    start, factor = nonlinearity.start_threshold, 1024.0
    threshold = None if start is None else torch.full((n_latents,), float(start))
    acts, lowest, called = nonlinearity(pre, threshold), nonlinearity.lowest(threshold), shown(nonlinearity)
    if not isinstance(acts, Tensor) or acts.shape != pre.shape or not ((acts == pre) | (acts == 0)).all():
        raise ValueError(f"{called} must keep each pre-activation as it is, or set it to 0: the gradients of training rest on that")
    if (acts[pre <= lowest] != 0).any():
        raise ValueError(f"{called} keeps a pre-activation that is not above its lowest(), {shown(lowest)}: return the least bound there")
    if not torch.equal(nonlinearity(pre * factor, None if threshold is None else threshold * factor), acts * factor):
        raise ValueError(
            f"{called} has a level that does not grow with its input, and an SAE reads vectors of another scale than training does: "
            "give the level as start_threshold, and compare with the threshold that __call__ is given"
        )


def is_own(kind: type[Nonlinearity]) -> bool:
    """Whether it is one of msae's, whose name nobody takes."""
    return kind.__module__.startswith(__name__.removesuffix("base"))


def kinds() -> dict[str, type[Nonlinearity]]:
    """The kinds that a file may name: those of msae, and every other subclass that was defined; of one name the newest.

    A file names a class and never brings one: what it can make is what the program has defined.
    """
    found: dict[str, type[Nonlinearity]] = {}
    for kind in _below(Nonlinearity):
        if kind.__name__ not in found or not is_own(found[kind.__name__]):
            found[kind.__name__] = kind
    return found


def _below(kind: type[Nonlinearity]) -> Iterator[type[Nonlinearity]]:
    """All subclasses, those next to it first."""
    yield from kind.__subclasses__()
    for nearer in kind.__subclasses__():
        yield from _below(nearer)


def checked_pre(pre: Tensor, least_axes: int = 1) -> Tensor:
    """Pre-activations, where they are real numbers of the shape (…, n_latents), or (…, batch, n_latents) with two axes at least."""
    pre = tensor("pre", pre, numbers="real")
    if pre.ndim < least_axes:
        raise ValueError(f"pre must have the shape (…{', batch' * (least_axes - 1)}, n_latents), got {tuple(pre.shape)}")
    return pre


def checked_threshold(threshold: Tensor | None, pre: Tensor) -> Tensor:
    """Thresholds, on the device of the pre-activations, where they fit them."""
    threshold = tensor("threshold", threshold, numbers="real")
    if threshold.ndim and threshold.shape[-1] not in (1, pre.shape[-1]):
        raise ValueError(f"threshold must have one entry for each of {pre.shape[-1]} latents, got shape {tuple(threshold.shape)}")
    return threshold.to(pre.device)
