"""Bad input gets one clear sentence before any work: every public function, argument by argument (`bad_input/`)."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import bad_input
import pytest
from api_names import public_names
from bad_input import Function, Says

TABLES = [importlib.import_module(f"bad_input.{module.name}") for module in pkgutil.iter_modules(bad_input.__path__)]
FUNCTIONS: list[Function] = [function for table in TABLES for function in table.TABLE]
ROWS = [
    pytest.param(function, name, value, id=f"{function.name}-{name}-{i}")
    for function in FUNCTIONS
    for name, values in function.bad.items()
    for i, value in enumerate(values)
]

WITHOUT_ROW = {
    "msae.activations.check_hook_names": "what it refuses comes as hook_name from those that call it",
    "msae.toy.FeatureTree": "made by from_dict",
    "msae.patterns.Corpus": "its methods have rows, and match, which makes one",
    **dict.fromkeys(["msae.bench.claim", "msae.bench.figure", "msae.bench.summary", "msae.bench.table"], "reads what bench returned"),
}
"""Public names that the tables leave out, each with the reason. Named tuples are results, and never judged."""


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


def test_every_public_function_has_a_row():
    there = {function.call for function in FUNCTIONS} | {function.name for function in FUNCTIONS}
    missing = set()
    for entry in public_names():
        value = entry.value
        is_class = inspect.isclass(value)
        if (
            not (is_class or inspect.isfunction(value))
            or getattr(value, "_is_protocol", False)
            or (is_class and issubclass(value, (tuple, Exception)))
        ):
            continue
        takes = [name for name in inspect.signature(value).parameters if name not in ("args", "kwargs")]
        if takes and value not in there and value.__qualname__ not in there:
            missing.add(entry.full)
    assert missing - WITHOUT_ROW.keys() == set(), "give each a row in a table of tests/helpers/bad_input/"
    assert WITHOUT_ROW.keys() - missing == set(), "these have a row by now"
