"""Trees: where features stand, and what is said of them."""

from __future__ import annotations

from types import SimpleNamespace

from figure_kinds import TREE

from msae import figures
from msae.figures.trees import layout


def test_a_tree_stands_with_each_parent_in_the_middle_of_its_children():
    found = layout([-1, 0, 0, 2, 2, -1])
    assert found.order == [0, 1, 2, 3, 4, 5], "each before its children"
    assert found.depth == [0, 1, 1, 2, 2, 0]
    assert found.height == [0.75, 0, 1.5, 1, 2, 3]
    assert found.is_parent == [True, False, True, False, False, False]


def test_names_in_a_tree_that_begin_alike_are_told_apart():
    long = "an animal that has a name with an end "
    tree = SimpleNamespace(names=["root", long + "here", long + "there", "x", "x"], parent=[-1, 0, 0, 0, 0], probability=[1] + [0.1] * 4)
    assert list(figures.tree(tree, title="t", alt="a").data[2].text) == ["an animal …an end here", "an animal …n end there", "x", "x"]


def test_a_tree_names_both_probabilities():
    fig = figures.tree(TREE, title="t", alt="a")
    text = [t for trace in fig.data[1:] for t in trace.customdata]
    assert "<b>animal</b><br>probability no parent<br>probability over all inputs 0.5" in text
    assert "<b>poodle</b><br>probability 0.5 given dog<br>probability over all inputs 0.05" in text
    assert {t.marker.color for t in fig.data[1:]} == {figures.COLORS["parent"], figures.COLORS["child"]}


def test_a_parent_that_never_occurs_gives_no_chance():
    never = SimpleNamespace(names=["a", "b"], parent=[-1, 0], probability=[0, 0])
    assert "probability unknown given a, which never occurs" in figures.tree(never, title="t", alt="a").data[2].customdata[0]
