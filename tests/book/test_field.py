"""The map of the field: every work has a citation that is whole, every link leads somewhere, and no citation stands unused."""

from __future__ import annotations

import json
import re

import pytest
from places import ROOT

BOOK = ROOT / "book"
FIELD = json.loads((BOOK / "field.json").read_text(encoding="utf8"))
ENTRIES = FIELD["entries"]
KEYS = [entry["key"] for entry in ENTRIES]
PAGE = (BOOK / "field.md").read_text(encoding="utf8")
BIB = (BOOK / "references.bib").read_text(encoding="utf8")
WORKS = {
    key: dict(re.findall(r"^\s+(\w+)\s*=\s*(.+?),?$", body, flags=re.MULTILINE))
    for key, body in re.findall(r"^@\w+\{(\w+),\n(.*?)^\}$", BIB, flags=re.MULTILINE | re.DOTALL)
}
WITHOUT_ADDRESS = {"baig_walks"}
"""A source that this book was given; where it stands is not known."""


def cited() -> set[str]:
    """Every key that a page or a chapter of the book cites."""
    sources = [path.read_text(encoding="utf8") for path in (*BOOK.glob("*.md"), *BOOK.glob("*/*.md"), *BOOK.glob("*/*.ipynb"))]
    found = [keys for source in sources for keys in re.findall(r"\{cite(?::\w+)?\}`([^`{]+)`", source)]
    return {key.strip() for keys in found for key in keys.split(",")} | set(KEYS)


def test_every_citation_is_in_the_references_and_every_reference_is_cited() -> None:
    assert cited() == set(WORKS)


def test_there_are_as_many_works_as_a_reader_can_take_in() -> None:
    assert 40 <= len(KEYS) <= 80
    assert len(set(KEYS)) == len(KEYS)


@pytest.mark.parametrize("key", sorted(WORKS))
def test_a_reference_is_whole(key: str) -> None:
    fields = WORKS[key]
    assert {"author", "title"} <= set(fields)
    if key in WITHOUT_ADDRESS:
        return
    assert re.fullmatch(r"\{(19|20)\d\d\}", fields["year"])
    address = fields["url"].strip("{}")
    assert address.startswith("https://")
    if "eprint" in fields:
        number = fields["eprint"].strip("{}")
        assert re.fullmatch(r"\d{4}\.\d{4,5}", number)
        assert address == f"https://arxiv.org/abs/{number}"
    assert "others" not in fields["author"], "name all authors"


@pytest.mark.parametrize("entry", ENTRIES, ids=KEYS)
def test_an_entry(entry: dict[str, object]) -> None:
    assert list(entry) == ["key", "when", "theme", "claim", "pages", "builds_on"]
    assert entry["theme"] in FIELD["themes"]
    claim = entry["claim"]
    assert 40 < len(claim) < 200, "one or two short sentences"
    assert claim[-1] in ".?"
    for page in entry["pages"]:
        assert (BOOK / f"{page}.ipynb").exists() or (BOOK / f"{page}.md").exists(), page
    assert set(entry["builds_on"]) <= set(KEYS) - {entry["key"]}


@pytest.mark.parametrize("entry", ENTRIES, ids=KEYS)
def test_its_date_is_that_of_the_first_version(entry: dict[str, object]) -> None:
    fields, when = WORKS[entry["key"]], entry["when"]
    assert re.fullmatch(r"(19|20)\d\d(-(0[1-9]|1[0-2]))?", when)
    if "eprint" in fields:
        number = fields["eprint"].strip("{}")
        assert when == f"20{number[:2]}-{number[2:4]}", "the month that its arXiv number has"
    else:
        assert when[:4] == fields["year"].strip("{}")


def test_a_work_builds_on_earlier_ones() -> None:
    when = {entry["key"]: entry["when"] for entry in ENTRIES}
    for entry in ENTRIES:
        for other in entry["builds_on"]:
            n = min(len(when[other]), len(entry["when"]))  # to the year, where one has no month
            assert when[other][:n] <= entry["when"][:n], f"{entry['key']} builds on {other}, which is later"


def test_the_first_ten_are_on_the_map() -> None:
    first = [each["key"] for each in FIELD["first"]]
    assert len(first) == len(set(first)) == 10
    assert set(first) <= set(KEYS)


def test_the_page_lists_every_theme_in_order() -> None:
    assert re.findall(r"^### (.+)$", PAGE, flags=re.MULTILINE) == FIELD["themes"]
    assert re.findall(r'^listed\("(.+)"\)$', PAGE, flags=re.MULTILINE) == FIELD["themes"]
    assert {entry["theme"] for entry in ENTRIES} == set(FIELD["themes"])
