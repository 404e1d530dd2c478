"""A latent as a ranking of tokens for a concept: a measure without a level, in which a latent that fires on everything cannot win."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from msae.firings.firings import as_firings
from msae.firings.reading import latent_number
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, quantiles, resamples
from msae.metrics.ranked import Ranking, ranked
from msae.support.arguments import number


class ConceptRanking(NamedTuple):
    """How well a latent's activation ranks the tokens of a concept.

    Example:
        >>> from msae.metrics import ConceptRanking, Interval
        >>> print(ConceptRanking(Interval(0.86, 0.84, 0.88), recall=Interval(0.84, 0.8, 0.87), n_concept=10).recall)
        0.84 [0.8, 0.87]
    """

    average_precision: Interval
    """Area under precision over recall, all thresholds: 1 where the concept's tokens come first, their share where order is chance."""

    recall: Interval
    """Share of the concept's tokens found at the lowest threshold with the precision asked for; 0 where there is none."""

    n_concept: int
    """Tokens of the concept."""


def concept_ranking(acts: Acts, latent: int, concept: Numbers, *, story: Numbers | None = None, precision: float = 0.9) -> ConceptRanking:
    """Average precision of a latent for a concept, and its recall where it is precise, with intervals over stories.

    A hole rate alone is best for a latent that fires everywhere, and precision alone for one that fires once. These two see both.

    Args:
        acts: as for `as_firings`.
        latent: the number of the latent.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        precision: what the recall asks for.

    Returns:
        shares from 0 to 1. With many tokens the thresholds stand at 64 places among those of the concept.

    Raises:
        ValueError: no such latent, a concept that is nowhere, shapes that do not fit, or a precision outside (0, 1].

    Source: average precision as in Manning, Raghavan and Schütze 2008, section 8.4; tokens on which the latent is silent come last.

    Example:
        >>> from msae.metrics import concept_ranking
        >>> acts, concept = [[3.0], [2.0], [1.0], [0.0]], [True, False, True, False]
        >>> f"{concept_ranking(acts, 0, concept).average_precision.value:.3f}"
        '0.833'
    """
    number("precision", precision, above=0, most=1)
    firings, latent = as_firings(acts), latent_number(latent)
    there, values = firings.concept(concept), firings.dense(latent).reshape(-1)
    counted, story_of = firings.present, firings.story(story)
    n_stories = int(story_of.max()) + 1
    drawn = np.concatenate([np.ones((1, n_stories)), *(resamples(n_stories) if n_stories > 1 else [])])
    weights, stories = torch.from_numpy(drawn), torch.from_numpy(story_of)
    present = torch.from_numpy(there)[:, None]
    n_concept, n = (drawn @ np.bincount(story_of, weights=each, minlength=n_stories) for each in (there, counted))
    counts = Ranking.of(torch.from_numpy(values)[:, None]).counts(present, stories, weights)
    found = ranked(*counts, torch.from_numpy(n_concept)[:, None], torch.from_numpy(n)[:, None], precision)
    intervals = []
    for numbers in found:
        of_all, resampled = float(numbers[0, 0]), numbers[1:, 0].numpy()
        low, high = quantiles(resampled) if len(resampled) else (np.nan, np.nan)
        intervals.append(Interval(of_all, float(low), float(high)))
    average, recall = intervals
    return ConceptRanking(average, recall, int(there.sum()))
