"""What the front page promises is so: its links, its minutes, its parts, and how the book is cited."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from places import ROOT

import msae

BOOK = ROOT / "book"
INTRO = (BOOK / "intro.md").read_text(encoding="utf8")
LINKS = re.findall(r"\[([^\]]+)\]\((?!https?:)([^)]+)\)(?:\s+\((\d+) minutes?\))?", INTRO)


def chapter_file(link: str) -> str:
    return next((str(path.relative_to(BOOK)) for path in (BOOK / f"{link}.ipynb", BOOK / f"{link}.md", BOOK / link) if path.is_file()), "")


def test_links_lead_to_pages() -> None:
    assert [link for _, link, _ in LINKS if not chapter_file(link)] == []


def test_each_reader_has_a_path_with_minutes() -> None:
    section = INTRO.split("## Where to begin")[1].split("\n## ")[0]
    paths = re.split(r"^\*\*", section, flags=re.MULTILINE)[1:]
    assert len(paths) == 4
    for path in paths:
        assert 2 <= len(re.findall(r"^- ", path, flags=re.MULTILINE)) <= 5
        assert re.search(r"\d+\s+minutes", path)


@pytest.mark.parametrize(("name", "link", "minutes"), [pytest.param(*found, id=found[1]) for found in dict.fromkeys(LINKS) if found[2]])
def test_minutes_are_those_of_the_chapter(name: str, link: str, minutes: str) -> None:
    """Where a chapter says how long it takes to read."""
    file = chapter_file(link)
    if file.endswith(".ipynb"):
        opening = "".join(json.loads((BOOK / file).read_text(encoding="utf8"))["cells"][0]["source"])
        said = re.search(r"about (\d+) minutes to read", opening)
        assert said is None or said[1] == minutes, f"{name}: {said[1] if said else ''} minutes in the chapter, {minutes} on the front page"


def test_parts_have_the_numbers_of_their_folders() -> None:
    for part in yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))["parts"]:
        if number := re.match(r"Part (\d)", part["caption"]):
            assert {chapter["file"].split("/")[1][:2] for chapter in part["chapters"] if chapter["file"].count("/") == 2} == {
                f"0{number[1]}"
            }
            assert f"**Part {number[1]}: " in INTRO


def test_it_is_cited_as_what_it_is() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    assert (cited["title"], cited["version"]) == (config["title"], msae.__version__)
    assert [author["name"] for author in cited["authors"]] == [config["author"]]
    bibtex = dict(re.findall(r"(\w+)\s+= \{+([^}]+)\}", INTRO))
    assert bibtex == {"author": config["author"], "title": config["title"], "year": config["copyright"], "version": msae.__version__}
