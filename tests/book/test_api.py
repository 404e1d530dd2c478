"""The API part of the book: every public name is there, described parameter by parameter, with an example that runs."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from api_links import DOTTED
from api_names import ROOMS, Name, addresses, public_names, read_notebook
from api_pages import commands
from bs4 import BeautifulSoup
from docutils.nodes import literal_block, title
from places import ROOT
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import docutils_namespace, patch_docutils

import msae
from msae.__main__ import parser

UNFINISHED: set[str] = set()
"""Rooms whose docstrings are not yet in the form that is asked for here; empty when all are."""

MAY_BE_ANY = {"msae.training.language_model_recipe: changes": "fields of TrainConfig, each of its own type, which judges them"}
"""Public parameters and results of the type Any, such as "msae.lm.f: lm", each with the reason."""

NAMES = public_names()
CALLABLE = [entry for entry in NAMES if inspect.isfunction(entry.value) or inspect.isclass(entry.value)]
PROSE = "# About `msae.SAE`\n\n`msae.train` twice: `msae.train`. `metrics.fvu()`, `train`, `msae.nothing`, [`msae.TopK`](https://example.org).\n"
CHAPTERS = sorted(ROOT.glob("book/*/*.ipynb"))


class Described(NamedTuple):
    """What a docstring says."""

    parameters: list[str]
    """Each entry of Args, Attributes and the like as it stands: "a, b" for two on one line."""

    returns: bool
    """Whether it says what comes back."""


def described(value: Any) -> Described:
    lines = GoogleDocstring(inspect.getdoc(value) or "", Config(napoleon_use_ivar=True, napoleon_use_rtype=False)).lines()
    found = [re.match(r":(?:param|ivar|keyword) ((?:\\.|[^:])*):", line) for line in lines]
    names = [re.sub(r"\\(.)", r"\1", match[1]).lstrip("*") for match in found if match]
    return Described(names, any(re.match(r":returns?:|:Yields:|.*Yields", line) for line in lines))


def parameters(entry: Name) -> list[str]:
    """The parameters of a function or of the making of a class; a protocol is never made, an exception takes what it says."""
    if getattr(entry.value, "_is_protocol", False) or (inspect.isclass(entry.value) and issubclass(entry.value, Exception)):
        return []
    return [name for name in inspect.signature(entry.value).parameters if name not in ("args", "kwargs") and not name.startswith("_")]


def described_fields(entry: Name) -> list[str]:
    """The fields of a dataclass or named tuple that have words of their own."""
    if not inspect.isclass(entry.value):
        return []
    return [name for kind, name in ModuleAnalyzer.for_module(entry.place).find_attr_docs() if kind == entry.name]


def members(entry: Name) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A function itself; of a class how it is made, and its own public methods."""
    if inspect.isfunction(entry.value):
        yield entry.full, entry.value
        return
    for name, value in vars(entry.value).items():
        value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        value = value.fget if isinstance(value, property) else value
        made = name == "__init__" and not dataclasses.is_dataclass(entry.value)
        if inspect.isfunction(value) and (made or not name.startswith("_")):
            yield f"{entry.full}.{name}", value


@pytest.fixture(params=CALLABLE, ids=[entry.full for entry in CALLABLE])
def entry(request: pytest.FixtureRequest) -> Name:
    found: Name = request.param
    if found.room in UNFINISHED:
        pytest.skip(f"the docstrings of msae.{found.room} are being brought into this form")
    return found


def test_rooms_left_to_finish_exist() -> None:
    assert set(ROOMS) >= UNFINISHED
    assert set(MAY_BE_ANY) <= {f"{name}: {part}" for each in CALLABLE for name, value in members(each) for part in value.__annotations__}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Sphinx:
    """The API pages and a page of prose, read as the book reads them; a warning is an error there."""
    source = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / "book" / "api", source / "book" / "api")
    (source / "contents.md").write_text(f"{PROSE}\n```{{toctree}}\n:glob:\nbook/api/*\n```\n", encoding="utf-8")
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
    ours = re.compile("auto|napoleon|default_role|add_module|python_|nitpick|toc_")
    config = {name: value for name, value in config.items() if ours.match(name)}
    config |= {"extensions": ["myst_parser", "api_pages", "api_links"], "root_doc": "contents", "nitpicky": True}
    warnings = io.StringIO()
    with patch_docutils(), docutils_namespace():
        folders = {"srcdir": source, "confdir": None, "outdir": source / "out", "doctreedir": source / "trees"}
        app = Sphinx(**folders, buildername="dummy", confoverrides=config, status=None, warning=warnings)  # type: ignore[arg-type]
        app.build()
    assert warnings.getvalue() == ""
    return app


@pytest.fixture(scope="module")
def collected(pages: Sphinx) -> dict[str, str]:
    """What the API pages describe, each with its page."""
    return {name: entry.docname for name, entry in pages.env.domaindata["py"]["objects"].items()}


def test_prose_leads_to_a_name_once(pages: Sphinx) -> None:
    links = [link["reftarget"] for link in pages.env.get_doctree("contents").findall(pending_xref) if link["refdomain"] == "py"]
    assert links == ["msae.training.train", "msae.metrics.fvu"]


def test_every_command_has_its_help_on_the_page(pages: Sphinx) -> None:
    page = pages.env.get_doctree("book/api/command_line").astext()
    found = [command.prog for command in commands(parser())]
    assert {"python -m msae train", "python -m msae family reproduce", "python -m msae bench"} <= set(found)
    assert all(f"usage: {prog} [-h]" in page for prog in found)
    assert {"--target-l0", "--prefixes", "--temperature", "--rounds"} <= set(re.findall(r"--[\w-]+", page))
    assert max(map(len, page.splitlines())) < 140


def test_an_attribute_is_described_in_whole_sentences(pages: Sphinx) -> None:
    """What stands before a colon is no type."""
    assert "λ: where the controller starts from" in pages.env.get_doctree("book/api/training").astext()
    assert "(n_latents + 1,): the firings of the k-th latent" in pages.env.get_doctree("book/api/firings").astext()


def test_names_that_methods_had_are_not_described(pages: Sphinx, collected: dict[str, str]) -> None:
    assert {"msae.firings.Firings.of_dense", "msae.firings.Firings.column"} <= set(collected)
    assert not {"msae.firings.Firings.from_dense", "msae.firings.Firings.row"} & set(collected)


@pytest.mark.parametrize("room", ["explore", "latents", "metrics"])
def test_the_code_of_a_room_stands_as_code(pages: Sphinx, room: str) -> None:
    first = next(iter(pages.env.get_doctree(f"book/api/{room}").findall(literal_block)))
    assert "msae" in first.astext()
    assert ">>>" not in first.astext()


def test_the_names_stand_beneath_headings_of_their_rooms(pages: Sphinx) -> None:
    headings = [each.astext() for each in pages.env.get_doctree("book/api/index").findall(title)]
    assert headings[1:3] == ["Where to begin", "Name by name"]
    assert len(headings) == 3 + len(ROOMS)


def test_every_public_name_has_its_place_on_the_page_of_its_room(collected: dict[str, str]) -> None:
    missing = [entry.full for entry in NAMES if collected.get(entry.full) != f"book/api/{entry.room}"]
    assert not missing
    assert {name for name in msae.__all__ if name in msae._PLACE_OF} <= {entry.name for entry in NAMES}


def test_every_name_of_every_room_leads_to_an_entry() -> None:
    known = addresses()
    for room in ROOMS:
        for name in getattr(msae, room).__all__:
            assert f"msae.{room}.{name}" in known
    for name in msae._PLACE_OF:
        assert known[f"msae.{name}"].short == f"msae.{name}"


def test_rooms_and_pages_are_the_same() -> None:
    assert {path.stem for path in (ROOT / "book" / "api").glob("*.md")} == {*ROOMS, "index", "command_line"}
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"] if chapter["file"].startswith("book/api/")]
    assert [Path(page).name for page in listed] == ["index", *ROOMS, "command_line"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_comes_in_and_what_goes_out(room: str) -> None:
    assert re.match(r"In: .+ Out: .+", " ".join((inspect.getdoc(getattr(msae, room)) or "").split()))


def test_every_parameter_is_described_by_itself_and_no_other(entry: Name) -> None:
    fields = described_fields(entry)
    said = described(entry.value).parameters
    assert [name for name in parameters(entry) if name not in {*said, *fields}] == []
    if inspect.isfunction(entry.value):
        assert said == parameters(entry), "one line for each, in the order of the signature"


def test_a_method_that_describes_its_arguments_describes_all(entry: Name) -> None:
    if inspect.isfunction(entry.value):
        return
    for name, value in members(entry):
        said = described(value).parameters
        asked = [parameter for parameter in inspect.signature(value).parameters if parameter not in ("self", "cls")]
        assert not said or said == asked, name


def test_what_is_returned_is_described(entry: Name) -> None:
    if inspect.isfunction(entry.value) and entry.value.__annotations__.get("return") not in (None, "None", "NoReturn"):
        assert described(entry.value).returns


def test_its_example_runs(entry: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder and without the network, with msae, torch, np and the names of its room at hand: the index page says so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    doc = inspect.getdoc(entry.value) or ""
    assert re.search(r"^Examples?:$", doc, flags=re.MULTILINE), "it needs an Example: section"
    room = getattr(msae, entry.room)
    names = {name: getattr(room, name) for name in room.__all__} | {"msae": msae, "torch": torch, "np": np}
    example = doctest.DocTestParser().get_doctest(doc, names, entry.full, None, None)
    assert example.examples, "its example has no line that begins with >>>"
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    with torch.random.fork_rng(devices=[]):
        runner.run(example, out=said.write)
    assert runner.failures == 0, said.getvalue()


def test_no_type_is_left_open(entry: Name) -> None:
    """`dict[str, Any]` is what JSON holds; any other Any needs a reason."""
    for name, value in members(entry):
        for part, annotation in value.__annotations__.items():
            kind = re.sub(r"\b(dict|Mapping)\[str, Any\]", "JSON", annotation if isinstance(annotation, str) else repr(annotation))
            assert not re.search(r"\bAny\b", kind) or f"{name}: {part}" in MAY_BE_ANY, f"{name}: {part}: {annotation}"


@pytest.mark.parametrize("name", [entry.full for entry in NAMES if entry not in CALLABLE])
def test_a_constant_has_words(name: str, collected: dict[str, str]) -> None:
    entry = addresses()[name]
    if entry.room in UNFINISHED:
        pytest.skip(f"the docstrings of msae.{entry.room} are being brought into this form")
    assert ModuleAnalyzer.for_module(entry.place).find_attr_docs().get(("", entry.name))


def test_names_are_found_in_the_code_of_a_chapter(tmp_path: Path) -> None:
    path = tmp_path / "chapter.ipynb"
    code = "%pip install x\nimport msae\nfrom msae import metrics\nfrom msae.sae.sae import SAE as Net\n"
    code += "metrics.fvu(1); msae.train; Net.load('x'); train()"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": code}]}), encoding="utf-8")
    notebook = read_notebook(path)
    assert notebook.used() == {"msae.metrics.fvu", "msae.training.train", "msae.sae.SAE"}
    assert notebook.find("train") is None
    coloured = '<span class="n">metrics</span><span class="o">.</span><span class="n">fvu</span><span class="p">(</span>'
    assert DOTTED.findall(coloured) == [coloured.removesuffix('<span class="p">(</span>')]


@pytest.mark.site
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_leads_to_every_name_that_it_uses(chapter: Path, site: Path) -> None:
    page = BeautifulSoup((site / chapter.relative_to(ROOT)).with_suffix(".html").read_text(encoding="utf-8"), "html.parser")
    links = {link["href"].partition("#")[2] for link in page.select("a.msae-api")}
    assert links >= read_notebook(chapter).used(), "code shown in the text may add others"
