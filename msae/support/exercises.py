"""What a reader is told about an answer to an exercise: its check runs on the reader's own function, and speaks in a sentence."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from msae.support.arguments import shown


def tell(check: Callable[[Any], object], answer: Callable[..., Any]) -> None:
    """Run an exercise's check on an answer and print what it found; whatever the answer does, nothing is raised.

    Args:
        check: takes the answer and asserts what it must do, each assertion with a sentence that says what is wrong. It may return
            a sentence for a right answer.
        answer: the reader's function.

    Raises:
        TypeError: `check` or `answer` is no function.

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
            raise TypeError(f"{what} must be a function, got {shown(value)}")
    name = getattr(answer, "__name__", "your function")
    try:
        said = check(answer)
    except NotImplementedError:
        print(f"{name} is not written yet: put your answer in place of `raise NotImplementedError`, run that cell, then this one.")
    except AssertionError as wrong:
        print(f"Not yet: {wrong}")
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = f" at `{where.line}`" if where.line else ""
        print(f"Not yet: {name} stops with {type(error).__name__}: {error}{line}")
    else:
        print("Right." if not isinstance(said, str) else f"Right. {said}")
