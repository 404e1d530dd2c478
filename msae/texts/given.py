"""Stories as they are given, as texts or token ids, judged before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from msae.support.arguments import shown

Stories = Sequence[str] | Sequence[Sequence[int]] | Tensor | np.ndarray
"""Texts, or rows of token ids."""


def check_stories(stories: Any, name: str = "stories", *, token_ids: bool = False) -> list[Any]:
    """Stories as a list of strings or, where they may be, a list of int64 arrays of token ids.

    Raises:
        ValueError: naming the first that is neither.
    """
    kinds = "texts, or of rows of token ids" if token_ids else "texts"
    if isinstance(stories, (str, bytes)):
        raise ValueError(f"{name}: expected a list of stories, got one string: put it into a list")
    if isinstance(stories, Tensor) and not stories.is_floating_point() and not stories.is_complex():
        stories = stories.detach().cpu().numpy()
    numbers = isinstance(stories, Tensor) or (isinstance(stories, np.ndarray) and stories.dtype.kind not in "OU")
    n_axes = getattr(stories, "ndim", 2) if token_ids else 0
    if isinstance(stories, Mapping) or not isinstance(stories, Iterable) or (numbers and n_axes != 2):
        fix = "; put one row into a list" if n_axes == 1 else ""
        raise ValueError(f"{name} must be a list of {kinds}, got {shown(stories)}{fix}")
    found = list(stories)
    n_texts = sum(isinstance(story, str) for story in found)
    for i, story in enumerate(found):
        if isinstance(story, str):
            try:
                found[i] = str(story) if story.isascii() else story.encode().decode()
            except UnicodeEncodeError as error:
                raise ValueError(f"{name}[{i}] is no text: it holds half of a surrogate pair at place {error.start}") from error
        elif n_texts or not token_ids:
            raise ValueError(f"{name}[{i}] must be a string, got {shown(story)}")
        else:
            found[i] = _token_ids(f"{name}[{i}]", story)
    return found


def _token_ids(name: str, row: Any) -> np.ndarray:
    wrong = f"{name} must be a string or a list of token ids, got {shown(row)}"
    if isinstance(row, (list, tuple)):
        if not all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in set(map(type, row))):
            raise ValueError(wrong)
    elif isinstance(row, Tensor):
        if row.is_floating_point() or row.is_complex():
            raise ValueError(wrong)
        row = row.detach().cpu().numpy()
    elif not isinstance(row, np.ndarray):
        raise ValueError(wrong)
    if isinstance(row, np.ndarray) and (row.ndim != 1 or row.dtype.kind not in "iu"):
        raise ValueError(wrong)
    try:
        return np.array(row, dtype=np.int64)
    except OverflowError as error:
        raise ValueError(wrong) from error
