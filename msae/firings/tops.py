"""On which tokens and texts one latent is strongest, from its firings alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msae.firings.reading import Numbers
from msae.support.arguments import array, shown


class TopToken(NamedTuple):
    """A token and what one latent does on it, over all the texts.

    Example:
        >>> import numpy as np
        >>> from msae.firings import Firings
        >>> acts = Firings.of_dense(np.array([[[2.0], [0.0], [1.0]]]))  # one text of three tokens, one latent
        >>> acts.top_tokens(0, np.array([[5, 6, 5]]), 1)[0].n_firing
        2
    """

    token: int
    """Token id."""

    n_firing: int
    """Places with this token where the latent fires."""

    n: int
    """Places with this token."""

    mean: float
    """Mean activation over the places where the latent fires."""

    max: float
    """Largest activation on this token."""


def ids(tokens: Numbers, places: tuple[int, ...]) -> np.ndarray:
    """(n_inputs,) int64: the token of each input, of ids that are laid out as the inputs are, or flat."""
    found = array("tokens", tokens, numbers="whole")
    n_inputs = int(np.prod(places))
    laid_out = found.shape in (places, (n_inputs,)) or (len(places) == 1 and found.size == n_inputs)
    if not laid_out or found.min(initial=0) < 0 or found.max(initial=0) >= 2**28:
        raise ValueError(f"tokens must be ids of shape {places}, not negative, below {2**28:,}, got {shown(found)}")
    return found.reshape(-1).astype(np.int64, copy=False)


def checked_occurrences(occurring: Numbers, ids: np.ndarray) -> np.ndarray:
    """How often each token stands where inputs count, where that is said of all of these."""
    found = array("occurring", occurring, ("n_tokens",), numbers="whole")
    if len(found) <= ids.max(initial=-1):
        raise ValueError(f"occurring must be what `occurrences` says of these tokens, up to id {ids.max()}, got {shown(found)}")
    return found


def tokens(ids: np.ndarray, positions: np.ndarray, values: np.ndarray, k: int, occurring: np.ndarray) -> list[TopToken]:
    """The k tokens with the largest sum of a latent's activations.

    Args:
        ids: (n_inputs,) the token of each input.
        positions: (n_firings,) the inputs where the latent fires.
        values: (n_firings,) its activations there.
        k: how many tokens.
        occurring: how often each token stands at a place that counts.
    """
    kinds, inverse = np.unique(ids[positions], return_inverse=True)
    total, count = np.bincount(inverse, weights=values), np.bincount(inverse)
    largest = np.zeros(len(kinds), dtype=np.float32)
    np.maximum.at(largest, inverse, values)
    order = np.lexsort((kinds, -total))[:k]
    return [TopToken(int(kinds[i]), int(count[i]), int(occurring[kinds[i]]), float(total[i] / count[i]), float(largest[i])) for i in order]


def texts(positions: np.ndarray, values: np.ndarray, k: int, n_ctx: int) -> list[tuple[int, int]]:
    """(text, place of its largest activation) of the k texts with the largest activations, strongest first; of equal ones the first."""
    order = np.lexsort((positions, -values))
    found, places = np.divmod(positions[order], n_ctx)
    _, first = np.unique(found, return_index=True)
    return [(int(found[i]), int(places[i])) for i in np.sort(first)[:k]]
