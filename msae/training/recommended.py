"""The recipe that this library recommends for a language model's activations: that of the SAEs that ship."""

from __future__ import annotations

from typing import Any

from msae.sae.lawful import checked_law
from msae.sae.prefixes import SquareRootPrefixes
from msae.support.arguments import whole
from msae.training.config import TrainConfig


def language_model_recipe(n_latents: int, target_l0: float, n_steps: int, **changes: Any) -> TrainConfig:
    """The recipe of the large SAEs that ship, for an SAE of any size on a language model's activations.

    `TrainConfig` by itself has none of the five settings that this adds, and the toy does without them. Each is measured in the book:
    `lazy_adam` and exchanges leave fewer latents dead, `centre` fewer still and better predictions, and prefixes that fade over the last
    two fifths of the run give back a part of what prefixes cost in FVU. No more than about one latent in 640 moves per step.

    Args:
        n_latents: number of latents; 8 to 32 times d_model, where there are the tokens.
        target_l0: mean number of active latents per input; 15 to 60 is usual.
        n_steps: optimizer steps; the SAEs that ship had 1,500 of 1,024 inputs.
        changes: other fields of `TrainConfig`, these five too. Where every prefix is the whole SAE, as in `prefixes=FullPrefix()`, nothing
            can fade, nor with `stop_gradient`: `fade_prefixes` is 0 there unless it is given.

    Returns:
        The recipe, to be given to `msae.train`.

    Raises:
        ValueError: settings that cannot be, or do not fit each other, naming the first.
        TypeError: a name that `TrainConfig` does not have.

    Example:
        >>> import msae
        >>> config = msae.language_model_recipe(8192, 30, 6000)
        >>> config.exchange_moves, config.fade_prefixes
        (64, 0.4)
        >>> msae.language_model_recipe(8192, 30, 6000, prefixes=msae.FullPrefix()).fade_prefixes
        0.0
    """
    n_latents = whole("n_latents", n_latents, 1)
    law = checked_law(changes.get("prefixes", SquareRootPrefixes()), n_latents)
    fades = not changes.get("stop_gradient") and bool((law.inclusion(n_latents) < 1).any())
    ours = {"lazy_adam": True, "centre": True, "fade_prefixes": 0.4 if fades else 0.0}
    ours |= {"exchange_every": max(5, 640 // n_latents), "exchange_moves": max(1, n_latents // 128)}
    return TrainConfig(n_latents, target_l0, n_steps, **(ours | changes))
