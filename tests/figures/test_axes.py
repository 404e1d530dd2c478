"""Curves, bars and bins: their ticks, and the names of their axes."""

from __future__ import annotations

import json

import pytest
from figure_kinds import RNG

from msae import figures


@pytest.mark.parametrize("values", [[0, 5e-324], [5e-324] * 2, [1e300], [1e-300, 1e300]])
@pytest.mark.parametrize("log_x", [False, True])
def test_bins_hold_numbers_of_any_size(values, log_x, recwarn):
    if not log_x or min(values) > 0:
        fig = figures.histogram(values, title="t", alt="a", axis="x", of="o", log_x=log_x)
        assert sum(fig.data[0].y) == len(values)
        assert "null" not in json.dumps(fig.to_plotly_json()["data"][0]["x"])
    low, high = figures.ratios({"g": {"a": [5e-324, 1e300]}}, title="t", alt="a", axis="x", one="o").layout.xaxis.range
    assert -350 < low < -323 < 300 < high < 330
    figures.lines({"a": ([5e-324, 1e300], [1, 2])}, title="t", alt="a", x_axis="x", y_axis="y", log_x=True)
    assert not recwarn.list


def test_bins_count_every_value_once():
    values = 10 ** RNG.normal(-2, 0.5, 300)
    fig = figures.histogram(values, title="t", alt="a", axis="density", of="latents", log_x=True, n_bins=20)
    assert sum(fig.data[0].y) == 300
    assert len(fig.data[0].y) == 20


def test_the_name_of_an_axis_has_less_room_beside_long_labels():
    axis, w = "loss on the same batch with the same weights", {"title": "t", "alt": "a"}
    short, long = (figures.bars({label: 1}, axis=axis, **w) for label in ("a", "a label that is long"))
    assert short.layout.xaxis.title.text == "loss on the same batch with the same<br>weights"
    assert long.layout.xaxis.title.text == "loss on the same batch<br>with the same weights"
    three = figures.bars({"a label that is long": 1}, axis=axis + ", in nats", **w)
    assert three.layout.height - long.layout.height == three.layout.margin.b - long.layout.margin.b == 20


def test_ticks_of_a_logarithmic_axis_are_whole_numbers():
    fig = figures.lines({"a": ([1, 2, 3], [260, 40, 15])}, title="t", alt="a", x_axis="x", y_axis="y", log_y=True)
    assert list(fig.layout.yaxis.ticktext) == ["20", "50", "100", "200"]
    near = figures.lines({"a": ([1, 2], [0.99999, 0.99998])}, title="t", alt="a", x_axis="x", y_axis="y", log_y=True)
    assert list(near.layout.yaxis.ticktext) == ["0.99998", "0.99999"], "no power of ten lies within"
    ratios = {"a": {"b": [0.897, 1.2]}}
    narrow = figures.ratios(ratios, title="t", alt="a", axis="over", one="as good").layout.xaxis
    assert list(narrow.ticktext) == ["0.9", "1", "1.1", "1.2"], "round numbers, where only one power of ten lies within"
    whole = figures.lines({"a": ([1, 2], [1e-12, 1e12])}, title="t", alt="a", x_axis="x", y_axis="y", log_y=True)
    assert list(whole.layout.yaxis.ticktext)[:4] == ["10<sup>−12</sup>", "10<sup>−9</sup>", "10<sup>−6</sup>", "0.001"]
    wide = figures.lines({"a": ([1, 2], [0.00002, 5000])}, title="t", alt="a", x_axis="x", y_axis="y", log_y=True)
    assert list(wide.layout.yaxis.ticktext) == ["0.0001", "0.001", "0.01", "0.1", "1", "10", "100", "1,000"]


def test_a_logarithmic_x_axis_has_ticks_in_full():
    fig = figures.lines({"a": ([410, 8192], [1, 2])}, title="t", alt="a", x_axis="x", y_axis="y", log_x=True)
    assert list(fig.layout.xaxis.ticktext) == ["500", "1,000", "2,000", "5,000"]
    assert fig.layout.yaxis.type == "linear"


def test_whole_numbers_have_no_ticks_between_them():
    w = {"title": "t", "alt": "a", "x_axis": "layer", "y_axis": "norm"}
    layers = figures.lines({"a": (range(4), [0.5, 1, 2, 3])}, **w).layout
    assert (layers.xaxis.dtick, layers.yaxis.dtick) == (1, None)
    assert figures.lines({"a": (range(100), range(100))}, **w).layout.xaxis.dtick is None, "as many as there is room for"
    assert figures.lines({"a": ([0.5, 1.5], [0, 1])}, **w).layout.xaxis.dtick is None
    rows = {"title": "t", "alt": "a", "axis": "x"}
    assert figures.bars({"a": 1, "b": 3}, **rows).layout.xaxis.dtick == 1
    assert figures.dots({"a": [1, 3]}, **rows).layout.xaxis.dtick == 1
    assert figures.compare({"a": {"b": (2, 1, 4)}}, **rows).layout.xaxis.dtick == 1
    assert figures.bars({"a": 1, "b": 0}, **rows).layout.xaxis.dtick is None, "0 and 1 are shares"
