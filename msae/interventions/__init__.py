"""In: a language model, an SAE in its stream, and what is done to some latents. Out: what the model says then.

::

    before = next_token(lm, texts)
    with spliced(lm, sae, clamp([66], 5.0)):
        after = next_token(lm, texts)

`ablate`, `clamp`, `add_noise` and `steer` say what is done; `spliced` does it for as long as the `with` lasts, and `without` is `spliced`
with `ablate`. `effect`, `responses` and `each_alone` measure it.

Which latents cause a behaviour? Pairs of prompts that ask for different answers (`prompt_pairs`), a stream taken apart (`into_latents`,
`into_directions`), and parts of it taken over from one prompt into the other (`patched`, `restored`), ranked by `attribution`.
"""

from msae.interventions.changes import Change, ablate, add_noise, clamp, steer
from msae.interventions.decompositions import Decomposition, into_directions, into_latents
from msae.interventions.effects import continuations, continued, next_token
from msae.interventions.measures import Alone, Effect, Responses, each_alone, effect, responses
from msae.interventions.patching import Restored, attribution, patched, restored
from msae.interventions.prompts import Pairs, logit_differences, prompt_pairs
from msae.interventions.splicing import spliced
from msae.interventions.switching import without

__all__ = [  # noqa: RUF022  (as they are read)
    "spliced", "ablate", "clamp", "add_noise", "steer", "Change", "without", "next_token", "continued", "continuations", "effect", "Effect",
    "responses", "Responses", "each_alone", "Alone", "prompt_pairs", "Pairs", "logit_differences", "into_latents", "into_directions",
    "Decomposition", "patched", "restored", "Restored", "attribution",
]  # fmt: skip
