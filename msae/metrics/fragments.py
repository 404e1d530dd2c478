"""Fragmentation: how many latents it takes to cover the tokens of a concept."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msae.firings.firings import Firings, as_firings
from msae.firings.reading import check_level, to_numpy
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap
from msae.support.arguments import number, shown
from msae.support.renamed import by_name

if TYPE_CHECKING:
    from scipy.sparse import csc_array


class Fragmentation(NamedTuple):
    """How many latents it takes to cover a concept.

    Example:
        >>> from msae.metrics import fragmentation
        >>> found = fragmentation([[1.0, 0.0], [0.0, 1.0]], [True, True])
        >>> found.latents, found.covered
        ([0, 1], [0.5, 1.0])
    """

    n_latents: Interval
    """Latents, in the order of `latents`, until the share is covered; inf where all candidates together do not reach it. The interval
    keeps the order and resamples the stories."""

    at_least: float
    """No choice of candidates covers the share with fewer: so many of the largest would, did they not overlap. Inf as above."""

    latents: list[int]
    """The candidates in greedy order, those first that cover most of what is still uncovered."""

    levels: list[float]
    """The share of its largest activation above which each of them counts as firing."""

    covered: list[float]
    """Share of the concept's tokens that are covered after each of them."""

    n_candidates: int
    """Latents that are precise enough to count."""


@by_name()
def fragmentation(
    acts: Acts,
    concept: Numbers,
    *,
    story: Numbers | None = None,
    share: float = 0.9,
    min_precision: float = 0.5,
    levels: Sequence[float] = (0.0,),
) -> Fragmentation:
    """The number of latents that cover a share of a concept's tokens, each covering those on which it fires.

    Only latents of the concept may be chosen, those that fire on it in at least `min_precision` of their firings; else one latent that
    fires on everything would do. The choice is greedy: each time the latent with most of the still uncovered tokens, of equals the first.
    The smallest choice is a partial set cover, and hard to find; greedy takes at most 1 + ln(n) times as many for n tokens (Slavík 1997).

    *Fragmentation* in the book and its results: precision 0.5 at one level, 95 % intervals. The explorer counts *strict fragmentation*:
    precision 0.8, each latent from its own level, `fragmentation(…, min_precision=0.8, levels=patterns.LEVELS)`.

    Args:
        acts: as for `as_firings`.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        share: of the concept's tokens that is to be covered.
        min_precision: share of a candidate's firings that must be on the concept.
        levels: shares of a latent's largest activation on these inputs; what does not exceed one does not count as firing there. Each
            latent counts from the lowest that makes it precise enough, and is no candidate where none does.

    Returns:
        the latents that were chosen, and how many it takes.

    Raises:
        ValueError: a concept that is nowhere, shapes that do not fit, a share outside (0, 1], no level, or one outside [0, 1).

    Example:
        >>> from msae.metrics import fragmentation
        >>> print(fragmentation([[1.0, 0.0], [0.0, 1.0]], [True, True]).n_latents.value)
        2.0
    """
    rising = _checked(share, min_precision, levels)
    firings = as_firings(acts)
    present = firings.concept(concept)
    candidates, level = _candidates(firings, present, min_precision, rising)
    fragments = firings.take(candidates).above(level)
    cover = _cover(fragments, present, share)
    return Fragmentation(
        n_latents=bootstrap(cover.n_needed, steps(firings.story(story)[present], cover.first, len(cover.chosen))),
        at_least=cover.at_least,
        latents=fragments.latents[cover.chosen].tolist(),
        levels=level[cover.chosen].tolist(),
        covered=cover.covered(),
        n_candidates=len(candidates),
    )


def _checked(share: float, min_precision: float, levels: Sequence[float]) -> np.ndarray:
    """The levels, rising, in float64."""
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {shown(share)}; 0.9 is usual")
    number("min_precision", min_precision, 0, 1)
    found = to_numpy("levels", levels)
    if found.ndim != 1 or not len(found):
        raise ValueError(
            f"levels must name at least one share of a latent's largest activation, got {shown(levels)}; (0.0,) counts every firing"
        )
    check_level(found if len(found) > 1 else found[0], "levels")
    return np.sort(found.astype(np.float64))


def _candidates(firings: Firings, present: np.ndarray, min_precision: float, rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns of the latents that are precise enough at some level, and the lowest such level of each."""
    fired, both = firings.counts_above(rising.tolist(), present)
    with np.errstate(invalid="ignore"):
        precise = both / fired >= min_precision
    candidates = np.flatnonzero(precise.any(0))
    return candidates, rising[precise.argmax(0)[candidates]]


class _Cover(NamedTuple):
    """A greedy cover of a concept's tokens."""

    chosen: list[int]
    """Columns, in the order of choice."""

    first: np.ndarray
    """(n_concept,) which of the chosen covers each token first; -1 for none."""

    at_least: float
    """As in `Fragmentation`."""

    share: float

    def covered(self) -> list[float]:
        covered: list[float] = (np.bincount(self.first[self.first >= 0], minlength=len(self.chosen)).cumsum() / len(self.first)).tolist()
        return covered

    def n_needed(self, s: np.ndarray) -> np.ndarray:
        """From sums (…, n_chosen + 1) over stories, as `steps` makes them: how many of the chosen reach the share."""
        if not self.chosen:
            number = np.full(s.shape[:-1], np.inf)
        else:
            reached = s[..., :-1].cumsum(-1) >= self.share * s.sum(-1, keepdims=True) - 1e-9
            number = np.where(reached.any(-1), reached.argmax(-1) + 1.0, np.inf)
        return np.where(s.sum(-1) > 0, number, np.nan)


def _cover(fragments: Firings, present: np.ndarray, share: float) -> _Cover:
    cover = fragments.matrix.tocsr()[np.flatnonzero(present)].astype(bool).astype(np.int64)
    n, needed = int(present.sum()), int(np.ceil(share * present.sum() - 1e-9))
    chosen: list[int] = []
    first = np.full(n, -1)
    gain = cover.sum(0)
    largest = np.sort(gain)[::-1].cumsum()
    at_least = float(np.searchsorted(largest, needed) + 1) if len(largest) and largest[-1] >= needed else np.inf
    enough = min(n, needed + (n - needed + 1) // 2)  # a little further, for resamples that need more
    by_latent = cover.tocsc()
    while (first >= 0).sum() < enough and gain.max(initial=0) > 0:
        latent = int(gain.argmax())
        new = newly(by_latent, latent, first)
        first[new] = len(chosen)
        gain = gain - cover[new].sum(0)
        chosen.append(latent)
    return _Cover(chosen, first, at_least, share)


def newly(by_latent: csc_array, column: int, first: np.ndarray) -> np.ndarray:
    """The inputs on which a latent fires and that none has covered before."""
    rows = by_latent.indices[by_latent.indptr[column] : by_latent.indptr[column + 1]]
    new: np.ndarray = rows[first[rows] < 0]
    return new


def steps(story: np.ndarray, first: np.ndarray, n_chosen: int, n_stories: int | None = None) -> np.ndarray:
    """(n_stories, n_chosen + 1): inputs of each story that each chosen latent is the first to fire on; the last column: that none does."""
    n_stories = int(story.max(initial=0)) + 1 if n_stories is None else n_stories
    step = np.where(first < 0, n_chosen, first)
    return np.bincount(story * (n_chosen + 1) + step, minlength=n_stories * (n_chosen + 1)).reshape(n_stories, n_chosen + 1)
