"""A map with a slider: what it holds in two and in three dimensions, and what a frame changes."""

from __future__ import annotations

import pytest

from msae import figures

WORDS = {"labels": ["she", "her", "dog", "cat"], "axis": "component", "slider": "latent", "title": "A claim"}
POINTS = [[0, 1, 5], [0, 2, 6], [3, 0, 7], [3, 1, 8]]
NEAR = {0: [1, 3], 2: [3]}


@pytest.mark.parametrize("n_dims", [2, 3])
def test_a_map_opens_on_a_neighbourhood_and_each_step_shows_another(n_dims):
    fig = figures.neighbourhoods([point[:n_dims] for point in POINTS], NEAR, lead="A map.", opens=0, **WORDS)
    everything, lines, near, one = fig.data
    assert [trace.type for trace in fig.data] == ["scatter3d" if n_dims == 3 else "scatter"] * 4
    assert everything.customdata == ("she", "her", "dog", "cat")
    assert (near.customdata, one.customdata) == (("her", "cat"), ("she",))
    assert list(lines.y) == [1, 2, None, 1, 1, None], "from the one to each that is near"
    assert fig.layout.meta["alt"] == "A map. Near she: her, cat."
    (slider,) = fig.layout.sliders
    assert [step.label for step in slider.steps] == ["1. she", "2. dog"]
    assert slider.active == 0
    frame = fig.frames[1]
    assert list(frame.traces) == [1, 2, 3]
    assert (frame.data[1].customdata, frame.data[2].customdata) == (("cat",), ("dog",))


def test_it_opens_on_the_last_where_nothing_is_said_and_one_may_have_no_neighbours():
    fig = figures.neighbourhoods([point[:2] for point in POINTS], {0: [1], 3: []}, lead="A map.", **WORDS)
    assert fig.layout.meta["alt"] == "A map. Near cat: none."
    assert fig.layout.sliders[0].active == 1
