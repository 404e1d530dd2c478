"""The explorer: look at latents on text, in a notebook, in the built book, or in a folder of its own.

acts = msae.explore.LatentActivations.from_sae(sae, activations)
ex = msae.explore.Explorer({"S": acts}, tokens=activations.tokens, str_tokens=activations.str_tokens)
ex.latent(7); ex.tree(7); ex.search("Lily|Sue"); ex.widget(); ex.save("folder")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msae.explore._activations import LatentActivations, TopToken
from msae.explore._bundle import Bundle, write_bundle
from msae.explore._explorer import Explorer
from msae.explore._html import address
from msae.explore._reading import read_bundle

if TYPE_CHECKING:
    from msae.explore._relations import latent_tree as latent_tree

__all__ = ["Bundle", "Explorer", "LatentActivations", "TopToken", "address", "latent_tree", "read_bundle", "write_bundle"]


def __getattr__(name: str) -> Any:
    if name == "latent_tree":  # needs scipy, which takes a while to load
        from msae.explore._relations import latent_tree

        return latent_tree
    raise AttributeError(f"module 'msae.explore' has no attribute {name!r}")
