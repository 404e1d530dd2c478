"""What a reader is told about an answer to an exercise: its check runs on the reader's own function, and speaks in a sentence."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable
from typing import Any

from msae.support.arguments import shown


def tell(check: Callable[[Any], object], answer: Callable[..., Any]) -> None:
    """Run an exercise's check on an answer and print what it found, in one of four ways; a wrong answer raises nothing.

    *Right* where the check passes. *Not yet* with the sentence of the assertion that fails; with the reader's own line where the
    answer stops; and with a question about what comes back where the answer ran and the check could not go on with its result.
    An answer that is still `raise NotImplementedError` is not written yet.

    Args:
        check: takes the answer and asserts what it must do, each assertion with a sentence that says what is wrong. It may return
            a sentence for a right answer.
        answer: the reader's function.

    Raises:
        ValueError: `check` or `answer` is no function.

    Example:
        >>> from msae.support.exercises import tell
        >>> def check_double(double):
        ...     assert double(3) == 6, f"double(3) is 6, yours gives {double(3)}"
        >>> def double(x):
        ...     return x * x
        >>> tell(check_double, double)
        Not yet: double(3) is 6, yours gives 9
    """
    for what, value in (("check", check), ("answer", answer)):
        if not callable(value):
            raise ValueError(f"{what} must be a function, got {shown(value)}")
    name = getattr(answer, "__name__", "your function")
    try:
        said = check(answer)
    except Exception as error:
        print(_sentence(error, name, answer))
    else:
        print(f"Right. {said}" if isinstance(said, str) else "Right.")


def _sentence(error: Exception, name: str, answer: Callable[..., Any]) -> str:
    """What an answer's reader is told of what its check raised."""
    if isinstance(error, NotImplementedError) and not error.args:
        return f"{name} is not written yet: put your answer in place of `raise NotImplementedError`, run that cell, then this one."
    if isinstance(error, AssertionError) and error.args:
        return f"Not yet: {error}"
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    inside = _line_within(error, answer)
    if inside is not None:
        return f"Not yet: {name} stops with {what}" + (f" at `{inside}`" if inside else "")
    return f"Not yet: {name} runs, but what it returns cannot be checked ({what}). Is it what the task asks for, and is there a `return`?"


def _line_within(error: Exception, answer: Callable[..., Any]) -> str | None:
    """The last line of the answer's own cell that ran, empty where its source is not known; None where the error came from elsewhere."""
    code = getattr(answer, "__code__", None)
    if code is None:
        return ""
    line = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code is code or (line is not None and frame.f_code.co_filename == code.co_filename):
            line = linecache.getline(code.co_filename, number).strip()
    return line
