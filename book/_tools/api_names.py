"""The public names of msae: each with the room that it belongs to, the module that defines it, and the chapters that use it."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msae

ROOMS: list[str] = msae._ROOMS


class Name(NamedTuple):
    """A public name."""

    room: str
    """The package under msae whose page describes it."""

    name: str
    """The name itself, such as "train"."""

    value: Any
    """What it names."""

    place: str
    """The module that defines it, such as "msae.training.loop"."""

    @property
    def full(self) -> str:
        """The name as its page has it: `msae.training.train`."""
        return f"msae.{self.room}.{self.name}"

    @property
    def short(self) -> str:
        """As a chapter writes it: `msae.train` where the package itself has the name."""
        return f"msae.{self.name}" if msae._PLACE_OF.get(self.name) == f"msae.{self.room}" else self.full


@cache
def defined_in(module: str, name: str) -> str:
    """The module whose own source gives the name its value, found along the imports."""
    source = Path(import_module(module).__file__ or "").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and any((a.asname or a.name) == name for a in node.names):
            original = next(a.name for a in node.names if (a.asname or a.name) == name)
            return defined_in(node.module, original) if node.module.startswith("msae.") else module
    return module


@cache
def public_names() -> list[Name]:
    """Every name of every room's `__all__`, once: in the room that defines it, in the order of the rooms."""
    names = []
    for room in ROOMS:
        package = import_module(f"msae.{room}")
        for name in package.__all__:
            place = defined_in(package.__name__, name)
            if place.split(".")[1] == room:
                names.append(Name(room, name, getattr(package, name), place))
    return names


@cache
def addresses() -> dict[str, Name]:
    """Every way to write a public name: by msae, by its room or another that passes it on, by the module that defines it."""
    found = {}
    for entry in public_names():
        for way in (entry.short, entry.full, f"{entry.place}.{entry.name}"):
            found[way] = entry
    for room in ROOMS:
        for name in import_module(f"msae.{room}").__all__:
            found.setdefault(
                f"msae.{room}.{name}",
                found.get(f"{defined_in(f'msae.{room}', name)}.{name}"),
            )
    return {way: entry for way, entry in found.items() if entry}


class Notebook(NamedTuple):
    """What the code of a notebook calls things of msae."""

    tree: ast.AST
    """All of its code."""

    means: dict[str, str]
    """What a name stands for that it imports, such as {"metrics": "msae.metrics"}."""

    def find(self, dotted: str) -> Name | None:
        """The public name that a dotted name of the code begins with: `msae.SAE.load` is `msae.SAE`'s."""
        head, *rest = dotted.split(".")
        parts = [self.means.get(head, ""), *rest]
        ways = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        return next((addresses()[way] for way in ways if way in addresses()), None)

    def used(self) -> set[str]:
        """The public names, in full, that the code uses."""
        dotted = {ast.unparse(node) for node in ast.walk(self.tree) if isinstance(node, (ast.Attribute, ast.Name))}
        return {entry.full for entry in map(self.find, dotted) if entry}


@cache
def read_notebook(path: Path) -> Notebook:
    """The code of a notebook, without its magics."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    tree = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", code, flags=re.MULTILINE))
    means = {"msae": "msae"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "msae":
            means |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            means |= {alias.asname: alias.name for alias in node.names if alias.asname and alias.name.split(".")[0] == "msae"}
    return Notebook(tree, means)
