"""What the API part of the book needs from Sphinx beside autodoc.

A room's page is an `automodule` of its package. Here stands what autodoc does not know by itself: names that load on first use, names
that a room passes on from another, constants that are described where they are defined, and the tables of names and of commands.
"""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from api_names import ROOMS, Name, addresses, defined_in, public_names, read_notebook
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from msae.cli.base import Parser

LONE_ASTERISK = re.compile(r"(?<![\w*\\`])\*(?=[^\s*`])(?![^*`]*\w\*(?!\w))")

LONG_SIGNATURE = re.compile(r"<dl>\s*((?:<dd><em class=\"sig-param\">.*?</dd>\s*)+)</dl>", re.DOTALL)


def first_sentence(entry: Name) -> str:
    """What the first sentence of its description says."""
    text = inspect.getdoc(entry.value) if callable(entry.value) else "\n".join(constant_doc(entry.place, entry.name))
    paragraph = " ".join((text or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s+(?=[A-Z`])", paragraph)[0]


def constant_doc(module: str, name: str) -> list[str]:
    """The lines beneath a constant, in the module that defines it."""
    return list(ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name), []))


class ApiNames(SphinxDirective):
    """All public names: what each is, and the chapters that use it."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the chapters say what stands here
        chapters = {}
        for document in sorted(self.env.found_docs):
            path = Path(self.env.doc2path(document))
            if path.suffix == ".ipynb":
                chapters[document] = read_notebook(path).used()
        return [self.of_room(room, chapters) for room in ROOMS]

    def of_room(self, room: str, chapters: dict[str, set[str]]) -> nodes.Node:
        """The names of a room, beneath a heading that leads to its page."""
        lines = [f".. py:currentmodule:: msae.{room}", ""]
        for entry in public_names():
            if entry.room != room:
                continue
            lines += [
                f":py:obj:`{entry.short} <{entry.full}>`",
                f"   {first_sentence(entry)}",
            ]
            used = [document for document, names in chapters.items() if entry.full in names]
            if used:
                lines += [
                    "",
                    "   Used in " + ", ".join(f":doc:`/{document}`" for document in used) + ".",
                ]
            lines.append("")
        section = nodes.section(ids=[f"names-{room}"], names=[f"names of {room}"], classes=["msae-names"])
        section += nodes.title("", "", *self.state.inline_text(f":doc:`{room}`", self.lineno)[0])
        self.state.nested_parse(StringList(lines, source=self.env.docname), 0, section)
        return section


class ApiCommands(SphinxDirective):
    """Every command of `python -m msae`, as its `--help` says it."""

    def run(self) -> list[nodes.Node]:
        from msae.__main__ import parser

        self.env.note_reread()
        sections: list[nodes.Node] = []
        for command in commands(parser()):
            name = command.prog.removeprefix("python -m msae ")
            section = nodes.section(
                ids=[nodes.make_id(f"command-{name}")],
                names=[nodes.fully_normalize_name(command.prog)],
            )
            section += nodes.title("", "", nodes.literal(text=name))
            section += nodes.literal_block(text=help_of(command), language="text", classes=["msae-help"])
            sections.append(section)
        return sections


def commands(top: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The commands beneath a parser; the parser itself if there are none."""
    below = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    return [found for action in below for child in action.choices.values() for found in commands(child)] or [top]


def help_of(command: argparse.ArgumentParser) -> str:
    """The help of a command, with all its options, in lines of the same length on every machine."""
    if isinstance(command, Parser):
        command.complete()
    kind = command.formatter_class
    command.formatter_class = lambda prog: kind(prog, max_help_position=24, width=76)  # type: ignore[assignment,misc]
    usage, rest = command.format_help().split("\n\n", 1)
    return re.sub(r"\n +", "\n    ", usage) + "\n\n" + rest  # beneath a long name the options would stand out of a phone's sight


def _prepare(app: Any) -> None:
    """autodoc shows what a package holds, and constants with words in its own source: so load what comes only when it is asked for,
    and give the package the words that the defining module has for a constant."""
    for entry in public_names():
        package = f"msae.{entry.room}"
        setattr(import_module(package), entry.name, entry.value)
        if not (inspect.isclass(entry.value) or inspect.isfunction(entry.value)):
            ModuleAnalyzer.for_module(package).find_attr_docs()[("", entry.name)] = [*constant_doc(entry.place, entry.name), ""]


def _skip_passed_on(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """A name that a room passes on from another is described in that one; one that a method had before is not described."""
    if what == "class" and inspect.isroutine(value) and getattr(value, "__name__", name) != name:
        return True
    module = app.env.temp_data.get("autodoc:module", "")
    if what == "module" and module.startswith("msae."):
        return skip or defined_in(module, name).split(".")[1] != module.split(".")[1]
    return None


def _plain_asterisks(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """A shape such as (*N, d_model) starts no emphasis."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else LONE_ASTERISK.sub(r"\\*", line) for line in lines]


def _whole_sentences(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Of an attribute Napoleon takes what stands before a colon of the first line for its type; in an empty comment it finds none."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def _short_name(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """A name that the package itself has too is called by that."""
    entry = addresses().get(name)
    if entry is not None and entry.short != entry.full:
        lines += ["", f"Short name: ``{entry.short}``"]


def _signature(
    app: Any,
    what: str,
    name: str,
    value: Any,
    options: Any,
    signature: str,
    returns: str,
) -> tuple[str, str] | None:
    """The defaults that a dataclass makes anew each time, as they are; nothing for what is never called."""
    if what == "class" and getattr(value, "_is_protocol", False):
        return "", returns
    if what == "class" and is_dataclass(value) and signature:
        for field in fields(value):
            if field.default_factory is not MISSING:
                signature = signature.replace("=<factory>", f"={field.default_factory()!r}", 1)
        return signature, returns
    return None


def _resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    """What is written by another of its addresses leads to the same entry."""
    name = node.get("reftarget", "").removesuffix("()")
    entry = addresses().get(name) or addresses().get(f"msae.{name}")
    if entry is None or node.get("refdomain") != "py":
        return None
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", entry.full, node, content)


def _source_links(app: Any, config: Any) -> None:
    """Each entry leads to its source, if the configuration has the address of the repository."""
    options = config.html_theme_options or {}
    address, branch = (
        options.get("repository_url"),
        options.get("repository_branch") or "main",
    )

    def resolve(domain: str, found: dict[str, str]) -> str | None:
        entry = addresses().get(f"{found['module']}.{found['fullname'].split('.')[0]}")
        if not address or entry is None or not (inspect.isclass(entry.value) or inspect.isfunction(entry.value)):
            return None
        lines, first = inspect.getsourcelines(inspect.unwrap(entry.value))
        return f"{address}/blob/{branch}/{entry.place.replace('.', '/')}.py#L{first}-L{first + len(lines) - 1}"

    config.linkcode_resolve = resolve


def _parameters(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Sphinx writes the parameters of a long signature as a list of definitions without terms, which a screen reader cannot read."""
    if context.get("body"):
        context["body"] = LONG_SIGNATURE.sub(lambda found: _divisions(found[1]), context["body"])


def _divisions(rows: str) -> str:
    return '<div class="msae-parameters">' + rows.replace("<dd>", "<div>").replace("</dd>", "</div>") + "</div>"


def setup(app: Any) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.setup_extension("sphinx.ext.linkcode")
    app.connect("config-inited", _source_links, priority=800)
    app.add_directive("api-names", ApiNames)
    app.add_directive("api-commands", ApiCommands)
    app.connect("builder-inited", _prepare)
    app.connect("autodoc-skip-member", _skip_passed_on)
    app.connect("autodoc-process-docstring", _plain_asterisks, priority=400)
    app.connect("autodoc-process-docstring", _whole_sentences, priority=420)
    app.connect("autodoc-process-docstring", _short_name, priority=410)
    app.connect("autodoc-process-signature", _signature)
    app.connect("missing-reference", _resolve)
    app.connect("html-page-context", _parameters)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
