"""Stories as a language model reads them: what all SAEs of a family are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msae.activations.rows import read_texts

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from msae.activations.kept import Activations
    from msae.family.members import Family


class ReadStories(NamedTuple):
    """One set of stories, read once: by which model, what it computed at each hook, and where the concepts are."""

    lm: TransformerBridge

    activations: Mapping[str, Activations]
    """By hook name; all of the same texts."""

    concepts: Mapping[str, np.ndarray]
    """(n_tokens,) bool for each concept that occurs."""


def read_sets(
    family: Family, valid: str | None, hook_names: Sequence[str], *, n_tokens: int, device: str, progress: bool
) -> dict[str, ReadStories]:
    """The held-out stories of a family and, where there are some, more to measure on; read at all the hooks in one pass each.

    Args:
        family: whose model reads, and whose concepts are looked for.
        valid: as for `msae.load_stories`.
        hook_names: where the SAEs read.
        n_tokens: at most so many of each set.
        device: where the model is.
        progress: show a bar.

    Returns:
        "held_out" and "valid" → the stories.
    """
    from msae.activations.kept import harvest
    from msae.lm.loading import load_language_model
    from msae.patterns.matching import match
    from msae.texts.stories import load_stories, split_stories

    texts = {"held_out": split_stories(load_stories(family.stories))[1]}
    if valid is not None:
        texts["valid"] = load_stories(valid)
    lm = load_language_model(family.language_model, device)
    sets = {}
    for name, stories in texts.items():
        n = min(n_tokens, int(read_texts(lm, stories, **family.places).mask.sum()))
        activations = harvest(lm, stories, hook_names, n_tokens=n, progress=progress, **family.places)
        first = activations[hook_names[0]]
        places = {
            concept: match(pattern, first.tokens, first.str_tokens, mask=first.mask)[first.mask.numpy()]
            for concept, pattern in family.concepts.items()
        }
        sets[name] = ReadStories(lm, activations, {concept: mask for concept, mask in places.items() if mask.any()})
    return sets
