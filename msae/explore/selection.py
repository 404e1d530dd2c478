"""Which latents and which texts a page holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import cached_property, partial
from typing import Any

import numpy as np

from msae.explore import sample
from msae.explore.assemble import assemble
from msae.explore.bundle import Bundle
from msae.explore.source import Source
from msae.explore.writing import manifest, payload
from msae.latents.names import split_id
from msae.latents.relations import best_parents

MAX_LATENTS = 300


class Selection:
    """The latents of a page: those that are shown whatever it opens with, and those that it opens with.

    Args:
        source: what the explorer is made from.
        opened: what the page opens with; it is always in it, with its parents and children.
        default: the selection of a page that opens with nothing else than it shows; None for that selection itself.
    """

    def __init__(self, source: Source, opened: Iterable[str] = (), default: Selection | None = None):
        self._source, self._opened, self._default = source, set(opened), default

    @cached_property
    def ids(self) -> list[str]:
        """The ids of the latents, in order."""
        if self._default is None:
            return _by_default(self._source)
        ids = self._default.ids
        if self._opened <= set(ids):
            return ids
        order = list(self._source.acts)
        chosen = {*ids, *_family(self._source, self._opened)}
        return sorted(chosen, key=lambda i: (order.index(split_id(i)[0]), split_id(i)[1]))

    @cached_property
    def first(self) -> str:
        """The latent that a page opens with where none was asked for: the first with a label, else the first that fires."""
        labelled = (latent for latent in self.ids if latent in self._source.labels)
        firing = (latent for latent in self.ids if len(_firings(self._source, latent)[0]))
        return next(itertools.chain(labelled, firing), self.ids[0])

    @cached_property
    def page(self) -> tuple[dict[str, Any], bytes]:
        """Manifest and payload of the page."""
        described, blocks = manifest(self.on_the_page)
        return described, payload(self.on_the_page, blocks)

    @cached_property
    def on_the_page(self) -> Bundle:
        """What the page holds: as many texts as fit, and windows around the strongest activations of each latent."""
        source, mask = self._source, self._source.texts.mask
        firings = np.zeros(mask.size, dtype=np.int64)
        for latent in self.ids:
            firings[_firings(source, latent)[0]] += 1
        strongest = [partial(source.acts[name].top_texts, number, source.sizes.n_examples) for name, number in map(split_id, self.ids)]
        pieces = sample.fitting(mask, firings.reshape(mask.shape), strongest, source.sizes.page_bytes, source.sizes.window)
        return assemble(source, self.ids, pieces)

    def whole(self, progress: bool = False) -> Bundle:
        """All texts, with all latents or those that were asked for."""
        ids = self._source.everything if self._source.asked is None else self.ids
        return assemble(self._source, ids, sample.whole(self._source.texts.mask), progress)


def _firings(source: Source, latent: str) -> tuple[np.ndarray, np.ndarray]:
    """(positions, activations) of the firings of a latent."""
    name, number = split_id(latent)
    return source.acts[name].of(number)


def _by_default(source: Source) -> list[str]:
    """Those that were asked for, else all, or the ones with the largest summed activation; and those with a label, with their family."""
    everything = source.everything
    if source.asked is not None:
        chosen = set(source.asked)
    elif len(everything) <= MAX_LATENTS:
        chosen = set(everything)
    else:
        total = np.concatenate([acts.total for acts in source.acts.values()])
        chosen = {everything[i] for i in np.argsort(-total)[:MAX_LATENTS]}
    chosen |= _family(source, source.labels)
    return [i for i in everything if i in chosen]


def _family(source: Source, ids: Iterable[str]) -> set[str]:
    """These latents, the best parent of each, and the children whose best parent they are."""
    ids = set(ids)
    if not ids:
        return ids
    best = best_parents(source.tree.edges).values()
    return ids | {end for parent, child, _ in best if parent in ids or child in ids for end in (parent, child)}
