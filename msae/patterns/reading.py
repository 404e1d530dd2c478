"""Reading a token pattern: from text to a tree of nodes, or to an error that shows the place.

`parse` reads the language of `grammar.lark` with lark, puts definitions where they are used, and refuses what could not be matched well.
`msae.patterns.matching` gives the tree its meaning.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import regex
from lark import Lark, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from msae.patterns.building import Builder
from msae.patterns.checks import check
from msae.patterns.errors import NoPattern, PatternError
from msae.patterns.nodes import Node


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = files("msae.patterns").joinpath("grammar.lark").read_text(encoding="utf8")
    return Lark(grammar, parser="lalr", regex=True, maybe_placeholders=False)


def parse(query: str) -> Node:
    """The tree of a pattern, definitions put where they are used.

    Args:
        query: in the language of `grammar.lark`.

    Returns:
        what `msae.patterns.nodes` describes.

    Raises:
        PatternError: it cannot be read, uses an unknown name, can match without any token, repeats without an end inside such a
            repetition or more than twice in a row, or has an @ where none can be.

    Example:
        >>> from msae.patterns import parse
        >>> parse("let name = Lily|Sue; $name") == parse("Lily|Sue")
        True
    """
    if not isinstance(query, str):
        raise NoPattern(f"a pattern is a string, got {type(query).__name__}")
    try:
        return _parsed(query)
    except RecursionError:
        raise PatternError("this pattern is nested too deeply", query, 0) from None


@lru_cache(maxsize=256)
def _parsed(query: str) -> Node:
    try:
        tree = _parser().parse(query)
        builder = Builder(query)
        node = builder.transform(tree)
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        at = len(query) if at_end else error.pos_in_stream or 0
        raise PatternError(_unexpected(query[at:]), query, at) from None
    except VisitError as error:
        raise error.orig_exc from None
    check(node, builder.wrong)
    return node


def _unexpected(rest: str) -> str:
    """What is wrong with the rest of a query, where reading stopped."""
    if not rest:
        return "the pattern ends too early"
    if rest[0] == '"' and not regex.match(r'"(\\[^\n]|[^"\\])*"', rest):
        return "this quotation mark is never closed"
    if rest[0] == "/" and not regex.match(r"/(\\[^\n]|[^/\\])*/", rest):
        return "this / is never closed; a slash as text stands in quotes"
    if rest[0] == "=":
        return "unexpected =; a definition is let name = pattern; with small letters for the name"
    if rest[0] in "()[]{}|&;?*+@$%!<>^":
        return f"unexpected {rest[0]}"
    return f"unexpected {rest[0]}; text that is no word stands in quotes"
