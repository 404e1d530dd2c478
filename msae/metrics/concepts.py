"""A latent beside a concept: how much of it the latent finds, and how much else it fires on.

A concept is one truth value per token: a set of tokens, or whatever a pattern matches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msae.firings.firings import as_firings
from msae.firings.reading import check_level
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.support.renamed import by_name


class ConceptScore(NamedTuple):
    """One latent as a detector of a concept.

    Example:
        >>> from msae.metrics import ConceptScore, Interval
        >>> score = ConceptScore(*[Interval(0.9, 0.8, 1.0)] * 3, n_concept=10, n_firing=10)
        >>> print(score.recall)
        0.9 [0.8, 1]
    """

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


@by_name()
def concept_score(acts: Acts, latent: int, concept: Numbers, *, story: Numbers | None = None, level: float = 0.0) -> ConceptScore:
    """Recall and precision of a latent for a concept, with intervals over stories.

    Args:
        acts: as for `as_firings`.
        latent: the number of the latent.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        story: one number per input or per text; each text, or each input without texts, is its own if left out.
        level: an activation up to this share of the latent's largest on these inputs counts as silent; `CLEARLY` is usual.

    Returns:
        shares from 0 to 1.

    Raises:
        ValueError: no such latent, a concept that is nowhere, shapes that do not fit, or a level outside [0, 1).

    Example:
        >>> from msae import metrics
        >>> acts, concept = [[2.0], [1.0], [0.1], [0.0]], [True, True, False, False]
        >>> every, clear = (metrics.concept_score(acts, 0, concept, level=level) for level in (0, metrics.CLEARLY))
        >>> f"{every.precision.value:.2f} {clear.precision.value:.2f}"
        '0.67 1.00'
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
    """Every latent as a detector of one concept: (n_latents,) each.

    Example:
        >>> import numpy as np
        >>> from msae.metrics import ConceptScores
        >>> ConceptScores(np.array([3, 7]), *np.array([[0.5, 0.9], [1.0, 0.9], [0.67, 0.9]])).best
        7
    """

    latents: np.ndarray
    """int64: the number of each latent in its SAE."""

    recall: np.ndarray
    """float64: share of the concept's tokens on which each fires."""

    precision: np.ndarray
    """float64: share of the tokens on which each fires that are of the concept; NaN for a latent that never fires."""

    f1: np.ndarray
    """float64: harmonic mean of the two."""

    @property
    def best(self) -> int:
        """The latent with the largest F1."""
        return int(self.latents[self.f1.argmax()])


@by_name()
def concept_scores(acts: Acts, concept: Numbers, *, level: float = 0.0) -> ConceptScores:
    """Recall, precision and F1 of all latents at once: which latent is the concept's?

    All latents count at the same level. `patterns.rank_latents` gives each its own best one, which finds more and flatters.

    Args:
        acts: as for `as_firings`.
        concept: one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        level: an activation up to this share of its latent's largest on these inputs counts as silent; `CLEARLY` is usual.

    Returns:
        in the order of the latents in `acts`.

    Raises:
        ValueError: a concept that is nowhere, shapes that do not fit, or a level outside [0, 1).

    Example:
        >>> from msae.metrics import concept_scores
        >>> concept_scores([[0.0, 2.0], [0.0, 1.0], [3.0, 0.0]], [True, True, False]).best
        1
    """
    check_level(level)
    firings = as_firings(acts)
    present = firings.concept(concept)
    (fired,), (both,) = firings.counts_above([level], present)
    with np.errstate(invalid="ignore"):
        precision = both / fired
    return ConceptScores(firings.latents, both / present.sum(), precision, 2 * both / (present.sum() + fired))
