"""Arguments of before (CHANGELOG.md): what to write now, in one sentence, where Python's own would not say it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound="Callable[..., object]")


def by_name(**gone: str) -> Callable[[T], T]:
    """A function or class that took more of its arguments by place than it does, or keywords that are gone.

    Args:
        gone: a keyword of before → what to write in its place.

    Returns:
        what decorates it: the same, whose TypeError names these arguments.
    """

    def decorate(function: T) -> T:
        of_class = isinstance(function, type)
        changed: Any = function
        inner: Callable[..., object] = changed.__init__ if of_class else changed
        own = int(of_class)
        parameters = list(inspect.signature(inner).parameters.values())[own:]
        placed = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
        named = [f"{each.name}=" for each in parameters if each.kind is each.KEYWORD_ONLY]

        @functools.wraps(inner)
        def told(*args: object, **kwargs: object) -> object:
            for old in gone.keys() & kwargs.keys():
                raise TypeError(f"{function.__name__} takes no {old}= any more: {gone[old]}")
            if len(args) - own > len(placed) and named:
                said = f"{function.__name__} takes {', '.join(placed)} by place and the rest by name"
                raise TypeError(f"{said}: {', '.join(named)}; got {len(args) - own} by place")
            return inner(*args, **kwargs)

        if of_class:
            changed.__init__ = told
            return function
        return told  # type: ignore[return-value]  # it has the signature of what it wraps

    return decorate
