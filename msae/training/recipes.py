"""Recipes as they are recorded: in SAE files, checkpoints and tables of results, by this version or one before; and read from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from msae.sae import prefixes
from msae.sae.nonlinearities.base import kinds
from msae.support import arguments
from msae.support.origin import differences


def todays(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded recipe in the words of today's `TrainConfig`; what else stands beside it stays.

    Before, a word `loss` told plain, sampled and exact training apart, and the plain one had a law of prefixes that it did not use; an
    exchange moved one latent at most; Adam was never lazy; there was no auxiliary loss; inputs were taken as they are; and gradients were
    never stopped.
    """
    recipe = dict(recorded)
    if "exchange_every" in recipe:
        since = {"aux_latents": 0, "aux_weight": 1 / 32, "dead_after": 65_536, "centre": False, "stop_gradient": False}
        recipe = {"exchange_moves": 1, "lazy_adam": False} | since | recipe
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
    before = {"skip_first": 1}  # of those that were made when no other number could be chosen
    return differences(before | todays(recorded), asked)


def settings(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `TrainConfig` from the JSON values that they are recorded as.

    `{"prefixes": {"name": "FixedPrefixes", "widths": [8, 32]}}` has the law of that name, `{"nonlinearity": {"name": "BatchTopK"}}` the
    nonlinearity; a `k` that is left out is the `target_l0`. What is no JSON object stays as it is.

    Raises:
        ValueError: no law or nonlinearity has that name, or it cannot be made of what stands beside it.
    """
    found: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()}
    laws = {name: kind for name, kind in vars(prefixes).items() if is_dataclass(kind) and hasattr(kind, "inclusion")}
    for field, known in (("prefixes", laws), ("nonlinearity", kinds())):
        if isinstance(spelled := found.get(field), Mapping):
            k = {"k": int(found["target_l0"])} if "k" in _fields(known.get(spelled.get("name", ""))) and found.get("target_l0") else {}
            found[field] = _made(field, spelled, known, k)
    return found


def _fields(kind: object) -> Mapping[str, Any]:
    return getattr(kind, "__dataclass_fields__", {})


def _made(field: str, spelled: Mapping[str, Any], known: Mapping[str, Any], usual: Mapping[str, Any]) -> Any:
    options = {**usual, **spelled}
    kind = known[arguments.one_of(f"the name of {field}", options.pop("name", None), known)]
    if unknown := [name for name in options if name not in _fields(kind)]:
        raise ValueError(f"{field} {kind.__name__} has no {unknown[0]!r}; it has {', '.join(_fields(kind)) or 'no settings'}")
    return kind(**options)
