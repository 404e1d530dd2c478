"""In: SAEs and the activations they read. Out: answers about their latents: the best for a concept, its like, its children, its holes."""

from msae.latents.labels import concept_labels, holes_to_search
from msae.latents.relations import latent_tree

__all__ = ["concept_labels", "holes_to_search", "latent_tree"]
