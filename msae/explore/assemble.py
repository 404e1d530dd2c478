"""From firings, tokens and directions to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from msae.explore.bundle import Bundle, quantise
from msae.explore.details import Kinds, details_of, short
from msae.explore.sample import Pieces
from msae.explore.source import Source
from msae.latents.names import split_id
from msae.latents.relations import best_parents


class _Fired(NamedTuple):
    """The firings of one latent, as a bundle has them."""

    max: float
    """The largest activation over all that was scanned."""

    positions: np.ndarray
    """(n_firings,) uint32 places in the bundle, ascending."""

    q: np.ndarray
    """(n_firings,) uint8."""


def assemble(source: Source, ids: Sequence[str], pieces: Pieces, progress: bool = False) -> Bundle:
    """The bundle of some latents on some pieces of the texts.

    Args:
        source: what the explorer is made from.
        ids: the latents, "name/number".
        pieces: which parts of the texts.
        progress: whether a bar is shown.
    """
    texts = source.texts
    numbers = texts.letters[0]
    starts = np.concatenate([[0], np.cumsum(pieces.length)]).astype(np.int64)
    begins = pieces.text * numbers.shape[1] + pieces.first
    taken = np.repeat(begins - starts[:-1], pieces.length) + np.arange(starts[-1])  # positions in the corpus, in the order of the bundle
    where = np.full(numbers.size, -1, dtype=np.int64)
    where[taken] = np.arange(len(taken))
    kinds = Kinds(numbers.ravel()[taken])
    latents = [split_id(latent_id) for latent_id in ids]
    details = details_of(source, latents, kinds, progress)
    fired = [_fired(*source.acts[name].of(number), where) for name, number in latents]
    shown = [(token, texts.piece(token)) for token in kinds.tokens]
    return Bundle(
        vocab=[str(texts.str_tokens[token]) if piece is None else piece.shown for token, piece in shown],
        vocab_ids=np.array([token if piece is None else piece.token for token, piece in shown], dtype=np.int64),
        tokens=kinds.numbered,
        starts=starts,
        n_sample=pieces.n_sample,
        number=pieces.text,
        first=pieces.first,
        saes=[_about_sae(source, name) for name in source.acts],
        id=list(ids),
        label=[source.labels.get(latent_id, "") for latent_id in ids],
        max=np.array([each.max for each in fired], dtype=np.float32),
        start=np.cumsum([0, *(len(each.q) for each in fired)], dtype=np.int64),
        positions=np.concatenate([each.positions for each in fired]),
        q=np.concatenate([each.q for each in fired]),
        details=details,
        edges=_edges(source, ids),
        parts=[(kind, piece.part, piece.n_parts, piece.text) for kind, (_, piece) in enumerate(shown) if piece is not None],
        about=_about(source),
    )


def _fired(at: np.ndarray, values: np.ndarray, where: np.ndarray) -> _Fired:
    """The firings of a latent that lie in the bundle.

    Args:
        at: (n,) its positions in the corpus.
        values: (n,) its activations there.
        where: for each position in the corpus that in the bundle; -1 for those that are not there.
    """
    here, largest = where[at], values.max(initial=0)
    order = np.argsort(here, kind="stable")[int((here < 0).sum()) :]
    q = quantise(values[order], largest) if len(order) else np.zeros(0, np.uint8)
    return _Fired(largest, here[order].astype(np.uint32), q)


def _edges(source: Source, ids: Sequence[str]) -> list[tuple[int, int, float]]:
    """The edges between these latents, as indices of them."""
    index = {latent_id: k for k, latent_id in enumerate(ids)}
    edges = source.tree.edges
    best = best_parents(edges)
    kept = [edge for edge in edges if {edge[0], edge[1], best[edge[1]][0]} <= index.keys()]  # a second parent never stands in for the first
    return [(index[parent], index[child], score) for parent, child, score in kept]


def _about_sae(source: Source, name: str) -> dict[str, Any]:
    acts = source.acts[name]
    l0 = len(acts.positions) / max(1, acts.n_tokens)
    told = {"id": name, "n_latents": len(acts.latents), "n_tokens": acts.n_tokens, "l0": short(l0)}
    return {**told, **source.directions.about.get(name, {})}


def _about(source: Source) -> dict[str, Any]:
    about: dict[str, Any] = {"window": source.sizes.window, "n_examples": source.sizes.n_examples}
    if source.tree.metric:
        about["edge_metric"] = source.tree.metric
    if source.made_from:
        about["made_from"] = source.made_from
    if source.sizes.n_neighbours:
        about["cosine_of"] = "directions" if source.directions.rows else "activations"
    return about
