"""The modules of the front end as one script, since a page opened from a disk can import none.

In the script each module is a function that is called once: what it does not export nobody sees, so names may be the same in two modules.
What this does not understand it refuses; the modules are written in the part of JavaScript that it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from posixpath import dirname, join, normpath

_IMPORT = re.compile(r'^import \{([\w\s$,]+)\} from "(\.[\w./]+\.mjs)";\n', re.M)
_EXPORT = re.compile(r"^export ((?:async )?function\*?|class|const) ([\w$]+)(?= ?[=({ <])", re.M)
_DOCUMENTATION = re.compile(r"^[ \t]*/\*\*.*?\*/[ \t]*\n", re.M | re.S)
_OTHER = re.compile(r"^[ \t]*(?:import|export)\b.*|\bimport\s*[(.].*|\w+_mjs\b", re.M)


def text(file: str) -> str:
    """A file of the front end, by its path in static/."""
    return files("msae.explore").joinpath("static", *file.split("/")).read_text(encoding="utf-8")


def joined(entry: str, read: Callable[[str], str] = text) -> str:
    """A module and all that it imports as one script, without its documentation; `variable(entry)` holds there what it exports.

    Args:
        entry: the file of the module, as "patterns/answer.mjs".
        read: gives the text of a file.

    Raises:
        ValueError: a module that is written in another way, imports what another does not export, or imports itself by way of others.
    """
    exports: dict[str, list[str]] = {}
    script: list[str] = []

    def add(name: str, above: tuple[str, ...] = ()) -> None:
        if name in above:
            raise ValueError(f"modules import each other in a circle: {' → '.join((*above, name))}")
        if name in exports:
            return
        module = _DOCUMENTATION.sub("", read(name))
        lines = []
        for names, path in _IMPORT.findall(module):
            source = normpath(join(dirname(name), path))
            add(source, (*above, name))
            wanted = [each.strip() for each in names.split(",") if each.strip()]
            if unknown := set(wanted) - set(exports[source]):
                raise ValueError(f"{name} imports {', '.join(sorted(unknown))}, which {source} does not export")
            lines.append(f"const {{ {', '.join(wanted)} }} = {variable(source)};\n")
        body = _EXPORT.sub(r"\1 \2", _IMPORT.sub("", module))
        if other := _OTHER.search(body):
            raise ValueError(f"{name} has what cannot be joined: {other[0]}")
        exports[name] = [export for _, export in _EXPORT.findall(module)]
        returned = f"return {{ {', '.join(exports[name])} }};"
        script.append(f"const {variable(name)} = (() => {{\n{''.join(lines)}{body}{returned}\n}})();\n")

    add(entry)
    return "".join(script)


def variable(file: str) -> str:
    """The variable that holds what a module exports."""
    return re.sub(r"\W", "_", file)
