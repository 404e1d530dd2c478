"""The book's sources: every chapter has the same shape, is stored clean, and agrees with what the project says about itself."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
import yaml
from places import ROOT

CHAPTERS = sorted(ROOT.glob("book/*/*.ipynb"))
NAMES = [str(path.relative_to(ROOT / "book")) for path in CHAPTERS]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
LAST_SECTIONS = ["Check yourself", "Exercises", "What the article says, what we measured", "Recap", "References", "Next"]
MOST_MINUTES = 5


def load_stamp() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stamp", ROOT / "book" / "_tools" / "stamp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stamp"] = module
    spec.loader.exec_module(module)
    return module


stamp = load_stamp()


class Chapter:
    """A chapter's notebook, read for its shape."""

    def __init__(self, path: Path):
        self.path = path
        self.raw: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
        self.cells: list[dict[str, Any]] = [{**cell, "source": "".join(cell["source"])} for cell in self.raw["cells"]]
        self.markdown = "\n\n".join(cell["source"] for cell in self.cells if cell["cell_type"] == "markdown")

    @property
    def sections(self) -> dict[str, str]:
        """Each `## ` heading with the Markdown below it."""
        parts = re.split(r"^## +(.+?)\s*$", self.markdown, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2]))


@pytest.fixture(params=CHAPTERS, ids=NAMES)
def chapter(request: pytest.FixtureRequest) -> Chapter:
    return Chapter(request.param)


def tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


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
    reading = r"(?:about \d+ minutes to read, )?"
    time = re.search(
        rf"^> \*\*Time\*\*: {reading}(\d+) minutes?(?: to run)? on two CPU cores; a GPU does not help", opening, flags=re.MULTILINE
    )
    assert time, "`> **Time**: about N minutes to read, M minutes to run on two CPU cores; a GPU does not help`"
    assert int(time.group(1)) <= MOST_MINUTES
    assert re.search(r"^> \*\*You need\*\*: \S", opening, flags=re.MULTILINE)


def test_setup_cell_is_the_stamped_one(chapter: Chapter) -> None:
    second = chapter.cells[1]
    assert second["cell_type"] == "code"
    assert tags(second) == stamp.SETUP_TAGS
    assert second["source"] == stamp.setup_cell(stamp.address()), "python book/_tools/stamp.py"


def test_sections_close_the_chapter_in_order(chapter: Chapter) -> None:
    headings = list(chapter.sections)
    assert headings[-len(LAST_SECTIONS) :] == LAST_SECTIONS
    assert len(headings) > len(LAST_SECTIONS), "a chapter has a body"
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", chapter.markdown, flags=re.DOTALL), flags=re.MULTILINE)) == 1


def test_questions_have_folded_answers(chapter: Chapter) -> None:
    section = chapter.sections["Check yourself"]
    assert 2 <= section.count("<details>") <= 4
    assert section.count("<details>") == section.count("</details>") == section.count("<summary>")


def test_exercises_have_a_stub_a_solution_that_runs_and_a_check(chapter: Chapter) -> None:
    cells = chapter.cells
    stubs = [i for i, cell in enumerate(cells) if "exercise" in tags(cell)]
    assert 2 <= len(stubs) <= 4, f"two to four exercises, not {len(stubs)}"
    for start, end in zip(stubs, [*stubs[1:], len(cells)]):
        stub = ast.parse(cells[start]["source"])
        functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
        assert functions, "a stub defines a function"
        assert "NotImplementedError" in cells[start]["source"]
        assert all(isinstance(node, (ast.FunctionDef, ast.Import, ast.ImportFrom)) for node in stub.body), "a stub only defines"
        block = cells[start + 1 : end]
        if "exercise-check" in tags(block[0]):  # the reader's own answer is checked, and the solution has another name
            (solved,) = (cell["source"] for cell in block if "solution" in tags(cell))
            assert all(f"def {name}_solution(" in solved and f"check_{name}({name}_solution)" in solved for name in functions)
            continue
        opened = next((i for i, cell in enumerate(block) if "{solution-start}" in cell["source"]), None)
        closed = next((i for i, cell in enumerate(block) if "{solution-end}" in cell["source"]), None)
        assert opened is not None, "a solution stands between {solution-start} and {solution-end}"
        assert closed is not None, "a solution stands between {solution-start} and {solution-end}"
        assert ":class: dropdown" in block[opened]["source"], "a solution is folded away"
        solution = "\n".join(cell["source"] for cell in block[opened:closed] if cell["cell_type"] == "code")
        assert any(f"def {name}(" in solution for name in functions), "the solution defines the stub's function and runs"
        checks = [cell["source"] for cell in block[closed:] if cell["cell_type"] == "code"]
        assert any(name in check for name in functions for check in checks), "a check follows the solution"


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
    """Every call of a function of `msae.figures` names both."""
    for cell in chapter.cells:
        if cell["cell_type"] != "code" or cell is chapter.cells[1]:
            continue
        for node in ast.walk(code_of(cell)):
            if isinstance(node, ast.Call) and re.fullmatch(r"(msae\.)?figures\.[a-z]\w*", ast.unparse(node.func)):
                given = {keyword.arg for keyword in node.keywords}
                assert {"title", "alt"} <= given or None in given, f"{ast.unparse(node.func)} in cell {cell['id']} needs title= and alt="


def test_chapters_install_nothing_and_touch_no_paths(chapter: Chapter) -> None:
    code = "\n".join(cell["source"] for cell in chapter.cells[2:] if cell["cell_type"] == "code")
    assert not re.search(r"pip install|sys\.path|apt-get|/content/", code)


# The library owns what chapters share


MOST_LINES = 40
LONGER = {
    "01_toy/03_matryoshka_loss.ipynb": {"two-dictionaries": 45},
    "02_tinystories/01_language_model.ipynb": {"cosines": 43},
    "02_tinystories/02_first_latents.ipynb": {"word-list": 67},
    "02_tinystories/05_matryoshka.ipynb": {"prefixes": 62, "table-figure": 48},
    "05_beyond/06_mean_max_correlation.ipynb": {"places": 72},
    "02_tinystories/07_price.ipynb": {"l0-figure": 52},
    "03_exploring/01_hovering.ipynb": {"follows": 42, "sample": 47, "ablate": 95},
    "03_exploring/02_trees.ipynb": {"article-rule": 46, "luck": 54, "all-latents": 54},
    "05_beyond/01_all_prefixes.ipynb": {"noise-code": 52, "measure": 58, "strong-code": 47},
}
"""Cells above the limit, and how long they may be: to become shorter when their chapter is rewritten, and then to leave this table."""


def code_of(cell: dict[str, Any]) -> ast.Module:
    return ast.parse(re.sub(r"^\s*[%!].*$", "", cell["source"], flags=re.MULTILINE))


def functions_of(chapter: Chapter) -> set[str]:
    """The functions that a chapter defines, exercises and their solutions excepted."""
    found: dict[str, bool] = {}
    for cell in chapter.cells:
        if cell["cell_type"] == "code":
            for node in ast.walk(code_of(cell)):
                if isinstance(node, ast.FunctionDef):
                    found[node.name] = found.get(node.name, False) or "exercise" in tags(cell)
    return {name for name, of_exercise in found.items() if not of_exercise}


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


def test_a_cell_of_code_is_seen_at_once(chapter: Chapter) -> None:
    longer = LONGER.get(str(chapter.path.relative_to(ROOT / "book")), {})
    lines = {cell["id"]: len(cell["source"].splitlines()) for cell in chapter.cells if cell["cell_type"] == "code"}
    assert {name: n for name, n in lines.items() if n > longer.get(name, MOST_LINES)} == {}
    assert longer.keys() <= {name for name, n in lines.items() if n > MOST_LINES}


# One place for the address


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


# The project around the book


def readme_commands() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf8"), flags=re.DOTALL)


def test_what_the_readme_shows_of_the_library_runs() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf8"), flags=re.DOTALL)
    said = {}
    exec(shown, said)
    assert said["best"].score.recall.value > 0.9
    assert "Lily" in said["latents"].strongest(said["best"].latent)


def test_readme_has_two_commands_of_one_line() -> None:
    build, tests = readme_commands()
    assert build.strip().count("\n") == tests.strip().count("\n") == 0
    assert "jupyter-book build -W -n --keep-going ." in build
    assert "--nbmake book/**/*.ipynb" in tests
    for command in (build, tests):
        assert "pip install -q -r requirements.txt" in command


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
def test_checks_run_the_commands_of_the_readme() -> None:
    shown = [subprocess.run([ROOT / ".ci" / "run", "--show", n], capture_output=True, text=True, check=True).stdout for n in "12"]
    assert shown == readme_commands()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    assert 'readme_command 1)"' in script
    assert 'readme_command 2)"' in script


def test_workflows_run_the_same_script() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf8"))
    assert [step["run"] for step in workflow["jobs"]["checks"]["steps"] if "run" in step] == [".ci/run"]


def test_figures_reach_the_book() -> None:
    assert "plotly" in {point.name for point in entry_points(group="myst_nb.mime_renderers")}, "pip install -e . again"


def test_import_of_the_renderer_is_light() -> None:
    """Jupyter Book imports it for every build; torch and plotly would add seconds."""
    code = "import sys, msae._sphinx; sys.exit(' '.join({'torch', 'plotly', 'sphinx'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_figure_in_the_page_is_safe_and_described() -> None:
    from msae._sphinx import figure_html

    figure = {
        "data": [{"type": "scatter", "text": "</script><b>"}],
        "layout": {"title": {"text": "A claim<br>in <b>two</b> lines"}, "meta": {"alt": 'Says "this" & that'}, "template": {"layout": {}}},
    }
    markup, complaint = figure_html(figure, "1.0")
    assert complaint is None
    assert markup.count("</script>") == 1
    assert ">A claim in two lines</figcaption>" in markup
    assert "Says &quot;this&quot; &amp; that" in markup
    assert '"template"' not in markup
    assert figure_html(figure, "2.0")[0] != markup, "the same figure twice on a page has two ids"


@pytest.mark.parametrize("layout", [{}, {"title": "A claim"}, {"meta": {"alt": "words"}}, {"title": "A claim", "meta": {"alt": " "}}])
def test_figure_without_words_is_complained_about(layout: dict[str, Any]) -> None:
    from msae._sphinx import figure_html

    _, complaint = figure_html({"data": [], "layout": layout}, "1.0")
    assert complaint is not None
    assert "needs" in complaint


def test_nothing_names_our_machines() -> None:
    forbidden = re.compile(r"(?<![\w.])/(?:work|opt|root)/|\.\./shared|/home/\w|pypi\.|pythonhosted")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    named = []
    tests_of_this = {"tests/book/test_book.py", "tests/book/test_site.py"}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if name in tests_of_this or path.suffix in {".safetensors", ".zst", ".npz"} or not path.exists():
            continue
        found = forbidden.search(path.read_text(encoding="utf8", errors="ignore"))
        if found:
            named.append(f"{name}: {found.group()}")
    assert named == []
