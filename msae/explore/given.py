"""The kinds of thing that an explorer is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from msae.firings.reading import Numbers as Numbers
    from msae.sae.sae import SAE

Latent: TypeAlias = str | int
"""A latent as one may write it: "S/7", or 7 when there is one SAE."""

Labels: TypeAlias = Mapping[str, str] | Mapping[int, str] | Mapping[Latent, str]
"""Latent → a name for it."""

Edge: TypeAlias = tuple[str, str, float]
"""(parent, child, score), the first two "name/number"."""


class HasUnembedding(Protocol):
    """A language model, of which one thing is needed."""

    @property
    def W_U(self) -> Numbers:
        """(d_model, n_vocab) what each direction adds to the logits."""


class Options(TypedDict, total=False):
    """What `Explorer` takes beside firings and texts."""

    labels: Labels | None
    latents: Iterable[Latent] | None
    n_examples: int
    window: int
    edges: Iterable[tuple[Latent, Latent, float]] | None
    directions: Mapping[str, Numbers | SAE] | None
    unembed: Numbers | None
    n_neighbours: int
    page_bytes: int
    made_from: Mapping[str, object] | None
