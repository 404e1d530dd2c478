"""What measures are made of, judged before any work: SAEs, vectors, masks; and an SAE run on many vectors, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msae.sae.sae import SAE
from msae.support.arguments import all_finite, plain, shown, tensor, whole
from msae.support.sums import wide

PART = 2**25
"""Numbers that an SAE makes at a time: 128 MB."""


def checked_sae(sae: Any, name: str = "sae") -> SAE:
    """An SAE whose weights are all finite."""
    if not isinstance(sae, SAE):
        raise ValueError(f"{name} must be an SAE, got {shown(sae)}")
    sae.check_finite()
    return sae


def checked_vectors(name: str, x: Any, width: int) -> Tensor:
    """(n, width) floating-point numbers of torch or NumPy."""
    return tensor(name, x, ("n", width), numbers="real")


def rows_at_once(sae: SAE, chunk: int | None) -> int:
    """How many inputs an SAE is run on together."""
    if chunk is not None:
        return whole("chunk", chunk, 1)
    n_rivals = 0 if sae.b_rivals is None else len(sae.b_rivals)
    return max(1, PART // (sae.n_latents + n_rivals + 4 * sae.d_model))


def run(sae: SAE, x: Tensor, chunk: int | None, rows: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Vectors (n, d_model) where the SAE is, and its activations on them, some at a time, both in float32 at least.

    Args:
        rows: which of x; all of them if left out.

    Raises:
        ValueError: naming the first number of x that is NaN or infinite, or activations that are.
    """
    size, n = rows_at_once(sae, chunk), len(x) if rows is None else len(rows)
    for begin in range(0, n, size):
        some = x[begin : begin + size] if rows is None else x[rows[begin : begin + size].to(x.device)]
        part = wide(some.to(sae.W_enc.device))
        if not torch.isfinite(part).all():
            all_finite("x", x)
        acts = sae.encode(part)
        if not torch.isfinite(acts.amax()):
            raise ValueError(f"the SAE's activations leave {acts.dtype}: x reaches {part.abs().max().item():.3g}; give it in float64")
        yield part, acts


def to_numpy(name: str, values: Any) -> np.ndarray:
    """An array that NumPy and SciPy add up: half precision becomes float32, which holds its numbers exactly."""
    plain(name, values)
    if isinstance(values, Tensor):
        values = values.detach().cpu().resolve_neg()
        values = wide(values) if values.is_floating_point() else values
        return np.asarray(values.numpy())
    found = as_array(values)
    found = found.astype(found.dtype.newbyteorder("="), copy=False)  # SciPy reads no other machine's
    return found.astype(np.float32) if found.dtype == np.float16 else found


def as_array(values: Any) -> np.ndarray:
    """What NumPy makes of it; of lists of different length an array of objects, and whoever asked says what it wants."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.asarray(values, dtype=object)


def truth(name: str, values: Any, shapes: Sequence[tuple[int, ...]], what: str = "input") -> np.ndarray:
    """One truth value for each input, in one of some shapes."""
    found = to_numpy(name, values)
    if found.shape not in shapes:
        raise ValueError(f"{name}: expected one truth value per {what}, {shapes[0]}, got a mask of shape {found.shape}")
    if found.dtype != bool and not (found.dtype.kind in "biuf" and ((found == 0) | (found == 1)).all()):
        raise ValueError(f"{name} must hold True and False, or 1 and 0, got {shown(found)}")
    return found.astype(bool)


def latent_number(latent: Any, name: str = "latent") -> int:
    """The number of a latent; of which there is one is for the caller to say."""
    if isinstance(latent, Tensor) and latent.ndim == 0 and not latent.is_floating_point():
        latent = latent.item()
    return whole(name, latent, 0)
