"""What measures are made of, judged before any work: SAEs, vectors, masks, levels; and an SAE run on many vectors, some at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from msae.support.arguments import all_finite, plain, shown, tensor, whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from msae.sae.sae import SAE

Numbers: TypeAlias = "Tensor | ArrayLike"
"""A tensor, or what NumPy makes an array of."""

CLEARLY = 0.25
"""The usual level for "fires clearly": above a quarter of the latent's own largest activation on the inputs at hand."""

PART = 2**25
"""Numbers that an SAE makes at a time: 128 MB."""


def checked_sae(sae: Any, name: str = "sae") -> SAE:
    """An SAE whose weights are all finite."""
    from msae.sae.sae import SAE

    if not isinstance(sae, SAE):
        raise ValueError(f"{name} must be an SAE, got {shown(sae)}")
    sae.check_finite()
    return sae


def checked_vectors(name: str, x: Numbers, width: int) -> Tensor:
    """(n, width) floating-point numbers of torch or NumPy."""
    return tensor(name, x, ("n", width), numbers="real")


def rows_at_once(sae: SAE, chunk: int | None) -> int:
    """How many inputs an SAE is run on together."""
    if chunk is not None:
        return whole("chunk", chunk, 1)
    n_rivals = 0 if sae.b_rivals is None else len(sae.b_rivals)
    return max(1, PART // (sae.n_latents + n_rivals + 4 * sae.d_model))


def run(sae: SAE, x: Tensor, chunk: int | None, rows: Tensor | None = None, name: str = "x") -> Iterator[tuple[Tensor, Tensor]]:
    """Vectors (n, d_model) where the SAE is, and its activations on them, some at a time, both in float32 at least.

    Args:
        rows: which of x; all of them if left out.
        name: what an error calls x.

    Raises:
        ValueError: naming the first number of x that is NaN or infinite, or activations that are.
    """
    import torch

    from msae.support.sums import wide

    size, n = rows_at_once(sae, chunk), len(x) if rows is None else len(rows)
    for begin in range(0, n, size):
        some = x[begin : begin + size] if rows is None else x[rows[begin : begin + size].to(x.device)]
        part = wide(some.to(sae.W_enc.device))
        if not torch.isfinite(part).all():
            all_finite(name, x)
        acts = sae.encode(part)
        if not torch.isfinite(acts.amax()):
            raise ValueError(f"the SAE's activations leave {acts.dtype}: {name} reaches {part.abs().max().item():.3g}; give it in float64")
        yield part, acts


def is_tensor(values: Any) -> TypeGuard[Tensor]:
    """Without loading torch: whoever has a tensor has loaded it."""
    return "torch" in sys.modules and isinstance(values, sys.modules["torch"].Tensor)


def to_numpy(name: str, values: Numbers | None) -> np.ndarray:
    """An array that NumPy and SciPy add up: half precision becomes float32, which holds its numbers exactly."""
    plain(name, values)
    if is_tensor(values):
        from msae.support.sums import wide

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


def truth(name: str, values: Numbers, shapes: Sequence[tuple[int, ...]], what: str = "input") -> np.ndarray:
    """One truth value for each input, in one of some shapes."""
    found = to_numpy(name, values)
    if found.shape not in shapes:
        raise ValueError(f"{name}: expected one truth value per {what}, {shapes[0]}, got a mask of shape {found.shape}")
    if found.dtype != bool and not (found.dtype.kind in "biuf" and ((found == 0) | (found == 1)).all()):
        raise ValueError(f"{name} must hold True and False, or 1 and 0, got {shown(found)}")
    return found.astype(bool)


def latent_number(latent: Any, name: str = "latent") -> int:
    """The number of a latent; of which there is one is for the caller to say."""
    if is_tensor(latent) and latent.ndim == 0 and not latent.is_floating_point():
        latent = latent.item()
    return whole(name, latent, 0)


def check_level(level: Numbers, name: str = "level", shapes: Sequence[tuple[int, ...]] = ()) -> np.ndarray:
    """A share of a latent's largest activation, or an array of them in one of some shapes; anything else is refused."""
    found = to_numpy(name, level)
    numbers = found.dtype.kind in "iuf"
    outside = found[~((found >= 0) & (found < 1))] if numbers else found
    if not numbers or len(outside):
        wrong = outside[0].item() if numbers else level
        raise ValueError(f"{name}: a level is a share of a latent's largest activation, in [0, 1), got {shown(wrong)}; 0.25 is usual")
    if shapes and found.shape not in shapes:
        raise ValueError(f"{name} must have the shape {' or '.join(map(str, shapes))}, got {shown(level)}; () is one number")
    return found


def story_numbers(story: Numbers | None, places: tuple[int, ...], what: str = "one story number per input or per text") -> np.ndarray:
    """(n_inputs,) int64: the story of each input, numbered from 0 without gaps.

    Args:
        story: one number per input or per text; where left out, each text, or each input without texts, is a story of its own.
        places: (n_inputs,) or (n_texts, n_ctx).
        what: what an error asks for.

    Raises:
        ValueError: another shape, or no numbers.
    """
    n_inputs = int(np.prod(places))
    numbers = np.arange(places[0]) if story is None else to_numpy("story", story)
    if numbers.dtype.kind == "O" and all(isinstance(each, str) for each in numbers.flat):  # names, as pandas keeps them
        numbers = numbers.astype(str)
    if numbers.ndim != 1 or len(numbers) not in (places[0], n_inputs):
        raise ValueError(f"story: expected {what}, {places}, got {numbers.shape}")
    if numbers.dtype.kind not in "biufU" or (numbers.dtype.kind == "f" and not np.isfinite(numbers).all()):
        raise ValueError(f"story must hold the number of each story, got {shown(numbers)}")
    return np.repeat(np.unique(numbers, return_inverse=True)[1], n_inputs // len(numbers))
