"""What is wrong with a pattern, and where in its text."""

from __future__ import annotations


class PatternError(ValueError):
    """A pattern that cannot be read or is refused. Its text shows the line and a caret below the place.

    Args:
        reason: what is wrong.
        query: the whole pattern.
        position: where in it, in characters from 0.

    Example:
        >>> from msae.patterns import PatternError
        >>> print(PatternError("unexpected )", "Lily )", 5))
        unexpected ) (column 6)
          Lily )
               ^
    """

    def __init__(self, reason: str, query: str, position: int):
        before = query[:position].split("\n")
        self.reason = reason
        """What is wrong, without the place."""
        self.line = len(before)
        """From 1."""
        self.column = len(before[-1]) + 1
        """From 1, in characters."""
        shown = query.split("\n")[self.line - 1].replace("\t", " ")
        where = f"line {self.line}, column {self.column}" if "\n" in query else f"column {self.column}"
        super().__init__(f"{reason} ({where})\n  {shown}\n  {' ' * (self.column - 1)}^")


class NoPattern(TypeError, ValueError):
    """What was given as a pattern is no string."""
