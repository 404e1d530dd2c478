"""What `Latents` answers with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from msae.metrics.concepts import ConceptScore
    from msae.metrics.intervals import Interval


class Best(NamedTuple):
    """The latent of an SAE that is the best detector of a concept.

    Example:
        >>> from msae import metrics
        >>> from msae.latents import Best
        >>> fires = metrics.as_firings([[1.0], [0.0], [2.0]])
        >>> best = Best("S/0", metrics.concept_score(fires, 0, [True, False, True]))
        >>> best.score.f1.value
        1.0
    """

    latent: str
    """ "name/number"."""

    score: ConceptScore
    """How good it is."""


class LookAlike(NamedTuple):
    """The latent of another SAE whose activations correlate most with those of a latent.

    Example:
        >>> from msae.latents import LookAlike
        >>> from msae.metrics import Interval
        >>> print(LookAlike("S/3/12", Interval(0.91, 0.88, 0.93)).correlation)
        0.91 [0.88, 0.93]
    """

    latent: str
    """ "name/number"."""

    correlation: Interval
    """Pearson's; over stories, the latent held fixed."""
