"""What a figure is given, judged before any work."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from msae.support import arguments, drawn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    Numbers: TypeAlias = ArrayLike | Tensor
    """Numbers from outside: an array, a tensor, or nested lists."""

NOISE = 1e-6
"""What single precision may add to a number, relative to it: a mean of equal numbers can lie so far beyond them."""


def array(values: Any, what: str, ndim: int) -> np.ndarray:
    """Numbers as float64 of the given number of dimensions; tensors and nested lists of any kind of number are taken.

    Raises:
        ValueError: naming what is wrong with which value: no numbers, another shape, none at all, not finite, or too large to draw.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{what} must be numbers, got masked ones; leave such values out")
    try:
        a = np.asarray(_on_cpu(values))
        if a.dtype.kind not in "biufO" or (a.dtype.kind == "O" and any(isinstance(x, (str, bytes)) or x is None for x in a.flat)):
            raise TypeError(f"they are {'text' if a.dtype.kind in 'US' else arguments.shown(values)}")
        a = a.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{what} must be numbers, got {type(values).__name__}: {' '.join(str(error).split())[:200]}") from None
    if a.ndim != ndim:
        raise ValueError(f"{what} must have {ndim} dimension{'s' * (ndim != 1)}, got shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"{what} must not be empty, got shape {a.shape}")
    for wrong, must in ((~np.isfinite(a), "finite"), (np.abs(a) > 1e300, "at most 1e300, which plotly can draw")):
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(f"{what} must be {must}, got {a[at]} at position {at[0] if ndim == 1 else at}; leave such values out")
    return a


def _on_cpu(values: Any) -> Any:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return values.double().numpy() if values.is_floating_point() else values.numpy()  # NumPy has no bfloat16
    return [_on_cpu(value) for value in values] if isinstance(values, (list, tuple)) else values


def mapping(name: str, value: Any, of: str) -> dict[Any, Any]:
    """A mapping, as a dict; `of` says what to what."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping from {of}, got {arguments.shown(value)}")
    return dict(value)


def mapping_of_mappings(name: str, value: Any, of: str, of_each: str) -> dict[Any, dict[Any, Any]]:
    """A mapping of mappings, as dicts; `of` and `of_each` say what to what."""
    return {key: mapping(f"{name}[{arguments.shown(key)}]", its, of_each) for key, its in mapping(name, value, of).items()}


def is_list(value: Any) -> bool:
    """Whether it has a length, and is neither a number in an array nor one in a tensor."""
    return hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def listed(keys: Iterable[Any]) -> str:
    """Keys as an error lists them, the first nine."""
    return ", ".join(map(arguments.shown, itertools.islice(keys, 9)))


def prose(**texts: Any) -> list[str]:
    """Names of axes and the like, by the names of their arguments: text whose line breaks and doubled spaces are one space."""
    return [drawn.sentence(name, text) for name, text in texts.items()]
