"""An exercise as a reader does it, in a real JupyterLab: the solution is folded, and what is typed is what the check reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chapters import Chapter, tags
from jupyter_lab import Cells, jupyter_lab
from pages import Visit
from places import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHAPTER = Chapter(ROOT / "book" / "03_exploring" / "02_trees.ipynb")
NAME = "descendants"
WRONG = "def descendants(latent, parent):\n    return {child for child, over in parent.items() if over == latent}"
RIGHT = """\
def descendants(latent, parent):
    below = {child for child, over in parent.items() if over == latent}
    return below.union(*(descendants(child, parent) for child in below))"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """Address of a JupyterLab that shows the chapter as it is stored."""
    shutil.copy(CHAPTER.path, tmp_path)
    with jupyter_lab(tmp_path, CHAPTER.path.name) as address:
        yield address


def test_a_reader_is_told_what_is_wrong_and_then_that_it_is_right(browser_page: Visit, lab: str) -> None:
    (exercise,) = [each for each in CHAPTER.exercises if each.name == NAME]
    ids = [cell["id"] for cell in CHAPTER.cells]
    stub, check, solution = (
        ids.index(next(cell["id"] for cell in exercise.cells if tag in tags(cell))) for tag in ("exercise", "exercise-check", "solution")
    )
    browser_page.page.goto(lab)
    cells = Cells(browser_page.page)

    for folded in (solution, check):
        cell = cells.show(folded)
        cell.locator(".jp-InputPlaceholder").wait_for()
        assert not cell.locator(".cm-content").is_visible(), "its source is hidden when the chapter opens"
    assert cells.show(stub).locator(".cm-content").is_visible()

    cells.run(stub)
    cells.run(check)
    cells.printed(check, f"{NAME} is not written yet")
    cells.write(stub, WRONG)
    cells.run(stub)
    cells.run(check)
    cells.printed(check, "Not yet: you return ['he', 'she'], the children alone")
    cells.write(stub, RIGHT)
    cells.run(stub)
    cells.run(check)
    cells.printed(check, "Right.")
    cells.run(solution)
    assert not cells.show(solution).locator(".cm-content").is_visible(), "a solution that has run is still folded"
    cells.run(check)
    cells.printed(check, "Right.")
    assert browser_page.outside == []
