"""A tree as a regular expression of characters: each character stands for the tokens that pass the same tests.

The separator between texts is character 0. Lookarounds ask at every token whether *some* stretch ends there: greediness cannot matter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from msae.patterns.nodes import Chain, Condition, Edge, Either, Focus, Look, Node, One, Repeat

ANY = "[^\\x00]"
"""Any token, as a class of characters."""


def expression(node: Node, character_class: Callable[[Condition], str]) -> str:
    """Matches the runs of marked tokens."""

    def write(node: Node) -> str:
        match node:
            case One(condition):
                return character_class(condition)
            case Edge(end):
                return "(?=\\x00)" if end else "(?<=\\x00)"
            case Chain(items):
                return "".join(map(write, items))
            case Either(options):
                return f"(?:{'|'.join(map(write, options))})"
            case Repeat(item, low, high):
                return f"(?:{write(item)}){{{low},{'' if high is None else high}}}"
            case Look(opening, item):
                return f"{opening}{write(item)})"
        raise AssertionError(node)

    if (parts := split(node)) is None:
        return f"(?:{ANY}(?<={write(node)}))+"
    before, focus, behind = parts
    one = write(focus.item)
    more = f"{one}*" if focus.run else ""
    return f"(?:(?<={write(before)}{more})(?={one}{more}{write(behind)}){ANY})+"


def character_class(passing: np.ndarray) -> str:
    """The characters of the signatures that pass, (n_signatures,) bool."""
    if passing.all():
        return ANY
    codes = np.flatnonzero(passing)
    if not len(codes):
        return "(?!)"
    runs = np.split(codes + 1, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "[" + "".join(f"\\u{run[0]:04x}-\\u{run[-1]:04x}" for run in runs) + "]"


def split(node: Node) -> tuple[Node, Focus, Node] | None:
    """What stands before the @, the @ itself, and what stands behind it."""
    if isinstance(node, Focus):
        return Chain(()), node, Chain(())
    if isinstance(node, Chain):
        for k, item in enumerate(node.items):
            if found := split(item):
                before, focus, behind = found
                return Chain((*node.items[:k], before)), focus, Chain((behind, *node.items[k + 1 :]))
    return None
