"""The table of a family: every SAE measured on stories that it never saw.

    python -m msae family measure --out family --valid valid.jsonl.zst --table results.json

A row says what an SAE is, what it took, and what was measured on each set of stories: how faithful it is, how much of the language model's
loss it recovers, how well it keeps the latents of the small references, and what has become of a few concepts. Numbers that have an
interval are [value, low, high] (95 %, stories drawn anew).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae import metrics
from msae.activations.rows import Texts, read_texts
from msae.family.members import Family, Member, checked, together
from msae.family.training import is_trained
from msae.lm.sources import content_of, sha256_of_file, source
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.files import as_json, write_file
from msae.support.origin import check_origin
from msae.training.recipes import todays

if TYPE_CHECKING:
    from msae.activations.kept import Activations


N_TOKENS = 50_000
"""Tokens of each set of stories that are measured on, for all but the loss recovered."""

N_SPLICED = 128
"""Texts that the language model reads with each SAE in its stream."""

FOLLOWED = ("S2", "S3")
"""The references whose latents for the concepts are looked for in the large SAEs."""


class Stories(NamedTuple):
    """A set of stories to measure on."""

    lm: Any
    activations: Mapping[str, Activations]
    """By hook name; all of the same texts."""

    concepts: Mapping[str, np.ndarray]
    """(n_tokens,) bool for each concept."""


def measure_family(
    family: Family,
    out: str | os.PathLike,
    *,
    valid: str | None = None,
    only: str | Sequence[str] = "*",
    length: float = 1.0,
    n_tokens: int = N_TOKENS,
    n_spliced: int = N_SPLICED,
    device: str = "cpu",
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Measure the SAEs in `out` that have not been measured, and return the rows of all.

    A row lies beside its SAE, in `row.json`, as soon as it is measured; it is made again where the weights, its own or those of its
    references, the language model, the stories or the numbers asked for have changed.

    Args:
        valid: more stories to measure on, as for `msae.load_stories`. Every 20th of the family's own is measured on in any case.
        only: a pattern of ids, or several.
        n_tokens: at most so many tokens of each set.
        n_spliced: at most so many texts of each set for loss recovered and KL.

    Raises:
        FileNotFoundError: none of the SAEs is there.
        ValueError: one was made otherwise than this family makes it; or one cannot be measured, after all others have been.
    """
    members = checked(family, device).members(only, length)
    out = arguments.path("out", out)
    for name, value, least in (("n_tokens", n_tokens, 2), ("n_spliced", n_spliced, 1)):
        arguments.whole(name, value, least)
    arguments.yes_or_no("progress", progress)
    content = source(family.language_model, family.stories)["content"]
    if valid is not None:
        valid = str(arguments.path("valid", valid))
        content |= {"valid": content_of("stories", valid)}
    members = [member for member in members if is_trained(out, member)]
    if not members:
        raise FileNotFoundError(
            f"{out} holds none of the SAEs of {only!r}: train them first, with `python -m msae family train --out {out}`"
        )
    asked: dict[str, Any] = {"valid": None if valid is None else Path(valid).name, "n_tokens": n_tokens, "n_spliced": n_spliced}
    asked |= {"concepts": dict(family.concepts), "content": content}
    beside = {}
    for hook_name, seed in dict.fromkeys((member.hook_name, member.seed) for member in members):
        found = [member for member in family.members(length=length) if (member.hook_name, member.seed) == (hook_name, seed)]
        beside[hook_name, seed] = [member for member in found if is_trained(out, member)]
    todo = [member for member in members if not _is_measured(out, member, beside[member.hook_name, member.seed], asked)]
    failed = {}
    if todo:
        from tqdm.auto import tqdm

        sets = _sets(family, valid, list(dict.fromkeys(member.hook_name for member in todo)), n_tokens, device, progress)
        with tqdm(total=len(todo) * len(sets), unit="SAE", disable=not progress) as bar:
            for alike in together(todo):
                others = beside[alike[0].hook_name, alike[0].seed]
                folders = {member.name: out / member.id for member in others}
                names = [member.name for member in alike]
                groups = {name: _Group(folders, device, names, stories, n_spliced) for name, stories in sets.items()}
                for member in alike:
                    try:
                        measured = {name: _measure([member.name], group, bar)[member.name] for name, group in groups.items()}
                    except (ValueError, ArithmeticError, RuntimeError) as error:  # the others are measured all the same
                        failed[member.id] = error
                        continue
                    row = _describe(out / member.id, member) | {"asked": asked, "references": _references(out, member, others)}
                    write_file(out / member.id / "row.json", as_json(row | {"measured": measured}, "row", indent=1))
    if failed:
        name, why = next(iter(failed.items()))
        raise ValueError(
            f"{len(failed)} of {len(members)} SAEs cannot be measured, the rows of the others are kept; {name}: {why}"
        ) from why
    return [json.loads((out / member.id / "row.json").read_text(encoding="utf-8")) for member in members]


def _is_measured(out: Path, member: Member, beside: Sequence[Member], asked: Mapping[str, Any]) -> bool:
    try:
        row = json.loads((out / member.id / "row.json").read_text(encoding="utf-8"))
        weights = sha256_of_file(out / member.id / "sae.safetensors")
        is_of_these = row["sha256"] == weights and row["references"] == _references(out, member, beside)
        return bool(row["measured"] and row["asked"] == asked and is_of_these)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _references(out: Path, member: Member, beside: Sequence[Member]) -> dict[str, str]:
    """The small SAEs that a large one is compared with, and the hashes of their weights."""
    if member.name.startswith("S"):
        return {}
    return {other.name: sha256_of_file(out / other.id / "sae.safetensors") for other in beside if other.name.startswith("S")}


def _describe(folder: Path, member: Member) -> dict[str, Any]:
    """What an SAE is and what it took, from its own file."""
    config = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["config"]
    recipe = todays({name: value for name, value in config.items() if name not in ("family", "seed", "made_from")})
    about = dict(config["family"])
    about.pop("id", None)
    return {
        "id": member.id,
        "hook_name": member.hook_name,
        "name": member.name,
        "seed": member.seed,
        "n_latents": member.config.n_latents,
        "target_l0": member.config.target_l0,
        "sha256": sha256_of_file(folder / "sae.safetensors"),
        **about,
        "recipe": recipe,
        **({"made_from": config["made_from"]} if "made_from" in config else {}),
    }


def _sets(family: Family, valid: str | None, hook_names: Sequence[str], n_tokens: int, device: str, progress: bool) -> dict[str, Stories]:
    """The sets of stories, read at all the hooks in one pass each."""
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
        n = min(n_tokens, int(read_texts(lm, stories, family.n_ctx).mask.sum()))
        activations = harvest(lm, stories, hook_names, n_ctx=family.n_ctx, n_tokens=n, progress=progress)
        first = activations[hook_names[0]]
        places = {
            concept: match(pattern, first.tokens, first.str_tokens, mask=first.mask)[first.mask.numpy()]
            for concept, pattern in family.concepts.items()
        }
        sets[name] = Stories(lm, activations, {concept: mask for concept, mask in places.items() if mask.any()})
    return sets


@dataclass
class _Group:
    """SAEs of one hook and one seed on one set of stories, and what their measures share."""

    folders: Mapping[str, Path]
    device: str
    names: Sequence[str]
    """Those that are to be measured; the others are looked at by these."""

    stories: Stories
    n_spliced: int

    @cached_property
    def saes(self) -> dict[str, SAE]:
        return {name: SAE.load(folder, self.device) for name, folder in self.folders.items()}

    @cached_property
    def activations(self) -> Activations:
        """
        Raises:
            ValueError: one of the SAEs was made from another language model than the one that is here under its name.
        """
        activations = self.stories.activations[str(next(iter(self.saes.values())).hook_name)]
        now = getattr(activations, "origin", None) or {}
        asked = {name: now[name] for name in ("language_model", "d_model") if name in now}
        for name, sae in self.saes.items():
            check_origin(sae.config.get("made_from") or {}, asked, name, "measure it with the language model that it was made from")
        return activations

    @cached_property
    def acts(self) -> dict[str, Any]:
        return {name: metrics.encode(sae, self.activations.x) for name, sae in self.saes.items()}

    @cached_property
    def spliced(self) -> dict[str, metrics.Splice]:
        read, n = self.activations, self.n_spliced
        texts = Texts(read.tokens[:n], read.mask[:n], read.story[:n])
        return metrics.splice(self.stories.lm, {name: self.saes[name] for name in self.names}, texts)


def _measure(names: Collection[str], group: _Group, bar: Any) -> dict[str, dict[str, Any]]:
    """All numbers on one set of stories, for some of the SAEs of a group."""
    saes, stories, acts = group.saes, group.stories, group.acts
    x, story = group.activations.x, group.activations.x_story
    result = {}
    for name in names:
        found, loss = metrics.reconstruction(saes[name], x, story=story), group.spliced[name]
        references = [other for other in saes if other.startswith("S") and not name.startswith("S")]
        kept = {other: metrics.mean_max_correlation(acts[other], acts[name], story=story, n_resamples=200) for other in references}
        result[name] = {
            "n_tokens": len(x),
            "l0": _numbers(found.l0),
            "fvu": _numbers(found.fvu),
            "dead": found.dead,
            "loss_recovered": _numbers(loss.loss_recovered),
            "kl": _numbers(loss.kl),
            "n_spliced": loss.n_tokens,
            "mean_max_correlation": {other: _numbers(each.mean) for other, each in kept.items()},
            "concepts": {concept: _concept(acts, name, mask, story, kept) for concept, mask in stories.concepts.items()},
        }
        bar.update()
    return result


def _concept(
    acts: Mapping[str, Any], name: str, mask: np.ndarray, story: Any, kept: Mapping[str, metrics.MaxCorrelation]
) -> dict[str, Any]:
    """What has become of one concept: its best latent here, and the fate of each reference's best latent."""
    best = metrics.concept_scores(acts[name], mask, level=metrics.CLEARLY).best
    about: dict[str, Any] = {"n_tokens": int(mask.sum()), "best": _latent(acts[name], best, mask, story)}
    about["fragmentation"] = _numbers(metrics.fragmentation(acts[name], mask, story=story, levels=(metrics.CLEARLY,)).n_latents)
    for other, found in kept.items():
        if other not in FOLLOWED:
            continue
        latent = metrics.concept_scores(acts[other], mask, level=metrics.CLEARLY).best
        match = int(found.latents[latent])
        if match >= 0:
            fate = {"reference": latent, "correlation": _numbers(found.interval(latent))}
            about[f"match of {other}"] = fate | _latent(acts[name], match, mask, story)
    return about


def _latent(acts: Any, latent: int, mask: np.ndarray, story: Any) -> dict[str, Any]:
    score = metrics.concept_score(acts, latent, mask, story=story, level=metrics.CLEARLY)
    holes = metrics.hole_rate(acts, latent, mask, story=story, level=metrics.CLEARLY)
    numbers = {"f1": score.f1, "precision": score.precision, "recall": score.recall, "holes": holes.rate}
    return {"latent": latent} | {name: _numbers(each) for name, each in numbers.items()}


def _numbers(interval: metrics.Interval) -> list[float | None]:
    """[value, low, high], four digits; null for what is infinite or not known, which JSON has no number for."""
    return [float(f"{number:.4g}") if np.isfinite(number) else None for number in interval]
