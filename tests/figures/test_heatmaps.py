"""Heatmaps: cells, scales, labels, and the buttons between several."""

from __future__ import annotations

import numpy as np
import pytest
from figure_kinds import AXES, COSINES, LABELS

from msae import figures


def test_the_cells_are_the_matrix_and_the_hover_text_is_words():
    fig = figures.heatmap(COSINES, title="t", alt="a", rows=LABELS, columns=LABELS, value="cosine", **AXES)
    assert np.abs(np.array(fig.data[0].z, dtype=float) - COSINES).max() <= 5e-4
    assert fig.layout.yaxis.autorange == "reversed"
    assert fig.data[0].hovertemplate == "latent <b>%{y}</b><br>feature <b>%{x}</b><br>cosine <b>%{z:,.15~g}</b><extra></extra>"


def test_activations_start_at_zero_and_share_one_scale():
    fig = figures.heatmaps(
        {"a": [[0, 1.23456]], "b": [[0, 80]]},
        title="t",
        alt="a",
        rows=["r"],
        columns=["x", "y"],
        value="activation",
        diverging=False,
        **AXES,
    )
    assert [(t.zmin, t.zmax) for t in fig.data] == [(0, 80), (0, 80)]
    assert fig.data[0].z[0][1] == pytest.approx(1.23456, abs=0.01)


def test_a_mapping_of_matrices_is_drawn_alike_under_both_names():
    both, words = {"ground truth": COSINES, "plain": -COSINES}, {"title": "t", "alt": "a", "rows": LABELS, "columns": LABELS, **AXES}
    assert figures.heatmap(both, **words) == figures.heatmaps(both, **words)
    assert figures.heatmap({"plain": COSINES}, **words) == figures.heatmap(COSINES, **words)


def test_each_button_shows_one_matrix_with_its_own_hover_text():
    names = ["ground truth", "plain", "sampled prefixes", "all prefixes"]
    fig = figures.heatmaps(
        {n: COSINES * s for n, s in zip(names, (1, 0.5, 0.2, 0))}, title="t", alt="a", rows=LABELS, columns=LABELS, **AXES
    )
    menu = fig.layout.updatemenus[0]
    assert [b.label for b in menu.buttons] == names
    assert menu.type == "dropdown"
    for k, b in enumerate(menu.buttons):
        assert b.method == "restyle"
        assert list(b.args[0]["visible"]) == [j == k for j in range(4)]
        assert f"<extra>{names[k]}</extra>" in fig.data[k].hovertemplate
    assert [t.visible for t in fig.data] == [True, False, False, False]
    assert (
        figures.heatmaps({"a": COSINES, "b": COSINES}, title="t", alt="a", rows=LABELS, columns=LABELS, **AXES).layout.updatemenus[0].type
        == "buttons"
    )


def test_equal_labels_stay_two_rows_and_long_labels_are_cut_only_in_the_ticks():
    long = "a latent with a very long description"
    fig = figures.heatmap([[0.1], [0.2], [0.3]], title="t", alt="a", rows=["x", "x", long], columns=["c"], **AXES)
    assert list(fig.data[0].y) == ["x", "x (2)", long]
    assert list(fig.layout.yaxis.ticktext) == ["x", "x (2)", "a latent with a…"]


def test_a_diverging_scale_may_end_earlier_on_both_sides():
    fig = figures.heatmap([[0.1, -0.5]], span=0.2, rows=["r"], columns="ab", title="t", alt="a", **AXES)
    assert (fig.data[0].zmin, fig.data[0].zmax) == (-0.2, 0.2)
    assert list(fig.data[0].colorbar.ticktext) == ["−0.2", "0", "0.2"]
    assert fig.data[0].z[0][1] == -0.5, "the hover text keeps the value"
