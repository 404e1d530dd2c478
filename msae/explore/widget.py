"""The live form of the explorer. Imported only when a widget is asked for, since anywidget is an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from msae.explore import pages
from msae.explore.checks import check_each, numbers_of
from msae.firings.firings import Firings
from msae.latents.names import split_id
from msae.support.arguments import shown
from msae.support.letters import join

try:
    import anywidget
    import traitlets
except ImportError as error:  # pragma: no cover
    raise ImportError("the live explorer needs anywidget: pip install 'msae[explore]'; the explorer itself shows without it") from error

if TYPE_CHECKING:
    from msae.explore.explorer import Explorer


class _Given(traitlets.Any):
    allow_none = False  # else None would be taken without being validated


class ExplorerWidget(anywidget.AnyWidget):
    """Made by `Explorer.widget`. `latent`, `pinned`, `view` and `query` are what the page shows; set them and it follows."""

    _esm = pages.module()
    manifest = traitlets.Unicode().tag(sync=True)
    payload = traitlets.Bytes().tag(sync=True)
    latent = _Given().tag(sync=True)
    pinned = _Given("").tag(sync=True)
    view = traitlets.Enum(["latent", "tree", "search"], "latent").tag(sync=True)
    query = traitlets.Unicode().tag(sync=True)
    examples: traitlets.List[list[str]] = traitlets.List().tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    typed = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(self, explorer: Explorer, model: Any = None, saes: Mapping[str, Any] | None = None):
        if (model is None) != (saes is None):
            raise ValueError("typed text needs both model= and saes={name: sae}; give both or neither")
        if saes is not None and not isinstance(saes, Mapping):
            raise ValueError(f"saes must be {{name: SAE}}, got {shown(saes)}")
        if model is not None and not hasattr(model, "cfg"):
            raise ValueError(f"model must be a language model, got {shown(model)}")
        if saes is not None and set(saes) != set(explorer.acts):
            raise ValueError(f"saes must name the SAEs {', '.join(explorer.acts)}, got {', '.join(saes)}")
        if saes is not None:
            check_each(saes)
            for name, sae in saes.items():
                shown_here, given = explorer.directions.get(name), numbers_of("W_dec", sae.W_dec)
                if shown_here is not None and not (given.shape == shown_here.shape and np.allclose(given, shown_here, 0.01, 0.001)):
                    raise ValueError(f"saes[{name!r}] is not the SAE that the explorer shows: give the one that it was made from")
        self._explorer, self._model, self._saes = explorer, model, saes
        described, packed = explorer._page
        super().__init__(manifest=pages.in_script(described), payload=packed, live=model is not None, **explorer.state)

    @traitlets.validate("latent", "pinned")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] == "" and proposal["trait"].name == "pinned":
            return ""
        latent = self._explorer.id_of(proposal["value"])
        if latent not in self._explorer._ids:
            raise ValueError(
                f"latent {latent} is not in this page; make it one by Explorer(..., latents=[...]) or explorer.latent({latent!r}).widget()"
            )
        return latent

    @traitlets.observe("typed")
    def _read(self, change: Any) -> None:
        if self._model is None or not change["new"].strip():
            self.answer = {}
            return
        try:
            self.answer = on_text(change["new"], self._model, self._saes or {}, self._explorer._ids)
        except ValueError as error:  # shown in the page: nobody reads the log of a callback
            self.answer = {"error": str(error)}

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if not bundle:
            return bundle
        opened = self._explorer.latent(self.latent, self.pinned or None)
        opened._state |= {"view": self.view, "query": self.query}
        static = {"text/html": opened._repr_html_()}
        return ({**bundle[0], **static}, bundle[1]) if isinstance(bundle, tuple) else {**bundle, **static}


def on_text(text: str, model: Any, saes: Mapping[str, Any], ids: list[str]) -> dict[str, Any]:
    """What latents do on a text that was typed just now.

    Returns:
        "text"; "tokens", their texts; "parts", [place, part, of, text] of each that is part of a letter; "firings": index in ids →
        [places, activations], silent latents left out.
    """
    from msae.activations.kept import Activations

    kept: dict[str, list[tuple[int, int]]] = {}
    for k, (name, number) in enumerate(map(split_id, ids)):
        kept.setdefault(name, []).append((k, number))
    firings: dict[str, Any] = {}
    words: list[str] = []
    parts: list[tuple[int, int, int, str]] = []
    hooks: dict[str, Activations] = {}
    for name, latents in kept.items():
        hook = saes[name].hook_name
        if hook is None:
            raise ValueError(f"saes[{name!r}] does not say which hook it reads: set its hook_name")
        if hook not in hooks:
            hooks[hook] = Activations(model, [text], hook_name=hook, n_ctx=model.cfg.n_ctx, progress=False)
        read = hooks[hook]
        acts = Firings.of_sae(saes[name], read, latents=[number for _, number in latents])
        counted = np.flatnonzero(acts.mask.ravel())
        if not words:
            start = np.concatenate([[0], np.cumsum(acts.mask.sum(1))])
            numbers, letters = join(read.tokens.numpy().ravel()[counted], start, read.str_tokens)
            n_vocab = len(read.str_tokens)
            words = [read.str_tokens[i] if i < n_vocab else letters[i - n_vocab].shown for i in numbers.tolist()]
            pieces = [(k, letters[i - n_vocab]) for k, i in enumerate(numbers.tolist()) if i >= n_vocab]
            parts = [(k, piece.part, piece.n_parts, piece.text) for k, piece in pieces]
        for k, number in latents:
            positions, values = acts.of(number)
            if len(positions):
                firings[str(k)] = [np.searchsorted(counted, positions).tolist(), [round(float(v), 4) for v in values]]
    return {"text": text, "tokens": words, "parts": parts, "firings": firings}


def make_widget(explorer: Explorer, model: Any = None, saes: Mapping[str, Any] | None = None) -> ExplorerWidget:
    return ExplorerWidget(explorer, model, saes)
