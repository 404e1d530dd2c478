"""The SAEs that a group of a family names: what each is called, and its recipe.

    {"hook_names": ["blocks.3.hook_resid_pre"], "seeds": [0, 1], "n_steps": 6000, "references": {"S2": [100, 6]},
     "n_latents": 8192, "target_l0": [30], "ending": "long", "kinds": {"fading-20": {"fade_prefixes": 0.2}}}

names S2-long and fading-20-30-long at that place, each with two seeds. Recipes are spelled as they are recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msae.sae.prefixes import FullPrefix
from msae.training.config import TrainConfig
from msae.training.recipes import settings

PLAIN: Mapping[str, Any] = {"prefixes": FullPrefix(), "sample_prefixes": False}
KINDS: Mapping[str, Mapping[str, Any]] = {"plain": PLAIN, "matryoshka": {}}
"""What a kind of large SAE has of its own in its recipe, where a group says nothing else."""


class Named(NamedTuple):
    """One SAE that a group names."""

    hook_name: str
    name: str
    seed: int
    """As its name has it."""

    config: TrainConfig
    data_seed: int
    """Of the order of its batches."""


def saes_of(group: Mapping[str, Any], recipe: Mapping[str, Any], length: float, *, independent: bool) -> Iterator[Named]:
    """The SAEs of one group, place by place, seed by seed, the references first.

    Args:
        group: fields that `msae.family.checks` has judged.
        recipe: fields of `TrainConfig` that all SAEs of the family share.
        length: the share of the steps to train for.
        independent: draw the initial weights and the order of the batches of each SAE from its own name and seed.
    """
    shared = dict(recipe) | dict(group.get("recipe", {})) | {"n_steps": max(1, round(length * group["n_steps"]))}
    for hook_name in group["hook_names"]:
        for seed in group["seeds"]:
            for name, n_latents, l0, own in _sizes(group):
                sae_id = id_of(hook_name, name, seed)
                seeds = (drawn(f"weights of {sae_id}"), drawn(f"order of {sae_id}")) if independent else (seed, seed)
                fields = shared | dict(own) | {"n_latents": n_latents, "target_l0": float(l0), "seed": seeds[0]}
                yield Named(hook_name, name, seed, TrainConfig(**settings(fields)), seeds[1])


def _sizes(group: Mapping[str, Any]) -> Iterator[tuple[str, int, float, Mapping[str, Any]]]:
    """The name, the size, the L0 and what is its own in the recipe, of each SAE of one place and seed."""
    ending = f"-{group['ending']}" if "ending" in group else ""
    for name, (n, l0) in references_of(group).items():
        yield name + ending, n, l0, PLAIN
    sizes = group.get("n_latents", [])
    for n in sizes if isinstance(sizes, Sequence) else [sizes]:
        size = f"-{n}" if isinstance(sizes, Sequence) else ""
        for l0 in group.get("target_l0", []):
            for kind, own in group.get("kinds", KINDS).items():
                yield f"{kind}-{l0}{size}{ending}", n, l0, own
    for n, l0 in group.get("sizes", []):
        yield f"plain-{l0}-{n}{ending}", n, l0, PLAIN


def references_of(group: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
    """The references of a group by name, without its ending: a list of pairs names them S0, S1, …"""
    given = group.get("references", [])
    named = given.items() if isinstance(given, Mapping) else ((f"S{i}", pair) for i, pair in enumerate(given))
    return {name: (n, l0) for name, (n, l0) in named}


def id_of(hook_name: str, name: str, seed: int) -> str:
    """What an SAE is called in tables, and its folder."""
    return f"{hook_name}/{name}-seed{seed}"


def drawn(what: str) -> int:
    """A seed that hangs on these words alone, the same on every machine."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:6], "big")
