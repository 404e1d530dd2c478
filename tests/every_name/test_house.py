"""The house keeps its order: rooms import upwards only, in no circle, and what a reader has to hold in the head stays short.

`tools/house.py` reads the source; it is what draws the picture in CONTRIBUTING.md, which a test here keeps true.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys

import pytest
from places import ROOT


def load_house():
    spec = importlib.util.spec_from_file_location("house", ROOT / "tools" / "house.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module  # dataclasses and NamedTuples look it up
    spec.loader.exec_module(module)
    return module


house = load_house()

LONG_FUNCTIONS: dict[str, str] = {}
"""Functions that may be longer than the rule, each with the reason."""

MANY_PARAMETERS: dict[str, str] = {}
"""Private functions that may take more than the rule, each with the reason."""

BY_PLACE = {"msae/training/losses.py": "torch.autograd.Function.apply takes no names"}
"""Files with a call of more arguments by place, each with the reason."""


def test_rooms_are_those_of_the_package():
    folders = {path.parent.name for path in house.MSAE.glob("*/__init__.py")}
    assert folders == {*house.ROOMS, "support"}
    loose = {path.stem for path in house.MSAE.glob("*.py")} - {"__init__", "__main__", "_sphinx"}
    assert loose == set(), "a module stands in a room"


def test_no_room_imports_from_a_later_one():
    assert house.against_the_order() == []


def test_no_module_imports_itself_by_way_of_others():
    assert house.circles() == []


def test_an_import_against_the_order_and_a_circle_are_found(tmp_path, monkeypatch):
    """The two tests above can fail."""
    for path, text in {
        "texts/__init__.py": "",
        "texts/a.py": "def f():\n    from msae.lm.b import x\n",
        "lm/__init__.py": "",
        "lm/b.py": "from msae.lm.c import y\nx = y\n",
        "lm/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from msae.lm import b\ny = 1\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(house, "MSAE", tmp_path)
    assert house.against_the_order() == ["texts.a:2 imports lm.b"]
    assert house.circles() == ["lm.b", "lm.c"]


def test_no_module_takes_a_private_name_of_another():
    taken = [f"{each.module}:{each.line} takes {each.name}" for each in house.imports() if re.match(r"_[a-zA-Z]", each.name)]
    assert taken == []


def test_no_module_is_named_like_a_function_that_its_room_hands_on():
    """Else `msae.room.name` is the module for one and the function for another."""
    for room in house.ROOMS:
        tree = ast.parse((house.MSAE / room / "__init__.py").read_text(encoding="utf-8"))
        handed = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        names = {path.stem for path in (house.MSAE / room).glob("*.py")}
        assert handed & names == set(), room


@pytest.mark.parametrize("room", house.ROOMS)
def test_a_room_says_what_comes_in_and_what_goes_out(room):
    said = house.sentences()[room]
    assert re.match(r"In: .*\. Out: .*\.$", said), said
    assert len(said) <= 2 * 140


def test_files_are_read_in_one_sitting():
    assert house.long_files() == []


def test_functions_fit_on_a_page():
    long = {f.place.split(":")[0] + " " + f.place.split(" ")[1]: f.n_lines for f in house.functions() if f.n_lines > house.MOST_IN_FUNCTION}
    assert long.keys() == LONG_FUNCTIONS.keys(), long


def test_what_travels_together_is_one_thing():
    many = {
        f.place.split(":")[0] + " " + f.place.split(" ")[1]: f.n_parameters
        for f in house.functions()
        if f.is_private and f.n_parameters > house.MOST_PARAMETERS
    }
    assert many.keys() == MANY_PARAMETERS.keys(), many
    crowded = [call for call in house.crowded_calls() if call.split(":")[0] not in BY_PLACE]
    assert crowded == []


def test_the_picture_is_drawn_from_this_source():
    assert house.PICTURE.read_text(encoding="utf-8") == house.picture(), "run: python tools/house.py"
