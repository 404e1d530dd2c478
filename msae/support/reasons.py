"""Why another library failed, short enough to be part of one sentence."""

from __future__ import annotations


def first_line(error: Exception) -> str:
    """What it says first; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
