"""Panels side by side, and figures with a slider: what they hold, and how a page lays them out and plays them."""

from __future__ import annotations

import numpy as np
import pytest
from figure_kinds import AXES, COSINES, LABELS
from figure_page import write_page
from pages import Visit

from msae import figures

WORDS = {"title": "A claim", "alt": "In words."}
SMALL = {"rows": LABELS[:3], "columns": LABELS[:4], **AXES, **WORDS}
TRUTH = np.eye(3, 4)
FRAMES = {step: {"ground truth": TRUTH, "plain": TRUTH * step / 2000} for step in (0, 1000, 2000)}
CURVES = {weight: {"plain": ([0, 8], [0, weight]), "matryoshka": ([0, 8], [0, 0.1], [0, 0], [0, weight / 2])} for weight in (0.2, 0.4, 0.8)}


def test_together_every_matrix_is_seen_beneath_its_name_on_one_scale():
    matrices = {"ground truth": [[0, 1]], "plain": [[0, 4]], "all prefixes": [[2, 3]]}
    fig = figures.heatmaps(matrices, rows="r", columns="ab", diverging=False, together=True, **AXES, **WORDS)
    assert [np.array(trace.z).tolist() for trace in fig.data] == list(matrices.values())
    assert [(trace.visible, trace.zmin, trace.zmax) for trace in fig.data] == [(True, 0, 4)] * 3
    assert [trace.showscale for trace in fig.data] == [True, False, False]
    assert len(fig.layout.updatemenus) == 0
    names = [(note.text, note.font.color) for note in fig.layout.annotations[:3]]
    assert names == [(f"<b>{name}</b>", figures.COLORS[figures.role(name)]) for name in matrices]
    lefts = [fig.layout[f"xaxis{own}"].domain[0] for own in ("", 2, 3)]
    assert lefts == sorted(set(lefts)), "from left to right"


def test_together_labels_stand_once_where_they_are_alike_and_beside_each_panel_where_not():
    alike = figures.heatmaps({"a": TRUTH, "b": TRUTH}, together=True, **SMALL).layout
    assert (alike.yaxis.showticklabels, alike.yaxis2.showticklabels) == (True, False)
    differ = figures.heatmaps({"a": TRUTH, "b": TRUTH}, together=True, **SMALL | {"rows": {"a": "xyz", "b": "uvw"}}).layout
    assert (differ.yaxis.showticklabels, differ.yaxis2.showticklabels) == (True, True)
    assert differ.xaxis2.domain[0] - differ.xaxis.domain[1] > alike.xaxis2.domain[0] - alike.xaxis.domain[1]


@pytest.mark.parametrize("n", range(2, 13))
@pytest.mark.parametrize("page", ["wide", "narrow"])
def test_together_no_panel_lies_on_another(n, page):
    layout = figures.heatmaps(dict.fromkeys(range(n), TRUTH), together=True, **SMALL).layout
    boxes = []
    for own in ["", *range(2, n + 1)]:
        parts = [f"{axis}axis{own}.domain" for axis in "xy"]
        boxes.append([layout.meta["narrow"]["changes"][part] if page == "narrow" else layout[part] for part in parts])
    for i, (x, y) in enumerate(boxes):
        assert 0 <= x[0] < x[1] <= 1
        assert 0 <= y[0] < y[1] <= 1
        for other_x, other_y in boxes[:i]:
            assert x[0] >= other_x[1] or x[1] <= other_x[0] or y[1] <= other_y[0]


def test_one_matrix_together_is_a_heatmap():
    assert figures.heatmaps({"a": TRUTH}, together=True, **SMALL) == figures.heatmap(TRUTH, **SMALL)


def test_the_slider_opens_on_the_last_frame_and_frames_hold_what_moves():
    fig = figures.scrub(FRAMES, slider="step", **SMALL)
    slider = fig.layout.sliders[0]
    assert [step.label for step in slider.steps] == ["0", "1,000", "2,000"]
    assert slider.active == 2
    assert np.array_equal(fig.data[1].z, TRUTH)
    for step, frame, its in zip(slider.steps, fig.frames, FRAMES.values()):
        assert (step.method, step.args[0]) == ("animate", (frame.name,))
        assert frame.traces == (1,), "the truth stands still"
        assert np.array_equal(frame.data[0].z, its["plain"])


def test_it_opens_where_it_is_asked_to():
    fig = figures.scrub(FRAMES, slider="step", opens=1000, **SMALL)
    assert fig.layout.sliders[0].active == 1
    assert np.array_equal(fig.data[1].z, FRAMES[1000]["plain"])


def test_one_scale_holds_all_frames():
    fig = figures.scrub({1: {"a": [[80]]}, 2: {"a": [[1]]}}, diverging=False, rows="r", columns="c", slider="step", **AXES, **WORDS)
    assert (fig.data[0].zmin, fig.data[0].zmax) == (0, 80)


def test_the_cell_that_changes_most_is_said():
    frames = {"the first": {"plain": [[0, 0.5]]}, "the last": {"plain": [[-0.75, 0.5]]}}
    fig = figures.scrub(frames, title="t", lead="Two.", rows=["S/0"], columns=["feature 1", "b"], slider="step", **AXES)
    said = "Two. From step the first to step the last most changes: plain, latent S/0, feature 1, from 0 to -0.75."
    assert fig.layout.meta["alt"] == said
    still = figures.scrub({1: {"a": TRUTH}, 2: {"a": TRUTH}}, slider="step", **SMALL | {"alt": None, "lead": "Two."})
    assert still.layout.meta["alt"] == "Two. From step 1 to step 2 nothing changes."


def test_twenty_steps_of_three_matrices_are_a_light_figure():
    rng = np.random.default_rng(0)
    words = {"rows": LABELS, "columns": LABELS, "slider": "step", **AXES, **WORDS}
    frames = {step: {name: rng.uniform(-1, 1, COSINES.shape) for name in ("truth", "plain", "matryoshka")} for step in range(20)}
    fig = figures.scrub(frames, **words)
    assert len(fig.to_json()) < 250_000
    assert np.abs(np.array(fig.frames[3].data[1].z) - frames[3]["plain"]).max() < 1e-3


def test_curves_change_on_axes_that_hold_all_groups():
    fig = figures.scrub_lines(CURVES, slider="λ", x_axis="step", y_axis="hole rate", title="t", lead="Holes.")
    assert list(fig.data[0].y) == [0, 0.8]
    assert [list(frame.data[0].y) for frame in fig.frames] == [[0, 0.2], [0, 0.4], [0, 0.8]]
    assert [len(frame.data) for frame in fig.frames] == [3, 3, 3], "plain, and Matryoshka with its band"
    assert fig.layout.yaxis.range[0] <= 0
    assert fig.layout.yaxis.range[1] >= 0.8
    said = "Holes. λ 0.2: plain ends at 0.2 at 8, matryoshka ends at 0.1 at 8; λ 0.8: plain ends at 0.8 at 8, matryoshka ends at 0.1 at 8."
    assert fig.layout.meta["alt"] == said
    log = figures.scrub_lines(
        {1: {"a": ([1, 10], [1, 100])}, 2: {"a": ([1], [1])}}, slider="λ", x_axis="x", y_axis="y", log_y=True, **WORDS
    )
    assert log.layout.yaxis.range == pytest.approx((-0.08, 2.08))


@pytest.fixture
def visit(browser, tmp_path):
    """A page of three figures, drawn."""
    made = {
        "together": figures.heatmaps({"a": TRUTH, "b": TRUTH}, together=True, **SMALL),
        "scrub": figures.scrub(FRAMES, slider="step", **SMALL),
        "scrub_lines": figures.scrub_lines(CURVES, slider="λ", x_axis="step", y_axis="hole rate", **WORDS),
    }
    context = browser.new_context(viewport={"width": 900, "height": 900})
    visit = Visit(context.new_page())
    visit.page.goto(write_page(tmp_path, made, style=".msae-plot { overflow: hidden }"))
    visit.draw_everything()
    yield visit
    assert visit.errors == []
    context.close()


BOXES = """plot => [...plot.querySelectorAll(".cartesianlayer .subplot")].map(p => {
  const { left, top } = p.getBoundingClientRect();
  return [Math.round(left / 20), Math.round(top / 20)];
})"""
CELL = "document.querySelectorAll('.msae-plot')[1]._fullData[1].z[0][0]"


@pytest.mark.browser
def test_panels_lie_side_by_side_and_below_each_other_where_the_page_is_narrow(visit):
    plot = visit.page.query_selector(".msae-plot")
    (left, top), (right, also_top) = plot.evaluate(BOXES)
    assert left < right
    assert top == also_top
    height = plot.bounding_box()["height"]
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.page.wait_for_function("([plot, height]) => plot.getBoundingClientRect().height > height + 50", arg=[plot, height])
    (left, top), (also_left, bottom) = plot.evaluate(BOXES)
    assert left == also_left
    assert top < bottom
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.page.set_viewport_size({"width": 900, "height": 800})
    visit.page.wait_for_function("([plot, height]) => plot.getBoundingClientRect().height === height", arg=[plot, height])


@pytest.mark.browser
def test_a_page_opened_on_a_telephone_has_the_panels_below_each_other(visit):
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.page.reload()
    visit.draw_everything()
    (left, top), (also_left, bottom) = visit.page.query_selector(".msae-plot").evaluate(BOXES)
    assert left == also_left
    assert top < bottom


@pytest.mark.browser
def test_the_slider_moves_the_frames_by_keyboard_and_the_button_plays_them(visit):
    page = visit.page
    bar = page.locator(".msae-control input").first
    assert page.evaluate(CELL) == 1
    bar.focus()
    page.keyboard.press("Home")
    page.wait_for_function(f"{CELL} === 0")
    assert bar.get_attribute("aria-valuetext") == "0"
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{CELL} === 0.5")
    play = page.get_by_role("button", name="Play").first
    play.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop").wait_for()
    page.wait_for_function(f"{CELL} === 1")
    page.wait_for_function("!document.body.innerText.includes('Stop')")
    assert bar.get_attribute("aria-valuetext") == "2,000"
    play.click()
    page.wait_for_function(f"{CELL} === 0")  # from the first again
    page.get_by_role("button", name="Stop").click()
    page.wait_for_timeout(1200)
    assert bar.get_attribute("aria-valuetext") == "0", "stopped"


@pytest.mark.browser
def test_a_slider_moves_curves(visit):
    page = visit.page
    y = "document.querySelectorAll('.msae-plot')[2]._fullData[0].y[1]"
    assert page.evaluate(y) == 0.8
    page.locator(".msae-control input").nth(1).fill("0")
    page.wait_for_function(f"{y} === 0.2")
