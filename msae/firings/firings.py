"""Where latents fire: sparse, whatever it came from. A latent is silent on almost every token, so this is what measures and pages read.

A latent fires where its activation exceeds a level, a share of its own largest activation on these inputs: 0 counts every firing, 0.25
those of at least a quarter of that. Latents differ in scale, so one number for all would ask more of some than of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from msae.firings import sources, tops
from msae.firings.reading import Numbers, check_level, latent_number, story_numbers, truth
from msae.firings.tops import TopToken
from msae.support.arguments import whole

if TYPE_CHECKING:
    from scipy.sparse import csc_array, sparray, spmatrix

    from msae.activations.kept import Activations
    from msae.sae.sae import SAE


class Firings:
    """The activations of some latents of one SAE on some inputs; made by `of_sae`, `of_dense` or `as_firings`.

    Args:
        latents: (n_latents,) whole numbers, ascending: the number of each latent in its SAE.
        start: (n_latents + 1,) whole numbers: where the firings of each latent begin; those of one lie beside each other.
        positions: (n_firings,) whole numbers: the input of each firing, ascending within a latent; text · n_ctx + place in the text.
        values: (n_firings,) its activation, positive.
        mask: (n_inputs,) or (n_texts, n_ctx) bool: the inputs that count; others are padding, or left out as [BEGIN] is, and nothing
            fires there.

    Raises:
        ValueError: arrays that do not fit each other.

    Example:
        >>> from msae.firings import Firings
        >>> fires = Firings.of_dense([[[0.0, 2.0], [1.0, 4.0]]])  # one text of two tokens, two latents
        >>> fires.counts.tolist(), fires.max.tolist(), fires.where(1, level=0.5).tolist()
        ([1, 2], [1.0, 4.0], [False, True])
    """

    matrix: csc_array
    """(n_inputs, n_latents), zeros left out."""

    latents: np.ndarray
    """(n_latents,) int64: the number of each column's latent in its SAE."""

    mask: np.ndarray
    """(n_inputs,) or (n_texts, n_ctx) bool: the inputs that count."""

    def __init__(self, latents: np.ndarray, start: np.ndarray, positions: np.ndarray, values: np.ndarray, mask: np.ndarray):
        self.matrix, self.latents, self.mask = sources.of_parts(latents, start, positions, values, mask)

    @classmethod
    def _of(cls, matrix: csc_array, latents: np.ndarray, mask: np.ndarray) -> Firings:
        """Of parts that are known to fit."""
        found = cls.__new__(cls)
        found.matrix, found.latents, found.mask = matrix, latents, mask
        return found

    @classmethod
    def of_dense(cls, acts: Numbers, mask: Numbers | None = None) -> Firings:
        """From all activations at once, in float32.

        Args:
            acts: (n_texts, n_ctx, n_latents) numbers, none negative; NumPy or torch.
            mask: (n_texts, n_ctx) bool, the places that count; all of them if left out. Activations elsewhere are ignored.

        Raises:
            ValueError: another shape, or an activation that is negative, NaN or infinite (its text, place and latent are given).
        """
        return cls._of(*sources.of_dense(acts, mask))

    @classmethod
    def of_sae(cls, sae: SAE, activations: Activations, latents: Iterable[int] | None = None, chunk: int = 8192) -> Firings:
        """By encoding a language model's activations, some at a time; kept in float32.

        Args:
            sae: read at the hook that the activations come from.
            activations: has `x` (n_tokens, d_model) and `mask` (n_texts, n_ctx), as `msae.Activations`.
            latents: which latents to keep; all of them if left out.
            chunk: tokens at a time.

        Raises:
            ValueError: the SAE reads another width or hook, there is no such latent, or a weight or an activation is NaN or infinite.
        """
        return cls._of(*sources.of_sae(sae, activations, latents, chunk))

    from_dense, from_sae = of_dense, of_sae
    """The names that they had."""

    def __repr__(self) -> str:
        return f"Firings({len(self.latents):,} latents, {self.matrix.nnz:,} firings on {self.n_tokens:,} tokens)"

    @property
    def start(self) -> np.ndarray:
        """(n_latents + 1,): the firings of the k-th latent are `positions[start[k] : start[k + 1]]`, and the same part of `values`."""
        return self.matrix.indptr

    @property
    def positions(self) -> np.ndarray:
        """(n_firings,): the input of each firing, text · n_ctx + place in the text."""
        return self.matrix.indices

    @property
    def values(self) -> np.ndarray:
        """(n_firings,): its activation."""
        return self.matrix.data

    @property
    def present(self) -> np.ndarray:
        """(n_inputs,) bool: the inputs that count."""
        return self.mask.reshape(-1)

    @property
    def places(self) -> tuple[int, ...]:
        """What the inputs are laid out as: (n_inputs,), or (n_texts, n_ctx)."""
        return self.mask.shape

    @property
    def n_tokens(self) -> int:
        """Inputs that count."""
        return int(self.mask.sum())

    @property
    def counts(self) -> np.ndarray:
        """(n_latents,): firings of each latent."""
        if self.values.min(initial=0) >= 0:
            return np.diff(self.start)
        return np.diff(np.searchsorted(np.flatnonzero(self.values > 0), self.start))  # `as_firings` takes numbers below 0 too

    @property
    def density(self) -> np.ndarray:
        """(n_latents,) float64: share of the inputs on which each latent fires."""
        return self.counts / max(1, self.n_tokens)

    @property
    def max(self) -> np.ndarray:
        """(n_latents,): the largest activation of each latent; 0 for one that never fires."""
        out = np.zeros(len(self.latents), dtype=self.values.dtype)
        alive = np.diff(self.start) > 0
        if alive.any():
            out[alive] = np.maximum.reduceat(self.values, self.start[:-1][alive])
        return np.maximum(out, 0)

    @property
    def total(self) -> np.ndarray:
        """(n_latents,) float64: the sum of the activations of each latent."""
        sums = np.concatenate([[0.0], np.cumsum(self.values, dtype=np.float64)])
        return sums[self.start[1:]] - sums[self.start[:-1]]

    @cached_property
    def _columns(self) -> dict[int, int]:
        return {latent: k for k, latent in enumerate(self.latents.tolist())}

    def column(self, latent: int) -> int:
        """Where a latent stands in `latents`, and in `matrix`.

        Raises:
            ValueError: there is none of this number.
        """
        number = latent_number(latent)
        if number not in self._columns:
            which = f", from {self.latents.min()} to {self.latents.max()}" if len(self.latents) else ""
            raise ValueError(f"there is no latent {number} here; there are {len(self.latents)}{which}")
        return self._columns[number]

    row = column
    """The name that it had."""

    def of(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """(positions, values) of one latent's firings."""
        k = self.column(latent)
        part = slice(self.start[k], self.start[k + 1])
        return self.positions[part], self.values[part]

    def dense(self, latent: int) -> np.ndarray:
        """(n_inputs,) or (n_texts, n_ctx): the activation of one latent on every input."""
        out = np.zeros(self.mask.size, dtype=self.values.dtype)
        positions, values = self.of(latent)
        out[positions] = values
        return out.reshape(self.mask.shape)

    def where(self, latent: int, level: float = 0.0) -> np.ndarray:
        """(n_inputs,) bool: where a latent fires."""
        share = check_level(level, shapes=[()])
        positions, values = self.of(latent)
        fires = np.zeros(self.mask.size, dtype=bool)
        fires[positions[values > share * values.max(initial=0).astype(np.float64)]] = True
        return fires

    def occurrences(self, tokens: Numbers) -> np.ndarray:
        """(largest token id + 1,) int64: how often each token stands at a place that counts; tokens are (n_texts, n_ctx) ids."""
        flat = tops.ids(tokens, self.places)
        return np.bincount(flat[self.present], minlength=int(flat.max(initial=0)) + 1)

    def top_tokens(self, latent: int, tokens: Numbers, k: int = 10, occurring: np.ndarray | None = None) -> list[TopToken]:
        """The k tokens that carry most of a latent's activation, summed over the texts.

        Args:
            latent: its number.
            tokens: (n_texts, n_ctx) token ids.
            k: how many.
            occurring: what `occurrences` says of the tokens, where many latents are asked about.
        """
        flat = tops.ids(tokens, self.places)
        often = self.occurrences(flat) if occurring is None else tops.checked_occurrences(occurring, flat)
        return tops.tokens(flat, *self.of(latent), whole("k", k, 1), often)

    def top_texts(self, latent: int, k: int = 10) -> list[tuple[int, int]]:
        """The k texts with the largest activations of a latent, as (text, place of its largest activation), strongest first."""
        whole("k", k, 1)
        return tops.texts(*self.of(latent), k, self.mask.shape[-1])

    def take(self, columns: Sequence[int] | np.ndarray) -> Firings:
        """Some of the columns, by where they stand (`column`)."""
        return self._of(self.matrix[:, columns], self.latents[columns], self.mask)

    def blocks(self) -> Iterator[Firings]:
        """All columns in order, a million activations or so at a time: what is made of a block fits the processor's cache."""
        n = len(self.latents)
        for columns in np.array_split(np.arange(n), max(1, min(n, 1 + self.matrix.nnz // 2**20))):
            yield self.take(columns)

    def above(self, level: float | np.ndarray) -> Firings:
        """Without the activations up to a level, one for all latents or (n_latents,)."""
        matrix = self.matrix.copy()
        matrix.data[~self._strong(level, self.max)] = 0
        matrix.eliminate_zeros()
        return self._of(matrix, self.latents, self.mask)

    def counts_above(self, levels: Sequence[float], present: Numbers) -> tuple[np.ndarray, np.ndarray]:
        """(n_levels, n_latents) int64 each: on how many inputs each latent fires, and on how many of those that are present (n_inputs,)."""
        shares = check_level(levels, "levels", [(np.size(levels),)])
        here = truth("present", present, [(self.mask.size,)])
        fired, both = np.concatenate([block._counts_above(shares, here) for block in self.blocks()], axis=-1)
        return fired, both

    def _counts_above(self, levels: np.ndarray, present: np.ndarray) -> np.ndarray:
        counts = np.zeros((2, len(levels), len(self.latents)), dtype=np.int64)
        hit, largest = present[self.positions], self.max
        for k, level in enumerate(levels):
            strong = self._strong(level, largest)
            for which, kept in enumerate((strong, strong & hit)):
                counts[which, k] = np.diff(np.searchsorted(np.flatnonzero(kept), self.start))
        return counts

    def _strong(self, level: float | np.ndarray, largest: np.ndarray) -> np.ndarray:
        """(n_firings,) bool: which exceed the level.

        Raises:
            ValueError: a level outside [0, 1), or levels of another number than the latents.
        """
        shares = check_level(level, shapes=[(), largest.shape])
        return np.asarray(self.values > np.repeat(shares * largest.astype(np.float64), np.diff(self.start)))

    def concept(self, mask: Numbers, name: str = "concept") -> np.ndarray:
        """A concept's mask, flattened, without what does not count; `name` is what an error calls it.

        Raises:
            ValueError: no truth values, another shape than the inputs', or no input of the concept.
        """
        found = truth(name, mask, [self.places, (self.mask.size,)]).reshape(-1) & self.present
        if not found.any():
            raise ValueError(f"the concept is on none of the {self.n_tokens:,} inputs: give more stories, or another pattern")
        return found

    def story(self, story: Numbers | None = None) -> np.ndarray:
        """(n_inputs,) int64: the story of each input, as `story_numbers`."""
        return story_numbers(story, self.places)


def as_firings(acts: Firings | sparray | spmatrix | Numbers) -> Firings:
    """Read activations of any kind, and of any precision.

    Args:
        acts: (n_inputs, n_latents) or (n_texts, n_ctx, n_latents) numbers of torch or NumPy, a SciPy sparse array (n_inputs, n_latents),
            or Firings.

    Returns:
        the firings; those that were given where they are Firings.

    Raises:
        ValueError: another shape, no numbers, or one that is NaN or infinite.

    Example:
        >>> from msae import metrics
        >>> metrics.as_firings([[0.0, 2.0], [1.0, 0.0]]).counts
        array([1, 1], dtype=int32)
    """
    return acts if isinstance(acts, Firings) else Firings._of(*sources.of_array(acts))
