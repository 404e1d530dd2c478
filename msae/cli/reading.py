"""What commands read: a language model, its activations on some stories, and SAEs that must have been made from that model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

FOLDER = "folder of the SAE: of msae, of SAELens 6, or of dictionary_learning; or hf://owner/name on the Hugging Face hub"
HUB = "hf://"

if TYPE_CHECKING:
    from pathlib import Path

    from transformer_lens.model_bridge import TransformerBridge

    from msae.activations.kept import Activations
    from msae.sae.sae import SAE


class Read(NamedTuple):
    """What a command reads of stories."""

    hook: str
    held_out: bool
    n_ctx: int = 128
    skip_first: int = 1
    n_tokens: int | None = None
    """So many; all where there is none."""

    at_most: int | None = None
    """All, up to so many."""


def read_source(model: str, stories: str, what: Read) -> tuple[TransformerBridge, Activations]:
    """The language model, and its activations on the stories to train on or on the held-out ones."""
    from msae.activations.kept import Activations
    from msae.activations.rows import read_texts
    from msae.lm.loading import load_language_model
    from msae.texts.stories import load_stories, split_stories

    texts = split_stories(load_stories(stories))[int(what.held_out)]
    lm = load_language_model(model)
    places: dict[str, Any] = {"n_ctx": what.n_ctx, "skip_first": what.skip_first}
    n_tokens = what.n_tokens
    if what.at_most is not None:
        texts = texts[: what.at_most]  # each has a token, unless it is no longer than what is skipped
        n_tokens = min(what.at_most, int(read_texts(lm, texts, **places).mask.sum()))
    return lm, Activations(lm, texts, hook_name=what.hook, n_tokens=n_tokens, **places)


def read_folder(folder: str | Path, hook: str | None = None) -> SAE:
    """The SAE of a folder, or of "hf://owner/name" on the hub; `hook` is what it reads, where its files name none."""
    from msae.sae.formats import read_sae
    from msae.sae.hub import pull_sae

    sae = pull_sae(str(folder).removeprefix(HUB)) if str(folder).startswith(HUB) else read_sae(folder)
    if hook is not None and sae.hook_name not in (None, hook):
        raise ValueError(f"--hook is {hook!r}, and the SAE in {folder} reads {sae.hook_name!r}: leave --hook out")
    sae.hook_name = hook if sae.hook_name is None else sae.hook_name
    return sae


def check_model(saes: Mapping[str, SAE], model: str, stories: str) -> None:
    """Refuse SAEs that were made from another language model than the one that they are to be looked at with."""
    from msae.lm.sources import recorded_source, source, source_differences

    for name, sae in saes.items():
        found = [
            text for text in source_differences(recorded_source(sae.config), source(model, stories)) if text.startswith("language_model")
        ]
        if found:
            raise ValueError(f"{name} was made from another language model ({found[0]}): give the one it was made from as --model")


def check_activations(saes: Mapping[str, SAE], activations: Activations) -> None:
    """The same, once the model is there: by its weights and settings."""
    from msae.firings.sources import check_model_of

    check_model_of(saes, activations, "give the language model that it was made from as --model")
