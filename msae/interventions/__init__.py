"""In: a language model, an SAE in its stream, and what is done to some latents. Out: what the model says then.

::

    before = next_token(lm, texts)
    with spliced(lm, sae, clamp([66], 5.0)):
        after = next_token(lm, texts)

`ablate`, `clamp`, `add_noise` and `steer` say what is done; `spliced` does it for as long as the `with` lasts, and `without` is `spliced`
with `ablate`. `effect`, `responses` and `each_alone` measure it.
"""

from msae.interventions.changes import Change, ablate, add_noise, clamp, steer
from msae.interventions.effects import continuations, continued, next_token
from msae.interventions.measures import Alone, Effect, Responses, each_alone, effect, responses
from msae.interventions.splicing import spliced
from msae.interventions.switching import without

__all__ = [  # noqa: RUF022  (as they are read)
    "spliced", "ablate", "clamp", "add_noise", "steer", "Change", "without", "next_token", "continued", "continuations", "effect", "Effect",
    "responses", "Responses", "each_alone", "Alone",
]  # fmt: skip
