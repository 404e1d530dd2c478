"""Where latents fire: sparse, whatever it came from. A latent is silent on almost every token, so this is what most measures read.

A latent fires where its activation exceeds a level, a share of its own largest activation on these inputs: 0 counts every firing, 0.25
those of at least a quarter of that. Latents differ in scale, so one number for all would ask more of some than of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.firings.reading import PART, as_array, checked_sae, checked_vectors, latent_number, run, to_numpy, truth
from msae.sae.sae import SAE
from msae.support.arguments import plain, shown

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array


class Firings(NamedTuple):
    """The activations of some latents on some inputs."""

    matrix: csc_array
    """(n_inputs, n_columns), zeros left out."""

    latents: np.ndarray
    """(n_columns,) int64: the number of each column's latent in its SAE."""

    present: np.ndarray
    """(n_inputs,) bool: the inputs that count; padding does not."""

    places: tuple[int, ...]
    """What the inputs are laid out as: (n_inputs,), or (n_texts, n_ctx)."""

    def column(self, latent: int) -> int:
        """Where a latent stands in `matrix`.

        Raises:
            ValueError: there is none of this number.
        """
        latent = latent_number(latent)
        at = np.flatnonzero(self.latents == latent)
        if not len(at):
            raise ValueError(f"there is no latent {latent}; there are {len(self.latents)}, from {self.latents[0]} to {self.latents[-1]}")
        return int(at[0])

    def where(self, latent: int, level: float = 0.0) -> np.ndarray:
        """(n_inputs,) bool: where a latent fires."""
        fires = np.zeros(self.matrix.shape[0], dtype=bool)
        fires[self.take([self.column(latent)]).above(level).matrix.indices] = True
        return fires

    def take(self, columns: Sequence[int] | np.ndarray) -> Firings:
        """Some of the columns."""
        return self._replace(matrix=self.matrix[:, columns], latents=self.latents[columns])

    def blocks(self) -> Iterator[Firings]:
        """All columns in order, a million activations or so at a time: what is made of a block fits the processor's cache."""
        n = len(self.latents)
        for columns in np.array_split(np.arange(n), max(1, min(n, 1 + self.matrix.nnz // 2**20))):
            yield self.take(columns)

    def above(self, level: float | np.ndarray) -> Firings:
        """Without the activations up to a level, one for all latents or (n_columns,)."""
        matrix = self.matrix.copy()
        matrix.data[~self._strong(level, self._largest())] = 0
        matrix.eliminate_zeros()
        return self._replace(matrix=matrix)

    def counts(self, present: np.ndarray, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """(n_levels, n_columns) int64 each: on how many inputs each latent fires, and on how many of those that are present (n_inputs,)."""
        fired, both = np.concatenate([block._counts(present, levels) for block in self.blocks()], axis=-1)
        return fired, both

    def _counts(self, present: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        counts = np.zeros((2, len(levels), len(self.latents)), dtype=np.int64)
        hit, largest = present[self.matrix.indices], self._largest()
        for k, level in enumerate(levels):
            strong = self._strong(level, largest)
            for which, kept in enumerate((strong, strong & hit)):
                counts[which, k] = np.diff(np.searchsorted(np.flatnonzero(kept), self.matrix.indptr))
        return counts

    def _strong(self, level: float | np.ndarray, largest: np.ndarray) -> np.ndarray:
        """(n_stored,) bool: which of the stored activations exceed the level.

        Raises:
            ValueError: a level outside [0, 1).
        """
        check_level(level)
        return np.asarray(self.matrix.data > np.repeat(level * largest, np.diff(self.matrix.indptr)))

    def _largest(self) -> np.ndarray:
        """(n_columns,) float64: the largest activation of each latent, 0 for one that never fires."""
        start = self.matrix.indptr
        largest, alive = np.zeros(len(self.latents)), np.diff(start) > 0
        if alive.any():
            largest[alive] = np.maximum.reduceat(self.matrix.data, start[:-1][alive])
        return largest.clip(0)

    def concept(self, mask: Any, name: str = "concept") -> np.ndarray:
        """A concept's mask, flattened, without what does not count; `name` is what an error calls it.

        Raises:
            ValueError: no truth values, another shape than the inputs', or no input of the concept.
        """
        found = truth(name, mask, [self.places, (self.matrix.shape[0],)]).reshape(-1) & self.present
        if not found.any():
            raise ValueError(f"the concept is on none of the {int(self.present.sum()):,} inputs: give more stories, or another pattern")
        return found

    def story(self, story: Any = None) -> np.ndarray:
        """(n_inputs,) int64: the story of each input, as `story_numbers`."""
        return story_numbers(story, self.places)


def check_level(level: Any, name: str = "level") -> None:
    """Refuse what is no share of a latent's largest activation, or no array of them."""
    found = to_numpy(name, level)
    numbers = found.dtype.kind in "iuf"
    outside = found[~((found >= 0) & (found < 1))] if numbers else found
    if not numbers or len(outside):
        wrong = outside[0].item() if numbers else level
        raise ValueError(f"{name}: a level is a share of a latent's largest activation, in [0, 1), got {shown(wrong)}; 0.25 is usual")


def story_numbers(story: Any, places: tuple[int, ...], what: str = "one story number per input or per text") -> np.ndarray:
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


def as_firings(acts: Any) -> Firings:
    """Read activations of any kind, and of any precision.

    Args:
        acts: (n_inputs, n_latents) or (n_texts, n_ctx, n_latents) numbers of torch or NumPy, a SciPy sparse array (n_inputs, n_latents),
            an `explore.LatentActivations`, or Firings.

    Raises:
        ValueError: another shape, no numbers, or one that is NaN or infinite.
    """
    from scipy.sparse import csc_array, issparse

    if isinstance(acts, Firings):
        return acts
    if hasattr(acts, "positions") and hasattr(acts, "start"):  # LatentActivations: the same layout under other names
        matrix = csc_array((to_numpy("acts", acts.values), acts.positions, acts.start), shape=(acts.mask.size, len(acts.latents)))
        found = Firings(matrix, acts.latents, acts.mask.reshape(-1), acts.mask.shape)
    else:
        plain("acts", acts)
        if isinstance(acts, Mapping) and acts:
            raise ValueError(f"acts must be of one SAE, got a dict of {', '.join(map(str, acts))}: give acts[{next(iter(acts))!r}]")
        dense = acts if issparse(acts) or isinstance(acts, Tensor) else as_array(acts)
        if dense.is_complex() if isinstance(dense, Tensor) else dense.dtype.kind not in "biuf":
            raise ValueError(f"acts must hold numbers, got {shown(acts)}")
        if dense.ndim not in (2, 3) or 0 in dense.shape:
            raise ValueError(f"expected acts (n_inputs, n_latents) or (n_texts, n_ctx, n_latents), none of them 0, got shape {dense.shape}")
        places, n_latents = tuple(dense.shape[:-1]), dense.shape[-1]
        matrix = csc_array(dense) if issparse(dense) else _without_zeros(dense.reshape(-1, n_latents))
        found = Firings(matrix, np.arange(n_latents), np.ones(matrix.shape[0], dtype=bool), places)
    wrong = np.flatnonzero(~np.isfinite(matrix.data))
    if len(wrong):
        column = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1
        where = f"input {matrix.indices[wrong[0]]}, latent {found.latents[column]}"
        raise ValueError(f"acts must be finite, got {matrix.data[wrong[0]]} at {where}")
    return found


def _without_zeros(dense: Any) -> csc_array:
    """Of (n_inputs, n_latents), in any precision; some rows at a time, so that half precision is not made wide as a whole."""
    from scipy.sparse import csc_array, csr_array, vstack

    size = max(1, PART // dense.shape[1])
    if len(dense) <= size:
        return csc_array(to_numpy("acts", dense))
    return vstack([csr_array(to_numpy("acts", dense[begin : begin + size])) for begin in range(0, len(dense), size)]).tocsc()


@torch.no_grad()
def encode(sae: SAE, x: Tensor, chunk: int | None = None) -> csr_array:
    """(n_inputs, n_latents), sparse: what an SAE makes of x (n_inputs, d_model), some rows at a time, where the SAE is.

    float32, or float64 where x or the SAE is.

    Args:
        chunk: rows at a time; as many as take 128 MB if left out.

    Raises:
        ValueError: x of another shape, or a number of it or a weight that is NaN or infinite.
    """
    from scipy.sparse import csr_array

    sae = checked_sae(sae)
    x = checked_vectors("x", x, sae.d_model)
    dtype = np.float64 if torch.float64 in (x.dtype, sae.W_enc.dtype) else np.float32
    counts, columns, values = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=dtype)]
    for _, acts in run(sae, x, chunk):
        row, column = acts.nonzero(as_tuple=True)
        counts.append(torch.bincount(row, minlength=len(acts)).cpu().numpy())
        columns.append(column.int().cpu().numpy())
        values.append(acts[row, column].cpu().numpy())
    return csr_array((np.concatenate(values), np.concatenate(columns), np.concatenate(counts).cumsum()), shape=(len(x), sae.n_latents))
