"""The explorer: look at latents on text, in a notebook, in the built book, or in a file of its own.

acts = msae.explore.LatentActivations.from_sae(sae, activations)
ex = msae.explore.Explorer({"S": acts}, tokens=activations.tokens, str_tokens=activations.str_tokens)
ex.latent(7)
"""

from __future__ import annotations

from msae.explore._activations import LatentActivations, TopToken
from msae.explore._explorer import Explorer

__all__ = ["Explorer", "LatentActivations", "TopToken"]
