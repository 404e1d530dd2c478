"""The live form of the explorer. Imported only when a widget is asked for, since anywidget is an extra."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

try:
    import anywidget
    import traitlets
except ImportError as error:  # pragma: no cover
    raise ImportError("the live explorer needs anywidget: pip install 'msae[explore]'; the explorer itself shows without it") from error

if TYPE_CHECKING:
    from msae.explore._explorer import Explorer


class ExplorerWidget(anywidget.AnyWidget):
    """Made by `Explorer.widget`."""

    _esm = files("msae.explore").joinpath("static/explorer.mjs").read_text(encoding="utf-8")
    data = traitlets.Unicode().tag(sync=True)
    latent = traitlets.Any().tag(sync=True)

    def __init__(self, explorer: Explorer):
        self._explorer = explorer
        super().__init__(data=explorer._json(), latent=explorer.open)

    @traitlets.validate("latent")
    def _known(self, proposal: Any) -> str:
        latent = self._explorer.id_of(proposal["value"])
        if latent not in self._explorer._ids:
            raise ValueError(
                f"latent {latent} is not in this page; make it one by Explorer(..., latents=[...]) or explorer.latent({latent!r}).widget()"
            )
        return latent

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if not bundle:
            return bundle
        static = {"text/html": self._explorer.latent(self.latent)._repr_html_()}
        return ({**bundle[0], **static}, bundle[1]) if isinstance(bundle, tuple) else {**bundle, **static}


def make_widget(explorer: Explorer) -> ExplorerWidget:
    return ExplorerWidget(explorer)
