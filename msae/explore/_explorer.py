"""The explorer object: what is shown, and where it is shown."""

from __future__ import annotations

import copy
import html
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msae.explore import _html, _sample
from msae.explore._activations import LatentActivations, _numpy
from msae.explore._assemble import as_text, assemble, best_parents, split_id
from msae.explore._bundle import Bundle, manifest, payload, write_bundle

if TYPE_CHECKING:
    from msae.activations import Activations
    from msae.sae import SAE

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*")
"""Of an SAE, as `patterns.lark` reads it."""

MAX_LATENTS = 300
MIN_FIRINGS = 10
"""Of a child in the tree: rarer latents would crowd it, with parents that chance has given them."""

WARN_BYTES, REFUSE_BYTES = 1_500_000, 5_000_000
VIEWS = ("latent", "tree", "search")


class Explorer:
    """Latents to choose from; for each its strongest tokens and texts, its relatives, and the holes of one latent in another.

    Shown in a notebook or a built book it needs no kernel and no network: the page holds the data. Numbers about a latent are taken over
    all the texts; the page holds as many texts, drawn at random, as fit into half of `page_bytes`, and windows around the strongest
    activations of each latent in the other half. `save("folder")` holds everything.

    Args:
        acts: name → where the latents of that SAE fire. A latent is called "name/number". Several SAEs, from small to large, have a tree.
        tokens: (n_texts, n_ctx) token ids. str_tokens: the text of each id; bytes where it is not valid UTF-8.
        labels: "name/number", or the number alone when there is one SAE → a name for the latent.
        latents: which to show; if left out all of them, or in a page the 300 with the largest summed activation where there are more. Those
            with a label, and their parents and children, are always shown.
        n_examples: texts shown for each latent. window: tokens of each that are shown at first.
        edges: (parent, child, score); if left out those of `latent_tree`, for children that fire at least ten times.
        directions: name → (n_latents, d_model) decoder rows, or the SAE itself. With them neighbours by cosine compare directions, not
            activations.
        unembed: (d_model, n_vocab), the model's W_U, to show which tokens each direction makes likelier. Needs directions.
        n_neighbours: nearest latents listed for each, by co-firing and by cosine.
        page_bytes: what the texts and firings in a page may take; names and numbers of the latents come on top.

    Raises:
        ValueError: shapes that do not fit each other, a token id without text, or a latent that is not there.
    """

    def __init__(
        self,
        acts: Mapping[str, LatentActivations],
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
    ):
        tokens = _numpy(tokens)
        _check(acts, tokens, str_tokens)
        if n_examples < 1 or window < 1:
            raise ValueError(f"n_examples and window must be at least 1, got {n_examples} and {window}")
        self.acts, self.tokens, self.str_tokens = dict(acts), tokens, [as_text(token) for token in str_tokens]
        self.n_examples, self.window, self.n_neighbours, self.page_bytes = n_examples, window, n_neighbours, page_bytes
        self.directions = {name: _numpy(getattr(each, "W_dec", each)) for name, each in (directions or {}).items()}
        self.about_saes = {name: _about(each) for name, each in (directions or {}).items()}
        self.unembed = None if unembed is None else _numpy(unembed)
        _check_directions(self.acts, self.directions, self.unembed, len(self.str_tokens))
        self.labels = {self.id_of(key): str(label).encode("utf-8", "replace").decode() for key, label in (labels or {}).items()}
        self._asked = None if latents is None else [self.id_of(latent) for latent in latents]
        self._edges = None
        if edges is not None:
            self._edges = sorted(((self.id_of(a), self.id_of(b), float(score)) for a, b, score in edges), key=lambda edge: -edge[2])
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
        """
        acts = {name: LatentActivations.from_sae(sae, activations) for name, sae in saes.items()}
        options = {"directions": saes, "unembed": None if model is None else model.W_U, **options}
        return cls(acts, activations.tokens, activations.str_tokens, **options)

    def id_of(self, latent: Any) -> str:
        """ "S/7" of "S/7", or of 7 when there is one SAE.

        Raises:
            ValueError: there is no such latent.
        """
        name, _, number = str(latent).rpartition("/")
        if not name and len(self.acts) == 1:
            name = next(iter(self.acts))
        if name not in self.acts or not number.isdecimal():
            raise ValueError(f"there is no latent {latent!r}; write it as {next(iter(self.acts))}/7, of the SAEs {', '.join(self.acts)}")
        self.acts[name].row(int(number))
        return f"{name}/{int(number)}"

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
        other._state["query"] = str(query)
        if examples is not None:
            other._examples = [[name, pattern] for name, pattern in examples.items()]
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
        from msae.explore._relations import latent_tree

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
        best = best_parents(self.edges).items()
        return ids | {end for child, parent in best if parent in ids or child in ids for end in (parent, child)}

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

    def bundle(self, progress: bool = False) -> Bundle:
        """All texts, with all the latents of `acts` or those of `latents`: what `save("folder")` writes."""
        everything = [f"{name}/{number}" for name, acts in self.acts.items() for number in acts.latents]
        return self._assemble(everything if self._asked is None else self._ids, _sample.whole(self.mask), progress)

    @cached_property
    def _page(self) -> tuple[dict[str, Any], bytes]:
        """Manifest and payload of a page."""
        firings = np.zeros(self.tokens.size, dtype=np.int64)
        for latent_id in self._ids:
            firings[self._firings(latent_id)[0]] += 1
        strongest = [partial(self.acts[name].top_texts, number, self.n_examples) for name, number in map(split_id, self._ids)]
        pieces = _sample.fitting(self.mask, firings.reshape(self.tokens.shape), strongest, self.page_bytes, self.window)
        bundle = self._assemble(self._ids, pieces)
        described, blocks = manifest(bundle)
        return described, payload(bundle, blocks)

    def _assemble(self, ids: Sequence[str], pieces: _sample.Pieces, progress: bool = False) -> Bundle:
        about: dict[str, Any] = {"window": self.window, "n_examples": self.n_examples}
        if self._edges is None and len(self.acts) > 1:
            about["edge_metric"] = "directed_cosine"
        bundle = assemble(
            self.acts,
            self.tokens,
            self.str_tokens,
            ids,
            self.labels,
            pieces,
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
        size = len(_html.in_script(described)) + len(packed) * 4 / 3
        if size > WARN_BYTES:
            advice = f"the explorer of {len(self._ids)} latents takes {size / 1e6:.1f} MB in the page: give fewer latents= or page_bytes="
            if size > REFUSE_BYTES:
                raise ValueError(f'{advice}, or save("folder") and link to it')
            warnings.warn(advice, stacklevel=3)
        return _html.host(described, packed, {**self.state, "linked": linked}, self._fallback())

    def _fallback(self) -> str:
        """What is seen where scripts do not run: the strongest texts of the opened latent, already coloured."""
        name, number = split_id(self.open)
        acts = self.acts[name]
        first, length = _sample.spans(self.mask)
        dense = acts.dense(number)
        rows = []
        for text, peak in acts.top_texts(number, 3):
            begin, size = _sample.window(int(first[text]), int(length[text]), peak, self.window)
            part = slice(begin, begin + size)
            rows.append(_html.coloured(zip((self.str_tokens[t] for t in self.tokens[text, part]), dense[text, part]), dense.max()))
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
        """
        path = Path(path)
        if path.suffix.lower() in (".html", ".htm"):
            path.write_text(_html.page(title, self._html(linked=True), back), encoding="utf-8")
            return path
        if (path.suffix and not path.is_dir()) or path.is_file():
            raise ValueError(f"expected a folder, or a file that ends in .html, got {path}")
        bundle = self.bundle(progress=progress)
        bundle.about.update({"title": title} | ({"provenance": dict(provenance)} if provenance else {}))
        described = write_bundle(bundle, path, latents_per_shard, progress=progress)
        body = _html.host(described, (path / "payload.bin").read_bytes(), {**self.state, "linked": True}, self._fallback())
        (path / "index.html").write_text(_html.page(title, body, back), encoding="utf-8")
        return path / "index.html"

    def widget(self, model: Any = None, saes: Mapping[str, Any] | None = None) -> Any:
        """A live widget. Its `latent`, `pinned`, `view` and `query` follow the page, and the page follows them. Needs anywidget.

        In a built book, where no kernel runs, it shows as the explorer itself.

        Args:
            model: a language model; with it the page has a box to type a text in. saes: name → SAE, as in `acts`. Both or neither.
        """
        from msae.explore._widget import make_widget

        return make_widget(self, model, saes)


def _about(sae: Any) -> dict[str, str]:
    """What a bundle says of an SAE beyond its numbers; nothing where only directions were given."""
    told = {"hook_name": getattr(sae, "hook_name", None), "architecture": getattr(sae, "nonlinearity", None)}
    return {key: str(value) for key, value in told.items() if value is not None}


def _check(acts: Any, tokens: np.ndarray, str_tokens: Sequence[str | bytes]) -> None:
    if not isinstance(acts, Mapping) or not acts:
        raise ValueError(f'expected {{"name": LatentActivations}}, got {type(acts).__name__}; for one SAE that is {{"S": acts}}')
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        raise ValueError(f"tokens must be whole numbers (n_texts, n_ctx), got shape {tokens.shape} of {tokens.dtype}")
    for name, each in acts.items():
        if not NAME.fullmatch(str(name)):
            raise ValueError(
                f"an SAE cannot be called {name!r}: patterns name latents as S/7, so a name begins with a letter and has only letters, "
                "digits, _ . - and /"
            )
        if not isinstance(each, LatentActivations):
            raise ValueError(f"acts[{name!r}] is a {type(each).__name__}: make it by LatentActivations.from_dense or from_sae")
        if each.mask.shape != tokens.shape:
            raise ValueError(f"acts[{name!r}] is of texts of shape {each.mask.shape}, but tokens have shape {tokens.shape}")
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(str_tokens):
        raise ValueError(f"token ids run from {tokens.min()} to {tokens.max()}, but str_tokens has the texts of 0 … {len(str_tokens) - 1}")


def _check_directions(
    acts: Mapping[str, LatentActivations], directions: Mapping[str, np.ndarray], unembed: np.ndarray | None, n_vocab: int
) -> None:
    if directions and set(directions) != set(acts):
        raise ValueError(f"directions must name the SAEs {', '.join(acts)}, got {', '.join(directions)}")
    for name, rows in directions.items():
        if rows.ndim != 2 or len(rows) <= acts[name].latents.max(initial=0):
            expected = f"(at least {acts[name].latents.max(initial=0) + 1}, d_model)"
            raise ValueError(f"directions[{name!r}] must be {expected}, one row per latent, got shape {rows.shape}")
    if len({rows.shape[1] for rows in directions.values()}) > 1:
        widths = {name: rows.shape[1] for name, rows in directions.items()}
        raise ValueError(f"directions must all have the same width, got {widths}; give SAEs of one place, or leave directions out")
    if unembed is None:
        return
    if not directions:
        raise ValueError("unembed needs directions: give directions={name: sae} too")
    width = next(iter(directions.values())).shape[1]
    if unembed.shape != (width, n_vocab):
        raise ValueError(f"unembed must be (d_model, n_vocab) = ({width}, {n_vocab}), got shape {unembed.shape}")
