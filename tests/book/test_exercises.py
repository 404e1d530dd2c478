"""The exercises test the reader: a check says what is wrong with a wrong answer, and passes the solution.

A reader may do an exercise first, and so every check stands alone: each is run here in a namespace of its own, with the reader's function
and nothing else of the chapter. The wrong answers stand in `wrong_answers/`, a file for each chapter.
"""

from __future__ import annotations

import importlib.util
import linecache
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch
from chapters import CHAPTERS, Chapter, Exercise
from places import ROOT
from wrong_answer import Wrong

ANSWERS = ROOT / "tests" / "book" / "wrong_answers"
LEAST_WRONG = 3
CONSTANTS = ["None", "0", "0.0", "1", "1.0", "True", "[]", "''", "given[0] if given else 0"]


def wrong_answers(chapter: Chapter) -> dict[str, list[Wrong]]:
    path = ANSWERS / f"{chapter.short}.py"
    if not path.exists():
        return {}
    spec = importlib.util.spec_from_file_location(f"wrong_answers_{chapter.short}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


READ = [Chapter(path) for path in CHAPTERS]
EXERCISES = [pytest.param(exercise, id=f"{chapter.short}-{exercise.name}") for chapter in READ for exercise in chapter.exercises]
WRONG = [
    pytest.param(exercise, wrong, id=f"{chapter.short}-{exercise.name}-{k}")
    for chapter in READ
    for exercise in chapter.exercises
    for k, wrong in enumerate(wrong_answers(chapter).get(exercise.name, []))
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(*cells: str) -> str:
    """What these cells print, one after another in a namespace of their own; what the last of them raises is raised."""
    said, names = StringIO(), {"__name__": "__main__"}
    with redirect_stdout(said):
        for k, cell in enumerate(cells):
            file = f"<cell {k}>"  # as Jupyter does it: each cell a file whose lines can be shown
            linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
            exec(compile(cell, file, "exec"), names)
    return said.getvalue()


@pytest.mark.parametrize("chapter", READ, ids=[chapter.name for chapter in READ])
def test_wrong_answers_are_there_for_each_exercise(chapter: Chapter) -> None:
    found = {name: len(answers) for name, answers in wrong_answers(chapter).items()}
    assert found.keys() == {exercise.name for exercise in chapter.exercises}, f"tests/book/wrong_answers/{chapter.short}.py"
    assert {name: n for name, n in found.items() if n < LEAST_WRONG} == {}


def test_wrong_answers_are_of_chapters() -> None:
    assert {path.stem for path in ANSWERS.glob("*.py")} <= {chapter.short for chapter in READ}


def test_no_two_chapters_share_a_file_of_wrong_answers() -> None:
    names = [chapter.short for chapter in READ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_told_that_it_is_not_written_yet(exercise: Exercise) -> None:
    assert f"{exercise.name} is not written yet" in run(exercise.code("exercise"), exercise.code("exercise-check"))


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_right(exercise: Exercise) -> None:
    """Its own cell passes behind the stub and the check; as the reader's answer it is told so."""
    stub, check, solution = (exercise.code(tag) for tag in ("exercise", "exercise-check", "solution"))
    run(stub, check, solution)
    answer = f"{exercise.name} = {exercise.name}_solution"
    said = run(stub, check, solution, answer, check)
    assert re.findall(r"^(?:Right|Not yet)\b", said.split("not written yet", 1)[-1], flags=re.MULTILINE) == ["Right"], said


@pytest.mark.parametrize(("exercise", "wrong"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(exercise: Exercise, wrong: Wrong) -> None:
    said = run(wrong.code, exercise.code("exercise-check"))
    assert said.startswith("Not yet: "), said
    assert "Right" not in said
    assert wrong.says in said, said


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("constant", CONSTANTS)
def test_no_constant_is_right(exercise: Exercise, constant: str) -> None:
    said = run(f"def {exercise.name}(*given, **named):\n    return {constant}", exercise.code("exercise-check"))
    assert said.startswith("Not yet: "), said
    assert len(said) < 600, "a sentence, not a page"
