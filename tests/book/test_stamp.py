"""One place for the address: what every chapter and the README say of it is written from `_config.yml`."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import stamp
from chapters import CHAPTERS, NAMES, Chapter
from places import ROOT


@pytest.fixture(params=CHAPTERS, ids=NAMES)
def chapter(request: pytest.FixtureRequest) -> Chapter:
    return Chapter(request.param)


def test_setup_cell_is_the_stamped_one(chapter: Chapter) -> None:
    second = chapter.cells[1]
    assert second["cell_type"] == "code"
    assert second["metadata"].get("tags") == stamp.SETUP_TAGS
    assert second["source"] == stamp.setup_cell(stamp.address()), "python book/_tools/stamp.py"


@pytest.mark.parametrize("url", ["", "https://github.com/someone/some-book"])
def test_stamping_is_repeatable_and_leaves_the_rest(url: str, chapter: Chapter) -> None:
    where = stamp.Address(url, "v0.1")
    text = chapter.path.read_text(encoding="utf8")
    once = stamp.stamp_notebook(text, where)
    assert stamp.stamp_notebook(once, where) == once
    before, after = json.loads(text)["cells"], json.loads(once)["cells"]
    assert [cell for i, cell in enumerate(after) if i != 1] == [cell for i, cell in enumerate(before) if i != 1]
    assert "".join(after[1]["source"]) == stamp.setup_cell(where)


def test_everything_is_stamped_with_the_address_in_the_configuration() -> None:
    differing = [path.name for path, (old, new) in stamp.stamped(ROOT, stamp.address()).items() if old != new]
    assert differing == [], "python book/_tools/stamp.py"


def test_setup_cell_with_an_address_installs_from_there_and_keeps_what_colab_has() -> None:
    cell = stamp.setup_cell(stamp.Address("https://github.com/someone/some-book", "v0.1"))
    assert '%pip install -q "msae[lm,explore] @ git+https://github.com/someone/some-book@v0.1"' in cell
    assert not re.search(r"--upgrade|-U\b|==|--force", cell)


def run_as_on_colab(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    exec(compile(source, "setup cell", "exec"), {})


def test_setup_cell_without_an_address_says_what_to_do_on_colab(monkeypatch: pytest.MonkeyPatch) -> None:
    source = stamp.setup_cell(stamp.Address("", "main"))
    run_as_on_colab(source, monkeypatch)  # msae is here: nothing to say
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="no public address.*pip install"):
        run_as_on_colab(source, monkeypatch)


@pytest.mark.parametrize("url", ["github.com/a/b", "https://github.com/a", "https://gitlab.com/a/b"])
def test_a_wrong_address_is_refused(url: str, tmp_path: Path) -> None:
    config = tmp_path / "_config.yml"
    config.write_text(f"repository: {{url: '{url}'}}")
    with pytest.raises(SystemExit, match="expected https://github.com/OWNER/REPO"):
        stamp.address(config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("repository: [", "cannot be read"),
        ("repository: here", "expected url and branch"),
        ("repository: {url: 3}", "repository.url is 3; expected text"),
        ("repository: {branch: 1.10}", "repository.branch is 1.1; expected text, in quotes"),
        ("repository: {branch: 'a b'}", "expected the name of a branch or a tag"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_named(text: str, words: str, tmp_path: Path) -> None:
    config = tmp_path / "_config.yml"
    config.write_text(text)
    with pytest.raises(SystemExit, match=f"^_config.yml.*{re.escape(words)}"):
        stamp.address(config)


@pytest.mark.parametrize("text", ["", "title: a", "repository:", "repository: {url: }"])
def test_a_configuration_without_an_address_has_none(text: str, tmp_path: Path) -> None:
    config = tmp_path / "_config.yml"
    config.write_text(text)
    assert stamp.address(config) == stamp.Address("", "main")
    config.unlink()
    with pytest.raises(SystemExit, match="_config.yml cannot be read"):
        stamp.address(config)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}'])
def test_a_chapter_that_is_no_notebook_is_named(text: str, tmp_path: Path) -> None:
    chapter = tmp_path / "book" / "01" / "chapter.ipynb"
    chapter.parent.mkdir(parents=True)
    chapter.write_text(text)
    with pytest.raises(SystemExit, match=r"chapter.ipynb is no notebook"):
        stamp.stamped(tmp_path, stamp.Address("", "main"))
