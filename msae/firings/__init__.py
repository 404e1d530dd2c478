"""In: an SAE and activations. Out: where and how strongly each latent fires, the hinge between what is trained and what is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msae.firings.latent_activations import LatentActivations, TopToken

if TYPE_CHECKING:
    from msae.firings.firings import Firings as Firings
    from msae.firings.firings import as_firings as as_firings
    from msae.firings.firings import encode as encode

__all__ = ["Firings", "LatentActivations", "TopToken", "as_firings", "encode"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # torch takes a while to load
        from msae.firings import firings

        return getattr(firings, name)
    raise AttributeError(f"module 'msae.firings' has no attribute {name!r}")
