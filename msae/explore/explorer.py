"""The explorer: latents to choose from, opened at one of them, and shown in a notebook, in a book or in a folder."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from msae.explore import checks
from msae.explore.showing import Shown
from msae.explore.source import Directions, Source, Tree, sizes_of
from msae.explore.texts import Texts
from msae.explore.view import View
from msae.firings.firings import Firings
from msae.latents.names import split_id
from msae.support.arguments import shown, text
from msae.support.renamed import by_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from msae.activations.kept import Activations
    from msae.explore.given import Edge, HasUnembedding, Labels, Latent, Numbers, Options
    from msae.latents.latents import Latents
    from msae.sae.sae import SAE


@by_name()
class Explorer(Shown):
    """Latents to choose from; for each its strongest tokens and texts, its relatives, and the holes of one latent in another.

    Shown in a notebook or a built book it needs no kernel and no network: the page holds the data. Numbers about a latent are taken over
    all the texts; the page holds as many texts, drawn at random, as fit into half of `page_bytes`, and windows around the strongest
    activations of each latent in the other half. `save("folder")` holds everything.

    Args:
        acts: name → where the latents of that SAE fire. A latent is called "name/number". Several SAEs, from small to large, have a tree.
        tokens: (n_texts, n_ctx) token ids.
        str_tokens: the text of each id; bytes, or what `Activations.str_tokens` has, where a token is only part of a letter. In the texts
            it is shown as the letter that it is part of.
        labels: "name/number", or the number alone when there is one SAE → a name for the latent.
        latents: which to show; if left out all of them, or in a page the 300 with the largest summed activation where there are more. Those
            with a label, and their parents and children, are always shown.
        n_examples: texts shown for each latent.
        window: tokens of each text that are shown at first.
        edges: (parent, child, score); if left out those of `latent_tree`, for children that fire at least ten times.
        directions: name → (n_latents, d_model) decoder rows, or the SAE itself. With them neighbours by cosine compare directions, not
            activations.
        unembed: (d_model, n_vocab), the model's W_U, to show which tokens each direction makes likelier. Needs directions. Columns
            beyond the vocabulary, with which many models are padded, are left out, and so are tokens without a column.
        n_neighbours: nearest latents listed for each, by co-firing and by cosine.
        page_bytes: what the texts and firings in a page may take; names and numbers of the latents come on top.
        made_from: what the texts and activations are, as `Activations.origin`; kept in a saved folder.

    Raises:
        ValueError: shapes that do not fit each other, a token id without text, a latent that is not there, NaN or infinity anywhere, or a
            label that is no text.

    Example:
        >>> import numpy as np
        >>> from msae.explore import Explorer
        >>> from msae.firings import Firings
        >>> acts = Firings.of_dense(np.array([[[0.0, 2.0], [1.0, 0.0]]]))  # one text of two tokens, two latents
        >>> explorer = Explorer({"S": acts}, np.array([[0, 1]]), ["Lily", " sat"], labels={1: "names"})
        >>> explorer.open, explorer.latent(0).open
        ('S/1', 'S/0')
    """

    acts: dict[str, Firings]
    """Name → where the latents of that SAE fire."""

    tokens: np.ndarray
    """(n_texts, n_ctx) token ids."""

    str_tokens: list[str]
    """The text of each id."""

    mask: np.ndarray
    """(n_texts, n_ctx) bool: the places that count for any of the SAEs."""

    def __init__(
        self,
        acts: Mapping[str, Firings],
        tokens: Numbers,
        str_tokens: Sequence[str | bytes],
        *,
        labels: Labels | None = None,
        latents: Iterable[Latent] | None = None,
        n_examples: int = 10,
        window: int = 40,
        edges: Iterable[tuple[Latent, Latent, float]] | None = None,
        directions: Mapping[str, Numbers | SAE] | None = None,
        unembed: Numbers | None = None,
        n_neighbours: int = 6,
        page_bytes: int = 300_000,
        made_from: Mapping[str, object] | None = None,
    ):
        texts = Texts(acts, tokens, str_tokens)
        acts = dict(acts)
        source = Source(
            acts=acts,
            texts=texts,
            tree=Tree(acts, edges),
            labels=checks.labels_of(acts, labels),
            asked=checks.asked_of(acts, latents),
            directions=Directions(acts, directions, unembed, len(texts.str_tokens)),
            sizes=sizes_of(n_examples, window, n_neighbours, page_bytes),
            made_from=checks.described("made_from", made_from),
        )
        super().__init__(source)
        self.acts, self.tokens, self.str_tokens, self.mask = source.acts, texts.tokens, texts.str_tokens, texts.mask

    @classmethod
    def from_saes(
        cls, saes: Mapping[str, SAE], activations: Activations, model: HasUnembedding | None = None, **options: Unpack[Options]
    ) -> Explorer:
        """SAEs on the texts of these activations, with their directions.

        Args:
            saes: name → SAE, all read at the hook of the activations; from small to large, so that they have a tree.
            activations: of the texts that are shown.
            model: the language model, to show which tokens each direction makes likelier. That is exact where the SAEs read the residual
                stream behind the last layer and no normalisation follows; anywhere else it is the direct path alone.
            options: those of `Explorer`.

        Raises:
            ValueError: as `Explorer`; or an SAE that is of another hook, width or model than the activations, by its name.
        """
        checks.check_saes(saes, activations, model)
        acts = {name: Firings.of_sae(sae, activations) for name, sae in saes.items()}
        unembed, origin = None if model is None else model.W_U, getattr(activations, "origin", None)
        given: Options = {"directions": saes, "unembed": unembed, "made_from": origin, **options}
        return cls(acts, activations.tokens, activations.str_tokens, **given)

    @classmethod
    def of(cls, latents: Latents, /, **options: Unpack[Options]) -> Explorer:
        """The explorer of `msae.Latents`: their firings on their stories.

        Args:
            latents: SAEs on stories.
            options: those of `Explorer`.

        Raises:
            ValueError: what is no `msae.Latents`; else as `Explorer`.
        """
        if not hasattr(latents, "activations"):
            raise ValueError(f"latents must be msae.Latents, got {shown(latents)}")
        origin = getattr(latents.activations, "origin", None)
        given: Options = {"made_from": origin, **options}
        return cls(latents.acts, latents.tokens, latents.vocabulary, **given)

    def with_labels(self, labels: Labels) -> Explorer:
        """The same explorer with these names for latents, and no others.

        Args:
            labels: "name/number", or the number alone when there is one SAE → a name for the latent.

        Raises:
            ValueError: a latent that is not there, or a label that is no text.
        """
        other = copy.copy(self)
        super(Explorer, other).__init__(replace(self._source, labels=checks.labels_of(self.acts, labels)))
        return other._at(self.view)

    def latent(self, latent: Latent, pin: Latent | None = None) -> Explorer:
        """The same explorer, opened at this latent.

        Args:
            latent: the latent that is seen.
            pin: another one, laid over it; the holes of one in the other are counted.
        """
        return self._at(self._view_at(latent, pin))

    def tree(self, latent: Latent | None = None, pin: Latent | None = None) -> Explorer:
        """The same explorer, opened at the tree that this latent stands in.

        Args:
            latent: the latent that is seen; if left out the one that is open.
            pin: another one, laid over it.
        """
        return self._at(replace(self._view_at(self.open if latent is None else latent, pin), view="tree"))

    def search(self, query: str = "", examples: Mapping[str, str] | None = None) -> Explorer:
        """The same explorer, opened with the latents that fit a token pattern best.

        Args:
            query: the token pattern.
            examples: name → another pattern; each has a button that searches for it, in every view that is opened from here too.
        """
        view = replace(self._view_at(self.open), view="search", query=text("query", query))
        if examples is not None:
            if not isinstance(examples, Mapping):
                raise ValueError(f"examples must be a dict of names and patterns, got {shown(examples)}")
            pairs = [(text("examples", name), text(f"examples[{name!r}]", pattern)) for name, pattern in examples.items()]
            view = replace(view, examples=tuple(pairs))
        return self._at(view)

    def _view_at(self, latent: Latent, pin: Latent | None = None) -> View:
        return View(self.id_of(latent), "" if pin is None else self.id_of(pin), examples=self.view.examples)

    @property
    def labels(self) -> dict[str, str]:
        """ "name/number" → a name for the latent; `with_labels` gives others."""
        return dict(self._source.labels)

    @labels.setter
    def labels(self, labels: Labels) -> NoReturn:
        raise AttributeError("labels of an explorer are not assigned any more: write explorer = explorer.with_labels(labels)")

    @property
    def edges(self) -> list[Edge]:
        """(parent, child, score), the best parent of a child first."""
        return self._source.tree.edges

    def id_of(self, latent: Latent) -> str:
        """ "S/7" of "S/7", or of 7 when there is one SAE.

        Args:
            latent: what was given.

        Raises:
            ValueError: there is no such latent.
        """
        return checks.id_of(self.acts, latent)

    def dense(self, latent: Latent) -> np.ndarray:
        """(n_texts, n_ctx) float32: one latent on every place.

        Args:
            latent: "name/number", or the number alone when there is one SAE.

        Raises:
            ValueError: there is no such latent.
        """
        name, number = split_id(self.id_of(latent))
        return self.acts[name].dense(number)
