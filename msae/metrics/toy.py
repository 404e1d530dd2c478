"""Measures that need to know the true features: matching latents to them, and counting holes exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.firings.reading import latent_number
from msae.metrics.fidelity import cosines
from msae.support.arguments import all_finite, items, number, shown, tensor


def match(acts: Tensor, features: Tensor) -> Tensor:
    """Give each true feature a latent of its own, so that the summed cosine of their activations is as large as can be.

    Args:
        acts: (n_inputs, n_latents) latent activations; features: (n_inputs, n_features) true activations.

    Returns:
        (n_features,) int64: the latent matched to each feature.

    Raises:
        ValueError: fewer latents than features, other shapes, or a number that is NaN or infinite.

    Source: Hungarian matching as in the article's toy (Nabeshima 2024); `scipy.optimize.linear_sum_assignment`.
    """
    from scipy.optimize import linear_sum_assignment

    acts, features = _both(acts, features)
    if acts.shape[1] < features.shape[1]:
        raise ValueError(f"{acts.shape[1]} latents cannot be matched to {features.shape[1]} features one to one")
    similarity = cosines(features.T, acts.T)
    rows, columns = linear_sum_assignment(similarity.cpu().numpy(), maximize=True)
    return torch.from_numpy(columns[np.argsort(rows)])


def closest(acts: Tensor, features: Tensor) -> Tensor:
    """(n_features,) int64: for each true feature the latent whose activations have the largest cosine with it; a latent may serve twice.

    This is the latent a reader would call "the female latent", so holes are counted on it. A one-to-one `match` can hand that latent to a
    child that has none of its own, and then reports holes that are not there.
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
    """Where a parent's latent is silent although its concept is present."""

    rate: float
    """Share of the inputs on which the latent is silent, 0 to 1, among those with the parent and any child."""

    by_child: dict[int, float]
    """The same share among the inputs on which each child is active; the keys are feature indices."""

    filled_by: dict[int, float]
    """Share of the holes on which each other latent fires; the largest first, zeros left out."""

    n_present: int
    """How many inputs the rate is measured on."""


def holes(acts: Tensor, features: Tensor, latent: int, parent: int, children: Sequence[int], threshold: float = 0.0) -> Holes:
    """Count the holes of a parent's latent: inputs where a child is active and the latent is silent.

    Args:
        acts: (n_inputs, n_latents); features: (n_inputs, n_features) 0 or 1.
        latent: the parent's latent; parent: its feature; children: the features below it.
        threshold: an activation up to this counts as silent, in units of acts.

    Raises:
        ValueError: where no input shows the parent with a child, so that there is nothing to measure.
    """
    acts, features = _both(acts, features)
    latent, parent = latent_number(latent), latent_number(parent, "parent")
    if latent >= acts.shape[1]:
        raise ValueError(f"there are latents 0 to {acts.shape[1] - 1}, got {latent}")
    children = [latent_number(child, "each of children") for child in items("children", children)]
    if not children or max([parent, *children]) >= features.shape[1]:
        raise ValueError(f"there are features 0 to {features.shape[1] - 1}, got parent {parent} and children {shown(children)}")
    threshold = number("threshold", threshold)
    child_active = features[:, torch.tensor(children).to(features.device)] > 0
    present = (features[:, parent] > 0) & child_active.any(1)
    if not present.any():
        raise ValueError(f"no input has feature {parent} together with one of {children}: sample more inputs")
    fires = (acts > threshold).to(features.device)
    hole = present & ~fires[:, latent]
    by_child = {
        child: (~fires[active & present, latent]).double().mean().item() if (active & present).any() else float("nan")
        for child, active in zip(children, child_active.T, strict=True)
    }
    filling = fires[hole].double().mean(0) if hole.any() else torch.zeros(acts.shape[1])
    order = filling.argsort(descending=True)
    filled_by = {int(i): filling[i].item() for i in order if filling[i] > 0 and i != latent}
    return Holes(int(hole.sum()) / int(present.sum()), by_child, filled_by, int(present.sum()))
