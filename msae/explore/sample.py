"""Which texts go into a bundle: all of them, or an unbiased sample and, kept apart from it, places where latents are strong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

TOKEN_BYTES, FIRING_BYTES = 1.6, 2.6
"""What a token and a firing take in a page: two bytes and 2.1 to 2.5, gzipped, in base64."""


class Pieces(NamedTuple):
    """Parts of texts; the first n_sample are whole texts drawn at random."""

    n_sample: int
    text: np.ndarray
    """(n_pieces,) number of the text in the corpus."""

    first: np.ndarray
    """(n_pieces,) place of the first token."""

    length: np.ndarray
    """(n_pieces,) tokens."""


def spans(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each text its first place that counts, and how many there are from it to the last; mask (n_texts, n_ctx) bool."""
    any_place = mask.any(1)
    first = np.where(any_place, mask.argmax(1), 0)
    last = np.where(any_place, mask.shape[1] - mask[:, ::-1].argmax(1), 0)
    return first, last - first


def whole(mask: np.ndarray) -> Pieces:
    """Every text, in order; those in which no place counts are left out."""
    first, length = spans(mask)
    text = np.flatnonzero(length)
    return Pieces(len(text), text, first[text], length[text])


def window(first: int, length: int, peak: int, width: int) -> tuple[int, int]:
    """First place and length of the part of a text around a peak: two thirds of it before, as far as the text goes."""
    size = min(width, length)
    return min(max(first, peak - 2 * size // 3), first + length - size), size


def fitting(
    mask: np.ndarray,
    firings: np.ndarray,
    strongest: Sequence[Callable[[], list[tuple[int, int]]]],
    budget: float,
    width: int,
    seed: int = 0,
) -> Pieces:
    """All texts if they fit into the budget; else half of it goes to a random sample, the rest to windows around strong activations.

    The windows are added in rounds: the strongest text of every latent, then the second of each, and so on.

    Args:
        mask: (n_texts, n_ctx) bool, the places that count.
        firings: (n_texts, n_ctx) how many of the latents fire at each place.
        strongest: for each latent, its strongest texts as (text, place of the peak).
        budget: bytes in the page.
        width: tokens of a window.
        seed: of the sample.
    """
    everything = whole(mask)
    per_place = (TOKEN_BYTES + FIRING_BYTES * firings) * mask
    per_text = per_place.sum(1)[everything.text]
    if per_text.sum() <= budget:
        return everything
    order = np.random.default_rng(seed).permutation(len(everything.text))
    n_sample = max(1, int(np.searchsorted(np.cumsum(per_text[order]), budget / 2, side="right")))
    sample = np.sort(order[:n_sample])
    left = budget - per_text[sample].sum()
    sampled = set(everything.text[sample].tolist())
    first, length = spans(mask)
    added: dict[int, list[tuple[int, int]]] = {}
    peaks = [each() for each in strongest]
    for rank in range(max(map(len, peaks), default=0)):
        for of_latent in peaks:
            if rank >= len(of_latent) or of_latent[rank][0] in sampled:
                continue
            text, peak = of_latent[rank]
            begin, size = window(int(first[text]), int(length[text]), peak, width)
            left -= float(per_place[text, begin : begin + size].sum())
            if left < 0:
                return _with(everything, sample, added)
            added[text] = _merged([*added.get(text, []), (begin, begin + size)])
    return _with(everything, sample, added)


def _merged(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for begin, end in sorted(parts):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((begin, end))
    return out


def _with(everything: Pieces, sample: np.ndarray, added: dict[int, list[tuple[int, int]]]) -> Pieces:
    windows = [(text, begin, end - begin) for text, parts in sorted(added.items()) for begin, end in parts]
    text, first, length = (np.array(column, dtype=np.int64) for column in zip(*windows)) if windows else (np.zeros(0, np.int64),) * 3
    return Pieces(
        len(sample),
        np.concatenate([everything.text[sample], text]),
        np.concatenate([everything.first[sample], first]),
        np.concatenate([everything.length[sample], length]),
    )
