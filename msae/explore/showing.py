"""Where an explorer is shown: in a notebook, in a file, in a folder, or live."""

from __future__ import annotations

import copy
import html
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msae.explore import pages, sample
from msae.explore.bundle import Bundle
from msae.explore.checks import described
from msae.explore.selection import Selection
from msae.explore.source import Source
from msae.explore.view import View
from msae.explore.writing import bundle_files, check_latents_per_shard, write_folder
from msae.latents.names import split_id
from msae.support.arguments import new_file, new_folder, written, yes_or_no
from msae.support.arguments import path as path_of
from msae.support.files import write_file

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from typing_extensions import Self

    from msae.explore.widget import ExplorerWidget
    from msae.sae.sae import SAE

WARN_BYTES, REFUSE_BYTES = 1_500_000, 5_000_000


class Shown:
    """Latents of a source, opened at one of them: in a notebook, in a file, in a folder, or live."""

    view: View
    """What is opened."""

    def __init__(self, source: Source):
        self.view = View()
        self._source = source
        self._default = self._selection = Selection(source)

    def _at(self, view: View) -> Self:
        """The same at another view; a page of the same latents is not made anew."""
        other = copy.copy(self)
        other.view = view
        wanted = Selection(self._source, {view.latent, view.pinned} - {""}, self._default)
        known = (each for each in (self._selection, self._default) if each.ids == wanted.ids)
        other._selection = next(known, wanted)
        return other

    @property
    def shown(self) -> list[str]:
        """The ids of the latents that are in a page whatever it opens with, in order."""
        return self._default.ids

    @property
    def open(self) -> str:
        """The id of the latent that the page opens with: the one asked for, else the first with a label, else the first that fires."""
        return self.view.latent or self._default.first

    @property
    def state(self) -> dict[str, Any]:
        """What the page is told to open with."""
        view = self.view
        examples = [list(example) for example in view.examples]
        return {"latent": self.open, "view": view.view, "pinned": view.pinned, "query": view.query, "examples": examples}

    def bundle(self, progress: bool = False) -> Bundle:
        """All texts, with all the latents of `acts` or those of `latents`: what `save("folder")` writes.

        Args:
            progress: show a bar when it takes more than a few seconds.
        """
        return self._selection.whole(yes_or_no("progress", progress))

    def page(self) -> Bundle:
        """What a page holds, in a notebook or a book: a random sample of the texts, the first `n_sample`, and windows around the strongest
        activations of each latent."""
        return self._selection.on_the_page

    def save(
        self,
        path: str | os.PathLike[str],
        title: str = "Latents",
        *,
        latents_per_shard: int = 64,
        back: str | None = None,
        provenance: Mapping[str, object] | None = None,
        progress: bool = True,
    ) -> Path:
        """Write the explorer so that it opens from a disk, without a server and without a network.

        A path that ends in .html becomes one file with what a page holds. Any other becomes a folder: index.html, and beside it all texts
        and all firings in the form `msae-explorer/1` (see `read_bundle`), which the page loads as they are asked for. In both, an address
        such as index.html#latent=S/2/65&pinned=S/3/66 opens it there; view=tree and query=… work the same way, and `address` writes one.

        Args:
            path: of the file or the folder.
            title: of the page.
            latents_per_shard: latents whose firings share a file.
            back: the address of a page to lead back to.
            provenance: how it was made, for the manifest of a folder.
            progress: show a bar when a folder takes more than a few seconds.

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
        told = described("provenance", provenance)
        if path.suffix.lower() in (".html", ".htm"):
            new_file("path", path)
            write_file(path, pages.page(title, self._html(linked=True), back))
            return path
        if (path.suffix[1:].isalpha() and not path.is_dir()) or path.is_file():  # pythia-1.4b and run.2 are folders
            raise ValueError(f"expected a folder, or a file that ends in .html, got {path}")
        check_latents_per_shard(latents_per_shard)
        new_folder("path", path)
        bundle = self.bundle(progress=progress)
        bundle.about.update({"title": title} | ({"provenance": told} if told else {}))
        manifest, files = bundle_files(bundle, latents_per_shard, progress=progress)
        element = pages.host(manifest, files["payload.bin"], {**self.state, "linked": True}, self._without_scripts())
        write_folder(path, {**files, "index.html": pages.page(title, element, back)})
        return path / "index.html"

    def widget(self, model: TransformerBridge | None = None, saes: Mapping[str, SAE] | None = None) -> ExplorerWidget:
        """A live widget. Its `latent`, `pinned`, `view` and `query` follow the page, and the page follows them. Needs anywidget.

        In a built book, where no kernel runs, it shows as the explorer itself.

        Args:
            model: a language model; with it the page has a box to type a text in. Needs `saes`.
            saes: name → SAE, as in `acts`. Needs `model`.

        Raises:
            ImportError: anywidget is not installed.
            ValueError: one of the two alone, or other SAEs than are shown.
        """
        from msae.explore.widget import ExplorerWidget, Live

        manifest, payload = self._selection.page
        live = Live(
            manifest=manifest,
            payload=payload,
            state=self.state,
            ids=self._selection.ids,
            acts=self._source.acts,
            directions=self._source.directions.rows,
            html=lambda view: self._at(view)._repr_html_(),
        )
        return ExplorerWidget(live, model, saes)

    def _repr_html_(self) -> str:
        return self._html(linked=False)

    def _html(self, linked: bool) -> str:
        """An element of a page, which holds all that it shows; `linked` if the page's address says what it opens with too."""
        manifest, payload = self._selection.page
        size = len(pages.in_script(manifest)) + len(payload) * 4 / 3
        if size > WARN_BYTES:
            n = len(self._selection.ids)
            advice = f"the explorer of {n} latents takes {size / 1e6:.1f} MB in the page: give fewer latents= or page_bytes="
            if size > REFUSE_BYTES:
                raise ValueError(f'{advice}, or save("folder") and link to it')
            warnings.warn(advice, stacklevel=3)
        return pages.host(manifest, payload, {**self.state, "linked": linked}, self._without_scripts())

    def _without_scripts(self) -> str:
        """What is seen where scripts do not run: the strongest texts of the opened latent, already coloured."""
        source, latent = self._source, self.open
        name, number = split_id(latent)
        acts = source.acts[name]
        first, length = sample.spans(source.texts.mask)
        dense = acts.dense(number)
        rows = []
        for row, peak in acts.top_texts(number, 3):
            begin, size = sample.window(int(first[row]), int(length[row]), peak, source.sizes.window)
            rows.append(pages.coloured(zip(source.texts.words(row, begin, size), dense[row, begin : begin + size]), dense.max()))
        label = f" ({html.escape(source.labels[latent])})" if latent in source.labels else ""
        return (
            f"<p>Latent {html.escape(latent)}{label} on its strongest texts. The list of latents and the activation of each token "
            f"appear where scripts run: in the built book, or in the notebook after running this cell.</p>\n" + "\n".join(rows)
        )
