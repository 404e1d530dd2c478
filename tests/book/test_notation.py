"""The notation is true: what it calls a name of the code is one, and each letter stands in the chapters that it is listed for."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from places import ROOT

BOOK = ROOT / "book"
KEPT = ["01_toy/01_why", "01_toy/02_absorption", "01_toy/03_matryoshka_loss", "01_toy/04_tree_recovered", "05_beyond/01_all_prefixes"]
"""Chapters of which every letter is in the tables."""

SPACING = {r"\,", r"\;", r"\!", r"\big", r"\Big", r"\bigl", r"\bigr"}
DUMMIES = set("ijre") | {"y", "Q"}
"""Letters that count something in a sum, or stand in a formula whose sentence explains them: with these, tables would only be longer."""


class Row(NamedTuple):
    """A line of the tables."""

    symbol: str
    code: list[str]
    chapters: list[str]


def rows() -> list[Row]:
    found = []
    for line in (BOOK / "notation.md").read_text(encoding="utf8").splitlines():
        if line.startswith("| $"):
            symbol, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
            names = re.findall(r"`([^`]+)`", cells[0]) if len(cells) == 4 else []
            found.append(Row(symbol.strip("$"), names, re.findall(r"\]\(([^)]+)\)", cells[-1])))
    return found


ROWS = rows()


def names_in_the_code() -> set[str]:
    """Parameters, fields, attributes and functions of the library."""
    found: set[str] = set()
    for path in (ROOT / "msae").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.FunctionDef):
                found |= {node.name, f"{path.relative_to(ROOT / 'msae').parts[0].removesuffix('.py')}.{node.name}"}
            elif isinstance(node, ast.AnnAssign):
                found.add(ast.unparse(node.target).removeprefix("self."))
    return found


def parts(latex: str) -> list[str]:
    """A formula's signs in their order, without spaces; words in it are one sign each."""
    latex = re.sub(r"\\(?:mathrm|text|operatorname)\{([^}]*)\}", lambda word: " \\" + re.sub(r"[^A-Za-z]", "", word[1]) + "WORD ", latex)
    return [
        part for part in re.findall(r"\\[A-Za-z]+|\\.|\S", latex) if part not in {r"\,", r"\;", r"\!", r"\big", r"\Big", r"\bigl", r"\bigr"}
    ]


def stands_in(symbol: str, formula: list[str]) -> bool:
    """Whether the symbol is a part of the formula, and no index follows that it lacks."""
    signs = parts(symbol)
    ends = [i + len(signs) for i in range(len(formula)) if formula[i : i + len(signs)] == signs]
    return any("_" in signs or formula[end : end + 1] != ["_"] for end in ends)


def formulas(chapter: str) -> list[list[str]]:
    cells = json.loads(Path(BOOK / f"{chapter}.ipynb").read_text(encoding="utf8"))["cells"]
    prose = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    prose = re.sub(r"`[^`\n]*`", "", prose)
    return [parts(block or inline) for block, inline in re.findall(r"\$\$(.+?)\$\$|\$(.+?)\$", prose, flags=re.DOTALL)]


def test_the_tables_are_read() -> None:
    assert len(ROWS) > 30
    assert all(row.chapters for row in ROWS)


def test_names_in_the_code_are_there() -> None:
    said = {name for row in ROWS for name in row.code}
    assert said - names_in_the_code() == set()


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.symbol} in {len(row.chapters)}" for row in ROWS])
def test_a_symbol_stands_in_the_chapters_that_it_is_listed_for(row: Row) -> None:
    assert [chapter for chapter in row.chapters if not any(stands_in(row.symbol, formula) for formula in formulas(chapter))] == []


def letters(formula: list[str]) -> set[str]:
    """The letters of a formula without their indices: of `s_i z_i` these are s and z."""
    found, depth, index = set(), 0, False
    for before, part in zip(["", *formula], formula):
        if before == "_":
            index = part == "{"
            depth = 1 if index else 0
        elif index:
            depth += (part == "{") - (part == "}")
            index = depth > 0
        elif re.fullmatch(r"[A-Za-z]|\\(?:lambda|varphi|rho|ell|mu)", part):
            found.add(part)
    return found


@pytest.mark.parametrize("chapter", KEPT)
def test_every_letter_of_these_chapters_is_in_the_tables(chapter: str) -> None:
    listed = {letter for row in ROWS if chapter in row.chapters for letter in letters(parts(row.symbol))}
    used = {letter for formula in formulas(chapter) for letter in letters(formula)}
    assert sorted(used - listed - DUMMIES) == []
