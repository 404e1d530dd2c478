"""What a figure draws: a label as that label, a sentence as that sentence, and a number to the digits in which it differs from others.

plotly reads every text as a small markup: tags, entities, `%{…}` for values and, where MathJax is loaded, `$…$` for formulas. What a
caller gives is none of these. A label is first made into *words*, in which everything can be seen, then `escaped` for plotly.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from msae.support import arguments

NUMBER = ",.15~g"
"""How plotly shows a number that went through `apart`: all of its digits."""

_HOVER_LINE, _HOVER_MOST = 44, 600
"""Characters of a line in a hover box, so that it fits a telephone 390 pixels wide, and of all lines together."""
_BIG = 10_000

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


def apart(numbers: np.ndarray, least: int = 3, most_decimals: int = 400) -> list:
    """Numbers as they are drawn and hovered: none rounded before the point, behind it to the digits in which a number differs from others.

    Args:
        numbers: (n,), beside which all others stand; or (…, n_rows, n_columns), where a cell stands beside those of its row, of its column
            and at its place in the other matrices, and in matrices of more than 10,000 cells beside its neighbours only.
        least: significant digits that are kept at least; twelve are kept at most.
        most_decimals: digits behind the point, at most.

    Returns:
        The rounded numbers as nested lists, whole ones as int: short in JSON.
    """
    numbers = numbers.astype(np.float64)
    with np.errstate(divide="ignore"):
        exponent = np.where(numbers == 0, 0, np.floor(np.log10(np.abs(numbers))))
        needed = np.ceil(-np.log10(_gaps(numbers)))
    decimals = np.clip(np.maximum(needed, least - 1 - exponent), 0, np.maximum(11 - exponent, 0))
    decimals = np.minimum(decimals, most_decimals).astype(int)

    def rounded(x: Any, d: Any) -> Any:
        if isinstance(x, list):
            return [rounded(*pair) for pair in zip(x, d)]
        y = round(x, d)
        return int(y) if y.is_integer() and abs(y) < 1e15 else y

    return rounded(numbers.tolist(), decimals.tolist())


def _gaps(a: np.ndarray) -> np.ndarray:
    """The distance of each number to the nearest other one that it stands beside; infinite where there is none."""
    gaps = np.full(a.shape, np.inf)
    for axis in range(a.ndim):
        if a.ndim >= 2 and a.shape[-1] * a.shape[-2] > _BIG:
            steps = np.abs(np.diff(a, axis=axis))
            steps[steps == 0] = np.inf
            end = np.full_like(a.take([0], axis), np.inf)
            beside = np.minimum(np.concatenate([end, steps], axis), np.concatenate([steps, end], axis))
        else:
            beside = np.apply_along_axis(_gaps_of_row, axis, a)
        gaps = np.minimum(gaps, beside)
    return gaps


def _gaps_of_row(row: np.ndarray) -> np.ndarray:
    distinct, place = np.unique(row, return_inverse=True)
    steps = np.diff(distinct, prepend=-np.inf, append=np.inf)
    return np.minimum(steps[:-1], steps[1:])[place]


def number(x: float) -> str:
    """A number that went through `apart`, with all of its digits, as plotly's `NUMBER` shows it."""
    if x and not 1e-6 <= abs(x) < 1e15:
        return re.sub(r"e([+-])0*", r"e\1", f"{x:.15g}")
    return f"{Decimal(repr(x)):,f}"


def array(values: Any, what: str, ndim: int) -> np.ndarray:
    """Numbers as float64 of the given number of dimensions; tensors and nested lists of any kind of number are taken.

    Raises:
        ValueError: naming what is wrong with which value: no numbers, another shape, none at all, not finite, or too large to draw.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{what} must be numbers, got masked ones; leave such values out")
    try:
        a = np.asarray(_on_cpu(values))
        if a.dtype.kind not in "biufO" or (a.dtype.kind == "O" and any(isinstance(x, (str, bytes)) or x is None for x in a.flat)):
            raise TypeError(f"they are {'text' if a.dtype.kind in 'US' else arguments.shown(values)}")
        a = a.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{what} must be numbers, got {type(values).__name__}: {' '.join(str(error).split())[:200]}") from None
    if a.ndim != ndim:
        raise ValueError(f"{what} must have {ndim} dimension{'s' * (ndim != 1)}, got shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"{what} must not be empty, got shape {a.shape}")
    for wrong, must in ((~np.isfinite(a), "finite"), (np.abs(a) > 1e300, "at most 1e300, which plotly can draw")):
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(f"{what} must be {must}, got {a[at]} at position {at[0] if ndim == 1 else at}; leave such values out")
    return a


def _on_cpu(values: Any) -> Any:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return values.double().numpy() if values.is_floating_point() else values.numpy()  # NumPy has no bfloat16
    return [_on_cpu(value) for value in values] if isinstance(values, (list, tuple)) else values


def mapping(name: str, value: Any, of: str) -> dict[Any, Any]:
    """A mapping, as a dict; `of` says what to what."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping from {of}, got {arguments.shown(value)}")
    return dict(value)
