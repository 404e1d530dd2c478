"""SAEs of one name together: their mean over seeds, with an interval that holds seeds, reference seeds, reference latents and stories.

For each name at a place: its own numbers, its numbers against each reference, and how both stand to the plain SAEs of the same recipe.
`msae.metrics.hierarchical` makes every interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from msae.family.members import Member
from msae.family.pairs import Pairs, read_pairs
from msae.metrics.hierarchy import hierarchical
from msae.sae.prefixes import FullPrefix
from msae.support.origin import sha256_of_json
from msae.training.config import TrainConfig

RATIOS = ("fvu", "kl", "extra loss")
"""Numbers that are compared by their ratio; of the others the difference is told."""

LEFT_OUT = ("precision 0.125", "recall")
"""Parts of the names of numbers that are left in the replicates beside the SAEs: the table has to stay small."""

Table = dict[str, np.ndarray]
"""(n_seeds, 1 + n_replicates) by the id of each reference; under "" what the SAEs have alone."""


def together(out: Path, members: Sequence[Member]) -> list[dict[str, Any]]:
    """A row for the SAEs of each name at each place.

    Args:
        out: the folder of the SAEs.
        members: which of them; those without replicates are left out.

    Returns:
        JSON values by name: `hook_name`, `name`, `seeds`, `n_latents`, `target_l0`, `n_steps`, `alone` and `pairs`: numbers by set of
        stories (and reference) and name, each [value, low, high]; `against` the name of the plain SAEs, if there are any, and `than` for
        how it stands to them, by the same keys: a ratio of what `RATIOS` names, a difference of the others.

    Raises:
        ValueError: two were measured on other stories, or on other numbers of tokens or texts.
    """
    groups: dict[tuple[str, str], list[tuple[Member, Pairs]]] = {}
    for member in members:
        if (found := read_pairs(out / member.id)) is not None:
            groups.setdefault((member.hook_name, member.name), []).append((member, found))
    _check_alike([of_it for group in groups.values() for of_it in group])
    names = {(hook_name, _recipe(group[0][0].config)): name for (hook_name, name), group in reversed(groups.items())}
    tables = {key: _tables([pairs for _, pairs in group]) for key, group in groups.items()}
    rows = []
    for (hook_name, name), group in groups.items():
        first = group[0][0].config
        row: dict[str, Any] = {"hook_name": hook_name, "name": name, "seeds": [member.seed for member, _ in group]}
        row |= {"n_latents": first.n_latents, "target_l0": first.target_l0, "n_steps": first.n_steps}
        row |= _told(tables[hook_name, name], None)
        plain = names.get((hook_name, _recipe(replace(first, prefixes=FullPrefix(), sample_prefixes=False, fade_prefixes=0.0))), name)
        if plain != name:
            row |= {"against": plain, "than": _told(tables[hook_name, name], tables[hook_name, plain])}
        rows.append(row)
    return rows


def _check_alike(found: Sequence[tuple[Member, Pairs]]) -> None:
    """Replicate r must be of the same stories in all; of what was brought from elsewhere nobody has seen to it."""
    for member, pairs in found[1:]:
        first, other = found[0][1].asked, pairs.asked
        if names := [name for name in first.keys() | other.keys() if first.get(name) != other.get(name)]:
            they = f"{found[0][0].id} and {member.id}"
            raise ValueError(f"{they} were measured with different {', '.join(sorted(names))}: measure them alike, or leave some out")


def _recipe(config: TrainConfig) -> str:
    """What recipes that differ in the seed alone have in common."""
    return sha256_of_json(config.record() | {"seed": 0})


def _tables(group: Sequence[Pairs]) -> dict[tuple[str, str], dict[str, Table]]:
    """By set of stories and reference ("" for none) and name: the numbers of the SAEs of one name, where all of them have them."""
    found: dict[tuple[str, str], dict[str, Table]] = {}
    shared = set.intersection(*(set(pairs.numbers) for pairs in group))
    for key in (key for key in group[0].numbers if key in shared):
        place = key[0], key[1].rpartition("/")[2].rpartition("-seed")[0]
        for number in (name for name in group[0].numbers[key] if not any(part in name for part in LEFT_OUT)):
            found.setdefault(place, {}).setdefault(number, {})[key[1]] = np.stack([pairs.numbers[key][number] for pairs in group])
    return found


def _told(
    tables: Mapping[tuple[str, str], Mapping[str, Table]], other: Mapping[tuple[str, str], Mapping[str, Table]] | None
) -> dict[str, Any]:
    """The numbers of one name, or how they stand to another's, by the references that both have been held against."""
    told: dict[str, Any] = {"alone": {}, "pairs": {}}
    for (stories, reference), by_name in tables.items():
        its = told["pairs"].setdefault(stories, {}).setdefault(reference, {}) if reference else told["alone"].setdefault(stories, {})
        for number, table in by_name.items():
            against = None if other is None else other.get((stories, reference), {}).get(number, {})
            if against is None:
                its[number] = _interval(_stacked(table, table), None, "difference")
            elif set(table) & set(against):
                compare = "ratio" if number in RATIOS else "difference"
                its[number] = _interval(_stacked(table, against), _stacked(against, table), compare)
    return told


def _stacked(table: Table, other: Table) -> np.ndarray:
    """(n_seeds, n_references, 1 + n_replicates) over the references that both have, or (n_seeds, 1 + n_replicates) of SAEs alone."""
    ids = sorted(set(table) & set(other))
    return table[""] if ids == [""] else np.stack([table[each] for each in ids], 1)


def _interval(table: np.ndarray, other: np.ndarray | None, compare: str) -> list[float | None]:
    """[value, low, high]; null for what is not known."""
    tables = [table] if other is None else [table, other]
    if not all(np.isfinite(each).all() for each in tables):
        return [None, None, None]
    if compare == "ratio" and other is not None and not (other.mean(tuple(range(other.ndim - 1))) > 0).all():
        return [None, None, None]  # no ratio to what may be nothing, as the loss that an SAE adds; the others are told all the same
    found = hierarchical(*tables, compare=compare).interval
    return [float(f"{number:.4g}") if np.isfinite(number) else None for number in found]
