"""A chapter's reading time: what is counted, and that a chapter says what is counted in it."""

from __future__ import annotations

from typing import Any

import pytest
import reading
from chapters import CHAPTERS, NAMES, Chapter

MINUTES, SHARE = 5, 0.2


def notebook(*cells: tuple[str, str] | tuple[str, str, list[str]]) -> dict[str, Any]:
    """Cells as (kind, source) or (kind, source, tags) behind an opening and a setup cell."""
    opening = [("markdown", "# A title", []), ("code", "import sys\n" * 9, [])]
    return {
        "cells": [
            {"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {"tags": more[0] if more else []}}
            for kind, source, *more in [*opening, *cells]
        ]
    }


def test_words_are_those_of_the_text():
    text = "Two **words**. A [link](https://example.org/a/b) to a {term}`hole`; $x + y = z$ is one.\n\n$$a + b + c$$\n\n```{note}\nno\n```"
    found = reading.reading(notebook(("markdown", text)))
    assert found.words == 12  # "A title" of the opening, and ten here: a formula is one
    assert found.formulas == 1


def test_references_and_exercises_are_not_read_with_the_chapter():
    task = "```{exercise-start}\n:label: a\n```\n\n**Count.** · ★☆☆ · 5 minutes\n\nWrite a function.\n\n```{exercise-end}\n```"
    cells = [
        ("markdown", "## Exercises\n\n" + task),
        ("code", "def f():\n    raise NotImplementedError", ["exercise"]),
        ("markdown", "<details><summary>Hint 1</summary>\n\nAn idea.\n\n</details>"),
        ("markdown", task.replace("5 minutes", "10 minutes")),
        ("code", "def g():\n    raise NotImplementedError", ["exercise"]),
        ("markdown", "## References\n\n- many words that nobody reads\n\n## Next\n\nOn."),
    ]
    found = reading.reading(notebook(*cells))
    assert (found.words, found.code_lines, found.questions, found.exercise_minutes) == (2 + 1 + 1 + 1, 0, 0, 15)


def test_code_counts_where_it_is_seen():
    drawing = "figures.bars(\n    {},\n)\nfigures.lines({})"
    found = reading.reading(
        notebook(("code", "a = 1\n\n\nb = 2"), ("code", drawing, ["hide-input"]), ("code", "from x.figures import (\n    a)"))
    )
    assert (found.code_lines, found.longest_cell, found.figures) == (4, 4, 2)


def test_pictures_questions_and_intervals_are_counted():
    text = (
        "![a](b.svg) <details><summary>Why?</summary>Because.</details> 0.34 [0.29, 0.39], [−0.1, inf], [1 %, 2 %]; not `[a, b]` nor [3]."
    )
    found = reading.reading(notebook(("markdown", text)))
    assert (found.figures, found.questions, found.intervals) == (1, 1, 3)
    executed = notebook(("code", "print(a)"))
    executed["cells"][-1]["outputs"] = [
        {"text": ["recall 0.5 ", "[0.4, 0.6]\n"]},
        {"data": {"text/plain": "[1, 2]", "text/markdown": "none"}},
    ]
    assert reading.reading(executed).intervals == 1


def test_more_to_read_takes_longer():
    less = reading.Reading(1000, 30, 10, 0, 2, 1, 2, 15)
    assert less.minutes == 11  # 5 of words, 2 of code, 2 of figures, 0.3 and 1
    for more in ({"words": 1400}, {"code_lines": 60}, {"figures": 4}, {"questions": 6}):
        assert less._replace(**more).minutes == less.minutes + 2
    assert less._replace(exercise_minutes=100).minutes == less.minutes


def test_the_table_has_a_line_for_each_and_one_for_all():
    lines = reading.table(CHAPTERS[:3]).splitlines()
    assert len(lines) == 1 + 3 + 1
    assert lines[-1].startswith("all")


@pytest.mark.parametrize("chapter", [Chapter(path) for path in CHAPTERS], ids=NAMES)
def test_a_chapter_says_how_long_it_takes_to_read(chapter: Chapter) -> None:
    said = reading.TIME.search(chapter.cells[0]["source"])
    assert said, "> **Time**: about N minutes to read, M minutes to run on two CPU cores; a GPU does not help"
    measured = reading.reading(chapter.raw).minutes
    assert abs(int(said.group(1)) - measured) <= max(MINUTES, SHARE * measured), f"it takes about {measured}: python book/_tools/reading.py"
