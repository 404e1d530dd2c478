"""What figures draw, read from a real browser: every label as itself, every number to the digits in which it differs from the others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from figure_page import write_page
from pages import Visit
from places import ROOT

from msae import figures
from msae.explore.pages import coloured
from msae.support import drawn

STORY = "Once upon a time there was a little girl. " * 20
LONG = "a label that goes on and on, " * 8
LABELS: list[tuple[Any, str]] = [
    ("<s>", "<s>"),
    ("<b>bold</b>", "<b>bold</b>"),
    ("x<br>y", "x<br>y"),
    ("&lt;", "&lt;"),
    ("&amp; &", "&amp; &"),
    (" a", "·a"),
    ("a", "a"),
    ("A", "A"),
    ("a ", "a·"),
    ("a b", "a b"),
    ("a  b", "a··b"),
    ("a\u00a0b", "a\u00a0b (2)"),
    ("\n", "↵"),
    ("\t", "⇥"),
    (" ", "·"),
    ("", "(empty)"),
    ("(empty)", "(empty) (2)"),
    ("\u200b", "⟨200b⟩"),
    ("\ud800", "⟨d800⟩"),
    ("\u3164", "⟨3164⟩"),
    ("\U000e0041", "⟨e0041⟩"),
    ("\ufe0f", "⟨fe0f⟩"),
    ("❤\ufe0f", "❤\ufe0f"),
    (1, "1"),
    ("1", "1 (2)"),
    ("007", "007"),
    ("1e3", "1e3"),
    (0.5, "0.5"),
    (None, "None"),
    (("a", 2), "('a', 2)"),
    ("2024-01-01", "2024-01-01"),
    ("$x$", "$x$"),
    ("$y$ and $z$", "$y$ and $z$"),
    ("%{y}", "%{y}"),
    ("%{meta.alt}", "%{meta.alt}"),
    ("</extra>", "</extra>"),
    ("<!--<script>", "<!--<script>"),
    ("constructor", "constructor"),
    ("__proto__", "__proto__"),
    ("\"double\" 'single' \\", "\"double\" 'single' \\"),
    ("שלום עולם", "שלום עולם"),
    ("👩‍🚀", "👩‍🚀"),
    ("e\u0301", "e\u0301"),
    ("\u00e9", "\u00e9 (2)"),
    (LONG + "here", LONG + "here"),
    (LONG + "there", LONG + "there"),
]
GIVEN, SEEN = [given for given, _ in LABELS], [seen for _, seen in LABELS]
N = len(LABELS)
CLAIM = "A claim about <s>, &lt;, $x$ and %{y}, and about $z$ and " + 60 * "m"
WORDS = {"title": CLAIM, "alt": "in words: <s> &lt;"}
AXES = {"row_axis": "<row>", "column_axis": "$c$ %{x}"}


def each(make: Callable[[int], Any]) -> dict[Any, Any]:
    return {given: make(i) for i, given in enumerate(GIVEN)}


TREE = SimpleNamespace(names=GIVEN, parent=[-1] + [0] * (N - 1), probability=[0.5] + [0.1] * (N - 1))
MATRICES = each(lambda i: [[i / 100]])
DRAWN: dict[str, Callable[[], Any]] = {
    "bars": lambda: figures.bars(each(float), axis="<x>", **WORDS),
    "dots": lambda: figures.dots(each(lambda i: [i]), axis="<x>", **WORDS),
    "lines": lambda: figures.lines(each(lambda i: ([0, 1], [i, i])), x_axis="<x>", y_axis="$y$ %{y}", **WORDS),
    "heatmap": lambda: figures.heatmap(np.eye(N), rows=GIVEN, columns=GIVEN, value="<v>", **AXES, **WORDS),
    "heatmaps": lambda: figures.heatmaps(MATRICES, rows=["r"], columns=["c"], value="<v>", **AXES, **WORDS),
    "compare": lambda: figures.compare(each(lambda i: {"<s>": i, "": (1, 1, 2)}), axis="<x>", **WORDS),
    "pairs": lambda: figures.pairs(range(N), range(N), labels=GIVEN, x_name="<s>", y_name="", axis="<x>", **WORDS),
    "ratios": lambda: figures.ratios({"<s>": each(lambda i: [i + 1])}, axis="<x>", one="<one> $x$ and $y$", **WORDS),
    "tree": lambda: figures.tree(TREE, **WORDS),
    "histogram": lambda: figures.histogram([1, 2], axis="<x>", of="<of> $x$ $y$", **WORDS),
    "neighbourhoods": lambda: figures.neighbourhoods(
        [[i, i] for i in range(N)], {i: [0] for i in range(N)}, labels=GIVEN, axis="<x>", slider="<s>", **WORDS
    ),
}
# Nearly equal numbers, each by the name of its figure, with what a reader must be told in the order of the hovered marks.
NEAR, SAID = [0.99999, 0.99998, 0.5], ["0.99999", "0.99998", "0.5"]
HOVERED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "near bars": (lambda: figures.bars(dict(zip("abc", NEAR)), axis="x", low_high={"a": (0.999985, 1)}, **WORDS), SAID),
    "near dots": (lambda: figures.dots({"a": NEAR}, axis="x", **WORDS), [*SAID, "0.99998"]),
    "near lines": (lambda: figures.lines({"a": (range(3), NEAR)}, x_axis="x", y_axis="y", **WORDS), SAID),
    "near compare": (lambda: figures.compare({k: {"a": v} for k, v in zip("abc", NEAR)}, axis="x", **WORDS), SAID),
    "near pairs": (lambda: figures.pairs(NEAR, [0] * 3, labels="abc", x_name="a", y_name="b", axis="x", **WORDS), SAID),
    "near ratios": (lambda: figures.ratios({"g": {"a": NEAR}}, axis="x", one="o", **WORDS), [*SAID, "0.99998"]),
    "near heatmap": (lambda: figures.heatmap([NEAR], rows="r", columns="abc", **AXES, **WORDS), SAID),
    "tiny": (lambda: figures.bars({"a": 1e-12, "b": -2e-12, "c": 0}, axis="x", **WORDS), ["1e-12", "-2e-12", "0"]),
    "huge": (
        lambda: figures.lines({"a": ([1, 2], [1e12, 1e12 + 1])}, x_axis="x", y_axis="y", **WORDS),
        ["1,000,000,000,000", "1,000,000,000,001"],
    ),
    "counts": (lambda: figures.dots({"a": [12345, -98765]}, axis="x", **WORDS), ["12,345", "-98,765", "-43,210"]),
    "equal": (lambda: figures.pairs([1, 1], [1, 1], labels="ab", x_name="a", y_name="b", axis="x", **WORDS), ["1", "1"]),
    "zero": (lambda: figures.heatmap([[0, 0]], rows="r", columns="ab", diverging=False, **AXES, **WORDS), ["0", "0"]),
    "small cells": (
        lambda: figures.heatmap([[1e-12, 2e-12]], rows="r", columns="ab", diverging=False, **AXES, **WORDS),
        ["1e-12", "2e-12"],
    ),
    "one point": (lambda: figures.lines({"a": ([3], [1e-7])}, x_axis="x", y_axis="y", log_y=True, log_x=True, **WORDS), ["1e-7"]),
    "all alike": (lambda: figures.histogram([1e-12] * 5, axis="x", of="things", n_bins=1, **WORDS), ["5e-13 to 1.5e-12"]),
    "stories": (lambda: figures.bars({STORY + "Lily": 1, STORY + "Tim": 2}, axis="x", **WORDS), ["1", "2"]),
    "cells of stories": (
        lambda: figures.heatmap([[0.1, 0.2]], rows="r", columns=[STORY + "Lily", STORY + "Tim"], **AXES, **WORDS),
        ["0.1", "0.2"],
    ),
    "many columns": (
        lambda: figures.heatmap([[0.1] * 120, [0.2] * 120], rows="rs", columns=[f"{LONG}{i}" for i in range(120)], **AXES, **WORDS),
        ["0.1", "0.2"],
    ),
    "dots of a story": (lambda: figures.dots({STORY: [1]}, axis="x", **WORDS), ["1", "1"]),
    "comparison of stories": (lambda: figures.compare({STORY: {STORY + "Lily": (1, 0, 2)}}, axis="x", **WORDS), ["1"]),
    "ratios of stories": (lambda: figures.ratios({STORY: {STORY: [1]}}, axis="x", one="o", **WORDS), ["1", "1"]),
    "tree of stories": (
        lambda: figures.tree(SimpleNamespace(names=[STORY, STORY + "Tim"], parent=[-1, 0], probability=[0.5, 0.1]), **WORDS),
        ["0.5", "0.2"],
    ),
    "to the end": (lambda: figures.lines({"a": ([0, 10_000], [1, 2])}, x_axis="x", y_axis="y", **WORDS), ["1", "2"]),
}

READ = """plot => {
  const text = (where) => [...plot.querySelectorAll(where)].map(t => t.textContent);
  const hover = [];
  plot._fullData.forEach((trace, curve) => {
    if (trace.hoverinfo === "skip" || trace.visible !== true) return;
    const places = trace.type === "heatmap"
      ? trace.z.flatMap((row, r) => row.map((_, c) => ({xval: c, yval: r}))).filter(p => trace.z.length === 1 || p.xval === p.yval)
      : [...(trace.x || [])].map((_, i) => [{curveNumber: curve, pointNumber: i}]);
    for (const place of places) {
      Plotly.Fx.unhover(plot);
      Plotly.Fx.hover(plot, place);
      const box = plot.querySelector(".hovertext");
      hover.push([...box.querySelectorAll(".nums .line, .nums:not(:has(.line))")].map(l => l.textContent));
    }
  });
  return {
    caption: plot.closest("figure").querySelector("figcaption").textContent,
    alt: plot.closest("figure").querySelector(".msae-alt").textContent,
    controls: [...plot.closest("figure").querySelectorAll(".msae-control :is(button, option)")].map(c => c.textContent),
    x: text(".xtick text"), y: text(".ytick text"), legend: text(".legendtext"), marks: text(".textpoint text"),
    titles: text(":is(.xtitle, .ytitle, .annotation-text)"),
    formulas: plot.querySelectorAll("mjx-container, [class*=math-group] svg").length,
    wide: Math.max(0, ...[...plot.querySelectorAll(".hovertext")].map(h => h.getBoundingClientRect().width)),
    hover,
  };
}"""


@pytest.fixture(scope="module")
def read(browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Each figure as the browser shows it: all of them drawn on one page of the book's own making, MathJax loaded."""
    made = DRAWN | {name: make for name, (make, _) in HOVERED.items()}
    broken = '<figure class="msae-figure"><div class="msae-controls" data-for="broken"></div><div class="msae-plot" id="broken"></div>'
    broken += '<script type="application/json" data-for="broken">{"data": </script></figure>'
    address = write_page(
        tmp_path_factory.mktemp("figures"),
        {name: make() for name, make in made.items()},
        more=broken,
        style=".msae-plot { width: 640px; min-height: 100px }",
        mathjax=True,
    )
    context = browser.new_context(viewport={"width": 800, "height": 900})
    visit = Visit(context.new_page())
    visit.page.goto(address)
    visit.page.wait_for_function("globalThis.MathJax?.startup?.promise !== undefined")
    found = {}
    for name, plot in zip(made, visit.page.query_selector_all(".msae-plot")):
        plot.scroll_into_view_if_needed()
        visit.page.wait_for_function("plot => plot.dataset.ready === '1'", arg=plot, timeout=60_000)
        found[name] = plot.evaluate(READ)
    figure = figures.heatmaps({"<s> $a$": [[0]], "$b$ %{y}": [[0]]}, rows=["r"], columns=["c"], **AXES, **WORDS).to_json()
    bare = "figure => Plotly.newPlot(document.body.appendChild(document.createElement('div')), figure).then(plot =>"
    bare += " [...plot.querySelectorAll('.gtitle, .updatemenu-button text')].map(t => t.textContent))"
    found["bare"] = visit.page.evaluate(bare, json.loads(figure))
    visit.page.query_selector("#broken").scroll_into_view_if_needed()
    visit.page.wait_for_selector(".msae-undrawn", state="attached")
    assert [error for error in visit.errors if "broken cannot be drawn" not in error] == []
    assert len(visit.errors) == 1
    yield found
    context.close()


def short(seen: str, limit: int) -> bool:
    return len(seen) <= limit


@pytest.mark.browser
@pytest.mark.parametrize("kind", DRAWN)
def test_titles_and_axes_are_drawn_as_they_are_given(kind, read):
    assert read[kind]["caption"] == CLAIM
    assert read[kind]["alt"] == WORDS["alt"]
    assert read[kind]["formulas"] == 0
    expected = {
        "bars": ["<x>"],
        "lines": ["<x>", "$y$ %{y}"],
        "heatmap": ["$c$ %{x}", "<row>", "<v>"],
        "heatmaps": ["$c$ %{x}", "<row>", "<v>"],
        "pairs": ["<x>, <s>", "<x>,"],
        "ratios": ["<x>", "<one> $x$ and $y$"],
        "tree": [],
        "histogram": ["<x>", "<of> $x$ $y$"],
        "neighbourhoods": ["<x> 1", "<x> 2"],
    }.get(kind, ["<x>"])
    assert [title.strip() for title in read[kind]["titles"]] == expected


@pytest.mark.browser
def test_plotly_alone_draws_the_title_and_the_buttons_too(read):
    title, *buttons = sorted(read["bare"], key=len, reverse=True)
    assert title.replace(" ", "") == CLAIM.replace(" ", ""), "in lines"
    assert sorted(buttons) == ["$b$ %{y}", "<s> $a$"]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("kind", "where", "limit"),
    [
        ("bars", "y", 22),
        ("dots", "y", 16),
        ("compare", "y", 22),
        ("ratios", "y", 22),
        ("lines", "legend", 40),
        ("heatmaps", "controls", 40),
    ],
)
def test_every_label_is_drawn_as_itself(kind, where, limit, read):
    texts = read[kind][where][1 if kind == "ratios" else 0 :]
    assert [text for text, seen in zip(texts, SEEN) if short(seen, limit)] == [seen for seen in SEEN if short(seen, limit)]
    assert len(texts) == len(set(texts)) == N, "also long ones, which are cut, stay apart"


@pytest.mark.browser
def test_every_name_in_a_tree_is_drawn_as_itself(read):
    own = [drawn.visible(given) for given in GIVEN]  # equal names are equal: nothing merges them here
    assert [text for text in read["tree"]["marks"] if "…" not in text] == [seen for seen in own if short(seen, 22)]


@pytest.mark.browser
@pytest.mark.parametrize("where", ["x", "y"])
def test_the_ticks_of_a_heatmap_are_its_labels(where, read):
    texts = read["heatmap"][where]
    assert texts == [seen if short(seen, 16) else text for seen, text in zip(SEEN[::2], texts)]
    assert len(texts) > 20


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["bars", "dots", "lines", "heatmap", "compare", "pairs", "ratios", "tree", "neighbourhoods"])
def test_a_hover_box_names_what_is_hovered_in_full(kind, read):
    per_label = {"dots": 2, "lines": 2, "ratios": 2}.get(kind, 1)
    boxes = read[kind]["hover"][::per_label][:N]
    own = [drawn.visible(given) for given in GIVEN] if kind in ("pairs", "tree", "neighbourhoods") else SEEN
    before = {"heatmap": "<row> ", "ratios": "<s>: "}.get(kind, "")
    assert len(boxes) == N
    for seen, lines in zip(own, boxes):
        whole = "".join(lines)
        assert whole.startswith(before + seen), whole
        assert max(map(len, lines)) <= 60


@pytest.mark.browser
@pytest.mark.parametrize("name", HOVERED)
def test_what_is_hovered_says_the_number_to_the_digits_in_which_it_differs(name, read):
    boxes = read[name]["hover"]
    expected = HOVERED[name][1]
    assert len(boxes) == len(expected)
    for lines, text in zip(boxes, expected):
        assert re.search(rf"(?<![\d.,e-]){re.escape(text)}(?![\d.,]*\d)", "\n".join(lines)), (lines, text)
    if len(set(expected)) == len(expected):
        assert len({tuple(lines) for lines in boxes}) == len(boxes)


@pytest.mark.browser
def test_labels_as_long_as_a_story_stay_two_and_have_room_for_their_boxes(read):
    assert [re.sub(r".*…", "", tick.replace(" ", "")) for tick in read["stories"]["y"]] == ["alittlegirl.Lily", "alittlegirl.Tim"]
    for name in ("stories", "cells of stories"):
        for lines, end in zip(read[name]["hover"], ("girl. Lily", "girl. Tim")):
            assert end in "".join(lines)


@pytest.mark.browser
def test_ticks_that_would_lie_upon_one_another_are_thinned(read):
    ticks = read["many columns"]["x"]
    numbers = [int(re.search(r"\d+$", tick).group()) for tick in ticks]
    assert numbers == list(range(0, 120, 6)), "every third has a text, every second of these has room"


@pytest.mark.browser
def test_a_tick_at_the_very_end_of_an_axis_has_its_text(read):
    assert read["to the end"]["x"][-1] == "10,000"


@pytest.mark.browser
def test_ticks_have_no_letters_for_powers_of_ten(read):
    for name in ("tiny", "huge", "small cells"):
        ticks = "".join(read[name]["x"] + read[name]["y"])
        assert not set("kMBTGpµμn") & set(ticks), ticks


def test_labels_that_look_alike_are_told_apart():
    assert drawn.words(["x", "x", "x (2)", "x"]) == ["x", "x (3)", "x (2)", "x (4)"]
    assert drawn.words(["a\r\nb", "\u200d", "न\u200dन"]) == ["a↵b", "⟨200d⟩", "न\u200dन"]
    torch = pytest.importorskip("torch")
    assert drawn.words(torch.tensor([3, 4])) == ["3", "4"]
    assert drawn.words([np.float32(0.1), torch.tensor(0.1), np.int64(7)]) == ["0.1", "0.1 (2)", "7"]


def test_signs_without_a_picture_are_shown_alike_in_figures_and_in_the_explorer():
    signs = [chr(k) for k in range(0x10000) if not chr(k).isspace() and k != 0x200D]
    texts = [*signs, *("\u202eabc", "a\u2067b\u2069", "\u061c", "می\u200cخواهم", "👨\u200d👩", "\u200d", "a\u200c", "\U0001f600", "x\ty")]
    if shutil.which("node") is None:
        pytest.skip("no Node here")
    module = (ROOT / "msae" / "explore" / "static" / "dom.mjs").as_uri()
    script = f"import {{ visible }} from {json.dumps(module)}; let text = '';"
    script += "for await (const part of process.stdin.setEncoding('utf8')) text += part;"
    script += "console.log(JSON.stringify(JSON.parse(text).map(visible)));"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [drawn.visible(text) for text in texts]
    assert drawn.words(texts[-9:-6]) == ["⟨202e⟩abc", "a⟨2067⟩b⟨2069⟩", "⟨61c⟩"]
    assert coloured([("\u202eab", 1.0), ("\ud800", 0.0)], 1.0).endswith(">⟨202e⟩ab</mark>⟨d800⟩</p>")
