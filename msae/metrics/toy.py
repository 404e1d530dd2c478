"""Measures that need to know the true features: which latent is a feature's, and the holes of a parent's latent in a feature tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.firings.reading import latent_number
from msae.metrics.fidelity import cosines
from msae.metrics.hole_rates import hole_rate
from msae.support.arguments import all_finite, items, shown, tensor
from msae.support.renamed import by_name


def assign(acts: Tensor, features: Tensor) -> Tensor:
    """Give each true feature a latent of its own, so that the summed cosine of their activations is as large as can be.

    Args:
        acts: (n_inputs, n_latents) latent activations.
        features: (n_inputs, n_features) true activations.

    Returns:
        (n_features,) int64: the latent assigned to each feature.

    Raises:
        ValueError: fewer latents than features, other shapes, or a number that is NaN or infinite.

    Source: Hungarian matching as in the article's toy (Nabeshima 2024); `scipy.optimize.linear_sum_assignment`.

    Example:
        >>> import torch
        >>> from msae.metrics import assign
        >>> features = torch.eye(3)
        >>> assign(features[:, [2, 0, 1]], features).tolist()
        [1, 2, 0]
    """
    from scipy.optimize import linear_sum_assignment

    acts, features = _both(acts, features)
    if acts.shape[1] < features.shape[1]:
        raise ValueError(f"{acts.shape[1]} latents cannot be matched to {features.shape[1]} features one to one")
    similarity = cosines(features.T, acts.T)
    rows, columns = linear_sum_assignment(similarity.cpu().numpy(), maximize=True)
    return torch.from_numpy(columns[np.argsort(rows)])


match = assign
"""The former name of `assign`, kept for one release."""


def closest(acts: Tensor, features: Tensor) -> Tensor:
    """For each true feature the latent whose activations have the largest cosine with it; a latent may serve twice.

    This is the latent a reader would call "the female latent", so holes are counted on it. A one-to-one `assign` can hand that latent to a
    child that has none of its own, and then reports holes that are not there.

    Args:
        acts: (n_inputs, n_latents) latent activations.
        features: (n_inputs, n_features) true activations.

    Returns:
        (n_features,) int64: the closest latent of each feature.

    Raises:
        ValueError: other shapes, or a number that is NaN or infinite.

    Example:
        >>> import torch
        >>> from msae.metrics import closest
        >>> closest(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 2.0], [0.0, 0.0]])).tolist()
        [0, 0]
    """
    acts, features = _both(acts, features)
    return cosines(features.T, acts.T).argmax(1)


def _both(acts: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    acts, features = tensor("acts", acts, ("n_inputs", "n_latents")), tensor("features", features, ("n_inputs", "n_features"))
    if len(acts) != len(features) or not acts.numel() or not features.numel():
        raise ValueError(f"acts and features must be of the same inputs, got {tuple(acts.shape)} and {tuple(features.shape)}")
    for name, value in (("acts", acts), ("features", features)):
        if value.is_floating_point():
            all_finite(name, value)
    return acts, features


class Holes(NamedTuple):
    """Where a parent's latent is silent although its concept is present.

    Example:
        >>> from msae.metrics import Holes
        >>> Holes(rate=0.5, by_child={1: 1.0, 2: 0.0}, filled_by={4: 1.0}, n_present=20).rate
        0.5
    """

    rate: float
    """Share of the inputs on which the latent is silent, 0 to 1, among those with the parent and any child."""

    by_child: dict[int, float]
    """The same share among the inputs on which each child is active; the keys are feature indices."""

    filled_by: dict[int, float]
    """Share of the holes on which each other latent fires; the largest first, zeros left out."""

    n_present: int
    """How many inputs the rate is measured on."""


@by_name(threshold="write level=")
def holes(acts: Tensor, features: Tensor, latent: int, *, parent: int, children: Sequence[int] | Tensor, level: float = 0.0) -> Holes:
    """Count the holes of a parent's latent in a feature tree: inputs where a child is active and the latent is silent.

    This is `hole_rate` where the concept is known, "the parent with a child", its parts are the children, and every latent may fill.

    Args:
        acts: (n_inputs, n_latents) latent activations.
        features: (n_inputs, n_features) 0 or 1.
        latent: the parent's latent.
        parent: its feature.
        children: the features below it.
        level: an activation up to this share of its latent's largest counts as silent.

    Returns:
        shares from 0 to 1.

    Raises:
        ValueError: where no input shows the parent with a child, so that there is nothing to measure.

    Example:
        >>> import torch
        >>> from msae.metrics import holes
        >>> features = torch.tensor([[1, 1, 0], [1, 0, 1], [1, 0, 0]])
        >>> holes(torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), features, 0, parent=0, children=[1, 2])
        Holes(rate=0.5, by_child={1: 1.0, 2: 0.0}, filled_by={1: 1.0}, n_present=2)
    """
    acts, features = _both(acts, features)
    latent, parent = latent_number(latent), latent_number(parent, "parent")
    if latent >= acts.shape[1]:
        raise ValueError(f"there are latents 0 to {acts.shape[1] - 1}, got {latent}")
    children = [latent_number(child, "each of children") for child in items("children", children)]
    if not children or max([parent, *children]) >= features.shape[1]:
        raise ValueError(f"there are features 0 to {features.shape[1] - 1}, got parent {parent} and children {shown(children)}")
    active = {child: (features[:, child] > 0).cpu().numpy() for child in [parent, *children]}
    present = active[parent] & np.any([active[child] for child in children], axis=0)
    if not present.any():
        raise ValueError(f"no input has feature {parent} together with one of {children}: sample more inputs")
    parts = {str(child): active[child] for child in children if (active[child] & present).any()}
    of_one_story = np.zeros(len(acts), dtype=np.int64)  # known inputs need no interval, and this makes none
    found = hole_rate(acts, latent, present, parts=parts, story=of_one_story, level=level, min_precision=0)
    by_child = {child: found.by_part[str(child)].value if str(child) in parts else float("nan") for child in children}
    return Holes(found.rate.value, by_child, found.filled_by, found.n_concept)
