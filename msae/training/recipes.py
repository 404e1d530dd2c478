"""Recipes as they were recorded: in SAE files, checkpoints and tables of results, by this version or one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msae.support.origin import differences


def todays(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded recipe in the words of today's `TrainConfig`; what else stands beside it stays.

    Before, a word `loss` told plain, sampled and exact training apart, and the plain one had a law of prefixes that it did not use; an
    exchange moved one latent at most; and Adam was never lazy.
    """
    recipe = dict(recorded)
    if "exchange_every" in recipe:
        recipe = {"exchange_moves": 1, "lazy_adam": False} | recipe
    loss = recipe.get("loss")
    if loss not in ("plain", "sampled", "all_prefixes"):
        return recipe
    del recipe["loss"]
    recipe["sample_prefixes"] = loss == "sampled"
    if loss == "plain":
        recipe["prefixes"] = {"name": "FullPrefix"}
    return recipe


def recipe_differences(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Where a recorded recipe, with whatever stands beside it, is not the one that is asked for, in words (`differences`)."""
    return differences(todays(recorded), asked)
