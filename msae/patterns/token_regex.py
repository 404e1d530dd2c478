"""The regular expressions of a token pattern, /like this/i: one token, the whole of its text.

Python and JavaScript disagree on what \\d and \\w are, what a dot matches, what may be escaped and how case is ignored. `translate` takes
the part that a reader needs and writes it in the words that Python's `regex` and JavaScript (with its flags s and u) read alike.
"""

from __future__ import annotations

import regex

_CLASSES = {"d": r"\p{Nd}", "w": r"\p{L}\p{M}\p{N}_", "s": r"\p{White_Space}"}
"""What \\d, \\w and \\s are, as part of a set. Marks are part of the letter before: accents, the vowels of Hindi and Thai."""

ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_CHAR = r"\\[nrt]|\\[^\p{L}\p{N}]"
_PROPERTY = r"(?P<property>\\[pP]\{[A-Z][a-z]?\})"
_PIECE = regex.compile(
    r"(?P<open>\((?:\?[:=!])?)|(?P<close>\))|(?P<bar>\|)|(?P<dot>\.)|(?P<quantifier>[?*+]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})"
    rf"|(?P<set>\[(?!\^\])\^?(?:\\.|[^\]\\])+\])|{_PROPERTY}|(?P<class>\\[dwsDWS])|(?P<char>{_CHAR}|[^\\(){{}}\[\]^$])",
    regex.DOTALL,
)
_SET_ITEM = regex.compile(rf"{_PROPERTY}|(?P<class>\\[dws])|(?P<low>{_CHAR}|[^\\])(?:-(?P<high>{_CHAR}|[^\\]))?", regex.DOTALL)


class NotARegex(Exception):
    """Its arguments: what is wrong, and how many characters before the place."""


def translate(body: str, ignore_case: bool) -> str:
    """What stands between the slashes, in the common words.

    Args:
        ignore_case: characters are folded; the text is to be folded too before it is matched.

    Raises:
        NotARegex: nothing at all, a parenthesis or a quantifier without its partner, or a piece that the two languages do not share.
    """
    if not body:
        raise NotARegex("an empty regular expression", 0)
    out: list[str] = []
    opened: list[tuple[int, bool]] = []  # where each open parenthesis stands, and whether it is a lookahead
    repeatable, at = False, 0  # may a quantifier follow?
    while at < len(body):
        piece = _PIECE.match(body, at)
        if piece is None:
            raise NotARegex(_why_no_piece(body[at : at + 2]), at)
        kind, text = piece.lastgroup, piece.group()
        lookahead = False
        if kind == "open":
            opened.append((at, text in ("(?=", "(?!")))
            out.append("(?:" if text == "(" else text)
        elif kind == "close":
            if not opened:
                raise NotARegex("this ) closes nothing", at)
            _, lookahead = opened.pop()
            out.append(")")
        elif kind == "quantifier":
            if not repeatable:
                raise NotARegex(f"{text} has nothing to repeat", at)
            out.append(text)
        elif kind == "set":
            out.append(_set(text, ignore_case, at))
        elif kind == "class":
            out.append(f"[{'^' if text[1].isupper() else ''}{_CLASSES[text[1].lower()]}]")
        elif kind == "char":
            out.append(_escaped(_plain(text, ignore_case)))
        else:  # the dot, the bar, a property
            out.append(text)
        repeatable = kind not in ("open", "bar", "quantifier") and not lookahead
        at = piece.end()
    if opened:
        raise NotARegex("this ( is never closed", opened[-1][0])
    return "".join(out)


def _why_no_piece(text: str) -> str:
    if text[0] in "^$":
        return f"the whole token has to match, so {text[0]} is not needed; the character itself is \\{text[0]}"
    if text[0] == "\\":
        return f"{text} is not known here; known are \\d \\w \\s \\n \\r \\t, \\p{{Lu}} and its like, and escaped marks"
    return f"{text[0]} has a meaning of its own here; the character itself is \\{text[0]}"


def _set(text: str, ignore_case: bool, at: int) -> str:
    place = 2 if text.startswith("[^") else 1
    out = [text[:place]]
    while place < len(text) - 1:
        item = _SET_ITEM.match(text, place, len(text) - 1)
        if item is None:
            raise NotARegex(f"{text[place : place + 2]} cannot stand between [ and ]", at + place)
        if item["class"]:
            out.append(_CLASSES[item["class"][1]])
        elif item["property"]:
            out.append(item["property"])
        else:
            ends = [_plain(item[end], ignore_case) for end in ("low", "high") if item[end]]
            if ends[0] > ends[-1]:
                raise NotARegex(f"{item.group()} runs backwards", at + place)
            out.append("-".join(map(_escaped, ends)))
        place = item.end()
    return "".join(out) + "]"


def _plain(text: str, ignore_case: bool) -> str:
    """The character that a piece such as `a`, `\\.` or `\\n` stands for."""
    char = ESCAPES.get(text[1], text[1]) if text[0] == "\\" else text
    return fold(char) if ignore_case else char


def fold(text: str) -> str:
    """In lower case, character by character: a character whose lower case is two (İ) stays, and ς is σ wherever it stands."""
    if text.isascii():
        return text.lower()
    return "".join(lower if len(lower := char.lower()) == 1 else char for char in text).replace("ς", "σ")


def _escaped(char: str) -> str:
    return char if char.isalnum() or not char.isascii() else f"\\x{ord(char):02x}"
