"""In: SAEs and the activations they read. Out: answers about their latents: the best for a concept, its like, its children, its holes."""

from msae.latents.relations import latent_tree

__all__ = ["latent_tree"]
