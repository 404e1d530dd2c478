"""Whether a latent is what it is called: what its firing says of a concept, how much it finds, and how both change with its strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from msae.firings.firings import as_firings
from msae.firings.reading import check_level
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.support.arguments import shown

QUARTERS = (0.0, 0.25, 0.5, 0.75)
"""Where bands of strength begin, as shares of a latent's largest activation."""


class Band(NamedTuple):
    """The firings of one strength.

    Example:
        >>> from msae.metrics import Band
        >>> Band(0.75, 12, 1.0, 2.3).share
        1.0
    """

    above: float
    """Share of the latent's largest activation that they exceed, up to the next band."""

    n_firing: int
    """How many."""

    share: float
    """Share of them that are of the concept; NaN where there are none."""

    ratio: float
    """Their log-likelihood ratio, in nats; minus infinity where none is of the concept, NaN where there are none."""


class Specificity(NamedTuple):
    """What a latent's firing says of a concept.

    Example:
        >>> from msae.metrics import specificity
        >>> found = specificity([[2.0], [1.0], [0.0], [0.0]], 0, [True, False, False, False])
        >>> f"{found.ratio.value:.2f} of {found.most:.2f}; {found.sensitivity.value:.0%}"
        '0.69 of 1.39; 100%'
    """

    ratio: Interval
    """log P(s | concept) / P(s) in nats, s = "the latent fires"; 0 for a latent that fires as often without the concept."""

    most: float
    """What the ratio is of a latent that fires on nothing else, log 1 / P(concept)."""

    sensitivity: Interval
    """P(s | concept), the recall: share of the concept's tokens on which the latent fires."""

    bands: list[Band]
    """The firings by their strength, from weak to strong."""


def specificity(
    acts: Acts,
    latent: int,
    concept: Numbers,
    *,
    story: Numbers | None = None,
    level: float = 0.0,
    begins: Sequence[float] = QUARTERS,
) -> Specificity:
    """Specificity as a log-likelihood ratio, and sensitivity, of a latent for a concept.

    For anything s that is seen on tokens, log P(s | concept) / P(s) is by how much the concept makes it likelier. By Bayes' rule it is also
    log P(concept | s) / P(concept): precision over how common the concept is. So it compares concepts that are not equally common.

    Args:
        acts: as for `as_firings`.
        latent: the number of the latent.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        level: an activation up to this share of the latent's largest on these inputs counts as silent, for `ratio` and `sensitivity`.
        begins: shares of the latent's largest activation, rising, at which the bands begin; the first band counts every firing from there.

    Returns:
        nats, and shares from 0 to 1.

    Raises:
        ValueError: no such latent, a concept that is nowhere, shapes that do not fit, or a level outside [0, 1).

    Source: Bricken et al. 2023, "Towards Monosemanticity", where s is a string; here it is what the latent does.

    Example:
        >>> from msae.metrics import specificity
        >>> acts, concept = [[4.0], [1.0], [1.0], [0.0]], [True, False, False, True]
        >>> [(band.above, band.share) for band in specificity(acts, 0, concept, begins=(0.0, 0.5)).bands]
        [(0.0, 0.0), (0.5, 1.0)]
    """
    check_level(level)
    edges = np.asarray(check_level(begins, "begins", [(np.size(begins),)]), dtype=np.float64)
    if not len(edges) or (np.diff(edges) <= 0).any():
        raise ValueError(f"begins must rise, as (0, 0.25, 0.5, 0.75) do, got {shown(begins)}")
    firings = as_firings(acts)
    present, fires = firings.concept(concept), firings.where(latent, level)
    sums = sum_by_story(firings.story(story), present & fires, present, fires, firings.present)
    rate = float(present.sum()) / firings.n_tokens
    positions, values = firings.of(latent)
    place = np.searchsorted(edges * float(values.max(initial=0)), values, side="left") - 1
    n_bands = [np.bincount(place[kept & (place >= 0)], minlength=len(edges)) for kept in (values > 0, (values > 0) & present[positions])]
    bands = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for above, n, n_of in zip(edges.tolist(), *n_bands):
            share = np.float64(n_of) / n
            bands.append(Band(above, int(n), float(share), float(np.log(share / rate))))
        return Specificity(
            bootstrap(lambda s: np.log(s[..., 0] * s[..., 3] / (s[..., 1] * s[..., 2])), sums),
            float(-np.log(rate)),
            bootstrap(ratio, sums[:, [0, 1]]),
            bands,
        )
