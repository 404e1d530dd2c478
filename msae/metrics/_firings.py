"""Where latents fire: sparse, whatever it came from. A latent is silent on almost every token, so this is what most measures read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array

    from msae.sae import SAE


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
        at = np.flatnonzero(self.latents == latent)
        if not len(at):
            raise ValueError(f"there is no latent {latent}; there are {len(self.latents)}, from {self.latents[0]} to {self.latents[-1]}")
        return int(at[0])

    def where(self, latent: int, threshold: float = 0.0) -> np.ndarray:
        """(n_inputs,) bool: where a latent's activation exceeds the threshold."""
        fires = np.zeros(self.matrix.shape[0], dtype=bool)
        part = slice(*self.matrix.indptr[(k := self.column(latent)) : k + 2])
        fires[self.matrix.indices[part][self.matrix.data[part] > threshold]] = True
        return fires

    def concept(self, mask: Any) -> np.ndarray:
        """A concept's mask, flattened, without what does not count.

        Raises:
            ValueError: another shape than the inputs', or no input of the concept.
        """
        found = to_numpy(mask).astype(bool)
        if found.shape not in (self.places, (self.matrix.shape[0],)):
            raise ValueError(f"expected one truth value per input, {self.places}, got a mask of shape {found.shape}")
        found = found.reshape(-1) & self.present
        if not found.any():
            raise ValueError(f"the concept is on none of the {int(self.present.sum()):,} inputs: give more stories, or another pattern")
        return found

    def story(self, story: Any = None) -> np.ndarray:
        """(n_inputs,) int64: the story of each input, as `story_numbers`."""
        return story_numbers(story, self.places)


def story_numbers(story: Any, places: tuple[int, ...]) -> np.ndarray:
    """(n_inputs,) int64: the story of each input, numbered from 0 without gaps.

    Args:
        story: one number per input or per text; where left out, each text, or each input without texts, is a story of its own.
        places: (n_inputs,) or (n_texts, n_ctx).
    """
    n_inputs = int(np.prod(places))
    numbers = np.arange(places[0]) if story is None else to_numpy(story)
    if numbers.ndim != 1 or len(numbers) not in (places[0], n_inputs):
        raise ValueError(f"expected one story number per input or per text, {places}, got shape {numbers.shape}")
    return np.repeat(np.unique(numbers, return_inverse=True)[1], n_inputs // len(numbers))


def as_firings(acts: Any, threshold: float | None = None) -> Firings:
    """Read activations of any kind.

    Args:
        acts: (n_inputs, n_latents) or (n_texts, n_ctx, n_latents) numbers of torch or NumPy, a SciPy sparse array (n_inputs, n_latents),
            an `explore.LatentActivations`, or Firings.
        threshold: leave out activations up to this.

    Raises:
        ValueError: another shape.
    """
    from scipy.sparse import csc_array, issparse

    if isinstance(acts, Firings):
        firings = acts
    elif hasattr(acts, "positions") and hasattr(acts, "start"):  # LatentActivations: the same layout under other names
        matrix = csc_array((acts.values, acts.positions, acts.start), shape=(acts.mask.size, len(acts.latents)))
        firings = Firings(matrix, acts.latents, acts.mask.reshape(-1), acts.mask.shape)
    else:
        dense = acts if issparse(acts) else to_numpy(acts)
        if dense.ndim not in (2, 3):
            raise ValueError(f"expected activations (n_inputs, n_latents) or (n_texts, n_ctx, n_latents), got shape {dense.shape}")
        places, n_latents = tuple(dense.shape[:-1]), dense.shape[-1]
        matrix = csc_array(dense if issparse(dense) else dense.reshape(-1, n_latents))
        firings = Firings(matrix, np.arange(n_latents), np.ones(matrix.shape[0], dtype=bool), places)
    if threshold is None:
        return firings
    matrix = firings.matrix.copy()
    matrix.data[matrix.data <= threshold] = 0
    matrix.eliminate_zeros()
    return firings._replace(matrix=matrix)


@torch.no_grad()
def encode(sae: SAE, x: Tensor, chunk: int | None = None) -> csr_array:
    """(n_inputs, n_latents) float32, sparse: what an SAE makes of x (n_inputs, d_model), some rows at a time, where the SAE is.

    Args:
        chunk: rows at a time; as many as take 128 MB if left out.
    """
    from scipy.sparse import csr_array

    chunk = chunk or max(1, 2**25 // sae.n_latents)
    counts, columns, values = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.float32)]
    for part in x.split(chunk):
        acts = sae.encode(part.to(sae.W_enc))
        row, column = acts.nonzero(as_tuple=True)
        counts.append(torch.bincount(row, minlength=len(acts)).cpu().numpy())
        columns.append(column.int().cpu().numpy())
        values.append(acts[row, column].float().cpu().numpy())
    return csr_array((np.concatenate(values), np.concatenate(columns), np.concatenate(counts).cumsum()), shape=(len(x), sae.n_latents))


def to_numpy(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
