"""Batches in random order without end, of activations that need not fit into memory all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msae.support import arguments


@dataclass(frozen=True)
class Shuffled:
    """Activations that are read `buffer` at a time, whole texts together, and shuffled there."""

    counts: np.ndarray
    """(n_texts,) activations of each text."""

    buffer: int
    """Activations that are shuffled together."""

    scale: float
    """What every activation is multiplied by."""

    load: Callable[[np.ndarray], tuple[Tensor, np.ndarray]]
    """Reads some texts, given by number: a matrix (m, d_model), and which of its rows are theirs, text after text."""

    def batches(self, batch_size: int, seed: int, skip: int) -> Iterator[Tensor]:
        """Batches without end.

        Args:
            batch_size: rows in a batch. The few left over at the end of a pass are left out of that pass.
            seed: of the order.
            skip: leave out this many batches at the start; a buffer that they fill is not read.

        Yields:
            (batch_size, d_model) float32, multiplied by `scale`.

        Raises:
            ValueError: at once, for impossible numbers, or a buffer smaller than a batch.
        """
        total = int(self.counts.sum())
        batch_size = arguments.whole("batch_size", batch_size, 1, total, most_is=f"the {total:,} activations there are")
        seed, skip = arguments.whole("seed", seed), arguments.whole("skip", skip)
        if self.buffer < batch_size:
            raise ValueError(f"buffer must hold at least one batch of {batch_size:,} activations, got {self.buffer:,}")
        return self._passes(batch_size, seed, skip)

    def _passes(self, batch_size: int, seed: int, skip: int) -> Iterator[Tensor]:
        counts = self.counts
        epoch, first = divmod(skip, int(counts.sum()) // batch_size)
        while True:
            at = 0  # where in this pass the next buffer begins
            rest: list[Tensor] = []  # a batch that goes on in the next buffer
            start = first * batch_size
            for b, texts in enumerate(_buffers(counts, self.buffer, np.random.default_rng([seed, epoch, 0, 1]))):
                n = int(counts[texts].sum())
                if at + n > start:
                    x, rows = self.load(texts)
                    rows = rows[np.random.default_rng([seed, epoch, b]).permutation(n)]
                    order = torch.from_numpy(rows[max(0, start - at) :]).to(x.device)
                    for part in _cut(order, batch_size - sum(map(len, rest)), batch_size):
                        rest.append(x[part])
                        if sum(map(len, rest)) == batch_size:
                            yield (rest[0] if len(rest) == 1 else torch.cat(rest)).float() * self.scale
                            rest = []
                at += n
            epoch, first = epoch + 1, 0


def _buffers(counts: np.ndarray, buffer: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The texts, drawn without order, in parts of about `buffer` activations; all in one part where they fit."""
    if counts.sum() <= buffer:
        return [np.arange(len(counts))]
    order = rng.permutation(len(counts))
    part = (counts[order].cumsum() - 1) // buffer
    return [np.sort(texts) for texts in np.split(order, np.flatnonzero(np.diff(part)) + 1)]


def _cut(order: Tensor, first: int, size: int) -> list[Tensor]:
    """Cut `first` entries off, and then `size` at a time."""
    return [part for part in (order[:first], *order[first:].split(size)) if len(part)]


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[0] … starts[0] + counts[0] - 1, starts[1] …, all in a row."""
    return np.repeat(starts - (counts.cumsum() - counts), counts) + np.arange(counts.sum())
