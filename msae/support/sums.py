"""The one way in which sums are made: some rows at a time, in float64. Never in half precision, where 65,504 is the largest number.

Products, such as an encoder's, are made in float32 at least (`wide`); what is added up over inputs is added up in float64 (`parts`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from msae.support.arguments import all_finite

PART = 2**22
"""Numbers that are held in float64 at a time: 32 MB."""


def wide(x: Tensor) -> Tensor:
    """In float32, or in float64 where it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def parts(*matrices: Tensor, axis: int = 0) -> Iterator[tuple[Tensor, ...]]:
    """Matrices of equal length along an axis, some of it at a time, in float64, where the first one lies."""
    first = matrices[0]
    widest = max(matrix.numel() // max(1, matrix.shape[axis]) for matrix in matrices)
    size = max(1, PART // max(1, widest))
    for begin in range(0, first.shape[axis], size):
        length = min(size, first.shape[axis] - begin)
        yield tuple(matrix.narrow(axis, begin, length).to(first.device, torch.float64) for matrix in matrices)


def column_means(name: str, x: Tensor) -> Tensor:
    """(d,) float64: the mean of each column of x (n, d).

    Raises:
        ValueError: naming the first number that is NaN or infinite.
    """
    total = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    for (part,) in parts(x):
        total += part.sum(0)
    if not torch.isfinite(total).all():
        all_finite(name, x)
        raise ValueError(f"{name} holds numbers too large to be added up: divide by {x.abs().max().item():.3g} before")
    return total / len(x)
