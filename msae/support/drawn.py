"""Text that a figure draws: a label as that label, a sentence as that sentence.

plotly reads every text as a small markup: tags, entities, `%{…}` for values and, where MathJax is loaded, `$…$` for formulas. What a
caller gives is none of these. A label is first made into *words*, in which everything can be seen, then `escaped` for plotly.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

from msae.support import arguments

_HOVER_LINE, _HOVER_MOST = 44, 600
"""Characters of a line in a hover box, so that it fits a telephone 390 pixels wide, and of all lines together."""

# Signs without a picture. The joiners between letters and between emoji, and what varies the sign before it, belong to these and stay.
_UNSEEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800"
    "\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
    "|(?<!\\S)[\u200c\u200d\ufe00-\ufe0f]|[\u200c\u200d](?!\\S)"
)
# plotly looks labels up in a JavaScript object, where these names stand already.
_TAKEN = {"constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString", "valueOf", "__proto__"}
_TAKEN |= {f"__{verb}{what}__" for verb in ("define", "lookup") for what in ("Getter", "Setter")}


def numbered(text: str) -> str:
    """A text with ⇥ for a tab, and for signs without a picture their numbers, such as ⟨200b⟩."""
    return _UNSEEN.sub(lambda sign: f"⟨{ord(sign.group()):x}⟩", text.replace("\t", "⇥"))


def visible(label: Any) -> str:
    """A label as one sees it, in the explorer's signs: a newline is ↵, a tab ⇥, a sign without a picture its number such as ⟨200b⟩,
    and a space that could be missed – the first, the last, one beside another – a dot. An empty label is "(empty)"."""
    if getattr(label, "ndim", None) == 0 and hasattr(label, "detach"):
        label = label.item()
        label = f"{label:.7g}" if isinstance(label, float) else label
    text = numbered(re.sub(r"\r?\n", "↵", str(label)))
    dots = re.sub(r"^\s+|\s+$|\s{2,}", lambda run: "".join("·" if s == " " else f"⟨{ord(s):x}⟩" for s in run.group()), text)
    return dots or "(empty)"


def words(labels: Iterable[Any]) -> list[str]:
    """Labels as one sees them, no two alike: those that look like an earlier one, or are equal to it, get a number behind them."""

    def look(text: str) -> str:
        return " ".join(unicodedata.normalize("NFC", text).split())

    seen = [visible(label) for label in labels]
    own = {look(text) for text in seen}
    taken: set[str] = set()
    out = []
    for text in seen:
        k, name = 1, text
        while look(name) in taken or (k > 1 and look(name) in own):
            k += 1
            name = f"{text} ({k})"
        taken.add(look(name))
        out.append(name)
    return out


def escaped(text: str) -> str:
    """Text that plotly draws as this text."""
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), ("$", "&#36;"), ("%{", "&#37;{")):
        text = text.replace(sign, instead)
    return f"&#{ord(text[0])};{text[1:]}" if text in _TAKEN else text


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and "…" where it is longer than the limit; not escaped."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_apart(texts: list[str], limit: int) -> list[str]:
    """Texts cut to a limit, not escaped; those whose beginnings are alike show their ends too, or a number. Equal texts stay equal."""
    distinct = list(dict.fromkeys(texts))
    short = [cut(text, limit) for text in distinct]
    often = Counter(short)
    tail = limit // 2
    short = [f"{t[: limit - tail - 1]}…{t[-tail:]}" if often[s] > 1 and len(t) > limit else s for s, t in zip(short, distinct)]
    cuts = dict(zip(distinct, words(short) if len(set(short)) < len(short) else short))
    return [cuts[text] for text in texts]


def hovered(text: str) -> str:
    """Text for a hover box, escaped: in lines that fit a telephone, all its signs kept; beyond 600 characters it is cut."""
    return _in_lines(cut(text, _HOVER_MOST))


def hovered_apart(texts: list[str]) -> list[str]:
    """As `hovered`, but texts that are alike up to where they are cut stay apart."""
    return list(map(_in_lines, cut_apart(texts, _HOVER_MOST)))


def _in_lines(text: str) -> str:
    return "<br>".join(map(escaped, lines(text, _HOVER_LINE)))


def lines(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` signs, none of which is lost; broken behind a space where there is one."""
    rows = []
    while len(text) > width:
        end = text.rfind(" ", 0, width) + 1 or width
        rows.append(text[:end])
        text = text[end:]
    return [*rows, text]


def sentence(name: str, text: Any) -> str:
    """A title, a name of an axis: prose, whose line breaks and doubled spaces are one space; not escaped."""
    return numbered(re.sub(r"[ \t\r\n]+", " ", arguments.text(name, text)).strip())


def wrapped(text: str, width: int) -> str:
    """Prose for plotly, escaped: `<br>` between lines of at most `width` characters, or of one word that is longer."""
    rows: list[str] = []
    for word in text.split(" "):
        if rows and len(rows[-1]) + 1 + len(word) <= width:
            rows[-1] += " " + word
        else:
            rows.append(word)
    return "<br>".join(map(escaped, rows))
