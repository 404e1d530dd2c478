"""Bad input gets one clear sentence before any work: every public function, argument by argument (`bad_input/`)."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import bad_input
import pytest
from bad_input import Function, Says

TABLES = [importlib.import_module(f"bad_input.{module.name}") for module in pkgutil.iter_modules(bad_input.__path__)]
FUNCTIONS: list[Function] = [function for table in TABLES for function in table.TABLE]
ROWS = [
    pytest.param(function, name, value, id=f"{function.name}-{name}-{i}")
    for function in FUNCTIONS
    for name, values in function.bad.items()
    for i, value in enumerate(values)
]


def named(function: Function) -> str:
    return function.name


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
def test_the_good_arguments_work(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function.call(**function.good())


@pytest.mark.parametrize(("function", "argument", "value"), ROWS)
def test_a_wrong_argument_is_one_sentence(function, argument, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = function.good()
    before = sorted(tmp_path.rglob("*"))
    value, words = value if isinstance(value, Says) else (value, argument)
    with pytest.raises((ValueError, OSError)) as caught:
        function.call(**arguments | {argument: value})
    said = str(caught.value)
    assert words in said
    assert said.count("\n") == 0
    assert len(said) < 500
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
def test_the_table_has_every_argument(function):
    arguments = [p.name for p in inspect.signature(function.call).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert set(arguments) == {*function.bad, *function.free}
