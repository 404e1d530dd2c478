"""Which stories repeat a passage of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msae.support import arguments
from msae.texts.given import check_stories


class CopyIndex:
    """Tells stories that repeat a passage of training stories from those that do not.

    Exact: it holds a 64-bit hash of every passage, and a hit is compared letter by letter. A passage never runs across the border of two
    stories.

    Args:
        training: texts that others may have been copied from.
        length: the shortest passage that counts, in characters.

    Example:
        >>> CopyIndex(["Once upon a time"], length=6).copied(["It was once upon a day.", "It was once."])
        [True, False]
    """

    def __init__(self, training: Sequence[str], length: int = 100):
        length, training = arguments.whole("length", length, 1), check_stories(training, "training")
        self.length, self.training = length, "\0".join(training)
        hashes = [_passage_hashes(story, length) for story in training]
        self.hashes = np.unique(np.concatenate(hashes)) if hashes else np.empty(0, np.uint64)

    def copied(self, samples: Sequence[str]) -> list[bool]:
        """One bool per text of `samples`: does it share a passage with a training story?"""
        return [self._is_copied(sample) for sample in check_stories(samples, "samples")]

    def _is_copied(self, sample: str) -> bool:
        hashes = _passage_hashes(sample, self.length)
        if not len(hashes) or not len(self.hashes):
            return False
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        hits = np.flatnonzero(self.hashes[place] == hashes)
        return any(sample[i : i + self.length] in self.training for i in hits)


def _passage_hashes(text: str, length: int) -> np.ndarray:
    """A number for each passage of `length` characters, equal for equal passages (Rabin and Karp 1987, modulo 2^64)."""
    if len(text) < length:
        return np.empty(0, np.uint64)
    base, inverse = 0x9E3779B97F4A7C15, pow(0x9E3779B97F4A7C15, -1, 2**64)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64) + np.uint64(1)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(len(codes), base, np.uint64))
        unpowers = np.cumprod(np.full(len(codes), inverse, np.uint64))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers)])
        hashes: np.ndarray = (sums[length:] - sums[:-length]) * unpowers[: len(codes) - length + 1]
    return hashes
