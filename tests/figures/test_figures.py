"""The figures: what they demand, what they never set, how large they are, and that one role has one colour everywhere."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from figure_kinds import AXES, COSINES, KINDS, LABELS, RNG, everything

from msae import figures

LINES = {"x_axis": "x", "y_axis": "y", "title": "t", "alt": "a"}


def keys(node: object, path: str = "") -> list[str]:
    if isinstance(node, dict):
        return [p for k, v in node.items() for p in [f"{path}.{k}", *keys(v, f"{path}.{k}")]]
    if isinstance(node, list):
        return [p for v in node for p in keys(v, path)]
    return []


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_leaves_width_theme_and_backgrounds_to_its_page(kind):
    fig = json.loads(everything()[kind]().to_json())
    assert fig["layout"]["meta"]["alt"] == "what is seen"
    assert not {"template", "width", "paper_bgcolor", "plot_bgcolor"} & set(fig["layout"])
    assert fig["layout"]["height"] <= 900
    assert fig["layout"]["margin"]["t"] >= 60
    title = fig["layout"]["title"]["text"]
    assert max(map(len, title.split("<br>"))) <= 44
    assert title.replace("<br>", " ").endswith("never does")
    for axis in ("xaxis", "yaxis"):
        assert fig["layout"][axis].get("visible") is False or fig["layout"][axis]["automargin"] is True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", ["alt", "title"])
def test_a_figure_without_a_claim_or_an_alternative_is_refused(kind, missing):
    for nothing in ("", "   ", None):
        with pytest.raises(ValueError, match=f"needs {missing}="):
            everything(**{missing: nothing})[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_drawing_twice_gives_the_same_bytes(kind):
    if kind == "histogram":
        pytest.skip("its values are drawn anew here")
    assert everything()[kind]().to_json() == everything()[kind]().to_json()


def test_a_role_has_one_colour_in_every_figure_and_under_every_name():
    for name in ("plain", "vanilla", "Plain"):
        fig = figures.dots({name: [1, 2]}, title="t", alt="a", axis="x")
        assert fig.data[0].marker.line.color == figures.COLORS["plain"]
        assert (
            figures.lines({name: ([1, 2], [1, 2])}, title="t", alt="a", x_axis="x", y_axis="y").data[0].line.color
            == figures.COLORS["plain"]
        )
        assert figures.bars({name: 1}, title="t", alt="a", axis="x").data[0].marker.color[0] == figures.COLORS["plain"]
    assert figures.role("all prefixes") == "matryoshka"
    assert figures.role("ground truth") == "truth"
    assert figures.role("plain, faded") == "plain"
    assert figures.role("plain-30") == figures.role("vanilla-30, seed 1") == figures.role("vanilla") == "plain"
    assert figures.role("matryoshka (all prefixes)") == figures.role("Matryoshka-15") == "matryoshka"
    assert figures.role("relu, plain") == "relu, plain"
    assert set(figures.COLORS) == {"parent", "child", "hole", "plain", "sampled", "matryoshka", "truth"}


@pytest.mark.parametrize(
    "names",
    [["plain, seed 0", "plain, seed 1"], ["plain", "vanilla", "Plain"], ["relu", "parent"], ["a", "b", "matryoshka"], list("abcdefghijkl")],
)
def test_no_two_names_in_one_plot_look_alike(names):
    words = {"title": "t", "alt": "a"}
    curves = figures.lines({n: ([1, 2], [1, 2]) for n in names}, x_axis="x", y_axis="y", **words).data
    assert len({(t.line.color, t.line.dash) for t in curves}) == len(names)
    marks = [t for t in figures.compare({"r": dict.fromkeys(names[:4], 1)}, axis="x", **words).data if t.mode == "markers"]
    assert len({(t.marker.color, t.marker.symbol) for t in marks}) == len(marks)
    dots = figures.pairs([1, 2], [2, 1], x_name=names[0], y_name=names[1], axis="x", labels="ab", **words).data[1:]
    assert len({(t.marker.color, t.marker.symbol) for t in dots}) == 2
    for name, trace in zip(names, curves):
        own = figures.COLORS.get(figures.role(name))
        assert trace.line.color == own if own else trace.line.color not in {figures.COLORS.get(figures.role(n)) for n in names}


def test_no_other_name_takes_the_colour_of_a_kind_of_sae_or_of_a_reference():
    names = ["four fixed widths", "uniform", "Pareto", *"abcdefghi"]
    curves = figures.lines({n: ([1, 2], [1, 2]) for n in names}, **LINES).data
    kept = {figures.COLORS[role] for role in ("plain", "sampled", "matryoshka", "truth")}
    assert not kept & {trace.line.color for trace in curves}


@pytest.mark.parametrize("name", ["90 %", "90 % line", "target", "truth", "ground truth", "Target line"])
def test_lines_of_reference_are_grey_and_dotted(name):
    (line,) = figures.lines({name: ([1, 2], [0.9, 0.9]), "plain": ([1, 2], [0, 1])}, **LINES).data[:1]
    assert (line.line.color, line.line.dash) == (figures.COLORS["truth"], "dot")


def luminance(colour: str) -> float:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("background", ["#ffffff", "#14181e"])
def test_every_colour_can_be_seen_on_light_and_on_dark(background):
    names = list("abcdef")
    others = {n: t.line.color for n, t in zip(names, figures.lines({n: ([1, 2], [1, 2]) for n in names}, **LINES).data)}
    for name, colour in (figures.COLORS | others).items():
        a, b = sorted([luminance(colour), luminance(background)])
        assert (b + 0.05) / (a + 0.05) >= 3, f"{name} on {background}"


def test_zero_has_the_colour_of_the_page_and_both_ends_are_equally_far_from_it():
    fig = figures.heatmap(COSINES, title="t", alt="a", rows=LABELS, columns=LABELS, **AXES)
    scale = dict(fig.data[0].colorscale)
    assert (fig.data[0].zmin, fig.data[0].zmax) == (-1, 1)
    assert all(colour.endswith(",0)") for at, colour in fig.data[0].colorscale if at == 0.5)
    ends = ["#" + "".join(f"{int(v):02x}" for v in scale[k][5:-1].split(",")[:3]) for k in (0.0, 1.0)]
    lightness = [116 * luminance(c) ** (1 / 3) - 16 for c in ends]
    assert abs(lightness[0] - lightness[1]) < 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda w: figures.heatmap(COSINES, rows=LABELS[:3], columns=LABELS, **AXES, **w),
            r"rows= has 3 labels, but the matrix has 20 rows",
        ),
        (
            lambda w: figures.heatmap(COSINES, rows=LABELS, columns=["x"], **AXES, **w),
            r"columns= has 1 label, but the matrix has 20 columns",
        ),
        (lambda w: figures.heatmap([1.0, 2.0], rows=["r"], columns=["a", "b"], **AXES, **w), r"2 dimensions, got shape \(2,\)"),
        (lambda w: figures.heatmap([[math.nan]], rows=["r"], columns=["c"], **AXES, **w), r"finite, got nan at position \(0, 0\)"),
        (lambda w: figures.heatmap([[3.0]], rows=["r"], columns=["c"], **AXES, **w), r"\[-1, 1\], got 3; use diverging=False"),
        (lambda w: figures.heatmap([[-1.0]], rows=["r"], columns=["c"], diverging=False, **AXES, **w), r"starts at 0, got -1"),
        (lambda w: figures.heatmap(np.zeros((201, 2)), rows=range(201), columns="ab", **AXES, **w), r"\(201, 2\) is too large"),
        (lambda w: figures.heatmaps({}, rows=[], columns=[], **AXES, **w), r"at least one matrix"),
        (
            lambda w: figures.heatmaps({"a": [[0]]}, rows={"b": ["r"]}, columns=["c"], **AXES, **w),
            r"no labels for the matrix 'a'; it has 'b'",
        ),
        (lambda w: figures.dots({}, axis="x", **w), r"at least one row"),
        (lambda w: figures.bars(dict.fromkeys(range(3000), 1), axis="x", **w), r"90,024 pixels high is too much .* show fewer rows"),
        (lambda w: figures.dots({"plain": [1, math.inf]}, axis="x", **w), r"values of 'plain' must be finite, got inf at position 1"),
        (lambda w: figures.dots({"plain": []}, axis="x", **w), r"must not be empty"),
        (lambda w: figures.lines({"a": ([1, 2], [1])}, x_axis="x", y_axis="y", **w), r"equally long, got 2, 1 points"),
        (lambda w: figures.lines({"a": ([1], [1], [1])}, x_axis="x", y_axis="y", **w), r"\(x, y\) or \(x, y, low, high\), got 3 parts"),
        (lambda w: figures.lines({"a": ([1], [0])}, x_axis="x", y_axis="y", log_y=True, **w), r"not positive"),
        (lambda w: figures.bars({"a": 1.0}, axis="x", low_high={"b": (0, 1)}, **w), r"'b', which has no bar"),
        (lambda w: figures.bars({"a": 5.0}, axis="x", low_high={"a": (0, 1)}, **w), r"does not hold its value 5"),
        (lambda w: figures.bars({"a": "many"}, axis="x", **w), r"values must be numbers"),
        (lambda w: figures.lines({"a": ([0], [1])}, x_axis="x", y_axis="y", log_x=True, **w), r"not positive.*log_x=False"),
        (lambda w: figures.compare({"a": {"plain": (1, 3, 2)}}, axis="x", **w), r"'plain' of 'a' must be .* low ≤ high"),
        (lambda w: figures.compare({"a": {str(k): 1 for k in range(5)}}, axis="x", **w), r"at most four .* got 5"),
        (lambda w: figures.compare({"a": {}}, axis="x", **w), r"at least one value"),
        (lambda w: figures.pairs([1, 2], [1], x_name="a", y_name="b", axis="x", labels="ab", **w), r"equally long, got 2, 1 and 2"),
        (lambda w: figures.histogram([0.0, 1.0], axis="x", of="latents", log_x=True, **w), r"positive values, got 0"),
        (lambda w: figures.tree(SimpleNamespace(names=["a", "b"], parent=[1, 0], probability=[1, 1]), **w), r"'a' is its own ancestor"),
        (lambda w: figures.tree(SimpleNamespace(names=["a"], parent=[7], probability=[1]), **w), r"parent 7"),
    ],
)
def test_bad_input_gets_one_error_that_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call({"title": "t", "alt": "a"})


def test_noise_of_single_precision_is_no_mistake():
    w = {"title": "t", "alt": "a"}
    mean = np.mean([0.1] * 3)  # 0.10000000000000002
    assert figures.bars({"a": mean}, axis="x", low_high={"a": (0.1, 0.1)}, **w).data[0].error_x.arrayminus[0] == pytest.approx(0, abs=1e-9)
    tree = SimpleNamespace(names=["a"], parent=[-1], probability=[np.float32(1) + np.float32(1e-7) * 2])
    assert "over all inputs 1" in figures.tree(tree, **w).data[-1].customdata[0]
    figures.heatmap([[1, -1e-7]], rows="r", columns="ab", diverging=False, **AXES, **w)
    with pytest.raises(ValueError, match=r"from 0\.1 to 0\.1 and does not hold its value 0\.10001"):
        figures.bars({"a": 0.10001}, axis="x", low_high={"a": (0.1, 0.1)}, **w)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.00001"):
        figures.tree(SimpleNamespace(names=["a"], parent=[-1], probability=[1.00001]), **w)


def test_sizes_stay_within_a_page():
    words = {"title": "t", "alt": "a"}
    size = {kind: len(make().to_json()) for kind, make in everything().items()}
    assert max(size.values()) < 12_000, size
    big = RNG.uniform(-1, 1, (200, 200)).astype(np.float32)
    assert len(figures.heatmap(big, rows=range(200), columns=range(200), **AXES, **words).to_json()) < 260_000
    x = np.arange(50_000)
    many = figures.lines({"plain": (x, RNG.uniform(size=50_000))}, x_axis="x", y_axis="y", **words)
    assert len(many.to_json()) < 20_000
    assert list(many.data[0].x)[-1] == 49_999


def test_tensors_are_taken_as_they_are():
    torch = pytest.importorskip("torch")
    t = torch.tensor([[0.5, -0.5]], requires_grad=True)
    assert list(figures.heatmap(t, title="t", alt="a", rows=["r"], columns=["x", "y"], **AXES).data[0].z[0]) == [0.5, -0.5]
    assert list(figures.dots({"plain": t[0]}, title="t", alt="a", axis="x").data[0].x) == [0.5, -0.5]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (
            lambda **w: figures.bars({"plain": 1 / 3, "b": 2}, axis="x", low_high={"plain": (0.25, 0.5)}, **w),
            "plain: 0.3333, from 0.25 to 0.5; b: 2",
        ),
        (lambda **w: figures.dots({"plain": [3, 1, 2], "b": [5]}, axis="x", **w), "plain: median 2, from 1 to 3; b: 5"),
        (
            lambda **w: figures.ratios({"toy": {"five": [2, 4]}, "mid": {"a": [1]}}, axis="x", one="o", **w),
            "toy, five: median 3, from 2 to 4; mid, a: 1",
        ),
        (
            lambda **w: figures.compare({"here": {"plain": 1, "b": (2, 3, 4)}, "there": {"b": 5}}, axis="x", **w),
            "here, plain: 1; here, b: 2, from 3 to 4; there, b: 5",
        ),
        (lambda **w: figures.compare({"here": {"plain": 1}, "<s>": {"plain": -1}}, axis="x", **w), "here: 1; <s>: -1"),
        (
            lambda **w: figures.lines({"plain": ([1, 2, 5000], [3, 1, 2]), "b": ([1], [7])}, x_axis="x", y_axis="y", **w),
            "plain: from 3 at 1 to 2 at 5,000; b: 7 at 1",
        ),
    ],
)
def test_the_numbers_of_a_figure_are_said_behind_a_leading_sentence(draw, said):
    led, given = draw(title="t", lead=" What is measured. "), draw(title="t", alt="What is measured.")
    assert led.layout.meta["alt"] == f"What is measured. {said}."
    assert given.layout.meta["alt"] == "What is measured."
    led.layout.meta = given.layout.meta
    assert led == given, "the words change nothing else"


def test_long_labels_are_cut_and_stay_apart_where_numbers_are_said():
    fig = figures.bars({"long " * 100 + "a": 1, "long " * 100 + "b": 2}, axis="x", title="t", lead="Two.")
    first, second = fig.layout.meta["alt"].removeprefix("Two. ").split("; ")
    assert first.endswith("long a: 1")
    assert second.endswith("long b: 2.")
    assert len(first) < 60


def test_errors_name_long_labels_in_short():
    with pytest.raises(ValueError, match="must be finite, got nan") as caught:
        figures.dots({"long " * 1000: [math.nan]}, axis="x", title="t", alt="a")
    assert len(str(caught.value)) < 200
