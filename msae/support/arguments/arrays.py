"""Arrays, tensors, and what torch does with them: their shape, their kind of number, a device, a generator."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from msae.support.arguments.values import is_tensor, shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def tensor(name: str, value: Any, shape: tuple[int | str, ...] | None = None, *, numbers: str = "any", finite: bool = False) -> Tensor:
    """A tensor of torch; arrays of NumPy are taken too.

    Args:
        name: of the argument, for the error.
        value: what was given.
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
    if not is_tensor(value):
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
    if not is_tensor(value):
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
        name: of the argument, for the error.
        value: what was given.
        shape: a size for each axis, or a word for an axis of any size ("batch"); a leading "…" stands for any leading axes.
        numbers: "any" kind but complex; "whole", integers; "marks", True and False, or 0 and 1.
        finite: refuse NaN and infinity, naming the first place.
    """
    plain(name, value)
    try:
        if is_tensor(value):
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


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    if wanted and wanted[0] == "…":
        wanted = wanted[1:]
        shape = shape[len(shape) - len(wanted) :] if len(shape) >= len(wanted) else ()
    return len(shape) == len(wanted) and all(isinstance(w, str) or s == w for s, w in zip(shape, wanted, strict=True))


def _words(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _of(shape: tuple[int | str, ...] | None) -> str:
    return "" if shape is None else f" {_words(shape)}"
