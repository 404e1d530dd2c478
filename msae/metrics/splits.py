"""Splitting: how many latents it takes to tell the tokens of a concept from all others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msae.firings.firings import Firings, as_firings
from msae.firings.reading import check_level
from msae.metrics.fragments import newly, steps
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap
from msae.support.arguments import number, whole
from msae.support.renamed import by_name


class Splitting(NamedTuple):
    """Into how many latents a concept is split.

    Example:
        >>> from msae.metrics import splitting
        >>> found = splitting([[1.0, 0.0], [0.0, 1.0]], [True, True])
        >>> found.latents, [round(f1, 2) for f1 in found.f1]
        ([0, 1], [0.67, 1.0])
    """

    n_latents: Interval
    """Latents, in the order of `latents`, as long as each raises F1 by more than `min_gain`. The interval keeps the order."""

    latents: list[int]
    """The latents in greedy order, a few beyond those that count."""

    f1: list[float]
    """F1 of "at least one of the first k fires", for k = 1, 2, …"""


@by_name()
def splitting(
    acts: Acts, concept: Numbers, *, story: Numbers | None = None, level: float = 0.0, min_gain: float = 0.03, n_most: int = 50
) -> Splitting:
    """How many latents together tell a concept from everything else.

    Latents are added one by one, each time the one that raises the F1 of "at least one of them fires" most, and count as long as they
    raise it by more than min_gain. This is the criterion of Chanin et al. 2024 (arXiv:2409.14507: a feature is split where one more latent
    raises the F1 of a k-sparse probe by more than 0.03), with the union of the latents in place of a trained probe: nothing to train, and
    a latent that fires on half of the concept counts as half.

    Args:
        acts: as for `as_firings`.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        level: an activation up to this share of its latent's largest on these inputs counts as silent.
        min_gain: by how much the F1 must rise for one more latent to count.
        n_most: stop there.

    Returns:
        the latents that were added, and how many count.

    Raises:
        ValueError: a concept that is nowhere or on which no latent fires, shapes that do not fit, or a level outside [0, 1).

    Example:
        >>> from msae.metrics import splitting
        >>> splitting([[1.0, 0.0], [0.0, 1.0]], [True, True]).n_latents.value
        2.0
    """
    check_level(level)
    number("min_gain", min_gain)
    whole("n_most", n_most, 1)
    firings = as_firings(acts)
    present = firings.concept(concept)
    union = _union(firings, present, level, min_gain / 3, n_most)
    stories, k = firings.story(story), len(union.latents)
    n_stories = int(stories.max()) + 1
    parts = [steps(stories[m], union.first[m], k, n_stories) for m in (present, ~present)]

    def n_split(s: np.ndarray) -> np.ndarray:
        true, false = s[..., :k].cumsum(-1), s[..., k + 1 : 2 * k + 1].cumsum(-1)
        score = 2 * true / (s[..., : k + 1].sum(-1, keepdims=True) + true + false)
        small = np.diff(score, axis=-1, append=score[..., -1:]) <= min_gain
        return np.where(s[..., : k + 1].sum(-1) > 0, small.argmax(-1) + 1.0, np.nan)

    return Splitting(bootstrap(n_split, np.concatenate(parts, axis=1)), union.latents, union.f1)


class _Union(NamedTuple):
    """Latents whose union is a detector of a concept."""

    latents: list[int]
    f1: list[float]
    """Of the first 1, 2, … of them."""

    first: np.ndarray
    """(n_inputs,) which of them fires first on each input; -1 for none."""


def _union(firings: Firings, present: np.ndarray, level: float, least: float, n_most: int) -> _Union:
    """Greedy, as long as F1 rises by more than `least`: a little further than latents count, for resamples."""
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
        if chosen and scores[latent] <= f1[-1] + least:
            break
        new = newly(by_latent, latent, first)
        first[new] = len(chosen)
        fired, true = fired + int(gain[latent]), true + int(gain_true[latent])
        gain, gain_true = gain - by_input[new].sum(0), gain_true - by_input[new[present[new]]].sum(0)
        chosen.append(latent)
        f1.append(float(scores[latent]))
    return _Union([int(firings.latents[touching[i]]) for i in chosen], f1, first)
