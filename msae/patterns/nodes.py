"""What a pattern is made of: conditions on one token, and nodes, which stand for stretches of tokens.

`at` is the place in the query where a part stands, for errors; it does not count in comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TokenTest:
    """Something that is true or false of one token."""

    kind: str
    """text, regex, id (of the token alone); pos, quoted, seen, first, latent, literal (of its place)."""
    args: tuple[Any, ...] = ()
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Not:
    part: Condition


@dataclass(frozen=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Condition, ...]


Condition = TokenTest | Not | All | AnyOf
TRUE, FALSE = All(()), AnyOf(())


@dataclass(frozen=True)
class One:
    """One token that passes a condition."""

    condition: Condition


@dataclass(frozen=True)
class Literal:
    """Whole tokens whose text together is exactly `text`."""

    text: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Edge:
    """Start or end of a text."""

    end: bool


@dataclass(frozen=True)
class Chain:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    item: Node
    low: int
    high: int | None
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Look:
    """(?=…), (?!…), (?<=…) or (?<!…): `opening` is what stands before the dots."""

    opening: str
    item: Node


@dataclass(frozen=True)
class Focus:
    """@: the token to mark, or a run of such tokens."""

    item: Node
    run: bool
    at: int = field(default=0, compare=False)


Node = One | Literal | Edge | Chain | Either | Repeat | Look | Focus


def inside(node: Node) -> tuple[Node, ...]:
    """The parts that a node is made of."""
    match node:
        case Chain(items) | Either(items):
            return items
        case Repeat(item) | Look(_, item) | Focus(item):
            return (item,)
    return ()


def as_condition(node: Node) -> Condition | None:
    """A node as a condition on one token; None where it is more than a choice of single tokens."""
    match node:
        case One(condition):
            return condition
        case Literal(text, at):
            return TokenTest("text", (text,), at)
        case Either(options):
            conditions = [each for each in map(as_condition, options) if each is not None]
            return AnyOf(tuple(conditions)) if len(conditions) == len(options) else None
    return None


def tests_of(part: Node | Condition) -> Iterator[TokenTest]:
    """Every test in a tree, in order."""
    match part:
        case TokenTest():
            yield part
        case One(condition) | Not(condition):
            yield from tests_of(condition)
        case All(parts) | AnyOf(parts):
            yield from (test for each in parts for test in tests_of(each))
        case _:
            yield from (test for each in inside(part) for test in tests_of(each))
