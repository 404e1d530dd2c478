"""What becomes a sparse matrix of activations: an SAE on vectors, dense arrays, sparse ones; in any precision, every number finite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.firings.reading import PART, Numbers, as_array, checked_sae, checked_vectors, is_tensor, run, to_numpy
from msae.support.arguments import all_finite, array, plain, shown, whole

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array
    from torch import Tensor

    from msae.activations.kept import Activations
    from msae.sae.sae import SAE

WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


class Stored(NamedTuple):
    """What `Firings` holds."""

    matrix: csc_array
    """(n_inputs, n_latents), zeros left out, inputs ascending within a latent."""

    latents: np.ndarray
    """(n_latents,) int64: the number of each in its SAE."""

    mask: np.ndarray
    """(n_inputs,) or (n_texts, n_ctx) bool: the inputs that count."""


def of_parts(latents: Any, start: Any, positions: Any, values: Any, mask: Any) -> Stored:
    """As `Firings`, which says what is asked for."""
    from scipy.sparse import csc_array

    latents, start, positions = (
        array(name, each, ("n",), numbers="whole").astype(np.int64)  # differences of unsigned numbers are never negative
        for name, each in (("latents", latents), ("start", start), ("positions", positions))
    )
    values, mask = to_numpy("values", array("values", values, ("n",), finite=True)), array("mask", mask, numbers="marks")
    if mask.ndim not in (1, 2):
        raise ValueError(f"mask must have the shape (n_inputs,) or (n_texts, n_ctx), got {mask.shape}")
    n = len(positions)
    if start.shape != (len(latents) + 1,) or start[0] != 0 or start[-1] != n or (np.diff(start) < 0).any():
        raise ValueError(f"start must rise from 0 to the {n} positions, one step per latent, got {shown(start)}")
    if (np.diff(latents) <= 0).any() or latents.min(initial=0) < 0:
        raise ValueError(f"latents must be numbers in ascending order, none negative, got {latents[:9].tolist()} …")
    if len(values) != n or (values <= 0).any():
        raise ValueError(f"values must be positive, one for each of the {n} positions, got {shown(values)}")
    if n and not 0 <= positions.min() <= positions.max() < mask.size:
        raise ValueError(
            f"positions must lie between 0 and {mask.size - 1}, the places of mask, got {positions.min()} to {positions.max()}"
        )
    same = np.diff(np.repeat(np.arange(len(latents)), np.diff(start))) == 0
    if (same & (np.diff(positions) <= 0)).any():
        raise ValueError(f"positions must ascend within a latent, each once, got {positions[:9].tolist()} …")
    if not mask.reshape(-1)[positions].all():
        raise ValueError(f"positions must be places that count in mask, got {positions[~mask.reshape(-1)[positions]][0]}, which does not")
    return Stored(csc_array((values, positions, start), shape=(mask.size, len(latents))), latents, mask)


def of_dense(acts: Numbers, mask: Numbers | None) -> Stored:
    """As `Firings.of_dense`, which says what is asked for."""
    from scipy.sparse import csc_array

    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused below
        dense = array("activations", acts).astype(np.float32, copy=False)
    if dense.ndim != 3 or not dense.shape[2]:
        raise ValueError(f"expected activations (n_texts, n_ctx, n_latents), got shape {dense.shape}; one text alone is acts[None]")
    mask = np.ones(dense.shape[:2], dtype=bool) if mask is None else array("mask", mask, numbers="marks")
    if mask.shape != dense.shape[:2]:
        raise ValueError(f"expected a mask of shape {dense.shape[:2]}, one entry per place of the activations, got {mask.shape}")
    counted = np.where(mask[..., None], dense, 0)
    wrong = ~np.isfinite(counted) | (counted < 0)
    if wrong.any():
        text, place, latent = (int(i) for i in np.argwhere(wrong)[0])
        where = f"text {text}, place {place}, latent {latent}"
        raise ValueError(f"activations must be finite and not negative, got {counted[text, place, latent]} at {where}")
    return Stored(csc_array(counted.reshape(-1, dense.shape[2])), np.arange(dense.shape[2]), mask)


def of_sae(sae: SAE, activations: Activations, latents: Iterable[int] | None, chunk: int) -> Stored:
    """As `Firings.of_sae`, which says what is asked for."""
    from scipy.sparse import csc_array

    for name in ("x", "mask", "hook_name"):
        if not hasattr(activations, name):
            raise ValueError(f"activations must be msae.Activations, with x, mask and hook_name, got {shown(activations)}")
    if not all(hasattr(sae, name) for name in ("encode", "d_model", "n_latents", "hook_name")):
        raise ValueError(f"sae must be an SAE, got {shown(sae)}")
    whole("chunk", chunk, 1)
    x, mask = activations.x, array("mask", activations.mask, ("n_texts", "n_ctx"), numbers="marks")
    check_fits(sae, activations)
    kept = np.arange(sae.n_latents) if latents is None else _numbers(latents)
    if len(kept) == 0 or kept[0] < 0 or kept[-1] >= sae.n_latents:
        raise ValueError(f"the SAE has the latents 0 … {sae.n_latents - 1}, got latents={kept.tolist()}")
    where = np.flatnonzero(mask)
    if len(where) != len(x):
        raise ValueError(f"activations.x has {len(x):,} rows, but activations.mask counts {len(where):,} places")
    check_weights("the SAE", sae)
    rows = _encoded(sae, x, chunk, "activations.x").astype(np.float32, copy=False)
    found = (rows if latents is None else rows[:, kept]).tocsc()
    return Stored(csc_array((found.data, where[found.indices], found.indptr), shape=(mask.size, len(kept))), kept, mask)


def of_array(acts: Any) -> Stored:
    """As `as_firings`, which says what is asked for."""
    from scipy.sparse import csc_array, issparse

    plain("acts", acts)
    if isinstance(acts, Mapping) and acts:
        raise ValueError(f"acts must be of one SAE, got a dict of {', '.join(map(str, acts))}: give acts[{next(iter(acts))!r}]")
    dense: Any = acts if issparse(acts) or is_tensor(acts) else as_array(acts)
    if dense.is_complex() if is_tensor(dense) else dense.dtype.kind not in "biuf":
        raise ValueError(f"acts must hold numbers, got {shown(acts)}")
    if dense.ndim not in (2, 3) or 0 in dense.shape:
        raise ValueError(f"expected acts (n_inputs, n_latents) or (n_texts, n_ctx, n_latents), none of them 0, got shape {dense.shape}")
    places, n_latents = tuple(dense.shape[:-1]), dense.shape[-1]
    matrix = _in_order(csc_array(dense)) if issparse(dense) else _without_zeros(dense.reshape(-1, n_latents))
    wrong = np.flatnonzero(~np.isfinite(matrix.data))
    if len(wrong):
        column = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1
        raise ValueError(f"acts must be finite, got {matrix.data[wrong[0]]} at input {matrix.indices[wrong[0]]}, latent {column}")
    return Stored(matrix, np.arange(n_latents), np.ones(places, dtype=bool))


def _in_order(matrix: csc_array) -> csc_array:
    """With inputs ascending within a latent, each once, and no zeros; a copy where it is not so, since it is somebody's."""
    if matrix.has_canonical_format and matrix.data.all():
        return matrix
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _without_zeros(dense: Any) -> csc_array:
    """Of (n_inputs, n_latents), in any precision; some rows at a time, so that half precision is not made wide as a whole."""
    from scipy.sparse import csc_array, csr_array, vstack

    size = max(1, PART // dense.shape[1])
    if len(dense) <= size:
        return csc_array(to_numpy("acts", dense))
    return vstack([csr_array(to_numpy("acts", dense[begin : begin + size])) for begin in range(0, len(dense), size)]).tocsc()


def encode(sae: SAE, x: Tensor, chunk: int | None = None) -> csr_array:
    """(n_inputs, n_latents), sparse: what an SAE makes of x (n_inputs, d_model), some rows at a time, where the SAE is.

    float32, or float64 where x or the SAE is.

    Args:
        sae: an SAE.
        x: (n_inputs, d_model) raw activations.
        chunk: rows at a time; as many as take 128 MB if left out.

    Returns:
        (n_inputs, n_latents) SciPy sparse rows.

    Raises:
        ValueError: x of another shape, or a number of it or a weight that is NaN or infinite.

    Example:
        >>> import torch
        >>> from msae import SAE, metrics
        >>> metrics.encode(SAE(4, 9), torch.zeros(3, 4)).shape
        (3, 9)
    """
    sae = checked_sae(sae)
    return _encoded(sae, checked_vectors("x", x, sae.d_model), chunk)


def _encoded(sae: SAE, x: Tensor, chunk: int | None, name: str = "x") -> csr_array:
    """`encode`, of what is known to fit; `name` is what an error calls x."""
    import torch
    from scipy.sparse import csr_array

    dtype = np.float64 if torch.float64 in (x.dtype, sae.W_enc.dtype) else np.float32
    counts, columns, values = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=dtype)]
    with torch.no_grad():
        for _, acts in run(sae, x, chunk, name=name):
            row, column = acts.nonzero(as_tuple=True)
            counts.append(torch.bincount(row, minlength=len(acts)).cpu().numpy())
            columns.append(column.int().cpu().numpy())
            values.append(acts[row, column].cpu().numpy())
    return csr_array((np.concatenate(values), np.concatenate(columns), np.concatenate(counts).cumsum()), shape=(len(x), sae.n_latents))


def check_fits(sae: SAE, activations: Activations, name: str = "the SAE") -> None:
    """Refuse an SAE of another width or hook than the activations'."""
    if sae.d_model != activations.x.shape[1]:
        raise ValueError(f"{name} reads vectors of width {sae.d_model}, but these activations have width {activations.x.shape[1]}")
    if sae.hook_name and activations.hook_name and sae.hook_name != activations.hook_name:
        raise ValueError(f"{name} was trained at {sae.hook_name}, but these activations come from {activations.hook_name}")


def check_model_of(saes: Mapping[str, SAE], activations: Activations, fix: str) -> None:
    """Refuse SAEs that were made from another language model than the activations, by its weights and settings; `fix` says what to do."""
    from msae.support.origin import check_origin  # loads torch

    now = getattr(activations, "origin", None) or {}
    asked = {key: now[key] for key in ("language_model", "d_model") if key in now}
    for name, sae in saes.items():
        check_origin(sae.config.get("made_from") or {}, asked, name, fix)


def check_weights(name: str, sae: Any) -> None:
    """Refuse a NaN or infinite weight."""
    for part in WEIGHTS:
        weight: Any = getattr(sae, part, None)
        if is_tensor(weight):
            all_finite(f"{part} of {name}", weight.detach())


def _numbers(latents: Any) -> np.ndarray:
    """(n,) int64, ascending."""
    try:
        listed = list(latents)
    except TypeError as error:
        raise ValueError(f"latents must be a list of numbers, got {shown(latents)}") from error
    return np.unique(array("latents", listed, ("n",), numbers="whole")).astype(np.int64) if listed else np.zeros(0, np.int64)
