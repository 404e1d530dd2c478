"""The visual language: the colour, the mark and the dash that a role has in every figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from msae.support import arguments

COLORS: dict[str, str] = {
    "parent": "#1f6feb",
    "child": "#b07d10",
    "hole": "#c8226f",
    "plain": "#c45508",
    "sampled": "#a646d6",
    "matryoshka": "#0a9e68",
    "truth": "#6a6a6e",
}
"""The colour of each role, readable on white and on dark pages (contrast at least 3 on both); the roles that meet in one figure
stay apart under colour blindness."""

_ALIASES = {
    "vanilla": "plain",
    "sampled prefixes": "sampled",
    "all prefixes": "matryoshka",
    "all_prefixes": "matryoshka",
    "ground truth": "truth",
    "target": "truth",
    "reference": "truth",
    "chance": "truth",
    "90 %": "truth",
    "90%": "truth",
    "derived": "truth",
    "holes": "hole",
}
_OTHERS = ["#1f6feb", "#b07d10", "#c8226f", "#0b8a9e", "#748016", "#5d7f9a"]
"""Of names that are no role. A kind of SAE and a line of reference keep their colours to themselves."""
SYMBOLS = {
    "parent": "circle",
    "child": "diamond",
    "hole": "x",
    "plain": "circle",
    "sampled": "square",
    "matryoshka": "diamond",
    "truth": "triangle-up",
}
_DASHES = {
    "parent": "solid",
    "child": "dash",
    "hole": "longdash",
    "plain": "dash",
    "sampled": "dashdot",
    "matryoshka": "solid",
    "truth": "dot",
}
# for the second name of a role
_MORE_SYMBOLS = ["triangle-down", "cross", "star", "pentagon", *SYMBOLS.values()]
_MORE_DASHES = ["dot", "dashdot", "longdash", "longdashdot", "dash", "solid"]
LINE = "rgba(128,128,128,0.55)"
"""The grey of lines that carry no meaning of their own, readable on white and on dark."""


class Style(NamedTuple):
    """What one name looks like in a plot."""

    color: str
    """Of its marks and its line, as "#rrggbb"."""

    symbol: str
    """The shape of its marks, by plotly's name."""

    dash: str
    """The dash of its line, by plotly's name."""


def role(name: str) -> str:
    """The role that a name plays: itself if it is one, else what it is another word for, else the name unchanged.

    Args:
        name: ``"vanilla"`` is another word for ``"plain"``, for example. What follows a comma or stands in brackets is a remark, and a
            number behind a dash an L0: ``"plain, faded"`` and ``"plain-30"`` are ``"plain"`` too. So is a "line": ``"target line"``.

    Returns:
        A key of `COLORS`, or the name.

    Raises:
        ValueError: a name that is no string.

    Example:
        >>> from msae import figures
        >>> figures.role("all prefixes"), figures.role("plain-30, faded"), figures.role("relu")
        ('matryoshka', 'plain', 'relu')
    """
    key = re.split(r",| \(", arguments.text("name", name))[0].strip().lower()
    key = re.sub(r"-\d+$| line$", "", key)
    return key if key in COLORS else _ALIASES.get(key, name)


def row_role(label: str) -> str:
    """The role of a row: that of its label, or of what stands behind the last comma of it, "female words, plain-30"."""
    whole = role(label)
    return whole if whole in COLORS else role(label.rsplit(", ", 1)[-1])


def style_of(name: str, k: int) -> Style:
    """The style of a name; one that is no role takes the k-th of a fixed order."""
    r = role(name)
    if r in COLORS:
        return Style(COLORS[r], SYMBOLS[r], _DASHES[r])
    return Style(_OTHERS[k % len(_OTHERS)], list(SYMBOLS.values())[k % len(SYMBOLS)], ["solid", "dash", "dot", "dashdot"][k % 4])


def styles_of(names: Sequence[str]) -> list[Style]:
    """The style of each of the names that share one plot: no two have a colour and a shape, or a colour and a dash, in common.

    A role keeps its colour, also where its name comes twice ("plain, seed 0", "plain, seed 1"), and no other name takes it.
    """
    roles = [role(name) for name in names]
    free = [colour for colour in _OTHERS if colour not in {COLORS[r] for r in roles if r in COLORS}] or _OTHERS
    taken: set[tuple[str, str]] = set()
    styles = []
    for k, r in enumerate(roles):
        colour, *forms = style_of(r, k)
        if r not in COLORS:
            colour = free[k % len(free)]
        for i, others in enumerate((_MORE_SYMBOLS, _MORE_DASHES)):
            forms[i] = next((form for form in (forms[i], *others) if (colour, form) not in taken), forms[i])
            taken.add((colour, forms[i]))
        styles.append(Style(colour, *forms))
    return styles


def translucent(colour: str, alpha: float) -> str:
    """A colour "#rrggbb" through which what lies behind it is seen."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"
