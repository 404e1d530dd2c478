"""Probes: a logistic regression for a concept, on vectors or on where latents fire; and how many latents such a probe needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from msae.firings.firings import as_firings
from msae.firings.reading import to_numpy, truth
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap, sum_by_story
from msae.support.arguments import number, plain, shown, whole
from msae.support.renamed import by_name

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_Rows: TypeAlias = "np.ndarray | csr_array"


class Probe(NamedTuple):
    """A linear probe: the concept is where weight·x + bias is positive.

    Example:
        >>> import numpy as np
        >>> from msae.metrics import Probe
        >>> Probe(np.array([1.0, 0.0]), -2.0).scores(np.array([[3.0, 5.0], [1.0, 5.0]])).tolist()
        [1.0, -1.0]
    """

    weight: np.ndarray
    """(d,) float64: the direction that it reads."""

    bias: float
    """What is added; half of the balanced inputs lie on either side of zero."""

    def scores(self, x: Numbers) -> np.ndarray:
        """(n,) float64 of inputs (n, d): positive where the probe finds the concept.

        Args:
            x: (n, d) vectors, or a SciPy sparse array.

        Raises:
            ValueError: inputs of another width, or that are no finite numbers.
        """
        rows = _rows(x)
        if rows.shape[1] != len(self.weight):
            raise ValueError(f"x must have the width {len(self.weight)} that the probe reads, got shape {rows.shape}")
        return np.asarray(rows @ self.weight + self.bias)


@by_name()
def linear_probe(x: Numbers, concept: Numbers, *, l1: float = 0.0, l2: float = 1e-4, n_steps: int = 500) -> Probe:
    """Fit a logistic regression in which concept and rest weigh the same, to convergence (SciPy's L-BFGS-B, float64).

    With y = ±1 it is the weight w and the bias b with the smallest

        mean of c log(1 + exp(-y (w·x + b))) + l1 Σ|w| + l2 Σw² / 2,    c = n_rest / n_concept on the concept, 1 elsewhere.

    Args:
        x: (n, d) vectors of torch or NumPy, or a SciPy sparse array such as `encode` makes.
        concept: (n,) truth values, some true and some false.
        l1: the weight of Σ|w|. Above 0, most of w is 0: what is not shows which inputs tell the concept alone.
        l2: the weight of Σw² / 2.
        n_steps: of the solver, at most.

    Returns:
        the probe.

    Raises:
        ValueError: no finite numbers, shapes that do not fit, or a concept that is nowhere, or everywhere.

    Source: the loss and the l2 of SAEBench's letter probes (Karvonen et al. 2025, arXiv:2503.09532; there by Adam, 50 epochs).

    Example:
        >>> from msae.metrics import linear_probe
        >>> x = [[0.0, 1.0], [1.0, 0.0], [4.0, 1.0], [5.0, 0.0]]
        >>> (linear_probe(x, [False, False, True, True]).scores(x) > 0).tolist()
        [False, False, True, True]
    """
    number("l1", l1, 0)
    number("l2", l2, 0)
    whole("n_steps", n_steps, 1)
    rows = _rows(x)
    present = truth("concept", concept, [(_n_rows(rows),)], "row of x")
    _check_both(present, "the rows of x")
    return _fitted(rows, present, l1=l1, l2=l2, n_steps=n_steps)


def _fitted(rows: _Rows, present: np.ndarray, *, l1: float = 0.0, l2: float, n_steps: int = 500) -> Probe:
    """`linear_probe`, of what is known to fit."""
    from scipy.optimize import minimize

    d, n, signed = rows.shape[1], len(present), np.where(present, 1.0, -1.0)
    centre = np.zeros(d) if _is_sparse(rows) else rows.mean(0)  # the solver sees no large common part, and b takes it back
    rows = rows if _is_sparse(rows) else rows - centre
    largest = float(abs(rows).max())
    scale = 1.0 if 1e-3 <= largest <= 1e5 or largest == 0 else largest  # nor numbers of a size that its first step does not fit
    rows, l1, l2 = (rows, l1, l2) if scale == 1 else (rows / scale, l1 / scale, l2 / scale / scale)
    cost = np.where(present, (n - present.sum()) / present.sum(), 1.0) / n
    both = np.ones(1) if l1 == 0 else np.array([1.0, -1.0])  # w = u - v with u, v ≥ 0, where Σ|w| is Σu + Σv

    def loss(parts: np.ndarray) -> tuple[float, np.ndarray]:
        w = both @ parts[:-1].reshape(len(both), d)
        margin = signed * (rows @ w + parts[-1])
        slope = -cost * signed / (1 + np.exp(np.clip(margin, -700, 700)))
        of_w = rows.T @ slope + l2 * w
        value = cost @ np.logaddexp(0, -margin) + l1 * parts[:-1].sum() + l2 * (w @ w) / 2
        return value, np.concatenate([*(sign * of_w + l1 for sign in both), [slope.sum()]])

    free: list[tuple[float | None, None]] = [(0.0 if l1 > 0 else None, None)] * (len(both) * d)
    options = {"maxiter": n_steps, "maxfun": 3 * n_steps, "ftol": 1e-10, "gtol": 1e-7}
    found = minimize(loss, np.zeros(len(both) * d + 1), jac=True, method="L-BFGS-B", bounds=[*free, (None, None)], options=options).x
    w = both @ found[:-1].reshape(len(both), d) / scale
    return Probe(w, float(found[-1] - w @ centre))


class SparseProbe(NamedTuple):
    """How well few latents tell a concept, and into how many latents it is split.

    The order is that of the weights, as in SAEBench: a latent of small activations needs a large weight, and may come before better ones.

    Example:
        >>> from msae.metrics import Interval, SparseProbe
        >>> found = SparseProbe([7, 3, 9], [Interval(0.8, 0.7, 0.9), Interval(0.9, 0.8, 0.95), Interval(0.91, 0.8, 0.95)], 2)
        >>> found.split, f"{found.f1[0]:.1f}"
        ([7, 3], '0.8 [0.7, 0.9]')
    """

    latents: list[int]
    """The latents that a sparse probe reads, the largest positive weight first."""

    f1: list[Interval]
    """F1 on the inputs that did not train, of a probe on the first k = 1, 2, … of them."""

    n_latents: int
    """The first of them, as long as each raises F1 by more than `min_gain`; 1 at least."""

    @property
    def split(self) -> list[int]:
        """The latents that count: the concept's own, as SAEBench chooses them."""
        return self.latents[: self.n_latents]


@by_name()
def sparse_probe(
    acts: Acts,
    concept: Numbers,
    *,
    train: Numbers,
    story: Numbers | None = None,
    n_most: int = 10,
    min_gain: float = 0.03,
    l1: float = 0.01,
) -> SparseProbe:
    """k-sparse probing: choose latents by a sparse probe on all of them, then fit a probe on the first 1, 2, … alone.

    Args:
        acts: as for `as_firings`.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        train: likewise, the inputs that choose latents and fit probes; the others measure F1.
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        n_most: as many latents at most; fewer where the sparse probe reads fewer.
        min_gain: by how much F1 must rise for one more latent to count as a split.
        l1: of the sparse probe, as in `linear_probe`.

    Returns:
        the latents in their order, F1 for each number of them, and how many count.

    Raises:
        ValueError: a concept that is nowhere or everywhere among the inputs that train, or nowhere among the others; a concept that no
            latent tells from the rest; shapes that do not fit.

    Source: Gurnee et al. 2023 (arXiv:2305.01610) for k-sparse probing; choice by l1, probes and the 0.03 of feature splitting as in
    Chanin et al. 2024 (arXiv:2409.14507) and SAEBench (arXiv:2503.09532).

    Example:
        >>> from msae.metrics import sparse_probe
        >>> acts = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]] * 4
        >>> sparse_probe(acts, [True, True, False, False] * 4, train=[True, False] * 8).split
        [0]
    """
    whole("n_most", n_most, 1)
    number("min_gain", min_gain)
    number("l1", l1, 0)
    firings = as_firings(acts)
    present = firings.concept(concept)[firings.present]
    teach = truth("train", train, [firings.places, (firings.mask.size,)]).reshape(-1)[firings.present]
    stories = firings.story(story)[firings.present]
    check_halves(present, teach)
    rows = firings.matrix.tocsr()[np.flatnonzero(firings.present)].astype(np.float64)
    weight = _fitted(rows[np.flatnonzero(teach)], present[teach], l1=l1, l2=0.0).weight
    order = [int(k) for k in np.argsort(-weight, kind="stable")[:n_most] if weight[k] > 0]
    if not order:
        raise ValueError("concept: no latent fires more on it than elsewhere; give more inputs to train, or a smaller l1")
    some = rows[:, order].toarray()
    f1 = []
    for k in range(1, len(order) + 1):
        few = _fitted(some[teach, :k], present[teach], l2=1 / teach.sum())
        f1.append(f1_of(few.scores(some[~teach, :k]) > 0, present[~teach], stories[~teach]))
    gains = np.diff([each.value for each in f1], append=-np.inf)
    return SparseProbe([int(firings.latents[k]) for k in order], f1, int((gains <= min_gain).argmax()) + 1)


def check_halves(present: np.ndarray, train: np.ndarray) -> None:
    """Refuse a concept that the inputs which train do not hold beside others, or that the others do not hold."""
    _check_both(present[train], "the inputs that train")
    if not present[~train].any():
        raise ValueError("train: the concept is on none of the inputs that do not train, so nothing is left to measure")


def f1_of(found: np.ndarray, present: np.ndarray, story: np.ndarray) -> Interval:
    """F1 of inputs that were found (n,) bool for those of a concept, with an interval over stories."""
    _, story = np.unique(story, return_inverse=True)
    return bootstrap(lambda s: 2 * s[..., 0] / (s[..., 1] + s[..., 2]), sum_by_story(story, found & present, found, present))


def _check_both(present: np.ndarray, where: str) -> None:
    if not present.any() or present.all():
        raise ValueError(f"concept must be true on some of {where} and false on others, got {int(present.sum()):,} of {len(present):,}")


def _is_sparse(rows: object) -> bool:
    return not isinstance(rows, np.ndarray)


def _n_rows(rows: _Rows) -> int:
    """Rows of either kind; SciPy's have no len."""
    return int(rows.shape[0])


def _rows(x: Numbers) -> _Rows:
    """(n, d) finite numbers in float64, sparse where they were."""
    from scipy.sparse import csr_array, issparse

    plain("x", x)
    if issparse(x):
        rows = csr_array(x)
        numbers, kept = rows.data, rows
    else:
        numbers = kept = to_numpy("x", x)
    if kept.ndim != 2 or 0 in kept.shape or numbers.dtype.kind not in "biuf" or not np.isfinite(numbers).all():
        raise ValueError(f"x must hold finite numbers (n, d), got {shown(x)}")
    return kept.astype(np.float64)
