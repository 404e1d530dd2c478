"""Which stories repeat a passage of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from msae.support import arguments
from msae.texts.given import check_stories

if TYPE_CHECKING:
    pass


def copied_stories(samples: Sequence[str], training: Sequence[str], length: int = 100) -> list[bool]:
    """Which samples share a passage of `length` or more characters with any training story.

    Exact: characters are compared as they are, and a passage never runs across the border of two stories.

    Args:
        samples: texts to look at.
        training: texts they may have been copied from.
        length: the shortest passage that counts, in characters.

    Returns:
        one bool per sample.
    """
    return CopyIndex(training, length).copied(samples)


class CopyIndex:
    """All passages of `length` characters of the training stories, as 64-bit polynomial hashes; a hit is checked letter by letter."""

    def __init__(self, training: Sequence[str], length: int = 100):
        length, training = arguments.whole("length", length, 1), check_stories(training, "training")
        self.length, self.training = length, "\0".join(training)
        hashes = [_passage_hashes(story, length) for story in training]
        self.hashes = np.unique(np.concatenate(hashes)) if hashes else np.empty(0, np.uint64)

    def copied(self, samples: Sequence[str]) -> list[bool]:
        """One bool per sample: does it share a passage with a training story?"""
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
        return (sums[length:] - sums[:-length]) * unpowers[: len(codes) - length + 1]
