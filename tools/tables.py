"""What the tools that make tables share: results that are kept as they come, and the file that ships, a line for each row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from msae.support.files import write_file


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is in a file, or is made now and put there: whole or not at all, so that a tool that was stopped goes on.

    Args:
        path: of the JSON file.
        make: what it holds; called where there is no such file.
    """
    if not path.exists():
        write_file(path, json.dumps(make()))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_table(path: Path, about: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], **more: Any) -> None:
    """A table that ships.

    Args:
        path: of the JSON file.
        about: what it was made by and from.
        rows: one for each line.
        more: what stands between the two, by name.
    """
    parts = "".join(f' "{name}": {json.dumps(value)},\n' for name, value in {"about": about, **more}.items())
    lines = ",\n".join(f"  {json.dumps(row, separators=(',', ':'))}" for row in rows)
    write_file(path, f'{{\n{parts} "rows": [\n{lines}\n ]\n}}\n')


def short(value: Any) -> Any:
    """JSON values with four digits to a number."""
    if isinstance(value, dict):
        return {name: short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [short(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
