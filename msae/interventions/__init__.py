"""In: a language model and some latents of an SAE in its stream. Out: what the model says without them.

::

    before = next_token(lm, texts)
    with without(lm, sae, [66]):
        after = next_token(lm, texts)
"""

from msae.interventions.effects import continued, next_token
from msae.interventions.switching import without

__all__ = ["without", "next_token", "continued"]  # noqa: RUF022  (as they are read)
