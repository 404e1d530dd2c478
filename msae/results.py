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
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae import metrics
from msae.family import Family, Member, is_trained, together
from msae.harvesting import Texts, read_texts
from msae.language_model import sha256_of
from msae.sae import SAE

if TYPE_CHECKING:
    from msae.activations import Activations

N_TOKENS = 50_000
"""Tokens of each set of stories that are measured on, for all but the loss recovered."""

N_SPLICED = 128
"""Texts that the language model reads with each SAE in its stream."""

LEVEL = 0.25
"""Share of its own maximum above which a latent counts as firing on a concept."""

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

    A row lies beside its SAE, in `row.json`; it is made again where the weights, the stories or the numbers asked for have changed.

    Args:
        valid: more stories to measure on, as for `msae.load_stories`. Every 20th of the family's own is measured on in any case.
        only: a pattern of ids, or several.
        n_tokens: at most so many tokens of each set.
        n_spliced: at most so many texts of each set for loss recovered and KL.

    Raises:
        FileNotFoundError: none of the SAEs is there.
    """
    out = Path(out)
    members = [member for member in family.members(only, length) if is_trained(out, member)]
    if not members:
        raise FileNotFoundError(
            f"{out} holds none of the SAEs of {only!r}: train them first, with `python -m msae family train --out {out}`"
        )
    asked: dict[str, Any] = {"valid": None if valid is None else Path(valid).name, "n_tokens": n_tokens, "n_spliced": n_spliced}
    asked |= {"concepts": dict(family.concepts)}
    todo = [member for member in members if not _is_measured(out / member.id, asked)]
    if todo:
        from tqdm.auto import tqdm

        sets = _sets(family, valid, list(dict.fromkeys(member.hook_name for member in todo)), n_tokens, device, progress)
        with tqdm(total=len(todo) * len(sets), unit="SAE", disable=not progress) as bar:
            for alike in together(todo):
                beside = family.members(f"{alike[0].hook_name}/*-seed{alike[0].seed}", length)
                saes = {m.name: SAE.load(out / m.id, device) for m in beside if is_trained(out, m)}
                measured = {name: _measure({m.name for m in alike}, saes, stories, n_spliced, bar) for name, stories in sets.items()}
                for member in alike:
                    row = _describe(out / member.id, member) | {"asked": asked}
                    row["measured"] = {name: each[member.name] for name, each in measured.items()}
                    (out / member.id / "row.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return [json.loads((out / member.id / "row.json").read_text(encoding="utf-8")) for member in members]


def _is_measured(folder: Path, asked: Mapping[str, Any]) -> bool:
    try:
        row = json.loads((folder / "row.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(row["asked"] == asked and row["sha256"] == sha256_of(folder / "sae.safetensors"))


def _describe(folder: Path, member: Member) -> dict[str, Any]:
    """What an SAE is and what it took, from its own file."""
    config = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["config"]
    recipe = {name: value for name, value in config.items() if name not in ("family", "seed")}
    about = dict(config["family"])
    about.pop("id")
    return {
        "id": member.id,
        "hook_name": member.hook_name,
        "name": member.name,
        "seed": member.seed,
        "n_latents": member.config.n_latents,
        "target_l0": member.config.target_l0,
        "sha256": sha256_of(folder / "sae.safetensors"),
        **about,
        "recipe": recipe,
    }


def _sets(family: Family, valid: str | None, hook_names: Sequence[str], n_tokens: int, device: str, progress: bool) -> dict[str, Stories]:
    """The sets of stories, read at all the hooks in one pass each."""
    from msae.activations import harvest
    from msae.language_model import load_language_model
    from msae.patterns import match
    from msae.stories import load_stories, split_stories

    lm = load_language_model(family.language_model, device)
    texts = {"held_out": split_stories(load_stories(family.stories))[1]}
    if valid is not None:
        texts["valid"] = load_stories(valid)
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


def _measure(names: Collection[str], saes: Mapping[str, SAE], stories: Stories, n_spliced: int, bar: Any) -> dict[str, dict[str, Any]]:
    """All numbers on one set of stories, for some of the SAEs of one hook and one seed."""
    activations = stories.activations[str(next(iter(saes.values())).hook_name)]
    x, story = activations.x, activations.x_story
    read = Texts(activations.tokens[:n_spliced], activations.mask[:n_spliced], activations.story[:n_spliced])
    spliced = metrics.splice(stories.lm, {name: saes[name] for name in names}, read)
    acts = {name: metrics.encode(sae, x) for name, sae in saes.items()}
    result = {}
    for name in names:
        found, loss = metrics.reconstruction(saes[name], x, story), spliced[name]
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
    best = metrics.concept_scores(acts[name], mask, LEVEL).best
    about: dict[str, Any] = {"n_tokens": int(mask.sum()), "best": _latent(acts[name], best, mask, story)}
    about["fragmentation"] = _numbers(metrics.fragmentation(acts[name], mask, story, levels=(LEVEL,)).n_latents)
    for other, found in kept.items():
        if other not in FOLLOWED:
            continue
        latent = metrics.concept_scores(acts[other], mask, LEVEL).best
        match = int(found.match[latent])
        if match >= 0:
            correlation = metrics.Interval(*(float(values[latent]) for values in (found.best, found.low, found.high)))
            fate = {"reference": latent, "correlation": _numbers(correlation)}
            about[f"match of {other}"] = fate | _latent(acts[name], match, mask, story)
    return about


def _latent(acts: Any, latent: int, mask: np.ndarray, story: Any) -> dict[str, Any]:
    score = metrics.concept_score(acts, latent, mask, story, LEVEL)
    holes = metrics.hole_rate(acts, latent, mask, story=story, level=LEVEL)
    numbers = {"f1": score.f1, "precision": score.precision, "recall": score.recall, "holes": holes.rate}
    return {"latent": latent} | {name: _numbers(each) for name, each in numbers.items()}


def _numbers(interval: metrics.Interval) -> list[float | None]:
    """[value, low, high], four digits; null for what is infinite or not known, which JSON has no number for."""
    return [float(f"{number:.4g}") if np.isfinite(number) else None for number in interval]


def save_results(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Write rows as one JSON file, a line for each."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    Path(path).write_text(f'{{"format": "msae-results/1", "rows": [\n{lines}\n]}}\n', encoding="utf-8")


def load_results(path: str | os.PathLike | None = None) -> list[dict[str, Any]]:
    """The rows of a table: the one that ships with msae, or one of your own.

    Raises:
        FileNotFoundError, ValueError: there is none, or the file is no such table.
    """
    source = files("msae") / "assets" / "saes" / "results.json" if path is None else Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"there is no table {source}: make one with `python -m msae family measure --table`")
    try:
        table = json.loads(source.read_text(encoding="utf-8"))
        if table["format"] != "msae-results/1":
            raise ValueError("its format is not msae-results/1")
        return list(table["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{source} is not a table of results: {error}") from error
