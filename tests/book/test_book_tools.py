"""What this book asks of Sphinx, each hook alone: pages and configurations that say nothing, an explorer that is not whole."""

from __future__ import annotations

import re
from types import SimpleNamespace

import msae_book
import pytest


def test_hooks_take_a_page_and_a_configuration_that_say_nothing():
    for context in ({}, {"script_files": None, "css_files": None, "body": None}):
        msae_book.clean_page(None, "page", "page.html", context, None)
        assert context["script_files"] == context["css_files"] == []
    config = SimpleNamespace(html_theme_options=None, html_context=None)
    msae_book.mend_theme(None, config)
    assert config.html_theme_options["use_repository_button"] is False


def test_an_explorer_is_written_anew_when_it_is_not_whole(tmp_path, monkeypatch):
    folder, calls = tmp_path / "explorer", []

    def write(command, **_):
        calls.append(command)
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("whole")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(msae_book.subprocess, "run", write)
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    for lost, n_calls in ((None, 1), (None, 1), ("index.html", 2), ("made-from.txt", 3), (None, 3)):
        if lost:
            (folder / lost).unlink()
        msae_book.write_explorer(app, None)
        assert len(calls) == n_calls
    msae_book.write_explorer(SimpleNamespace(builder=SimpleNamespace(format="latex"), outdir=tmp_path), None)
    msae_book.write_explorer(app, RuntimeError("the build failed"))
    assert len(calls) == 3


def test_an_explorer_that_is_not_written_says_why(tmp_path, monkeypatch):
    folder = tmp_path / "explorer"
    folder.mkdir()
    (folder / "made-from.txt").write_bytes(b"\xff\xfe of another time")
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    for stderr, words in (("a warning\nValueError: no weights\n", "no weights"), ("", "exit code 3")):
        monkeypatch.setattr(msae_book.subprocess, "run", lambda *_, stderr=stderr, **__: SimpleNamespace(returncode=3, stderr=stderr))
        with pytest.raises(RuntimeError, match=f"explorer of the shipped SAEs was not written: .*{words}"):
            msae_book.write_explorer(app, None)
    assert not (folder / "made-from.txt").exists()


def test_a_fold_of_an_exercise_says_what_it_holds():
    fold = (
        '<div class="cell {} docutils container">\n<details class="admonition hide above-input">\n'
        '<summary aria-label="Toggle hidden content">\n'
        '<p class="collapsed admonition-title">Show code cell source</p>\n<p class="expanded admonition-title">Hide code cell source</p>\n'
    )
    kinds = ["tag_exercise-check tag_hide-input", "tag_hide-input tag_solution", "tag_hide-input"]
    context = {"body": "".join(fold.format(kind) for kind in kinds)}
    msae_book.clean_page(None, "page", "page.html", context, None)
    said = re.findall("Show [a-z ]+|Hide [a-z ]+", context["body"])
    what = ["the check", "the solution", "code cell source"]
    assert said == [f"{verb} {each}" for each in what for verb in ("Show", "Hide")]
