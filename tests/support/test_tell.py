"""A reader is told what an answer does wrong in a sentence, whatever the answer does."""

from __future__ import annotations

import functools

import pytest

from msae.support.exercises import tell


def check_double(double):
    if double(3) != 6:  # as an assertion of a chapter raises it; pytest adds words to those of a test
        raise AssertionError(f"double(3) is 6, yours gives {double(3)}")
    return "Twice as much."


def told(capsys, answer, check=check_double):
    tell(check, answer)
    return capsys.readouterr().out


def test_a_right_answer_is_right(capsys):
    assert told(capsys, lambda x: 2 * x) == "Right. Twice as much.\n"
    assert told(capsys, lambda x: 2 * x, lambda double: None) == "Right.\n"
    assert told(capsys, functools.partial(lambda a, x: a * x, 2)) == "Right. Twice as much.\n"


def test_an_empty_stub_is_not_written_yet(capsys):
    def double(x):
        raise NotImplementedError

    assert told(capsys, double).startswith("double is not written yet: put your answer in place of `raise NotImplementedError`")


def test_something_that_is_not_implemented_elsewhere_is_no_stub(capsys):
    def double(x):
        raise NotImplementedError("no such operation on halves")

    assert "double stops with NotImplementedError: no such operation" in told(capsys, double)


def test_a_wrong_answer_gets_the_sentence_of_its_check(capsys):
    assert told(capsys, lambda x: x * x) == "Not yet: double(3) is 6, yours gives 9\n"


def test_an_assertion_without_a_sentence_still_says_something(capsys):
    def check(double):
        raise AssertionError

    said = told(capsys, lambda x: x, check)
    assert said.startswith("Not yet: <lambda> runs, but what it returns cannot be checked (AssertionError)")


def test_an_answer_that_stops_is_shown_its_own_line(capsys):
    def halves(x):
        return int("x" * x)  # the reader's line

    def double(x):
        return 4 * halves(x)

    assert told(capsys, double) == (
        "Not yet: double stops with ValueError: invalid literal for int() with base 10: 'xxx' "
        'at `return int("x" * x)  # the reader\'s line`\n'
    )


def test_a_line_of_the_library_below_is_not_shown(capsys):
    def double(x):
        return functools.reduce(lambda a, b: a + b, [])

    assert "at `return functools.reduce(lambda a, b: a + b, [])`" in told(capsys, double)


@pytest.mark.parametrize("returned", [None, [1, 2], "six"])
def test_a_result_that_cannot_be_checked_is_not_an_answer_that_stops(capsys, returned):
    def check(double):
        assert abs(double(3) - 6) < 1e-9, "wrong"

    said = told(capsys, lambda x: returned, check)
    assert said.startswith("Not yet: <lambda> runs, but what it returns cannot be checked (TypeError")
    assert said.endswith("is there a `return`?\n")


def test_an_interruption_goes_through():
    def double(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell(check_double, double)


@pytest.mark.parametrize(("check", "answer", "what"), [(check_double, 6, "answer"), (None, abs, "check")])
def test_what_is_no_function_is_refused(check, answer, what):
    with pytest.raises(ValueError, match=f"^{what} must be a function, got"):
        tell(check, answer)
