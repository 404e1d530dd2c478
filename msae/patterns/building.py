"""From what lark has read of a pattern to nodes, definitions put where they are used."""

from __future__ import annotations

import regex
from lark import Token, Transformer, v_args

from msae.patterns.checks import gaps
from msae.patterns.errors import PatternError
from msae.patterns.nodes import (
    TRUE,
    All,
    AnyOf,
    Chain,
    Condition,
    Edge,
    Either,
    Focus,
    Literal,
    Look,
    Node,
    Not,
    One,
    Repeat,
    TokenTest,
    as_condition,
)
from msae.patterns.token_regex import ESCAPES, NotARegex, translate

_MAX_COUNT = 1000
"""Largest number in {n,m}."""

_FLAGS = {
    "space": r" .*",
    "cap": r"\s*\p{Lu}.*",
    "upper": r"\s*\p{Lu}[\p{Lu}\p{M}]*\s*",
    "alpha": r"\s*\p{L}[\p{L}\p{M}]*\s*",
    "digit": r"\s*\d+\s*",
    "punct": r"\s*[^\p{L}\p{M}\p{N}\s][^\p{L}\p{N}]*",
    "newline": r".*\n.*",
}
"""Flags of a token's text, as regular expressions for the whole of it."""

_PLACE_FLAGS = ("quoted", "seen", "first")


class Builder(Transformer[Token, Node]):
    """Makes nodes of what lark has read; a definition takes effect where it ends."""

    def __init__(self, query: str):
        super().__init__(visit_tokens=False)
        self.query = query
        self.definitions: dict[str, Node] = {}

    def wrong(self, reason: str, at: int) -> PatternError:
        return PatternError(reason, self.query, at)

    # definitions

    @v_args(inline=True)
    def definition(self, _: Token, name: Token, node: Node) -> None:
        if str(name) in self.definitions:
            raise self.wrong(f"${name} is defined twice", _at(name))
        self.definitions[str(name)] = node

    def start(self, children: list[Node]) -> Node:
        return children[-1]

    @v_args(inline=True)
    def reference(self, name: Token) -> Node:
        if str(name) not in self.definitions:
            known = ", ".join(f"${each}" for each in self.definitions) or "none"
            raise self.wrong(f"${name} is not defined before this place; defined are: {known}", _at(name) - 1)
        return self.definitions[str(name)]

    @v_args(inline=True)
    def named_condition(self, name: Token) -> Condition:
        condition = as_condition(self.reference(name))
        if condition is None:
            raise self.wrong(f"${name} is more than a choice of single tokens, so it cannot stand between [ and ]", _at(name) - 1)
        return condition

    # structure

    def sequence(self, items: list[Node]) -> Node:
        return items[0] if len(items) == 1 else Chain(tuple(items))

    def either(self, options: list[Node]) -> Node:
        return Either(tuple(options))

    @v_args(inline=True)
    def focus(self, mark: Token, item: Node) -> Node:
        run = isinstance(item, Repeat)
        one = item.item if isinstance(item, Repeat) else item
        if as_condition(one) is None or (isinstance(item, Repeat) and (item.low > 1 or item.high is not None)):
            raise self.wrong("@ marks one token, or a run of them with + or *; this is something else", _at(mark))
        return Focus(one, run, _at(mark))

    @v_args(inline=True)
    def repeat(self, item: Node, quantifier: Token) -> Node:
        at = _at(quantifier)
        if quantifier in ("?", "*", "+"):
            low, high = {"?": (0, 1), "*": (0, None), "+": (1, None)}[str(quantifier)]
        else:
            first, comma, last = quantifier[1:-1].partition(",")
            low = int(first)
            high = low if not comma else int(last) if last.strip() else None
        if high is not None and high < low:
            raise self.wrong(f"{quantifier} asks for at least {low} and at most {high}", at)
        if max(low, high or 0) > _MAX_COUNT:
            raise self.wrong(f"{quantifier} counts beyond {_MAX_COUNT}", at)
        if high == 0:
            raise self.wrong(f"{quantifier} repeats nothing", at)
        if high is None and gaps(item):
            raise self.wrong("a repetition without an end inside another; give one of them an upper end, such as {0,8}", at)
        return Repeat(item, low, high, at)

    @v_args(inline=True)
    def look(self, opening: Token, item: Node) -> Node:
        return Look(str(opening), item)

    def text_start(self, _: list[Token]) -> Node:
        return Edge(end=False)

    def text_end(self, _: list[Token]) -> Node:
        return Edge(end=True)

    def any_token(self, _: list[Token]) -> Node:
        return One(TRUE)

    @v_args(inline=True)
    def passes(self, condition: Condition) -> Node:
        return One(condition)

    @v_args(inline=True)
    def literal(self, string: Token) -> Node:
        text = self.unquoted(string)
        if not text:
            raise self.wrong('"" is no text', _at(string))
        return Literal(text, _at(string))

    @v_args(inline=True)
    def word(self, word: Token) -> Node:
        escaped = "".join(char if char.isalpha() else f"\\{char}" for char in word)
        return One(TokenTest("regex", (translate(rf"\s*{escaped}\s*", True), True), _at(word)))

    @v_args(inline=True)
    def regex(self, pattern: Token) -> Node:
        return One(self.regex_condition(pattern))

    # conditions

    def any_of(self, parts: list[Condition]) -> Condition:
        return AnyOf(tuple(parts))

    def all_of(self, parts: list[Condition]) -> Condition:
        return All(tuple(parts))

    @v_args(inline=True)
    def negate(self, part: Condition) -> Condition:
        return Not(part)

    @v_args(inline=True)
    def fires(self, latent: Token) -> Condition:
        return TokenTest("latent", (str(latent), ">", 0.0, False), _at(latent))

    @v_args(inline=True)
    def activation(self, latent: Token, comparison: Token, number: Token, percent: str = "") -> Condition:
        return TokenTest("latent", (str(latent), str(comparison), float(number), bool(percent)), _at(latent))

    @v_args(inline=True)
    def text_test(self, relation: Token, token: Token) -> Condition:
        return _negated_if(relation, self.bare_text_test([token]))

    @v_args(inline=True)
    def id_test(self, relation: Token, number: Token) -> Condition:
        return _negated_if(relation, TokenTest("id", (int(number),), _at(number)))

    @v_args(inline=True)
    def place_test(self, comparison: Token, number: Token) -> Condition:
        return TokenTest("pos", (str(comparison), int(number)), _at(number))

    def bare_text_test(self, children: list[Token]) -> Condition:
        token = children[0]
        if token.type == "REGEX":
            return self.regex_condition(token)
        return TokenTest("text", (self.unquoted(token),), _at(token))

    @v_args(inline=True)
    def flag(self, name: Token) -> Condition:
        if name in _FLAGS:
            return TokenTest("regex", (translate(_FLAGS[str(name)], False), False), _at(name))
        if name in _PLACE_FLAGS:
            return TokenTest(str(name), (), _at(name))
        known = ", ".join([*_FLAGS, *_PLACE_FLAGS])
        raise self.wrong(f'there is no test {name}; there are {known}; a text stands in quotes: "{name}"', _at(name))

    # pieces

    def regex_condition(self, token: Token) -> Condition:
        body, _, flag = token[1:].rpartition("/")
        try:
            translated = translate(body, bool(flag))
        except NotARegex as error:
            reason, offset = error.args
            raise self.wrong(reason, _at(token) + 1 + offset) from None
        try:
            regex.compile(translated)
        except regex.error:
            raise self.wrong("this is no regular expression", _at(token)) from None
        return TokenTest("regex", (translated, bool(flag)), _at(token))

    def unquoted(self, string: Token) -> str:
        def char(escape: regex.Match) -> str:
            if escape[1] not in 'nrt"\\':
                raise self.wrong(rf"{escape[0]} means nothing in a text; there are \" \\ \n \r \t", _at(string) + 1 + escape.start())
            return ESCAPES.get(escape[1], escape[1])

        return regex.sub(r"\\(.)", char, string[1:-1], flags=regex.DOTALL)


def _at(token: Token) -> int:
    return token.start_pos or 0


def _negated_if(relation: Token, condition: Condition) -> Condition:
    return Not(condition) if relation == "!=" else condition
