"""The live form of the explorer. Imported only when a widget is asked for, since anywidget is an extra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.explore import pages
from msae.explore.checks import check_each, id_of, numbers_of
from msae.explore.typed import on_text
from msae.explore.view import VIEWS, View
from msae.firings.firings import Firings
from msae.support.arguments import shown

try:
    import anywidget
    import traitlets
except ImportError as error:  # pragma: no cover
    raise ImportError("the live explorer needs anywidget: pip install 'msae[explore]'; the explorer itself shows without it") from error

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from msae.sae.sae import SAE


class Live(NamedTuple):
    """What a widget shows."""

    manifest: dict[str, Any]
    """Of the page."""

    payload: bytes
    """Of the page."""

    state: dict[str, Any]
    """What it opens with."""

    ids: list[str]
    """The latents that are in the page, in order."""

    acts: Mapping[str, Firings]
    """Name → where the latents of that SAE fire."""

    directions: Mapping[str, np.ndarray]
    """Name → (n_latents, d_model) decoder rows; empty where they are not known."""

    html: Callable[[View], str]
    """The explorer at a view, for a page without a kernel."""


class _Given(traitlets.Any):
    allow_none = False  # else None would be taken without being validated


class ExplorerWidget(anywidget.AnyWidget):
    """The explorer in a notebook with a kernel. `latent`, `pinned`, `view` and `query` are what the page shows; set them and it follows.

    Made by `Explorer.widget`.

    Args:
        live: what it shows.
        model: a language model; with it the page has a box to type a text in. Needs `saes`.
        saes: name → SAE, those that are shown. Needs `model`.

    Raises:
        ValueError: one of the two alone, or other SAEs than are shown.
    """

    _esm = pages.module()
    manifest = traitlets.Unicode().tag(sync=True)
    payload = traitlets.Bytes().tag(sync=True)
    latent = _Given().tag(sync=True)
    pinned = _Given("").tag(sync=True)
    view = traitlets.Enum(list(VIEWS), "latent").tag(sync=True)
    query = traitlets.Unicode().tag(sync=True)
    examples: traitlets.List[list[str]] = traitlets.List().tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    typed = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(self, live: Live, model: TransformerBridge | None = None, saes: Mapping[str, SAE] | None = None):
        _check(live, model, saes)
        self._live, self._model, self._saes = live, model, saes
        super().__init__(manifest=pages.in_script(live.manifest), payload=live.payload, live=model is not None, **live.state)

    @traitlets.validate("latent", "pinned")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] == "" and proposal["trait"].name == "pinned":
            return ""
        latent = id_of(self._live.acts, proposal["value"])
        if latent not in self._live.ids:
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
            self.answer = on_text(change["new"], self._model, self._saes or {}, self._live.ids)
        except ValueError as error:  # shown in the page: nobody reads the log of a callback
            self.answer = {"error": str(error)}

    @property
    def firings(self) -> dict[str, list[tuple[str, float]]]:
        """Of the text that was typed: latent → the tokens on which it fires, with their activations; silent latents are left out."""
        tokens, fired = self.answer.get("tokens", []), self.answer.get("firings", {})
        return {self._live.ids[int(k)]: [(tokens[at], value) for at, value in zip(*each)] for k, each in fired.items()}

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if not bundle:
            return bundle
        state = {name: getattr(self, name) for name in ("latent", "pinned", "view", "query")}
        opened = View(**state, examples=tuple((name, pattern) for name, pattern in self.examples))
        static = {"text/html": self._live.html(opened)}
        return ({**bundle[0], **static}, bundle[1]) if isinstance(bundle, tuple) else {**bundle, **static}


def _check(live: Live, model: Any, saes: Any) -> None:
    """Whether typed text can be read, by the SAEs that are shown."""
    if (model is None) != (saes is None):
        raise ValueError("typed text needs both model= and saes={name: sae}; give both or neither")
    if saes is None:
        return
    if not isinstance(saes, Mapping):
        raise ValueError(f"saes must be {{name: SAE}}, got {shown(saes)}")
    if not hasattr(model, "cfg"):
        raise ValueError(f"model must be a language model, got {shown(model)}")
    if set(saes) != set(live.acts):
        raise ValueError(f"saes must name the SAEs {', '.join(live.acts)}, got {', '.join(saes)}")
    check_each(saes)
    for name, sae in saes.items():
        shown_here, given = live.directions.get(name), numbers_of("W_dec", sae.W_dec)
        if shown_here is not None and not (given.shape == shown_here.shape and np.allclose(given, shown_here, 0.01, 0.001)):
            raise ValueError(f"saes[{name!r}] is not the SAE that the explorer shows: give the one that it was made from")
