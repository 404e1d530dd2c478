"""The house: its rooms in the order of the data, what imports what, and the picture of it in CONTRIBUTING.md.

    python tools/house.py            draw book/_static/house.svg anew
    python tools/house.py --table    what is longer than the rules of CONTRIBUTING.md allow

Read from the source alone: nothing of msae is imported.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MSAE = ROOT / "msae"
PICTURE = ROOT / "book" / "_static" / "house.svg"

ROOMS = (
    *("texts", "lm", "activations", "toy", "sae", "training", "firings"),
    *("metrics", "patterns", "interventions", "latents", "figures", "explore", "family", "bench", "cli"),
)
"""As the data goes. `support` lies beneath all of them."""

MOST_LINES, MOST_IN_FUNCTION, MOST_PARAMETERS, MOST_POSITIONAL = 300, 60, 7, 5


class Import(NamedTuple):
    """One name that one module takes from another."""

    module: str
    """Where the import stands, below msae: "firings.firings"; of a package, its name."""

    origin: str
    name: str
    line: int


class Function(NamedTuple):
    """A function or method, as it stands in its file."""

    place: str
    """ "msae/toy/tree.py:59 FeatureTree.sample"."""

    n_lines: int
    n_parameters: int
    """Without self and cls."""

    n_positional: int
    """Those that may be given without their name."""

    is_private: bool


def modules() -> dict[str, Path]:
    """The files of the library by their dotted names below msae."""
    paths = sorted(MSAE.rglob("*.py"))
    return {".".join(path.relative_to(MSAE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports() -> Iterator[Import]:
    """Every import of one module of msae from another, those for type checkers and those within functions too."""
    files = modules()
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "msae":
                continue
            package = (node.module or "").removeprefix("msae").removeprefix(".")
            for alias in node.names:
                inner = f"{package}.{alias.name}".removeprefix(".")
                yield Import(module, inner if inner in files else package, alias.name, node.lineno)


def room_of(module: str) -> str:
    return module.split(".")[0]


def arrows() -> set[tuple[str, str]]:
    """(room, room that it imports from), without the support beneath and the command line on top."""
    pairs = {(room_of(each.module), room_of(each.origin)) for each in imports()}
    return {(room, origin) for room, origin in pairs if room != origin and room in ROOMS[:-1] and origin in ROOMS}


def against_the_order() -> list[str]:
    """Imports from a room that comes later in the data's way, or of a room by the support beneath."""
    place = {"support": -1} | {room: k for k, room in enumerate(ROOMS)}
    return [
        f"{each.module}:{each.line} imports {each.origin}"
        for each in imports()
        if room_of(each.module) in place and place.get(room_of(each.origin), -1) > place[room_of(each.module)]
    ]


def circles() -> list[str]:
    """Modules that import themselves by way of others; a package stands for what its `__init__` hands on."""
    reached: dict[str, set[str]] = {}
    for each in imports():
        if each.module not in ROOMS:
            reached.setdefault(each.module, set()).add(each.origin)
    grown = True
    while grown:
        grown = False
        for origins in reached.values():
            more = set().union(*(reached.get(origin, set()) for origin in origins)) - origins
            origins |= more
            grown |= bool(more)
    return sorted(module for module, origins in reached.items() if module in origins)


def functions() -> Iterator[Function]:
    for path in modules().values():
        yield from _functions(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix(), "")


def _functions(node: ast.AST, file: str, within: str) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            positional = [arg.arg for arg in (*child.args.posonlyargs, *child.args.args)]
            own = [name for name in positional if name not in ("self", "cls")]
            name = f"{within}{child.name}"
            private = any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
            n_lines = (child.end_lineno or child.lineno) - child.lineno + 1
            yield Function(f"{file}:{child.lineno} {name}", n_lines, len(own) + len(child.args.kwonlyargs), len(own), private)
        inner = f"{within}{child.name}." if isinstance(child, (ast.ClassDef, ast.FunctionDef)) else within
        yield from _functions(child, file, inner)


def crowded_calls() -> list[str]:
    """Calls with more positional arguments than a reader can tell apart."""
    found = []
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and len(node.args) > MOST_POSITIONAL and not any(isinstance(a, ast.Starred) for a in node.args):
                found.append(f"{path.relative_to(ROOT).as_posix()}:{node.lineno} gives {len(node.args)} arguments by place")
    return found


def long_files() -> list[str]:
    paths = sorted(path for ending in ("*.py", "*.mjs", "*.css", "*.lark") for path in MSAE.rglob(ending))
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return [f"{path.relative_to(ROOT).as_posix()} {n}" for path, n in sizes.items() if n > MOST_LINES]


def sentences() -> dict[str, str]:
    """What each room says of itself: the first paragraph of its package."""
    docs = {room: ast.get_docstring(ast.parse((MSAE / room / "__init__.py").read_text(encoding="utf-8"))) or "" for room in ROOMS}
    return {room: " ".join(doc.split("\n\n")[0].split()) for room, doc in docs.items()}


# The picture

CAPTION = "The data goes down; a room imports only from rooms above it. Everything uses support, and cli calls them all."
ROW, TOP, LEFT, BOX, WIDTH, LETTERS = 82, 60, 100, 112, 440, 52
"""In pixels, and how many letters a line has: on a telephone the picture is 350 pixels wide and has to be read still."""
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.room{font-weight:600}.small{font-size:12px;fill:#57606a}"
    "rect{fill:#eef4ff;stroke:#1f6feb}.ground{fill:#f3f3f4;stroke:#8c8c93}path{fill:none;stroke:#1f6feb;stroke-opacity:.55;stroke-width:1.3}"
)


def picture() -> str:
    """The rooms from top to bottom, and on their left an arrow from each to every room above it that it imports from."""
    height = TOP + ROW * len(ROOMS) + 70
    middle = {room: TOP + ROW * k + 18 for k, room in enumerate(ROOMS)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(_alt())}</title>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#1f6feb;stroke:none"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" style="fill:#fff;stroke:none"/>',
        *_lines(CAPTION, 18),
    ]
    for room, origin in sorted(arrows(), key=lambda pair: (ROOMS.index(pair[0]), ROOMS.index(pair[1]))):
        start, end = middle[room], middle[origin]
        reach = LEFT - 6 - 9 * (ROOMS.index(room) - ROOMS.index(origin))
        parts.append(
            f'<path d="M{LEFT} {start - 5}C{reach} {start - 5} {reach} {end + 5} {LEFT - 2} {end + 5}" marker-end="url(#head)">'
            f"<title>{room} imports from {origin}</title></path>"
        )
    for room, said in sentences().items():
        parts += _room(room, said, middle[room], "ground" if room == "cli" else "")
    parts += _room("support", "Beneath all of them: arguments, files, origins, sums, letters.", TOP + ROW * len(ROOMS) + 18, "ground")
    return "\n".join([*parts, "</svg>", ""])


def _room(room: str, said: str, middle: int, kind: str = "") -> list[str]:
    return [
        f'<rect class="{kind}" x="{LEFT}" y="{middle - 13}" width="{BOX}" height="26" rx="5"/>',
        f'<text class="room" x="{LEFT + BOX / 2:g}" y="{middle + 5}" text-anchor="middle">{room}</text>',
        *_lines(said, middle + 28),
    ]


def _lines(said: str, y: int) -> list[str]:
    lines = textwrap.wrap(said, LETTERS)
    return [f'<text class="small" x="{LEFT}" y="{y + 15 * k}">{escape(line)}</text>' for k, line in enumerate(lines)]


def _alt() -> str:
    by_room = itertools.groupby(sorted(arrows(), key=lambda pair: ROOMS.index(pair[0])), key=lambda pair: pair[0])
    said = "; ".join(f"{room} from {', '.join(sorted((o for _, o in pairs), key=ROOMS.index))}" for room, pairs in by_room)
    return f"The rooms of msae in the order of the data, {', '.join(ROOMS)}, and what imports from what: {said}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="list what is longer than the rules allow; draw nothing")
    if not parser.parse_args().table:
        PICTURE.write_text(picture(), encoding="utf-8")
        return
    every = list(functions())
    lists = {
        f"files over {MOST_LINES} lines": long_files(),
        f"functions over {MOST_IN_FUNCTION} lines": [f"{f.place} {f.n_lines}" for f in every if f.n_lines > MOST_IN_FUNCTION],
        f"functions with over {MOST_PARAMETERS} parameters": [
            f"{f.place} {f.n_parameters}" for f in every if f.n_parameters > MOST_PARAMETERS
        ],
        f"functions that take over {MOST_POSITIONAL} by place": [
            f"{f.place} {f.n_positional}" for f in every if f.n_positional > MOST_POSITIONAL
        ],
        f"calls with over {MOST_POSITIONAL} by place": crowded_calls(),
        "imports against the order": against_the_order(),
        "circles": circles(),
    }
    for name, found in lists.items():
        print(f"{len(found):3} {name}", *found, sep="\n      ")


if __name__ == "__main__":
    main()
