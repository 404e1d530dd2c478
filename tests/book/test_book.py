"""The book's sources: every chapter has the same shape, and is stored clean. Its exercises are tried in `test_exercises.py`."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest
import yaml
from chapters import CHAPTERS, NAMES, Chapter, Exercise, code_of, defined, tags
from places import ROOT
from reading import TIME

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
LAST_SECTIONS = ["Check yourself", "Exercises", "What the article says, what we measured", "Recap", "References", "Next"]
MOST_MINUTES = 5


@pytest.fixture(params=CHAPTERS, ids=NAMES)
def chapter(request: pytest.FixtureRequest) -> Chapter:
    return Chapter(request.param)


# The files


def test_there_are_chapters_and_each_lies_one_folder_deep() -> None:
    everywhere = sorted(path for path in ROOT.glob("book/**/*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    assert everywhere == CHAPTERS != []


def test_the_table_of_contents_lists_every_page_once() -> None:
    listed = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
    files = [*CHAPTERS, *ROOT.glob("book/*.md"), *ROOT.glob("book/api/*.md"), ROOT / "CHANGELOG.md"]
    pages = [path.relative_to(ROOT).with_suffix("").as_posix() for path in files]
    assert sorted(listed) == sorted(pages)


def test_notebook_is_valid_and_clean(chapter: Chapter) -> None:
    nbformat.validate(nbformat.from_dict(chapter.raw))
    assert chapter.raw["metadata"]["kernelspec"]["name"] == "python3"
    for cell in chapter.cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], f"cell {cell['id']} has outputs: nbstripout --keep-id {chapter.path}"
            assert cell["execution_count"] is None


def test_cell_ids_are_unique(chapter: Chapter) -> None:
    ids = [cell["id"] for cell in chapter.cells]
    assert len(set(ids)) == len(ids)


def test_a_failing_cell_fails_the_book(chapter: Chapter) -> None:
    assert not {"raises-exception", "skip-execution"} & {tag for cell in chapter.cells for tag in tags(cell)}
    assert not chapter.raw["metadata"].get("execution", {}).get("allow_errors")
    assert not CONFIG["execute"].get("allow_errors")


# The shape of a chapter


def test_opening(chapter: Chapter) -> None:
    opening = chapter.cells[0]["source"]
    lines = [line for line in opening.splitlines() if line.strip()]
    assert re.match(r"# \S", lines[0]), "the first cell starts with the title"
    assert re.match(r"(\*\*|_|\*)\S", lines[1]), "behind the title comes the claim, in bold or italics"
    points = re.findall(r"^> - \S", opening, flags=re.MULTILINE)
    assert "> **You will learn**" in opening
    assert 3 <= len(points) <= 5, f"three to five points to learn, not {len(points)}"
    time = TIME.search(opening)
    assert time, "`> **Time**: about N minutes to read, M minutes to run on two CPU cores; a GPU does not help`"
    assert int(time.groups()[-1]) <= MOST_MINUTES
    assert re.search(r"^> \*\*You need\*\*: \S", opening, flags=re.MULTILINE)


def test_sections_close_the_chapter_in_order(chapter: Chapter) -> None:
    headings = list(chapter.sections)
    assert headings[-len(LAST_SECTIONS) :] == LAST_SECTIONS
    assert len(headings) > len(LAST_SECTIONS), "a chapter has a body"
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", chapter.markdown, flags=re.DOTALL), flags=re.MULTILINE)) == 1


def test_questions_have_folded_answers(chapter: Chapter) -> None:
    section = chapter.sections["Check yourself"]
    assert 2 <= section.count("<details>") <= 4
    assert section.count("<details>") == section.count("</details>") == section.count("<summary>")


def test_the_article_is_compared_in_a_table(chapter: Chapter) -> None:
    below = chapter.cells[next(i for i, cell in enumerate(chapter.cells) if "## What the article says" in cell["source"]) :]
    assert any(re.search(r"\|\s*:?-{3,}", cell["source"]) for cell in below[:3]), "a table: what the article says, what was measured"


def test_recap_has_three_lines(chapter: Chapter) -> None:
    lines = [line for line in chapter.sections["Recap"].splitlines() if line.strip()]
    items = [line for line in lines if re.match(r"\s*(-|\*|\d+\.)\s", line)]
    assert len(items or lines) == 3


def test_references_are_links(chapter: Chapter) -> None:
    assert re.search(r"\]\(https://", chapter.sections["References"])


def test_prose(chapter: Chapter) -> None:
    words = re.findall(r"\b(?:simply|obviously|of course|easy to see|trivial(?:ly)?)\b", chapter.markdown, flags=re.IGNORECASE)
    assert words == [], "leave out words that tell the reader how hard a thing is"


def test_figures_have_titles_and_alt_text(chapter: Chapter) -> None:
    """Every call of a function of `msae.figures` names both; with `lead=` the rest of the alternative text is made of the numbers."""
    for cell in chapter.cells:
        if cell["cell_type"] != "code" or cell is chapter.cells[1]:
            continue
        for node in ast.walk(code_of(cell)):
            if isinstance(node, ast.Call) and re.fullmatch(r"(msae\.)?figures\.[a-z]\w*", ast.unparse(node.func)):
                given = {keyword.arg for keyword in node.keywords}
                assert ("title" in given and {"alt", "lead"} & given) or None in given, (
                    f"{ast.unparse(node.func)} in cell {cell['id']} needs title=, and alt= or lead="
                )


def test_chapters_install_nothing_and_touch_no_paths(chapter: Chapter) -> None:
    code = "\n".join(cell["source"] for cell in chapter.cells[2:] if cell["cell_type"] == "code")
    assert not re.search(r"pip install|sys\.path|apt-get|/content/", code)


# What a reader does


def test_what_is_folded_on_the_page_is_folded_in_jupyter_and_colab(chapter: Chapter) -> None:
    for cell in chapter.code[1:]:  # the first is the stamped one
        if "hide-input" in tags(cell):
            assert cell["metadata"].get("jupyter", {}).get("source_hidden") is True, f"cell {cell['id']}: jupyter.source_hidden"
            assert cell["metadata"].get("cellView") == "form", f"cell {cell['id']}: cellView"


def test_a_reader_predicts_and_then_runs(chapter: Chapter) -> None:
    """The lead, a cell whose first line is the one number to change, and what happens in a fold."""
    (at,) = [i for i, cell in enumerate(chapter.cells) if "predict" in tags(cell)]
    first = chapter.cells[at]["source"].splitlines()[0]
    assert re.match(r"\w+ = [-+\d._]+(e-?\d+)?\s*(#.*)?$", first), f"the first line is the number to change, not {first!r}"
    around = [cell["source"] if cell["cell_type"] == "markdown" else "" for cell in chapter.cells[at - 1 : at + 4]]
    assert "**Predict, then run.**" in around[0], "**Predict, then run.** leads in the cell before"
    assert "<details>" in "".join(around), "what happens stands in a fold, before the cell or behind it"
    assert chapter.markdown.count("**Predict, then run.**") == 1


def test_a_reader_reads_a_figure(chapter: Chapter) -> None:
    _, *behind = chapter.markdown.split("**Read the figure.**")
    assert len(behind) == 1, f"one **Read the figure.** per chapter, not {len(behind)}"
    assert "<details>" in behind[0][:1500], "the answer is in a fold below the question"


# Exercises: their order; what their checks say is tried in test_exercises.py

STARS = r"\*\*[^*]+\*\* · (★☆☆|★★☆|★★★) · \d+ minutes?"


def exercises_of(chapter: Chapter) -> list[Exercise]:
    assert 2 <= len(chapter.exercises) <= 4, f"two to four exercises, not {len(chapter.exercises)}"
    return chapter.exercises


def test_an_exercise_is_task_stub_check_hints_solution(chapter: Chapter) -> None:
    for exercise in exercises_of(chapter):
        kinds = [tags(cell) if cell["cell_type"] == "code" else "text" for cell in exercise.cells[:5]]
        assert kinds == ["text", ["exercise"], ["exercise-check", "hide-input"], "text", ["solution", "hide-input"]], exercise.name
    assert "{solution-start}" not in chapter.markdown, "a solution is a folded cell"


def test_a_task_says_how_hard_it_is_and_how_long_it_takes(chapter: Chapter) -> None:
    for exercise in exercises_of(chapter):
        task = exercise.cells[0]["source"].split("{exercise-start}")[1]
        assert re.search(rf"^{STARS}$", task, flags=re.MULTILINE), f"{exercise.name}: **Title.** · ★★☆ · 10 minutes, on a line of its own"
        assert "{exercise-end}" in task


def test_a_stub_only_defines(chapter: Chapter) -> None:
    for exercise in exercises_of(chapter):
        stub = ast.parse(exercise.code("exercise"))
        assert exercise.name, "a stub defines a function"
        assert all(isinstance(node, (ast.FunctionDef, ast.Import, ast.ImportFrom)) for node in stub.body), exercise.name
        assert exercise.code("exercise").rstrip().endswith("raise NotImplementedError")


def test_a_check_is_told_on_the_reader_s_function(chapter: Chapter) -> None:
    for exercise in exercises_of(chapter):
        check = exercise.code("exercise-check")
        assert re.match(r"# ?@title Check\n", check), f"{exercise.name}: Colab shows nothing but the title of a folded cell"
        assert f"def check_{exercise.name}({exercise.name})" in check
        assert "from msae.support.exercises import tell" in check
        assert check.rstrip().endswith(f"\ntell(check_{exercise.name}, {exercise.name})")


def test_two_hints_lie_folded(chapter: Chapter) -> None:
    for exercise in exercises_of(chapter):
        hints = exercise.cells[3]["source"]
        assert re.findall(r"<details>\s*<summary>(.*?)</summary>", hints) == ["Hint 1", "Hint 2"], exercise.name
        assert hints.count("</details>") == 2


def test_a_solution_has_a_name_of_its_own_and_is_checked(chapter: Chapter) -> None:
    for exercise in exercises_of(chapter):
        solution = exercise.code("solution")
        assert re.match(r"# ?@title Solution\n", solution), exercise.name
        names = defined({"source": solution})
        assert f"{exercise.name}_solution" in names
        assert exercise.name not in names, "a solution does not define the reader's function again"
        assert f"check_{exercise.name}({exercise.name}_solution)" in solution


# The library owns what chapters share


MOST_LINES = 25


def functions_of(chapter: Chapter) -> set[str]:
    """The functions that a chapter defines, those of its exercises excepted."""
    of_exercises = {"exercise", "exercise-check", "solution"}
    return {name for cell in chapter.code if not of_exercises & {*tags(cell)} for name in defined(cell)}


def test_no_function_stands_in_two_chapters() -> None:
    everything = [name for path in CHAPTERS for name in functions_of(Chapter(path))]
    assert {name for name in everything if everything.count(name) > 1} == set()


def test_a_chapter_imports_nothing_private(chapter: Chapter) -> None:
    for cell in chapter.cells:
        if cell["cell_type"] == "code":
            for node in ast.walk(code_of(cell)):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    names = [*getattr(node, "module", "").split("."), *(part for name in node.names for part in name.name.split("."))]
                    assert not [name for name in names if name.startswith("_")], f"cell {cell['id']}: {ast.unparse(node)}"


def test_a_visible_cell_is_seen_at_once(chapter: Chapter) -> None:
    lines = {cell["id"]: len(cell["source"].splitlines()) for cell in chapter.code[1:] if "hide-input" not in tags(cell)}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}, "fold drawing away: hide-input"


def test_a_visible_cell_glues_no_table(chapter: Chapter) -> None:
    glue = [cell["id"] for cell in chapter.code if "hide-input" not in tags(cell) and re.search(r"\| *:?-{3,}", cell["source"])]
    assert glue == [], "a table is put together in a folded cell"
