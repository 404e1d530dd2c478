"""Repeated measurements, ratios, comparisons and pairs."""

from __future__ import annotations

import numpy as np
import pytest
from figure_kinds import everything

from msae import figures


def test_the_median_is_marked_and_named():
    fig = figures.dots({"all prefixes": [0.0, 0.2, 0.1]}, title="t", alt="a", axis="hole rate", range=(0, 1))
    assert list(fig.data[1].x) == [0.1]
    assert "median of 3<br>" in fig.data[1].hovertemplate
    assert tuple(fig.layout.xaxis.range) == (0, 1)


def test_a_dot_says_what_it_is():
    words = {"axis": "loss", "title": "t", "alt": "a"}
    seed, draw = (figures.dots({"plain": [3, 1]}, **words, **of).data[0] for of in ({}, {"each": "draw"}))
    assert seed.hovertemplate.startswith("plain, seed %{customdata}<br>")
    assert draw.hovertemplate.startswith("plain, draw %{customdata}<br>")
    assert list(draw.customdata) == [0, 1]
    named = figures.dots({"plain": [3, 1], "b": [2, 2]}, each=["seed 0, female", "<s>"], **words).data
    assert [list(trace.customdata) for trace in named[::2]] == [["seed 0, female", "&lt;s>"]] * 2
    assert named[2].hovertemplate.startswith("b, %{customdata}<br>")


@pytest.mark.parametrize(
    "draw", [figures.bars, lambda rows, **of: figures.compare({label: {"plain": v} for label, v in rows.items()}, **of)]
)
def test_a_long_label_beside_a_row_goes_on_in_a_second_line(draw):
    words = {"axis": "hole rate", "title": "t", "alt": "a"}
    fig = draw({"words in quotes, matryoshka-30": 0.5, "she": 0.1}, **words)
    assert list(fig.layout.yaxis.ticktext) == ["words in quotes,<br>matryoshka-30", "she"]
    assert fig.layout.height > draw({"words": 0.5, "she": 0.1}, **words).layout.height


def test_a_bar_has_the_colour_of_the_role_behind_its_last_comma():
    fig = figures.bars({"female words, plain-30": 1, "plain, S/2": 1, "she, her": 1}, axis="x", title="t", alt="a")
    plain = figures.COLORS["plain"]
    assert list(fig.data[0].marker.color) == [plain, plain, figures.COLORS["parent"]]


def test_a_range_and_labels_are_taken_as_tensors_and_refused_without_a_length():
    torch = pytest.importorskip("torch")
    fig = figures.dots({"a": [1.0]}, axis="x", range=torch.tensor([0, 2]), title="t", alt="a")
    assert list(fig.layout.xaxis.range) == [0, 2]
    for labels in (torch.tensor(1), np.array("a")):
        with pytest.raises(ValueError, match="labels must be a list, got"):
            figures.pairs([1], [2], labels=labels, x_name="a", y_name="b", axis="x", title="t", alt="a")


def test_ratios_stand_under_their_headings_on_a_logarithmic_axis_with_a_line_at_one():
    fig = everything()["ratios"]()
    assert list(fig.layout.yaxis.ticktext) == ["<b>toy</b>", "topk, plain", "five", "<b>mid</b>", "relu"]
    assert [(trace.name, list(trace.y)) for trace in fig.data][::2] == [
        ("toy, topk, plain", [1, 1]),
        ("toy, five", [2]),
        ("mid, relu", [4]),
    ]
    assert fig.data[1].marker.color == figures.COLORS["plain"]
    assert fig.layout.shapes[0].x0 == fig.layout.shapes[0].x1 == 1
    low, high = fig.layout.xaxis.range
    assert 10**low < 0.3 < 3 < 10**high
    with pytest.raises(ValueError, match="must be positive, 'plain' has 0"):
        figures.ratios({"toy": {"plain": [0, 1]}}, title="t", alt="a", axis="x", one="five")
    with pytest.raises(ValueError, match="at least one group"):
        figures.ratios({"toy": {}}, title="t", alt="a", axis="x", one="five")


def test_the_line_at_one_is_named_on_the_side_with_more_room():
    for values, side in (([0.05, 0.2], "right"), ([2, 20], "left")):
        fig = figures.ratios({"g": {"a": values}}, title="t", alt="a", axis="x", one="as fast as five dense products")
        (said,) = fig.layout.annotations
        assert (said.xanchor, said.text) == (side, "as fast as five dense<br>products")
        assert fig.layout.yaxis.range[1] < -1, "a second line has room above the rows"


def test_what_is_compared_stands_in_one_row_with_its_whisker_even_where_that_misses_the_value():
    rows = {"here": {"plain": 0.5, "matryoshka": (0.9, 0.6, 0.8)}, "there": {"matryoshka": (0.2, 0.1, 0.3)}}
    fig = figures.compare(rows, title="t", alt="a", axis="x")
    whiskers, marks = {t.name: t for t in fig.data if t.mode == "lines"}, {t.name: t for t in fig.data if t.mode == "markers"}
    assert list(marks["plain"].x) == [0.5]
    assert whiskers["plain"].x == ()
    assert list(marks["matryoshka"].x) == [0.9, 0.2]
    assert list(whiskers["matryoshka"].x) == [0.6, 0.8, None, 0.1, 0.3, None]
    assert [round(y) for y in marks["matryoshka"].y] == [0, 1]
    assert marks["plain"].y[0] < marks["matryoshka"].y[0], "side by side, not on one another"
    assert list(fig.layout.yaxis.ticktext) == ["here", "there"]
    assert "from 0.6 to 0.8" in marks["matryoshka"].customdata[0]


def test_a_pair_is_coloured_by_the_larger_of_the_two():
    fig = figures.pairs([1, 2, 3], [2, 2, 1], title="t", alt="a", x_name="plain", y_name="matryoshka", axis="x", labels=["p", "q", "r"])
    marks = {t.name: t for t in fig.data if t.mode == "markers"}
    assert list(marks["matryoshka larger"].customdata) == ["p"]
    assert list(marks["plain larger"].customdata) == ["q", "r"]
    assert marks["plain larger"].marker.line.color == figures.COLORS["plain"]
    assert fig.layout.xaxis.range == fig.layout.yaxis.range
