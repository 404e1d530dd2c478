"""What a cell shows reaches the built page, or the build warns and says what to do: a tiny book in a temporary folder."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import subprocess
import sys
from typing import Any

import nbformat
import numpy as np
import pytest
from places import ROOT

pytest.importorskip("myst_nb")

CONFIG = """
extensions = ["myst_nb"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "text/html", 5)]
"""
VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
PLAIN = {"text/plain": "<an object>"}
FIGURE = {"data": [{"type": "bar", "y": [1]}], "layout": {"title": {"text": "A claim"}, "meta": {"alt": "in words"}}}


def widgets() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Outputs of widgets as Jupyter makes them, and the state that it keeps beside them."""
    go = pytest.importorskip("plotly.graph_objects")
    ipywidgets = pytest.importorskip("ipywidgets")
    figure = go.FigureWidget([go.Scatter(y=np.array([1.5, 2.5])), go.Heatmap(z=np.eye(2)), go.Bar(y=np.array([0.5, np.nan], np.float16))])
    figure.update_layout(title="A widget's claim", meta={"alt": "a widget in words"})
    nameless = go.FigureWidget([go.Scatter(y=[1])])
    slider = ipywidgets.IntSlider()
    shown = {name: {**w._repr_mimebundle_(), **PLAIN} for name, w in {"figure": figure, "nameless": nameless, "slider": slider}.items()}
    shown["with html"] = {**shown["slider"], "text/html": "<p>the form of HTML</p>"}
    shown["lost"] = {**PLAIN, VIEW: {"model_id": "nobody"}}
    state = copy.deepcopy(ipywidgets.Widget.get_manager_state())
    for model in state["state"].values():
        model["state"].pop("_esm", None)  # four megabytes
    return shown, state


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """The page of each output, and all that the build said."""
    folder = tmp_path_factory.mktemp("book")
    outputs, state = widgets()
    outputs |= {
        "plotly": {**PLAIN, "application/vnd.plotly.v1+json": FIGURE},
        "no-figure": {**PLAIN, "application/vnd.plotly.v1+json": {"data": "many"}},
        "bad-height": {**PLAIN, "application/vnd.plotly.v1+json": {"data": [], "layout": {"height": "tall"}}},
        "json": {**PLAIN, "application/json": {"a": 1}},
        "chart": {**PLAIN, "application/vnd.vegalite.v5+json": {"mark": "bar"}},
        "chart with picture": {**PLAIN, "application/vnd.vegalite.v5+json": {"mark": "bar"}, "text/html": "<p>a picture of it</p>"},
        "alone": {"application/octet-stream": "AAAA"},
        "markdown": {**PLAIN, "text/markdown": "**in bold**"},
        "plain": PLAIN,
    }
    (folder / "conf.py").write_text(CONFIG)
    names = {name: name.replace(" ", "-") for name in outputs}
    toc = "\n".join(names.values())
    (folder / "index.md").write_text(f"# Book\n\n```{{toctree}}\n{toc}\n```\n")
    for name, output in outputs.items():
        cell = nbformat.v4.new_code_cell("show()", outputs=[nbformat.v4.new_output("display_data", output)])
        kept = {"widgets": {STATE: state}, "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {name}"), cell], metadata=kept)
        (folder / f"{names[name]}.ipynb").write_text(nbformat.writes(notebook))
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", str(folder), str(folder / "out")]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert done.returncode == 0, done.stderr
    return {name: (folder / "out" / f"{stem}.html").read_text() for name, stem in names.items()}, done.stderr


def figure_of(page: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" data-for="fig-\w+">(.*?)</script>', page, flags=re.DOTALL).group(1))


def warnings(built: tuple[dict[str, str], str], name: str) -> str:
    return "\n".join(line for line in built[1].splitlines() if f"/{name.replace(' ', '-')}.ipynb:" in line)


@pytest.mark.parametrize("name", ["plotly", "figure", "markdown", "with html", "chart with picture", "plain"])
def test_what_can_be_shown_is_shown_without_a_warning(name, built):
    assert warnings(built, name) == ""
    shown = {"markdown": "in bold", "with html": "the form of HTML", "chart with picture": "a picture of it", "plain": "an object"}
    assert shown.get(name, 'class="msae-plot"') in built[0][name]


def test_the_figure_of_a_widget_is_its_figure(built):
    figure = figure_of(built[0]["figure"])
    y = figure["data"][0]["y"]
    assert np.frombuffer(base64.b64decode(y["bdata"]), y["dtype"]).tolist() == [1.5, 2.5]
    assert figure["data"][1]["z"] == [[1, 0], [0, 1]]
    assert figure["data"][2]["y"] == [0.5, None]
    assert ">A widget&#x27;s claim</figcaption>" in built[0]["figure"]
    assert "a widget in words" in built[0]["figure"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("slider", "a widget needs a running kernel and a page has none: show a figure instead"),
        ("lost", "a widget needs a running kernel"),
        ("nameless", "a figure needs a title (the claim it shows) and alt text"),
        ("no-figure", "this is no figure that plotly can draw: data must be a list of mappings"),
        ("bad-height", "layout.height must be a number of pixels, got 'tall'"),
        ("json", "a page does not show output of the kind application/json: show a figure, a picture, HTML or Markdown"),
        ("chart", "a page does not show output of the kind application/vnd.vegalite.v5+json"),
        ("alone", "a page does not show output of the kind application/octet-stream"),
    ],
)
def test_what_cannot_be_shown_is_warned_of(name, words, built):
    assert words in warnings(built, name)
    if name not in ("alone", "nameless"):
        assert "an object" in built[0][name], "the plain text stands in its place"


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (None, "expected a mapping with data and layout, got NoneType"),
        ('{"data": []}', "expected a mapping"),
        ({"data": {}}, "data must be a list of mappings"),
        ({"data": [1]}, "data must be a list of mappings"),
        ({"layout": []}, None),
        ({"layout": [1]}, "layout and layout.margin must be mappings"),
        ({"layout": {"margin": 3}}, "layout and layout.margin must be mappings"),
        ({"layout": {"height": -1}}, "layout.height must be a number of pixels, got -1"),
        ({"layout": {"height": True}}, "layout.height must be a number of pixels, got True"),
        ({"layout": {"margin": {"t": "wide"}}}, "layout.margin.t must be a number of pixels, got 'wide'"),
        ({"data": [{"y": [float("nan")]}]}, "it holds NaN, infinity, half a letter or an object"),
        ({"data": [{"text": "\ud800"}]}, "it holds NaN, infinity, half a letter or an object"),
        ({"data": [{"y": np.arange(3)}]}, "it holds NaN, infinity, half a letter or an object"),
    ],
)
def test_data_that_are_no_figure_are_said_to_be_none(figure, words):
    from msae._sphinx import figure_html

    markup, complaint = figure_html(figure, "1.0")
    if words is None:
        assert "a figure needs" in complaint
    else:
        assert markup == ""
        assert complaint.startswith("this is no figure that plotly can draw: ")
        assert words in complaint


def test_a_layout_that_says_nothing_has_plotlys_own_sizes():
    from msae._sphinx import figure_html

    nothing = {"title": None, "margin": None, "height": None, "meta": {"alt": "words"}}
    markup, complaint = figure_html({"data": [], "layout": nothing}, "1.0")
    assert figure_of(markup)["layout"]["height"] == 450 - 60
    assert complaint == "a figure needs a title (the claim it shows)"


@pytest.mark.parametrize(
    "part",
    [
        {"data": [{"colorbar": "wide"}]},
        {"data": [{"marker": ["red"]}]},
        {"layout": {"coloraxis": None, "coloraxis2": {"colorbar": [1]}}},
        {"layout": {"height": 50}},
    ],
)
def test_parts_that_are_not_what_they_should_be_stop_no_build(part):
    from msae._sphinx import figure_html

    markup, _ = figure_html(part, "1.0")
    assert figure_of(markup)["layout"]["height"] >= 10


@pytest.mark.parametrize(
    ("title", "seen"),
    [
        ("p < 0.05 and q > 3 in <b>bold</b>", "p &lt; 0.05 and q &gt; 3 in bold"),
        ({"text": "A claim", "subtitle": {"text": "and more"}}, "A claim – and more"),
    ],
)
def test_a_title_loses_no_words(title, seen):
    from msae._sphinx import figure_html

    assert f">{seen}</figcaption>" in figure_html({"data": [], "layout": {"title": title}}, "1.0")[0]


def test_no_text_of_a_figure_ends_its_data():
    from msae._sphinx import figure_html

    text = "<!--<script></script>\u2028]]>"
    figure = {"data": [{"type": "bar", "text": text}], "layout": {"title": "t", "meta": {"alt": text}}}
    markup, _ = figure_html(figure, "1.0")
    assert markup.count("<script") == markup.count("</script>") == 1
    assert "<!--" not in markup
    assert figure_of(markup)["data"][0]["text"] == text
