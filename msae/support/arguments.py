"""Where an argument from outside is judged: the value that the rest of the library may rely on, or one sentence and no work done.

Each check takes the argument's name and what was given, returns the value as the kind that is wanted, and raises a ValueError that says
what was given, what was expected and, where there is one, the fix.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import warnings
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def shown(value: Any) -> str:
    """A value as an error can show it: short, on one line, and for arrays the shape and the kind of number."""
    if _is_tensor(value):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and {value.dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}…"


def whole(name: str, value: Any, least: int = 0, most: int | None = None, hint: str = "", *, most_is: str = "") -> int:
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
    value: Any,
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
        also: what else the argument may be, for the error: " or None". The caller has let it through before.
    """
    low, high = max(least, above), min(most, below)
    if low > -math.inf and high < math.inf:
        wanted = f"lie between {low:g} and {high:g}"
    elif low > -math.inf:
        wanted = "be positive" if above == 0 else f"be at least {low:g}" if least == low else f"be above {low:g}"
    else:
        wanted = f"be below {high:g}" if below == high < math.inf else f"be at most {high:g}" if high < math.inf else "be a finite number"
    is_number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and math.isfinite(value)
    if not is_number or not (least <= value <= most and above < value < below):
        raise ValueError(f"{name} must {wanted}{also}, got {shown(value)}{hint and f'; {hint}'}")
    return float(value)


def yes_or_no(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def one_of(name: str, value: Any, choices: Collection[Any], hint: str = "") -> Any:
    """One of some values, which are named where it is none of them."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {shown(value)}{hint and f'; {hint}'}")
    return value


def text(name: str, value: Any, hint: str = "") -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {shown(value)}{hint and f'; {hint}'}")
    return value


def written(name: str, value: Any) -> str:
    """A string that can stand in a file: half of a surrogate pair cannot."""
    if not _is_encodable(text(name, value)):
        raise ValueError(f"{name} must be text that UTF-8 can hold, got {shown(value)}: it has half of a surrogate pair")
    return value


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def path(name: str, value: Any) -> Path:
    """A path, given as a string or a path."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ValueError(f"{name} must be a path, got {shown(value)}")
    found = Path(value)
    try:
        os.fsencode(found)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be a path that the disk can hold, got {shown(value)}") from error
    if "\0" in str(found):
        raise ValueError(f"{name} must be a path, got {shown(value)}: no name has a zero byte")
    return found


def new_file(name: str, value: Any) -> Path:
    """A path that a file can be written to, once its folder is made. Nothing is written to find out."""
    found = path(name, value)
    _writable(name, found, found.parent)
    if found.is_dir():
        raise ValueError(f"{name} must be a file, got the folder {found}: give a name in it")
    return found


def new_folder(name: str, value: Any) -> Path:
    """A path of a folder that can be written into, or be made. Nothing is written to find out."""
    found = path(name, value)
    _writable(name, found, found)
    return found


def _writable(name: str, given: Path, folder: Path) -> None:
    try:
        there = next(part for part in (folder, *folder.parents) if part.exists())
        if not there.is_dir():
            raise ValueError(f"{name} must lie in a folder, got {given}: {there} is a file")
        tempfile.TemporaryFile(dir=there).close()  # without a name, so that no one sees it
    except OSError as error:
        raise ValueError(f"{name} must be a place that can be written to, got {shown(str(given))}: {error.strerror or error}") from error


def tensor(name: str, value: Any, shape: tuple[int | str, ...] | None = None, *, numbers: str = "any", finite: bool = False) -> Tensor:
    """A tensor of torch; arrays of NumPy are taken too.

    Args:
        shape: a size for each axis, or a word for an axis of any size ("batch"); a leading "…" stands for any leading axes.
        numbers: "any" kind but complex; "real", floating point; "whole", integers.
        finite: refuse NaN and infinity, naming the first place. It reads the whole tensor.
    """
    import torch

    plain(name, value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.dtype.itemsize > 8 or not value.dtype.isnative:  # a long double, or another machine's
            value = value.astype(np.float64 if value.dtype.kind == "f" else value.dtype.newbyteorder("="))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of arrays that cannot be written to: nobody here writes to what it is given
            value = torch.from_numpy(np.asarray(value, order="C"))
    if not _is_tensor(value):
        raise ValueError(f"{name} must be a tensor{_of(shape)}, got {shown(value)}")
    if shape is not None and not _fits(tuple(value.shape), shape):
        raise ValueError(f"{name} must have the shape {_words(shape)}, got {tuple(value.shape)}")
    real, other = value.is_floating_point(), value.is_complex() or value.dtype == torch.bool
    if not {"any": not value.is_complex(), "real": real, "whole": not (real or other)}[numbers]:
        wanted = {"any": "numbers", "real": "floating-point numbers", "whole": "whole numbers"}[numbers]
        raise ValueError(f"{name} must hold {wanted}, got {value.dtype}")
    if finite and value.is_floating_point():
        all_finite(name, value)
    return value


def plain(name: str, value: Any) -> None:
    """Refuse a tensor that does not hold its numbers one by one, and an array with entries that are masked."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} must have no masked entries, got {np.ma.count_masked(value):,}: give {name}.filled(…), or leave them out")
    if not _is_tensor(value):
        return
    import torch

    if value.is_floating_point() and value.dtype.itemsize < 2:
        raise ValueError(f"{name} must hold floating-point numbers of 16 to 64 bits, got {value.dtype}: {name}.float() holds them")
    for is_so, kind, fix in (
        (value.is_nested, "nested", "pad it"),
        (value.layout != torch.strided, "sparse", f"give {name}.to_dense()"),
        (value.is_meta, "without data, on the device meta", "load it first"),
    ):
        if is_so:
            raise ValueError(f"{name} must be a dense tensor, got one that is {kind}: {fix}")


def all_finite(name: str, value: Tensor) -> None:
    """Refuse NaN and infinity, naming the first place."""
    import torch

    plain(name, value)
    if not torch.isfinite(value).all():
        place = tuple((~torch.isfinite(value)).nonzero()[0].tolist())
        raise ValueError(f"{name} must be finite, got {value[place].item()} at {list(place)}")


def array(name: str, value: Any, shape: tuple[int | str, ...] | None = None, *, numbers: str = "any", finite: bool = False) -> np.ndarray:
    """An array of NumPy; tensors of torch on any device and lists of numbers are taken too, bfloat16 as float32.

    Args:
        shape, finite: as for `tensor`.
        numbers: "any" kind but complex; "whole", integers; "marks", True and False, or 0 and 1.
    """
    plain(name, value)
    try:
        if _is_tensor(value):
            found = (value.float() if str(value.dtype) == "torch.bfloat16" else value).detach().cpu().resolve_neg().numpy()
        else:
            found = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged, sparse or without data
        raise ValueError(f"{name} must be an array of numbers{_of(shape)}, got {shown(value)}") from error
    if found.dtype.kind not in "biuf" or isinstance(value, (bool, Real)):
        raise ValueError(f"{name} must be an array of numbers{_of(shape)}, got {shown(value)}")
    if shape is not None and not _fits(found.shape, shape):
        raise ValueError(f"{name} must have the shape {_words(shape)}, got {found.shape}")
    if numbers == "whole" and found.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold whole numbers, got {found.dtype}")
    if numbers == "marks" and found.dtype.kind != "b" and not np.isin(found, (0, 1)).all():
        raise ValueError(f"{name} must hold True and False, got {shown(found)}")
    if finite and not np.isfinite(found).all():
        place = tuple(np.argwhere(~np.isfinite(found))[0].tolist())
        raise ValueError(f"{name} must be finite, got {found[place]} at {list(place)}")
    return found.astype(bool) if numbers == "marks" else found


def items(name: str, value: Any) -> list[Any]:
    """The items of a list, a tuple, an array or what else can be gone through; a string is no list."""
    if isinstance(value, (str, bytes)) or getattr(value, "ndim", 1) == 0 or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list, got {shown(value)}")
    return list(value)


def generator(name: str, value: Any) -> torch.Generator | None:
    """A generator of random numbers on the CPU, where all is drawn, or None for the global one."""
    import torch

    if value is not None and (not isinstance(value, torch.Generator) or value.device.type != "cpu"):
        raise ValueError(f"{name} must be a torch.Generator on the CPU, where numbers are drawn, or None, got {shown(value)}")
    return value


def device(name: str, value: Any) -> torch.device:
    """A device that this machine has.

    Raises:
        ValueError: it is none, or it is not here, naming what is.
    """
    import torch

    try:
        wanted = torch.device(value)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name} must be a device such as 'cpu' or 'cuda', got {shown(value)}") from error
    counts = {"cuda": torch.cuda.device_count, "mps": lambda: int(torch.backends.mps.is_available())}
    if wanted.type in counts:
        n = counts[wanted.type]()
        if not n:
            raise ValueError(f"{name}: this machine has no {wanted.type}, got {shown(str(wanted))}; use 'cpu'")
        if (wanted.index or 0) >= n:
            raise ValueError(f"{name}: this machine has {n} of {wanted.type}, numbered from 0, got {shown(str(wanted))}")
    else:
        try:
            torch.empty(0, device=wanted)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(f"{name}: this machine has no {wanted.type}, got {shown(str(wanted))}; use 'cpu'") from error
    return wanted


def _is_tensor(value: Any) -> bool:
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)  # what needs no torch need not wait for it


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    if wanted and wanted[0] == "…":
        wanted = wanted[1:]
        shape = shape[len(shape) - len(wanted) :] if len(shape) >= len(wanted) else ()
    return len(shape) == len(wanted) and all(isinstance(w, str) or s == w for s, w in zip(shape, wanted, strict=True))


def _words(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _of(shape: tuple[int | str, ...] | None) -> str:
    return "" if shape is None else f" {_words(shape)}"
