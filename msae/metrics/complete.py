"""Completeness: how many of a list of concepts have a latent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from msae.firings.firings import as_firings
from msae.firings.reading import check_level, truth
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap, ratio
from msae.support.arguments import number, shown, whole


class Completeness(NamedTuple):
    """Which concepts of a list have a latent.

    Example:
        >>> from msae.metrics import completeness
        >>> acts, concepts = [[2.0, 0.0], [0.0, 0.0]], {"cat": [True, False], "dog": [False, True]}
        >>> found = completeness(acts, concepts, min_tokens=1)
        >>> found.share.value, found.best
        (0.5, {'cat': (0, 1.0), 'dog': (0, 0.0)})
    """

    share: Interval
    """Share of the concepts that have one, 0 to 1; the interval draws concepts anew. NaN where none occurs often enough."""

    best: dict[str, tuple[int, float]]
    """Of each concept the latent with the largest F1, and that F1."""

    rare: list[str]
    """Concepts that occur too rarely to say, and count nowhere."""


def completeness(
    acts: Acts, concepts: Mapping[str, Numbers], *, level: float = 0.0, least_f1: float = 0.6, min_tokens: int = 20
) -> Completeness:
    """The share of a list of concepts that have a latent: one whose F1 for the concept is large enough.

    All latents and concepts at once, by one sparse product. Of a prefix of an SAE: `completeness(acts.take(range(m)), …)`.

    Args:
        acts: as for `as_firings`.
        concepts: name → one truth value per input, (n_inputs,) or (n_texts, n_ctx).
        level: an activation up to this share of its latent's largest on these inputs counts as silent; `CLEARLY` is usual.
        least_f1: how good a latent must be to count, 0 to 1.
        min_tokens: a concept with fewer tokens is left out.

    Returns:
        the share, and the best latent of each concept.

    Raises:
        ValueError: no concepts, shapes that do not fit, or a number out of range.

    Source: the question is of Templeton et al. 2024, "Scaling Monosemanticity", "Feature Completeness"; the rule is ours.

    Example:
        >>> from msae.metrics import completeness
        >>> acts, concepts = [[2.0, 0.0], [0.0, 0.0]], {"cat": [True, False], "dog": [False, True]}
        >>> print(completeness(acts, concepts, min_tokens=1).share)
        0.5 [0, 1]
    """
    from scipy.sparse import csc_array

    check_level(level)
    number("least_f1", least_f1, 0, 1)
    whole("min_tokens", min_tokens, 1)
    if not isinstance(concepts, Mapping) or not concepts or not all(isinstance(name, str) for name in concepts):
        raise ValueError(f'concepts must be masks by name, such as {{"cat": mask}}, got {shown(concepts)}')
    firings = as_firings(acts)
    shapes = [firings.places, (firings.mask.size,)]
    masks = {name: truth(f"concepts[{name!r}]", mask, shapes).reshape(-1) & firings.present for name, mask in concepts.items()}
    often = {name: mask for name, mask in masks.items() if mask.sum() >= min_tokens}
    rare = [name for name in masks if name not in often]
    if not often:
        return Completeness(Interval(np.nan, np.nan, np.nan), {}, rare)
    present = csc_array(np.stack(list(often.values()), axis=1).astype(np.float32))
    fires = firings.above(level).matrix > 0
    both = (fires.T.astype(np.float32) @ present).toarray()
    f1 = 2 * both / (np.asarray(fires.sum(0)).reshape(-1, 1) + np.asarray(present.sum(0)).reshape(1, -1))
    best = {name: (int(firings.latents[f1[:, k].argmax()]), float(f1[:, k].max())) for k, name in enumerate(often)}
    has = np.array([[score >= least_f1, 1] for _, score in best.values()])
    return Completeness(bootstrap(ratio, has), best, rare)
