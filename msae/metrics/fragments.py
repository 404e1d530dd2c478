"""How many latents a concept is spread over: to cover its tokens, and to tell them from others."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from msae.firings.firings import as_firings
from msae.firings.reading import check_level, to_numpy
from msae.metrics.intervals import Interval, bootstrap
from msae.support.arguments import number, shown, whole


class Fragmentation(NamedTuple):
    """How many latents it takes to cover a concept."""

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


def fragmentation(
    acts: Any, concept: Any, story: Any = None, share: float = 0.9, min_precision: float = 0.5, levels: Sequence[float] = (0.0,)
) -> Fragmentation:
    """The number of latents that cover a share of a concept's tokens.

    A token is covered where at least one chosen latent fires. Only latents of the concept may be chosen, those that fire on it in at
    least `min_precision` of their firings; else one latent that fires on everything would do. With few exceptions a latent fires faintly
    on much that it does not mean; with several levels each counts from the lowest that makes it precise enough. The choice is greedy: each
    time the latent with most of the still uncovered tokens, of equals the first. The smallest choice is a partial set cover, and hard to
    find; greedy takes at most 1 + ln(n) times as many for n tokens (Slavík 1997), and `at_least` says how far it is off here.

    Args:
        share: of the concept's tokens that is to be covered.
        levels: shares of a latent's largest activation on these inputs; what does not exceed one does not count as firing there. A latent
            that is precise enough at none of them is no candidate.
        the others: as for `concept_score`.

    Raises:
        ValueError: as `concept_score`; a share outside (0, 1]; or no level.
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {shown(share)}; 0.9 is usual")
    number("min_precision", min_precision, 0, 1)
    found = to_numpy("levels", levels)
    if found.ndim != 1 or not len(found):
        raise ValueError(
            f"levels must name at least one share of a latent's largest activation, got {shown(levels)}; (0.0,) counts every firing"
        )
    check_level(found if len(found) > 1 else found[0], "levels")
    firings = as_firings(acts)
    present, rising = firings.concept(concept), np.sort(found.astype(np.float64))
    fired, both = firings.counts_above(rising, present)
    with np.errstate(invalid="ignore"):
        precise = both / fired >= min_precision
    candidates = np.flatnonzero(precise.any(0))
    level = rising[precise.argmax(0)[candidates]]
    fragments = firings.take(candidates).above(level)
    cover = fragments.matrix.tocsr()[np.flatnonzero(present)].astype(bool).astype(np.int64)
    n, needed = int(present.sum()), int(np.ceil(share * present.sum() - 1e-9))

    chosen: list[int] = []
    first = np.full(n, -1)  # which of the chosen latents covers each token first
    gain = cover.sum(0)
    largest = np.sort(gain)[::-1].cumsum()
    enough = min(n, needed + (n - needed + 1) // 2)  # a little further, for resamples that need more
    by_latent = cover.tocsc()
    while (first >= 0).sum() < enough and gain.max(initial=0) > 0:
        latent = int(gain.argmax())
        rows = by_latent.indices[by_latent.indptr[latent] : by_latent.indptr[latent + 1]]
        new = rows[first[rows] < 0]
        first[new] = len(chosen)
        gain = gain - cover[new].sum(0)
        chosen.append(latent)
    sums = _steps(firings.story(story)[present], first, len(chosen))

    def n_needed(s: np.ndarray) -> np.ndarray:
        reached = s[..., :-1].cumsum(-1) >= share * s.sum(-1, keepdims=True) - 1e-9
        number = np.where(reached.any(-1), reached.argmax(-1) + 1.0, np.inf) if len(chosen) else np.full(s.shape[:-1], np.inf)
        return np.where(s.sum(-1) > 0, number, np.nan)

    covered = (np.bincount(first[first >= 0], minlength=len(chosen)).cumsum() / n).tolist()
    bound = float(np.searchsorted(largest, needed) + 1) if len(largest) and largest[-1] >= needed else np.inf
    latents, counted_at = fragments.latents[chosen].tolist(), level[chosen].tolist()
    return Fragmentation(bootstrap(n_needed, sums), bound, latents, counted_at, covered, len(candidates))


class Splitting(NamedTuple):
    """Into how many latents a concept is split."""

    n_latents: Interval
    """Latents, in the order of `latents`, as long as each raises F1 by more than `min_gain`. The interval keeps the order."""

    latents: list[int]
    """The latents in greedy order, a few beyond those that count."""

    f1: list[float]
    """F1 of "at least one of the first k fires", for k = 1, 2, …"""


def splitting(acts: Any, concept: Any, story: Any = None, min_gain: float = 0.03, level: float = 0.0, n_most: int = 50) -> Splitting:
    """How many latents together tell a concept from everything else.

    Latents are added one by one, each time the one that raises the F1 of "at least one of them fires" most, and count as long as they
    raise it by more than min_gain. This is the criterion of Chanin et al. 2024 (arXiv:2409.14507: a feature is split where one more latent
    raises the F1 of a k-sparse probe by more than 0.03), with the union of the latents in place of a trained probe: nothing to train, and
    a latent that fires on half of the concept counts as half.

    Args:
        n_most: stop there.
        the others: as for `concept_score`.

    Raises:
        ValueError: as `concept_score`; or a concept on which no latent fires.
    """
    check_level(level)
    number("min_gain", min_gain)
    whole("n_most", n_most, 1)
    firings = as_firings(acts)
    present = firings.concept(concept)
    (fired_by,), (true_by,) = firings.counts_above([level], present)
    touching = np.flatnonzero(true_by)
    if not len(touching):
        raise ValueError("no latent fires on any token of the concept")
    by_latent = firings.take(touching).above(level).matrix.astype(bool).astype(np.int64)
    by_input = by_latent.tocsr()
    gain, gain_true = fired_by[touching], true_by[touching]  # inputs and concept tokens each latent would add
    first = np.full(len(present), -1)
    chosen: list[int] = []
    f1: list[float] = []
    n, fired, true = int(present.sum()), 0, 0
    while len(chosen) < n_most:
        scores = 2 * (true + gain_true) / (n + fired + gain)
        latent = int(scores.argmax())
        last = f1[-1] if f1 else 0.0
        if chosen and scores[latent] <= last + min_gain / 3:  # a little further than counts, for resamples
            break
        rows = by_latent.indices[by_latent.indptr[latent] : by_latent.indptr[latent + 1]]
        new = rows[first[rows] < 0]
        first[new] = len(chosen)
        fired, true = fired + int(gain[latent]), true + int(gain_true[latent])
        gain, gain_true = gain - by_input[new].sum(0), gain_true - by_input[new[present[new]]].sum(0)
        chosen.append(latent)
        f1.append(float(scores[latent]))
    stories, k = firings.story(story), len(chosen)
    n_stories = int(stories.max()) + 1
    parts = [_steps(stories[m], first[m], k, n_stories) for m in (present, ~present)]

    def n_split(s: np.ndarray) -> np.ndarray:
        true, false = s[..., :k].cumsum(-1), s[..., k + 1 : 2 * k + 1].cumsum(-1)
        score = 2 * true / (s[..., : k + 1].sum(-1, keepdims=True) + true + false)
        small = np.diff(score, axis=-1, append=score[..., -1:]) <= min_gain
        return np.where(s[..., : k + 1].sum(-1) > 0, small.argmax(-1) + 1.0, np.nan)

    return Splitting(bootstrap(n_split, np.concatenate(parts, axis=1)), [int(firings.latents[touching[i]]) for i in chosen], f1)


def _steps(story: np.ndarray, first: np.ndarray, n_chosen: int, n_stories: int | None = None) -> np.ndarray:
    """(n_stories, n_chosen + 1): inputs of each story that each chosen latent is the first to fire on; the last column: that none does."""
    n_stories = int(story.max(initial=0)) + 1 if n_stories is None else n_stories
    step = np.where(first < 0, n_chosen, first)
    return np.bincount(story * (n_chosen + 1) + step, minlength=n_stories * (n_chosen + 1)).reshape(n_stories, n_chosen + 1)
