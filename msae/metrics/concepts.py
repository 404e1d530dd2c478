"""A latent beside a concept: how much of it the latent finds, how much else it fires on, and where its holes are.

A concept is one truth value per token: a set of tokens, or whatever a pattern matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from msae.firings.firings import as_firings
from msae.firings.reading import check_level, latent_number
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.support.arguments import number, shown


class ConceptScore(NamedTuple):
    """One latent as a detector of a concept."""

    recall: Interval
    """Share of the concept's tokens on which the latent fires."""

    precision: Interval
    """Share of the tokens on which the latent fires that are of the concept."""

    f1: Interval
    """Harmonic mean of the two."""

    n_concept: int
    """Tokens of the concept."""

    n_firing: int
    """Tokens on which the latent fires."""


def concept_score(acts: Any, latent: int, concept: Any, story: Any = None, level: float = 0.0) -> ConceptScore:
    """Recall and precision of a latent for a concept, with intervals over stories.

    Args:
        acts: as for `as_firings`.
        latent: the number of the latent.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        level: an activation up to this share of the latent's largest on these inputs counts as silent; 0.25 is usual for "fires clearly".

    Raises:
        ValueError: no such latent, a concept that is nowhere, shapes that do not fit, or a level outside [0, 1).
    """
    check_level(level)
    firings = as_firings(acts)
    present, fires = firings.concept(concept), firings.where(latent, level)
    sums = sum_by_story(firings.story(story), present & fires, present, fires)
    return ConceptScore(
        bootstrap(ratio, sums[:, [0, 1]]),
        bootstrap(ratio, sums[:, [0, 2]]),
        bootstrap(lambda s: 2 * s[..., 0] / (s[..., 1] + s[..., 2]), sums),
        int(present.sum()),
        int(fires.sum()),
    )


class ConceptScores(NamedTuple):
    """Every latent as a detector of one concept: (n_latents,) float64 each, in the order of `latents`."""

    latents: np.ndarray
    recall: np.ndarray

    precision: np.ndarray
    """NaN for a latent that never fires."""

    f1: np.ndarray

    @property
    def best(self) -> int:
        """The latent with the largest F1."""
        return int(self.latents[self.f1.argmax()])


def concept_scores(acts: Any, concept: Any, level: float = 0.0) -> ConceptScores:
    """Recall, precision and F1 of all latents at once: which latent is the concept's? Arguments and errors as for `concept_score`.

    All latents count at the same level. `patterns.rank_latents` gives each its own best one, which finds more and flatters.
    """
    check_level(level)
    firings = as_firings(acts)
    present = firings.concept(concept)
    (fired,), (both,) = firings.counts_above([level], present)
    with np.errstate(invalid="ignore"):
        precision = both / fired
    return ConceptScores(firings.latents, both / present.sum(), precision, 2 * both / (present.sum() + fired))


class HoleRate(NamedTuple):
    """Where a latent is silent although its concept is there."""

    rate: Interval
    """Share of the concept's tokens on which the latent is silent, 0 to 1."""

    by_part: dict[str, Interval]
    """The same share for the tokens of each part of the concept."""

    filled_by: dict[int, float]
    """Share of the holes on which each other latent of the concept fires, the largest first: latents that fire more often than not
    (`min_precision`) on the concept. A latent that fires on everything fills nothing."""

    unfilled: float
    """Share of the holes that none of those fires on; NaN where there are no holes."""

    n_concept: int
    """Tokens of the concept."""


def hole_rate(
    acts: Any,
    latent: int,
    concept: Any,
    parts: Mapping[str, Any] | None = None,
    story: Any = None,
    level: float = 0.0,
    min_precision: float = 0.5,
) -> HoleRate:
    """Count the holes of a latent in a concept, and who fills them.

    Args:
        parts: a mask for each part of the concept; what lies outside the concept does not count.
        the others: as for `concept_score`, and `min_precision` as in `fragmentation`. The level holds for the latents that fill, too.

    Raises:
        ValueError: as `concept_score`; or a part without any of the concept's tokens.
    """
    check_level(level)
    number("min_precision", min_precision, 0, 1)
    if parts is not None and not isinstance(parts, Mapping):
        raise ValueError(f"parts must be a dict of masks, got {shown(parts)}")
    firings, latent = as_firings(acts), latent_number(latent)
    present, fires, stories = firings.concept(concept), firings.where(latent, level), firings.story(story)
    by_part = {}
    for name, mask in (parts or {}).items():
        part = firings.concept(mask, f"parts[{name!r}]") & present
        if not part.any():
            raise ValueError(f"the part {name!r} has none of the concept's tokens")
        by_part[name] = _share(stories, part & ~fires, part)
    holes = present & ~fires
    scores = concept_scores(firings, present, level)
    others = np.flatnonzero((scores.precision >= min_precision) & (scores.latents != latent))
    filling = firings.take(others).above(level).matrix.astype(bool).astype(np.float64)
    share = holes.astype(np.float64) @ filling / max(1, holes.sum())
    order = np.argsort(-share, kind="stable")
    return HoleRate(
        _share(stories, holes, present),
        by_part,
        {int(scores.latents[others[i]]): float(share[i]) for i in order if share[i] > 0},
        float((filling.sum(1)[holes] == 0).mean()) if holes.any() else np.nan,
        int(present.sum()),
    )


def _share(story: np.ndarray, part: np.ndarray, whole: np.ndarray) -> Interval:
    return bootstrap(ratio, sum_by_story(story, part, whole))
