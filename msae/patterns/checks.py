"""What is refused since it could not be matched well: patterns of nothing, of too many endless repetitions, of an @ out of place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msae.patterns.errors import PatternError
from msae.patterns.nodes import Chain, Edge, Either, Focus, Look, Node, Repeat, inside

_MAX_GAPS = 2
"""Repetitions without an upper end that may follow one another; with three the time grows with the cube of a text's length."""


def can_be_empty(node: Node) -> bool:
    """Whether a node matches without taking a token."""
    match node:
        case Edge() | Look():
            return True
        case Repeat(item, low):
            return low == 0 or can_be_empty(item)
        case Either(options):
            return any(map(can_be_empty, options))
        case Chain(items):
            return all(map(can_be_empty, items))
    return False


def gaps(node: Node) -> list[int]:
    """Where the repetitions without an upper end stand that one stretch can go through, one after another."""
    match node:
        case Repeat(item, _, high, at):
            return [*gaps(item), at] if high is None else gaps(item) * min(high, _MAX_GAPS + 1)
        case Either(options):
            return max(map(gaps, options), key=len)
        case Focus(_, True, at):
            return [at]
    return [at for part in inside(node) for at in gaps(part)]


def focuses(node: Node, reachable: bool = True) -> Iterator[tuple[Focus, bool]]:
    """Every @, and whether all of a stretch's tokens lie before it, at it, or behind it."""
    if isinstance(node, Focus):
        yield node, reachable
    for part in inside(node):
        yield from focuses(part, reachable and isinstance(node, Chain))


def check(node: Node, wrong: Callable[[str, int], PatternError]) -> None:
    if can_be_empty(node):
        raise wrong("this pattern can match without any token, so it would mark every place", 0)
    if len(stretching := gaps(node)) > _MAX_GAPS:
        raise wrong(f"more than {_MAX_GAPS} repetitions without an upper end; give one an end, such as {{0,8}}", stretching[_MAX_GAPS])
    found = list(focuses(node))
    if len(found) > 1:
        raise wrong("a second @: one place is marked", found[1][0].at)
    for focus, reachable in found:
        if not reachable:
            raise wrong("@ cannot stand in a choice, a repetition or a lookaround", focus.at)
