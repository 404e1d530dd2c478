"""The explorer object: what is shown, and where it is shown."""

from __future__ import annotations

import copy
import html
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msae.explore import pages, sample
from msae.explore.assemble import assemble
from msae.explore.bundle import Bundle, bundle_files, check_latents_per_shard, manifest, payload, write_folder
from msae.explore.checks import check_acts, check_directions, check_saes, label_of, listed, numbers_of
from msae.firings.firings import Firings
from msae.latents.names import split_id
from msae.latents.relations import best_parents, latent_tree
from msae.support.arguments import array, new_file, new_folder, number, shown, text, whole, written, yes_or_no
from msae.support.arguments import path as path_of
from msae.support.files import as_json, write_file
from msae.support.letters import Piece, as_token, join

if TYPE_CHECKING:
    from msae.activations.kept import Activations
    from msae.latents.latents import Latents
    from msae.sae.sae import SAE

MAX_LATENTS = 300
MIN_FIRINGS = 10
"""Of a child in the tree: rarer latents would crowd it, with parents that chance has given them."""

WARN_BYTES, REFUSE_BYTES = 1_500_000, 5_000_000


class Explorer:
    """Latents to choose from; for each its strongest tokens and texts, its relatives, and the holes of one latent in another.

    Shown in a notebook or a built book it needs no kernel and no network: the page holds the data. Numbers about a latent are taken over
    all the texts; the page holds as many texts, drawn at random, as fit into half of `page_bytes`, and windows around the strongest
    activations of each latent in the other half. `save("folder")` holds everything.

    Args:
        acts: name → where the latents of that SAE fire. A latent is called "name/number". Several SAEs, from small to large, have a tree.
        tokens: (n_texts, n_ctx) token ids. str_tokens: the text of each id; bytes, or what `Activations.str_tokens` has, where a token is
            only part of a letter. In the texts it is shown as the letter that it is part of.
        labels: "name/number", or the number alone when there is one SAE → a name for the latent.
        latents: which to show; if left out all of them, or in a page the 300 with the largest summed activation where there are more. Those
            with a label, and their parents and children, are always shown.
        n_examples: texts shown for each latent. window: tokens of each that are shown at first.
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
    """

    def __init__(
        self,
        acts: Mapping[str, Firings],
        tokens: Any,
        str_tokens: Sequence[str | bytes],
        labels: Mapping[Any, str] | None = None,
        *,
        latents: Iterable[Any] | None = None,
        n_examples: int = 10,
        window: int = 40,
        edges: Iterable[tuple[Any, Any, float]] | None = None,
        directions: Mapping[str, Any] | None = None,
        unembed: Any = None,
        n_neighbours: int = 6,
        page_bytes: int = 300_000,
        made_from: Mapping[str, Any] | None = None,
    ):
        tokens = array("tokens", tokens)
        check_acts(acts, tokens, str_tokens)
        if not all(isinstance(n, Integral) and not isinstance(n, bool) and n >= 1 for n in (n_examples, window)):
            raise ValueError(f"n_examples and window must be whole numbers of at least 1, got {shown(n_examples)} and {shown(window)}")
        self.acts, self.tokens, self.str_tokens = dict(acts), tokens, [as_token(token) for token in str_tokens]
        self.n_examples, self.window, self.n_neighbours = int(n_examples), int(window), whole("n_neighbours", n_neighbours)
        self.page_bytes = number("page_bytes", page_bytes, 0)
        for name, each in (("labels", labels), ("directions", directions), ("made_from", made_from)):
            if not isinstance(each, (Mapping, type(None))):
                raise ValueError(f"{name} must be a dict, got {shown(each)}")
        self.directions = {
            name: numbers_of(f"directions[{name!r}]", getattr(each, "W_dec", each)) for name, each in (directions or {}).items()
        }
        self.about_saes = {name: _about(each) for name, each in (directions or {}).items()}
        self.unembed = None if unembed is None else numbers_of("unembed", unembed)
        check_directions(self.acts, self.directions, self.unembed, len(self.str_tokens))
        self.labels = {self.id_of(key): label_of(key, label) for key, label in (labels or {}).items()}
        self._asked = None if latents is None else [self.id_of(latent) for latent in listed("latents", latents)]
        if self._asked == []:
            raise ValueError("latents must name at least one latent, got none; leave it out to show all")
        self._edges = None if edges is None else self._checked(edges)
        self.made_from = dict(made_from or {})
        as_json(self.made_from, "made_from")
        self._open: str | None = None
        self._state: dict[str, Any] = {}
        self._examples: list[list[str]] = []

    @classmethod
    def from_saes(cls, saes: Mapping[str, SAE], activations: Activations, model: Any = None, **options: Any) -> Explorer:
        """SAEs on the texts of these activations, with their directions.

        Args:
            saes: name → SAE, all read at the hook of the activations; from small to large, so that they have a tree.
            model: the language model, to show which tokens each direction makes likelier. That is exact where the SAEs read the residual
                stream behind the last layer and no normalisation follows; anywhere else it is the direct path alone.
            options: those of `Explorer`.

        Raises:
            ValueError: as `Explorer`; or an SAE that is of another hook, width or model than the activations, by its name.
        """
        check_saes(saes, activations, model)
        acts = {name: Firings.of_sae(sae, activations) for name, sae in saes.items()}
        origin = getattr(activations, "origin", None)
        options = {"directions": saes, "unembed": None if model is None else model.W_U, "made_from": origin, **options}
        return cls(acts, activations.tokens, activations.str_tokens, **options)

    @classmethod
    def of(cls, latents: Latents, /, labels: Mapping[Any, str] | None = None, **options: Any) -> Explorer:
        """The explorer of `msae.Latents`: their firings on their stories.

        Args:
            latents: SAEs on stories.
            labels: "name/number" → a name for the latent.
            options: those of `Explorer`.

        Raises:
            ValueError: as `Explorer`.
        """
        if not hasattr(latents, "activations"):
            raise ValueError(f"latents must be msae.Latents, got {shown(latents)}")
        origin = getattr(latents.activations, "origin", None)
        return cls(latents.acts, latents.tokens, latents.vocabulary, labels, **{"made_from": origin, **options})

    def id_of(self, latent: Any) -> str:
        """ "S/7" of "S/7", or of 7 when there is one SAE.

        Raises:
            ValueError: there is no such latent.
        """
        name, _, number = str(latent).rpartition("/")
        if not name and len(self.acts) == 1:
            name = next(iter(self.acts))
        if name not in self.acts or not number.isdecimal() or len(number) > 18:
            raise ValueError(
                f"there is no latent {shown(latent)}; write it as {next(iter(self.acts))}/7, of the SAEs {', '.join(self.acts)}"
            )
        self.acts[name].column(int(number))
        return f"{name}/{int(number)}"

    def _checked(self, edges: Any) -> list[tuple[str, str, float]]:
        found = []
        for edge in listed("edges", edges):
            if not isinstance(edge, Sequence) or isinstance(edge, str) or len(edge) != 3:
                raise ValueError(f"edges must be (parent, child, score), got {shown(edge)}")
            parent, child = self.id_of(edge[0]), self.id_of(edge[1])
            found.append((parent, child, number(f"the score of the edge from {parent} to {child} in edges", edge[2])))
        return sorted(found, key=lambda edge: -edge[2])

    def latent(self, latent: Any, pin: Any = None) -> Explorer:
        """The same explorer, opened at this latent, with another one laid over it and their holes counted if `pin` is given."""
        return self._opened(latent, pin, "latent")

    def tree(self, latent: Any = None, pin: Any = None) -> Explorer:
        """The same explorer, opened at the tree that this latent stands in."""
        return self._opened(self.open if latent is None else latent, pin, "tree")

    def search(self, query: str = "", examples: Mapping[str, str] | None = None) -> Explorer:
        """The same explorer, opened with the latents that fit a token pattern best.

        Args:
            examples: name → another pattern; each has a button that searches for it.
        """
        other = self._opened(self.open, None, "search")
        other._state["query"] = text("query", query)
        if examples is not None:
            if not isinstance(examples, Mapping):
                raise ValueError(f"examples must be a dict of names and patterns, got {shown(examples)}")
            other._examples = [[text("examples", name), text(f"examples[{name!r}]", pattern)] for name, pattern in examples.items()]
        return other

    def _opened(self, latent: Any, pin: Any, view: str) -> Explorer:
        other = copy.copy(self)
        other._open = self.id_of(latent)
        other._state = {"view": view} | ({} if pin is None else {"pinned": self.id_of(pin)})
        if other._ids != self._ids:
            other.__dict__.pop("_page", None)
        return other

    @cached_property
    def edges(self) -> list[tuple[str, str, float]]:
        """(parent, child, score), the best parent of a child first."""
        if self._edges is not None:
            return self._edges
        if len(self.acts) < 2:
            return []
        return [(edge.parent, edge.child, edge.score) for edge in latent_tree(self.acts, min_firings=MIN_FIRINGS)]

    @cached_property
    def shown(self) -> list[str]:
        """The ids of the latents that are in a page, in order."""
        everything = [f"{name}/{number}" for name, acts in self.acts.items() for number in acts.latents]
        if self._asked is not None:
            chosen = set(self._asked)
        elif len(everything) <= MAX_LATENTS:
            chosen = set(everything)
        else:
            total = np.concatenate([acts.total for acts in self.acts.values()])
            chosen = {everything[i] for i in np.argsort(-total)[:MAX_LATENTS]}
        chosen |= self._family(self.labels)
        return [i for i in everything if i in chosen]

    def _family(self, ids: Iterable[str]) -> set[str]:
        """These latents, the best parent of each, and the children whose best parent they are."""
        ids = set(ids)
        if not ids:
            return ids
        best = best_parents(self.edges).values()
        return ids | {end for parent, child, _ in best if parent in ids or child in ids for end in (parent, child)}

    @property
    def _ids(self) -> list[str]:
        # what the page opens with is always in it, at its place in the order
        opened = {latent for latent in (self._open, self._state.get("pinned")) if latent}
        if opened <= set(self.shown):
            return self.shown
        order = list(self.acts)
        return sorted({*self.shown, *self._family(opened)}, key=lambda i: (order.index(split_id(i)[0]), split_id(i)[1]))

    @property
    def open(self) -> str:
        """The id of the latent that the page opens with: the one asked for, else the first with a label, else the first that fires."""
        if self._open:
            return self._open
        if self.labels:
            return next(i for i in self.shown if i in self.labels)
        firing = (i for i in self.shown if len(self._firings(i)[0]))
        return next(firing, self.shown[0])

    def dense(self, latent: Any) -> np.ndarray:
        """(n_texts, n_ctx) float32: one latent on every place."""
        name, number = split_id(self.id_of(latent))
        return self.acts[name].dense(number)

    def _firings(self, latent_id: str) -> tuple[np.ndarray, np.ndarray]:
        name, number = split_id(latent_id)
        return self.acts[name].of(number)

    @cached_property
    def mask(self) -> np.ndarray:
        """(n_texts, n_ctx) bool: the places that count for any of the SAEs."""
        return np.logical_or.reduce([acts.mask for acts in self.acts.values()])

    @cached_property
    def _letters(self) -> tuple[np.ndarray, list[Piece]]:
        """(n_texts, n_ctx) tokens, those that share a letter with others numbered from len(str_tokens) on; and what these are."""
        numbers, where = self.tokens.astype(np.int64), np.flatnonzero(self.mask)
        start = np.concatenate([[0], np.cumsum(self.mask.sum(1))])
        numbers.reshape(-1)[where], pieces = join(self.tokens.reshape(-1)[where], start, self.str_tokens)
        return numbers, pieces

    def _words(self, row: int, first: int, length: int) -> list[str]:
        """Part of a text, token by token: a split letter stands in the first of its tokens."""
        numbers, pieces = self._letters
        found = []
        for k, token in enumerate(numbers[row, first : first + length].tolist()):
            piece = pieces[token - len(self.str_tokens)] if token >= len(self.str_tokens) else None
            found.append(self.str_tokens[token] if piece is None else piece.shown if k else piece.text)
        return found

    def bundle(self, progress: bool = False) -> Bundle:
        """All texts, with all the latents of `acts` or those of `latents`: what `save("folder")` writes."""
        yes_or_no("progress", progress)
        everything = [f"{name}/{number}" for name, acts in self.acts.items() for number in acts.latents]
        return self._assemble(everything if self._asked is None else self._ids, sample.whole(self.mask), progress)

    @cached_property
    def _page(self) -> tuple[dict[str, Any], bytes]:
        """Manifest and payload of a page."""
        firings = np.zeros(self.tokens.size, dtype=np.int64)
        for latent_id in self._ids:
            firings[self._firings(latent_id)[0]] += 1
        strongest = [partial(self.acts[name].top_texts, number, self.n_examples) for name, number in map(split_id, self._ids)]
        pieces = sample.fitting(self.mask, firings.reshape(self.tokens.shape), strongest, self.page_bytes, self.window)
        bundle = self._assemble(self._ids, pieces)
        described, blocks = manifest(bundle)
        return described, payload(bundle, blocks)

    def _assemble(self, ids: Sequence[str], taken: sample.Pieces, progress: bool = False) -> Bundle:
        about: dict[str, Any] = {"window": self.window, "n_examples": self.n_examples}
        if self._edges is None and len(self.acts) > 1:
            about["edge_metric"] = "directed_cosine"
        if self.made_from:
            about["made_from"] = self.made_from
        numbers, pieces = self._letters
        bundle = assemble(
            self.acts,
            numbers,
            self.str_tokens,
            pieces,
            ids,
            self.labels,
            taken,
            self.edges,
            self.directions,
            self.unembed,
            self.n_neighbours,
            about,
            progress,
        )
        return bundle._replace(saes=[{**sae, **self.about_saes.get(sae["id"], {})} for sae in bundle.saes])

    @property
    def state(self) -> dict[str, Any]:
        """What the page opens with."""
        return {"latent": self.open, "view": "latent", "pinned": "", "query": "", "examples": self._examples, **self._state}

    def _repr_html_(self) -> str:
        return self._html(linked=False)

    def _html(self, linked: bool) -> str:
        described, packed = self._page
        size = len(pages.in_script(described)) + len(packed) * 4 / 3
        if size > WARN_BYTES:
            advice = f"the explorer of {len(self._ids)} latents takes {size / 1e6:.1f} MB in the page: give fewer latents= or page_bytes="
            if size > REFUSE_BYTES:
                raise ValueError(f'{advice}, or save("folder") and link to it')
            warnings.warn(advice, stacklevel=3)
        return pages.host(described, packed, {**self.state, "linked": linked}, self._fallback())

    def _fallback(self) -> str:
        """What is seen where scripts do not run: the strongest texts of the opened latent, already coloured."""
        name, number = split_id(self.open)
        acts = self.acts[name]
        first, length = sample.spans(self.mask)
        dense = acts.dense(number)
        rows = []
        for row, peak in acts.top_texts(number, 3):
            begin, size = sample.window(int(first[row]), int(length[row]), peak, self.window)
            rows.append(pages.coloured(zip(self._words(row, begin, size), dense[row, begin : begin + size]), dense.max()))
        label = f" ({html.escape(self.labels[self.open])})" if self.open in self.labels else ""
        return (
            f"<p>Latent {html.escape(self.open)}{label} on its strongest texts. The list of latents and the activation of each token "
            f"appear where scripts run: in the built book, or in the notebook after running this cell.</p>\n" + "\n".join(rows)
        )

    def save(
        self,
        path: str | os.PathLike,
        title: str = "Latents",
        *,
        latents_per_shard: int = 64,
        back: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> Path:
        """Write the explorer so that it opens from a disk, without a server and without a network.

        A path that ends in .html becomes one file with what a page holds. Any other becomes a folder: index.html, and beside it all texts
        and all firings in the form `msae-explorer/1` (see `read_bundle`), which the page loads as they are asked for. In both, an address
        such as index.html#latent=S/2/65&pinned=S/3/66 opens it there; view=tree and query=… work the same way, and `address` writes one.

        Args:
            latents_per_shard: latents whose firings share a file. back: the address of a page to lead back to.
            provenance: how it was made, for the manifest of a folder. progress: show a bar when a folder takes more than a few seconds.

        Returns:
            The file to open.

        Raises:
            OSError: a place that cannot be written, a full disk. Whatever was saved there before is there still, whole.
        """
        path = path_of("path", path)
        written("title", title)
        yes_or_no("progress", progress)
        if back is not None:
            written("back", back)
        if provenance is not None and not isinstance(provenance, Mapping):
            raise ValueError(f"provenance must be a dict, got {shown(provenance)}")
        as_json(dict(provenance or {}), "provenance")
        if path.suffix.lower() in (".html", ".htm"):
            new_file("path", path)
            write_file(path, pages.page(title, self._html(linked=True), back))
            return path
        if (path.suffix[1:].isalpha() and not path.is_dir()) or path.is_file():  # pythia-1.4b and run.2 are folders
            raise ValueError(f"expected a folder, or a file that ends in .html, got {path}")
        check_latents_per_shard(latents_per_shard)
        new_folder("path", path)
        bundle = self.bundle(progress=progress)
        bundle.about.update({"title": title} | ({"provenance": dict(provenance)} if provenance else {}))
        described, files = bundle_files(bundle, latents_per_shard, progress=progress)
        body = pages.host(described, files["payload.bin"], {**self.state, "linked": True}, self._fallback())
        write_folder(path, {**files, "index.html": pages.page(title, body, back)})
        return path / "index.html"

    def widget(self, model: Any = None, saes: Mapping[str, Any] | None = None) -> Any:
        """A live widget. Its `latent`, `pinned`, `view` and `query` follow the page, and the page follows them. Needs anywidget.

        In a built book, where no kernel runs, it shows as the explorer itself.

        Args:
            model: a language model; with it the page has a box to type a text in. saes: name → SAE, as in `acts`. Both or neither.
        """
        from msae.explore.widget import make_widget

        return make_widget(self, model, saes)


def _about(sae: Any) -> dict[str, str]:
    """What a bundle says of an SAE beyond its numbers; nothing where only directions were given."""
    told = {"hook_name": getattr(sae, "hook_name", None), "architecture": getattr(sae, "nonlinearity", None)}
    return {key: str(value) for key, value in told.items() if value is not None}
