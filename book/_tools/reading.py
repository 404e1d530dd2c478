"""How long a chapter takes to read, measured on its words, visible code, figures and questions.

    python book/_tools/reading.py                        a table of all chapters
    python book/_tools/reading.py book/01_toy/*.ipynb    of these; outputs of an executed notebook count among the intervals

A student reads about 200 words a minute where the words explain something new. A line of Python has about ten names, numbers and signs:
three seconds to read it and one to look where a name comes from, so fifteen lines a minute. A figure takes a minute, a formula of its own
line twenty seconds, a question half a minute of thought. Fifteen chapters that a first reader judged as a student would, at 660 minutes
with what the exercises took, come out at 550 without them. The exercises say their own minutes and are added up apart.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

WORDS_A_MINUTE = 200
LINES_A_MINUTE = 15
MINUTES_A_FIGURE = 1.0
MINUTES_A_FORMULA = 0.3
MINUTES_A_QUESTION = 0.5

FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
INTERVAL = re.compile(r"\[\s*[-−+]?\d[\d.,]*\s*%?\s*,\s*[-−+]?(?:\d[\d.,]*|inf)\s*%?\s*\]")
FIGURE = re.compile(r"^(?!\s*(?:from|import)\b).*?\b(?:figures\.[a-z]\w*|Explorer)\(", re.MULTILINE)
PICTURE = re.compile(r"!\[[^\]]*\]\(|<img\b|<svg\b|```\{(?:figure|image)\}")
STARS = re.compile(r"^\*\*.+?\*\* · [★☆]{3} · (\d+) minutes?$", re.MULTILINE)
TIME = re.compile(
    r"^> \*\*Time\*\*: about (\d+) minutes? to read, (\d+) minutes? to run on two CPU cores; a GPU does not help",
    re.MULTILINE,
)
"""The line of a chapter's opening that says how long it takes: to read, and to run."""


class Reading(NamedTuple):
    """What there is to read in a chapter."""

    words: int
    """Words of the text, answers to questions with them; exercises and references are left out."""

    code_lines: int
    """Lines of code that are seen when the page opens, empty ones and exercises left out."""

    longest_cell: int
    """Lines of the longest visible cell."""

    intervals: int
    """Intervals in brackets, such as [0.29, 0.39], in the text and, where the notebook is executed, in what it prints."""

    figures: int
    """Figures, pictures and explorers."""

    formulas: int
    """Formulas on a line of their own."""

    questions: int
    """Answers in a fold, outside the exercises: each has a question that is thought about first."""

    exercise_minutes: int
    """What the exercises say they take, added up."""

    @property
    def minutes(self) -> int:
        """Minutes to read the chapter without its exercises."""
        return math.ceil(
            self.words / WORDS_A_MINUTE
            + self.code_lines / LINES_A_MINUTE
            + self.figures * MINUTES_A_FIGURE
            + self.formulas * MINUTES_A_FORMULA
            + self.questions * MINUTES_A_QUESTION
        )


def reading(notebook: dict[str, Any]) -> Reading:
    """What there is to read in a notebook."""
    cells = [{**cell, "source": "".join(cell["source"])} for cell in notebook["cells"]]
    exercises = "\n\n".join(cell["source"] for cell in cells if "{exercise-start}" in cell["source"])
    cells = _without_exercises(cells)
    text = "\n\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"^## References\n.*?(?=^## |\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    code = [cell for cell in cells[2:] if cell["cell_type"] == "code"]  # the first two are the opening and the stamped setup
    seen = [cell["source"].splitlines() for cell in code if not FOLDED & {*cell["metadata"].get("tags", [])}]
    printed = "".join(_printed(output) for cell in code for output in cell.get("outputs", []))
    return Reading(
        words=len(re.findall(r"\S*\w\S*", _prose(text))),
        code_lines=sum(bool(line.strip()) for lines in seen for line in lines),
        longest_cell=max(map(len, seen), default=0),
        intervals=len(INTERVAL.findall(text + printed)),
        figures=sum(len(FIGURE.findall(cell["source"])) for cell in code) + len(PICTURE.findall(text)),
        formulas=len(re.findall(r"\$\$.+?\$\$", text, flags=re.DOTALL)),
        questions=text.count("<details"),
        exercise_minutes=sum(map(int, STARS.findall(exercises))),
    )


def _without_exercises(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All cells but those from the first task to the next section."""
    left, inside = [], False
    for cell in cells:
        section = cell["cell_type"] == "markdown" and re.search(r"^## ", cell["source"], flags=re.MULTILINE)
        if "{exercise-start}" in cell["source"]:
            inside = True
            left.append({**cell, "source": cell["source"].split("```{exercise-start}")[0]})
        elif not inside or section:
            inside = False
            left.append(cell)
    return left


def _prose(text: str) -> str:
    """Markdown without what is not read as words: formulas count as one, an address as none."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    text = re.sub(r"\$[^$\n]+\$", "formula", text)
    text = re.sub(r"<(?:svg|style)\b.*?</(?:svg|style)>|<[^>]+>", " ", text, flags=re.DOTALL)
    return re.sub(r"\]\([^)]*\)|\{[a-z]+\}", " ", text)


def _printed(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    return "".join(output.get("text", data.get("text/markdown", data.get("text/plain", ""))))


def table(paths: list[Path]) -> str:
    """A line for each notebook and one for all."""
    heads = ["words", "code lines", "longest cell", "intervals", "figures", "formulas", "questions", "exercises, min", "read, min", "says"]
    found, rows = [], []
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf8"))
        found.append(reading(notebook))
        said = TIME.search("".join(notebook["cells"][0]["source"]))
        name = f"{path.parent.name}/{path.stem}"
        rows.append([name, *map(str, found[-1]), str(found[-1].minutes), said.group(1) if said else "–"])
    total = Reading(*map(sum, zip(*found)))._replace(longest_cell=max(each.longest_cell for each in found))
    rows.append(["all", *map(str, total), str(sum(each.minutes for each in found)), ""])
    widths = [len(head) + 2 for head in heads]
    lines = (f"{name:<42}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths)) for name, *cells in [["", *heads], *rows])
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([Path(name) for name in sys.argv[1:]] or sorted(ROOT.glob("book/*/*.ipynb"))))
