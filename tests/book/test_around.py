"""The project around the book: what the README shows runs, checks run what it says, and figures reach a built page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
import yaml
from places import ROOT


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
    tests_of_this = {"tests/book/test_around.py", "tests/book/test_site.py"}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if name in tests_of_this or path.suffix in {".safetensors", ".zst", ".npz"} or not path.exists():
            continue
        found = forbidden.search(path.read_text(encoding="utf8", errors="ignore"))
        if found:
            named.append(f"{name}: {found.group()}")
    assert named == []
