"""What to call latents, and where their holes are seen: what an explorer opens on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from msae.firings.firings import Firings, as_firings
from msae.firings.reading import CLEARLY
from msae.support.arguments import number, shown

GOOD = 0.6
"""Least F1 of a latent that is called by its concept's name."""


def concept_labels(
    acts: Mapping[str, Firings], concepts: Mapping[str, np.ndarray], *, level: float = CLEARLY, least_f1: float = GOOD
) -> dict[str, str]:
    """Which latents deserve a concept's name: of each SAE the best for each concept, where it is a good one.

    Args:
        acts: name → where the latents of that SAE fire, all on the same texts.
        concepts: name → (n_texts, n_ctx) bool, its tokens, as `patterns.match` gives them. One that is nowhere in the texts names nothing.
        level: share of a latent's maximum above which it counts as firing, in [0, 1).
        least_f1: how good a latent must be, 0 to 1.

    Returns:
        "name/number" of a latent → its concept; the first where several fit.

    Raises:
        ValueError: a level or F1 out of range, or masks of another shape than the texts.

    Example:
        >>> import msae, torch
        >>> fires = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [1.0, 2.0]]])  # (1 text, 3 tokens, 2 latents)
        >>> she = torch.tensor([[True, False, True]]).numpy()
        >>> msae.latents.concept_labels({"S": msae.firings.as_firings(fires)}, {"she": she})
        {'S/0': 'she'}
    """
    from msae.metrics.concepts import concept_scores  # loads torch

    number("least_f1", least_f1, 0, 1)
    number("level", level, 0, below=1)
    _check_mapping("acts", acts, 'where latents fire, by the SAE\'s name, such as {"S/2": acts}')
    _check_mapping("concepts", concepts, 'masks by name, such as {"she": mask}')
    labels: dict[str, str] = {}
    for concept, mask in concepts.items():
        if not np.any(mask):
            continue
        for name, of_sae in acts.items():
            scores = concept_scores(of_sae, mask, level=level)
            if scores.f1[scores.best] >= least_f1:
                labels.setdefault(f"{name}/{scores.best}", concept)
    return labels


def holed_look_alike(acts: Mapping[str, Firings], labels: Mapping[str, str]) -> tuple[str, str] | None:
    """Where to see holes: the first labelled latent that has SAEs behind its own, and its look-alike in the largest of those.

    Of several largest SAEs, that one whose look-alike is silent on most of the labelled latent's clear firings. Clear ones, because on its
    faint ones the labelled latent may itself be wrong: those are no holes of the concept.

    Args:
        acts: name → where the latents of that SAE fire, all on the same texts, from small to large.
        labels: "name/number" of a latent → what it is called.

    Returns:
        "name/number" of both latents; None where there is no such pair.

    Raises:
        ValueError: a latent that is not there.

    Example:
        >>> import msae, torch
        >>> small, large = torch.tensor([[1.0, 2.0, 1.0, 0.0]]), torch.tensor([[0.0, 2.0, 1.0, 0.0]])  # (1 text, 4 tokens) each
        >>> acts = {"S": msae.firings.as_firings(small[..., None]), "L": msae.firings.as_firings(large[..., None])}
        >>> msae.latents.holed_look_alike(acts, {"S/0": "she"})
        ('S/0', 'L/0')
    """
    from msae.metrics.correlation import mean_max_correlation  # loads torch

    _check_mapping("acts", acts, 'where latents fire, by the SAE\'s name, such as {"S/2": acts}')
    _check_mapping("labels", labels, 'names by latent, such as {"S/7": "she"}')
    for latent in labels:
        name, _, its_number = latent.rpartition("/")
        _fires(acts, latent)  # raises where it is not there
        behind = list(acts)[list(acts).index(name) + 1 :]
        size = max((len(as_firings(acts[other]).latents) for other in behind), default=0)
        alone = as_firings(acts[name])
        alone = alone.take([alone.column(int(its_number))])
        clear = alone.where(int(its_number), CLEARLY)
        found = {
            other: int(mean_max_correlation(alone, acts[other], n_resamples=1).latents[0])
            for other in behind
            if len(as_firings(acts[other]).latents) == size
        }
        if alike := [f"{other}/{number}" for other, number in found.items() if number >= 0]:
            return latent, max(alike, key=lambda each: int((clear & ~_fires(acts, each)).sum()))
    return None


def _fires(acts: Mapping[str, Firings], latent: str) -> np.ndarray:
    """(n_inputs,) bool: where the latent "name/number" fires."""
    name, _, its_number = latent.rpartition("/")
    if name not in acts or not its_number.isdecimal():
        raise ValueError(f"there is no latent {shown(latent)}; the SAEs are {', '.join(acts)}: give one as NAME/NUMBER")
    return as_firings(acts[name]).where(int(its_number))


def _check_mapping(name: str, value: object, what: str) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must be a dict of {what}, got {shown(value)}")
