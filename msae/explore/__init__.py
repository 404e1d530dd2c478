"""In: firings of SAEs on texts. Out: the explorer, in a notebook, in the built book, or in a folder that needs no server.

::

    acts = msae.firings.Firings.of_sae(sae, activations)
    ex = msae.explore.Explorer({"S": acts}, activations.tokens, activations.str_tokens)
    ex.latent(7); ex.tree(7); ex.search("Lily|Sue"); ex.widget(); ex.save("folder")
"""

from msae.explore.bundle import Bundle
from msae.explore.explorer import Explorer
from msae.explore.neuronpedia import write_neuronpedia
from msae.explore.pages import address
from msae.explore.reading import read_bundle
from msae.explore.writing import write_bundle
from msae.firings import LatentActivations, TopToken
from msae.latents.relations import latent_tree

__all__ = [  # noqa: RUF022  (as they are read)
    "Explorer", "address", "Bundle", "read_bundle", "write_bundle", "write_neuronpedia", "latent_tree", "LatentActivations", "TopToken",
]  # fmt: skip
