"""Single values: numbers, words, choices, and how an error shows what was given."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from typing import TypeGuard

    from torch import Tensor

T = TypeVar("T")


def shown(value: object) -> str:
    """A value as an error can show it: short, on one line, and for arrays the shape and the kind of number."""
    if is_tensor(value):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and {value.dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}…"


def whole(name: str, value: object, least: int = 0, most: int | None = None, hint: str = "", *, most_is: str = "") -> int:
    """A whole number from `least` to `most`, as an int; `most_is` is how an error calls the latter."""
    bounds = f"{least:,} to {most_is or f'{most:,}'}" if most is not None else f"at least {least:,}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be a whole number, {bounds}, got {shown(value)}{hint and f'; {hint}'}")
    n = int(value)
    if n < least or (most is not None and n > most):
        wanted = f"be {bounds}" if most is None else f"lie between {least:,} and {most_is or f'{most:,}'}"
        raise ValueError(f"{name} must {wanted}, got {n:,}{hint and f'; {hint}'}")
    return n


def number(
    name: str,
    value: object,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    also: str = "",
    hint: str = "",
) -> float:
    """A finite number: at least `least`, at most `most`, and strictly between `above` and `below`; as a float.

    Args:
        name: of the argument, for the error.
        value: what was given.
        least: the smallest that is taken.
        most: the largest that is taken.
        above: what it must be larger than.
        below: what it must be smaller than.
        also: what else the argument may be, for the error: " or None". The caller has let it through before.
        hint: the fix, for the error.
    """
    low, high = max(least, above), min(most, below)
    if low > -math.inf and high < math.inf:
        wanted = f"lie between {low:g} and {high:g}"
    elif low > -math.inf:
        wanted = "be positive" if above == 0 else f"be at least {low:g}" if least == low else f"be above {low:g}"
    else:
        wanted = f"be below {high:g}" if below == high < math.inf else f"be at most {high:g}" if high < math.inf else "be a finite number"
    is_number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and math.isfinite(value)
    x = float(cast("float", value)) if is_number else math.nan
    if not (least <= x <= most and above < x < below):
        raise ValueError(f"{name} must {wanted}{also}, got {shown(value)}{hint and f'; {hint}'}")
    return x


def yes_or_no(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def one_of(name: str, value: object, choices: Collection[T], hint: str = "") -> T:
    """One of some values, which are named where it is none of them."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {shown(value)}{hint and f'; {hint}'}")
    return cast("T", value)


def text(name: str, value: object, hint: str = "") -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {shown(value)}{hint and f'; {hint}'}")
    return value


def written(name: str, value: object) -> str:
    """A string that can stand in a file: half of a surrogate pair cannot."""
    value = text(name, value)
    if not _is_encodable(value):
        raise ValueError(f"{name} must be text that UTF-8 can hold, got {shown(value)}: it has half of a surrogate pair")
    return value


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def items(name: str, value: object) -> list[Any]:
    """The items of a list, a tuple, an array or what else can be gone through; a string is no list."""
    if isinstance(value, (str, bytes)) or getattr(value, "ndim", 1) == 0 or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list, got {shown(value)}")
    return list(value)


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether it is one of torch."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)  # what needs no torch need not wait for it
