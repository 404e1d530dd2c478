"""In: SAEs and the activations they read. Out: answers about their latents: the best for a concept, its like, its children, its holes;
what each stands for.

::

    latents = msae.Latents(saes, activations)
    latents.best("she|her|Lily", "S/2")
    # Best(latent="S/2/66", score=ConceptScore(recall=1.00, precision=…))
"""

from msae.latents.answers import Best, LookAlike
from msae.latents.controls import frozen_sae, independent_components, some_latents, strongest_inputs
from msae.latents.explained import Explanation, explain
from msae.latents.labels import concept_labels, holed_look_alike
from msae.latents.latents import Latents
from msae.latents.neighbours import Components, nearest, principal_components
from msae.latents.relations import Edge, best_parents, children, latent_tree

__all__ = [  # noqa: RUF022  (as they are read)
    "Latents", "Best", "LookAlike", "latent_tree", "Edge", "best_parents", "children", "nearest", "principal_components",
    "Components", "concept_labels", "holed_look_alike", "explain", "Explanation", "some_latents", "frozen_sae",
    "strongest_inputs", "independent_components",
]  # fmt: skip
