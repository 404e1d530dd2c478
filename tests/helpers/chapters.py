"""The book's chapters, read from their notebooks: cells, sections and exercises."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from places import ROOT

CHAPTERS = sorted(ROOT.glob("book/*/*.ipynb"))
NAMES = [path.relative_to(ROOT / "book").as_posix() for path in CHAPTERS]


def tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def code_of(cell: dict[str, Any]) -> ast.Module:
    return ast.parse(re.sub(r"^\s*[%!].*$", "", cell["source"], flags=re.MULTILINE))


def defined(cell: dict[str, Any]) -> list[str]:
    """The functions that a cell of code defines."""
    return [node.name for node in code_of(cell).body if isinstance(node, ast.FunctionDef)]


class Exercise(NamedTuple):
    """An exercise's cells in their order, from its task to the cell before the next task or section."""

    name: str
    """The function that the reader writes."""

    cells: list[dict[str, Any]]

    def code(self, tag: str) -> str:
        """The source of its cell with this tag; of none, where there is none."""
        return "\n".join(cell["source"] for cell in self.cells if tag in tags(cell))


class Chapter:
    """A chapter's notebook, read for its shape."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.relative_to(ROOT / "book").as_posix()
        self.short = re.sub(r"^\d+_", "", path.stem)
        self.raw: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
        self.cells: list[dict[str, Any]] = [{**cell, "source": "".join(cell["source"])} for cell in self.raw["cells"]]
        self.code = [cell for cell in self.cells if cell["cell_type"] == "code"]
        self.markdown = "\n\n".join(cell["source"] for cell in self.cells if cell["cell_type"] == "markdown")

    @property
    def sections(self) -> dict[str, str]:
        """Each `## ` heading with the Markdown below it."""
        parts = re.split(r"^## +(.+?)\s*$", self.markdown, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2]))

    @property
    def exercises(self) -> list[Exercise]:
        """Each exercise: of the cell with its task, `{exercise-start}`, and of all behind it that still belong to it."""
        starts = [i for i, cell in enumerate(self.cells) if "{exercise-start}" in cell["source"]]
        sections = [i for i, cell in enumerate(self.cells) if cell["cell_type"] == "markdown" and re.search(r"^## ", cell["source"], re.M)]
        found = []
        for start in starts:
            end = min(i for i in [*starts, *sections, len(self.cells)] if i > start)
            cells = self.cells[start:end]
            stub = next((cell for cell in cells if "exercise" in tags(cell)), None)
            found.append(Exercise(defined(stub)[-1] if stub and defined(stub) else "", cells))
        return found
