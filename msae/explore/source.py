"""What an explorer is made from, judged: firings, texts, names and directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.explore import checks
from msae.explore.texts import Texts
from msae.firings.firings import Firings
from msae.support.arguments import number, shown, whole

if TYPE_CHECKING:
    from msae.explore.given import Edge, Latent, Numbers
    from msae.sae.sae import SAE

MIN_FIRINGS = 10
"""Of a child in the tree: rarer latents would crowd it, with parents that chance has given them."""


class Tree:
    """Parents and children: the edges that are given, else those of `latent_tree`, once they are asked for.

    Args:
        acts: name → firings, from the smallest SAE to the largest.
        given: (parent, child, score); None for those of `latent_tree`.
    """

    def __init__(self, acts: Mapping[str, Firings], given: Iterable[tuple[Latent, Latent, float]] | None = None):
        self._acts = acts
        self._given = None if given is None else checks.edges_of(acts, given)

    @cached_property
    def edges(self) -> list[Edge]:
        """(parent, child, score), the best parent of a child first."""
        if self._given is not None or len(self._acts) < 2:
            return self._given or []
        from msae.latents.relations import latent_tree

        return [(edge.parent, edge.child, edge.score) for edge in latent_tree(self._acts, min_firings=MIN_FIRINGS)]

    @property
    def metric(self) -> str | None:
        """By what the parents were found; None where that is not known, or where there can be none."""
        return "directed_cosine" if self._given is None and len(self._acts) > 1 else None


class Directions:
    """Where latents write, and what that does to the logits.

    Args:
        acts: name → firings.
        given: name → (n_latents, d_model) decoder rows, or the SAE itself; None where they are not known.
        unembed: (d_model, n_columns), the model's W_U; None where it is not known.
        n_vocab: tokens that have a text.
    """

    rows: dict[str, np.ndarray]
    """Name → (n_latents, d_model) decoder rows; empty where they are not known."""

    about: dict[str, dict[str, str]]
    """Name → what is known of that SAE beyond its numbers."""

    unembed: np.ndarray | None
    """(d_model, n_columns)"""

    def __init__(self, acts: Mapping[str, Firings], given: Mapping[str, Numbers | SAE] | None, unembed: Numbers | None, n_vocab: int):
        if not isinstance(given, (Mapping, type(None))):
            raise ValueError(f"directions must be a dict, got {shown(given)}")
        given = given or {}
        self.rows = {name: checks.numbers_of(f"directions[{name!r}]", getattr(each, "W_dec", each)) for name, each in given.items()}
        self.about = {name: _about(each) for name, each in given.items()}
        self.unembed = None if unembed is None else checks.numbers_of("unembed", unembed)
        checks.check_directions(acts, self.rows, self.unembed, n_vocab)


def _about(sae: Any) -> dict[str, str]:
    """What a bundle says of an SAE beyond its numbers; nothing where only directions were given."""
    told = {"hook_name": getattr(sae, "hook_name", None), "architecture": getattr(sae, "nonlinearity", None)}
    return {key: str(value) for key, value in told.items() if value is not None}


class Sizes(NamedTuple):
    """How much is shown."""

    n_examples: int
    """Texts for each latent."""

    window: int
    """Tokens of a text, at first."""

    n_neighbours: int
    """Nearest latents for each latent."""

    page_bytes: float
    """What the texts and firings in a page may take."""


def sizes_of(n_examples: int, window: int, n_neighbours: int, page_bytes: float) -> Sizes:
    """How much is shown, judged."""
    if not all(isinstance(n, Integral) and not isinstance(n, bool) and n >= 1 for n in (n_examples, window)):
        raise ValueError(f"n_examples and window must be whole numbers of at least 1, got {shown(n_examples)} and {shown(window)}")
    return Sizes(int(n_examples), int(window), whole("n_neighbours", n_neighbours), number("page_bytes", page_bytes, 0))


@dataclass(frozen=True, eq=False)
class Source:
    """What an explorer is made from."""

    acts: dict[str, Firings]
    """Name → where the latents of that SAE fire, from the smallest SAE to the largest."""

    texts: Texts
    """What they fire on."""

    tree: Tree
    """Which latents are parents of which."""

    labels: dict[str, str]
    """"name/number" → a name for that latent."""

    asked: list[str] | None
    """The latents that are to be shown; None where that was left open."""

    directions: Directions
    """Where they write."""

    sizes: Sizes
    """How much is shown."""

    made_from: dict[str, Any]
    """What the texts and activations are."""

    @cached_property
    def everything(self) -> list[str]:
        """The ids of all latents, in order."""
        return [f"{name}/{number}" for name, acts in self.acts.items() for number in acts.latents]
