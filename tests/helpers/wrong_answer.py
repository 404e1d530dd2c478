"""A wrong answer to an exercise, and what its reader must be told: `tests/book/wrong_answers/` has at least three for each exercise."""

from __future__ import annotations

from typing import NamedTuple


class Wrong(NamedTuple):
    """An answer that a reader might well write, and that is wrong."""

    code: str
    """The cell as the reader would have filled it in: it defines the exercise's function, and imports what only it needs."""

    says: str
    """Words that stand in what the reader is told, and that name this fault."""
