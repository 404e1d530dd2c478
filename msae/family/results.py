"""The table of results as a file: written whole, read and checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from msae.family.members import Family, checked
from msae.family.pairs import SHOWN
from msae.family.recorded import other_than
from msae.support import arguments
from msae.support.files import as_json, write_file


def save_results(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], *, together: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write rows as one JSON file, a line for each.

    Args:
        rows: JSON values by name, each with the "id" of its SAE; as `measure_family` returns them.
        path: the file.
        together: rows of the SAEs of one name (`msae.family.together`).

    Raises:
        ValueError: what JSON has no form for; nothing is written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_results([{"id": "blocks.0.hook_mlp_out/S0-seed0", "l0": 2.5}], f"{folder}/results.json")
        ...     load_results(f"{folder}/results.json")
        [{'id': 'blocks.0.hook_mlp_out/S0-seed0', 'l0': 2.5}]
    """
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Sequence):
        raise ValueError(f"rows must be a list of dicts, got {arguments.shown(rows)}")
    if isinstance(together, (str, bytes, Mapping)) or not isinstance(together, Sequence):
        raise ValueError(f"together must be a list of dicts, got {arguments.shown(together)}")
    content = _lines([_row(f"rows[{i}]", row) for i, row in enumerate(rows)], "rows")
    if together:
        content += f'], "together": [\n{_lines(together, "together")}'
    write_file(arguments.path("path", path), f'{{"format": "msae-results/1", "rows": [\n{content}]}}\n')


def load_together(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """What a table tells of the SAEs of one name together; empty where it has nothing of that kind.

    Args:
        path: the file that `python -m msae family measure --table` wrote of an independent family.

    Returns:
        a row for each name at each place, as `msae.family.together.together` makes them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such table.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_results([], f"{folder}/results.json", together=[{"name": "plain-30", "seeds": [0, 1]}])
        ...     load_together(f"{folder}/results.json")
        [{'name': 'plain-30', 'seeds': [0, 1]}]
    """
    load_results(path)
    found: list[dict[str, Any]] = json.loads(arguments.path("path", path).read_text(encoding="utf-8-sig")).get("together", [])
    return found


def pair_numbers(row: Mapping[str, Any], reference: str, number: str, stories: str = "held_out") -> dict[int, float]:
    """A number of one SAE against a reference, for each seed of the reference.

    Args:
        row: of a table of an independent family, as `load_results` gives it.
        reference: its name with its ending, without place and seed, such as "S2"; "S2-batchtopk" is another one.
        number: one of "correlation", "correlation, split-half", "holes 0.25", "precision 0.25", "average precision 0.25", "recall 0.25".
        stories: "held_out", which the language model told, or "valid", real ones, where the table has those too.

    Returns:
        the number by the seed of the reference; without those that have none, and empty where the SAE was not held against it.

    Raises:
        ValueError: row is no row, reference no name, or no such number or stories are told of a pair.

    Example:
        >>> row = next(row for row in load_results() if row["name"] == "matryoshka-30")
        >>> sorted(pair_numbers(row, "S2", "holes 0.25"))
        [0, 1, 2, 3]
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"row must be a row of a table of results, got {arguments.shown(row)}")
    if not reference or "/" in arguments.text("reference", reference) or "-seed" in reference:
        raise ValueError(f"reference must be a name without place and seed, such as 'S2', got {reference!r}")
    at = SHOWN.index(arguments.one_of("number", number, SHOWN))
    pairs = (row.get("pairs") or {}).get(arguments.one_of("stories", stories, ("held_out", "valid")), {})
    parts = {id.rpartition("-seed"): numbers[at] for id, numbers in pairs.items()}
    return {int(seed): value for (name, _, seed), value in parts.items() if name == reference and value is not None}


def load_results(path: str | os.PathLike[str] | None = None, family: Family | None = None) -> list[dict[str, Any]]:
    """The rows of a table: the one that ships with msae, or one of your own.

    Args:
        path: the file; the table that ships if left out.
        family: whose table it must be.

    Returns:
        a row for each SAE: JSON values by name, "id" among them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such table, or a row is of an SAE that the family would make otherwise.

    Example:
        >>> rows = {row["id"]: row for row in load_results()}
        >>> rows["blocks.3.hook_resid_pre/matryoshka-30-seed0"]["n_latents"]
        8192
    """
    source = files("msae") / "assets" / "saes" / "results.json" if path is None else arguments.path("path", path)
    if not source.is_file():
        raise FileNotFoundError(f"there is no table {source}: make one with `python -m msae family measure --table`")
    try:
        table = json.loads(source.read_text(encoding="utf-8-sig"))
        if table["format"] != "msae-results/1":
            raise ValueError("its format is not msae-results/1")
        if not isinstance(table["rows"], list):
            raise ValueError(f"its rows must be a list, got {arguments.shown(table['rows'])}")
        rows = [_row(f"rows[{i}]", row) for i, row in enumerate(table["rows"])]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not a table of results: {error}") from error
    if family is not None:
        members = {member.id: member for member in checked(family).members()}
        for row in rows:
            if row["id"] not in members:
                raise ValueError(f"{source} has a row {row['id']!r}, and this family has no such SAE: give the family it was made with")
            if found := other_than(members[row["id"]], dict(row.get("recipe", {})) | row):
                raise ValueError(f"{source} is of other SAEs: {row['id']} has {'; '.join(found)}: give the family it was made with")
    return rows


def _lines(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    lines = [as_json(row, f"{name}[{i}]", indent=None).rstrip("\n") for i, row in enumerate(rows)]
    return ",\n".join(lines) + "\n"


def _row(place: str, row: object) -> dict[str, Any]:
    if not isinstance(row, Mapping) or not isinstance(row.get("id"), str):
        raise ValueError(f"{place} must be a dict with the 'id' of an SAE, got {arguments.shown(row)}")
    return dict(row)
