"""Which latents lie near each other, by their directions or by where they fire; and a map of directions in few dimensions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msae.firings.firings import Firings
from msae.firings.reading import Numbers, to_numpy
from msae.latents.relations import alike, cofiring
from msae.support.arguments import shown, whole


class Components(NamedTuple):
    """Directions in the few dimensions in which they differ most.

    Example:
        >>> from msae.latents import principal_components
        >>> found = principal_components([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], n_dims=1)
        >>> found.points.shape, f"{found.explained:.2f}"
        ((3, 1), '0.75')
    """

    points: np.ndarray
    """(n_latents, n_dims) float64: where each direction lies."""

    explained: float
    """Share of the directions' variance that these dimensions hold, 0 to 1."""


def principal_components(directions: Numbers, *, n_dims: int = 2) -> Components:
    """Directions, each brought to length 1, in their first principal components.

    Args:
        directions: (n_latents, width), such as `sae.W_dec`, or `sae.W_enc.T`.
        n_dims: dimensions of the map, 2 or 3 to look at it; at most as many as there are latents, or as the width.

    Returns:
        the points. The sign of a component is free; here the largest of its coordinates is positive.

    Raises:
        ValueError: another shape, numbers that are not finite, a direction of length 0, or more dimensions than there are.

    Example:
        >>> from msae.latents import principal_components
        >>> principal_components([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]], n_dims=1).points.round(2).tolist()
        [[0.94], [-0.47], [-0.47]]
    """
    import torch

    unit = _unit(directions)
    n_dims = whole("n_dims", n_dims, 1, min(unit.shape), most_is="what latents and width allow")
    parts, sizes, _ = torch.linalg.svd(torch.from_numpy(unit - unit.mean(0)), full_matrices=False)
    points = (parts * sizes)[:, :n_dims].numpy()
    signs = np.sign(points[np.abs(points).argmax(0), np.arange(n_dims)])
    total = float(sizes.square().sum())
    return Components(points * np.where(signs == 0, 1, signs), float(sizes[:n_dims].square().sum()) / total if total else 1.0)


def nearest(of: Firings | Numbers, *, k: int = 6) -> list[list[tuple[int, float]]]:
    """The latents nearest to each latent, nearest first.

    Args:
        of: (n_latents, width) directions, such as `sae.W_dec`: near is what has a large cosine. Or where latents fire, `Firings`: near is
            what fires together: of the inputs on which either fires, the share on which both do, where that is at least 0.01.
        k: how many, at most.

    Returns:
        for each row, or column of the firings, (row or column, cosine or share) of each neighbour, to three digits.

    Raises:
        ValueError: no directions and no firings, numbers that are not finite, or a direction of length 0.

    Example:
        >>> from msae.latents import nearest
        >>> nearest([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], k=1)
        [[(1, 0.6)], [(2, 0.8)], [(1, 0.8)]]
    """
    whole("k", k, 1)
    if isinstance(of, Firings):
        return cofiring(of.matrix, k)
    return alike(_unit(of, "of"), k, least=-np.inf)


def _unit(directions: Numbers, name: str = "directions") -> np.ndarray:
    """(n_latents, width) float64 rows of length 1."""
    rows = to_numpy(name, directions)
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be (n_latents, width) numbers, such as sae.W_dec, got {shown(directions)}")
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ValueError(f"{name}: row {int((~(np.isfinite(lengths) & (lengths > 0))).argmax())} has no direction: it is 0, or not finite")
    unit: np.ndarray = rows / lengths[:, None]
    return unit
