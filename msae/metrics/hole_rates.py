"""Holes: where a latent is silent although its concept is there, and which other latents fire in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from msae.firings.firings import Firings, as_firings
from msae.firings.reading import check_level, latent_number
from msae.metrics.concepts import concept_scores
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.support.arguments import number, shown
from msae.support.renamed import by_name


class HoleRate(NamedTuple):
    """Where a latent is silent although its concept is there.

    Example:
        >>> from msae.metrics import HoleRate, Interval
        >>> f"{HoleRate(Interval(0.3, 0.2, 0.4), {}, {7: 1.0}, 0.0, 50).rate:.0%}"
        '30% [20%, 40%]'
    """

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


@by_name()
def hole_rate(
    acts: Acts,
    latent: int,
    concept: Numbers,
    *,
    parts: Mapping[str, Numbers] | None = None,
    story: Numbers | None = None,
    level: float = 0.0,
    min_precision: float = 0.5,
) -> HoleRate:
    """Count the holes of a latent in a concept, and who fills them.

    Args:
        acts: as for `as_firings`.
        latent: the number of the latent.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        parts: a mask for each part of the concept; what lies outside the concept does not count.
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        level: an activation up to this share of its latent's largest on these inputs counts as silent, for the latents that fill, too.
        min_precision: a latent fills if at least this share of its firings is on the concept, as in `fragmentation`.

    Returns:
        shares from 0 to 1.

    Raises:
        ValueError: no such latent, a concept that is nowhere, a part without any of its tokens, shapes that do not fit, or a level
            outside [0, 1).

    Example:
        >>> from msae.metrics import hole_rate
        >>> female = hole_rate([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]], 0, [True, True, True, False])
        >>> f"{female.rate.value:.2f}", female.filled_by
        ('0.33', {1: 1.0})
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
    scores = concept_scores(firings, present, level=level)
    others = np.flatnonzero((scores.precision >= min_precision) & (scores.latents != latent))
    filled_by, unfilled = _filled(firings.take(others).above(level), holes)
    return HoleRate(_share(stories, holes, present), by_part, filled_by, unfilled, int(present.sum()))


def _filled(others: Firings, holes: np.ndarray) -> tuple[dict[int, float], float]:
    """Share of the holes (n_inputs,) that each of some latents fires on, the largest first, and of those that none does."""
    filling = others.matrix.astype(bool).astype(np.float64)
    share = holes.astype(np.float64) @ filling / max(1, holes.sum())
    order = np.argsort(-share, kind="stable")
    unfilled = float((filling.sum(1)[holes] == 0).mean()) if holes.any() else np.nan
    return {int(others.latents[i]): float(share[i]) for i in order if share[i] > 0}, unfilled


def _share(story: np.ndarray, part: np.ndarray, whole: np.ndarray) -> Interval:
    return bootstrap(ratio, sum_by_story(story, part, whole))
