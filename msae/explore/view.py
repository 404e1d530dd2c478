"""What a page opens with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

ViewName: TypeAlias = Literal["latent", "tree", "search"]
VIEWS: tuple[ViewName, ...] = get_args(ViewName)


@dataclass(frozen=True)
class View:
    """What a page of the explorer opens with."""

    latent: str = ""
    """ "name/number" of the latent that is seen; empty for the one that the explorer chooses."""

    pinned: str = ""
    """That of another latent, laid over it; empty for none."""

    view: ViewName = "latent"
    """Which of the three views is seen."""

    query: str = ""
    """The token pattern that is searched for."""

    examples: tuple[tuple[str, str], ...] = ()
    """(name, pattern) of each button that searches for a pattern."""
