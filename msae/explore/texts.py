"""The texts of an explorer, token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from msae.explore.checks import check_acts
from msae.support.arguments import array
from msae.support.letters import Piece, as_token, join

if TYPE_CHECKING:
    from msae.explore.given import Numbers
    from msae.firings.firings import Firings


class Texts:
    """The texts on which latents fire.

    Args:
        acts: name → firings, judged together with the texts.
        tokens: (n_texts, n_ctx) token ids.
        str_tokens: the text of each id.
    """

    tokens: np.ndarray
    """(n_texts, n_ctx) whole numbers."""

    str_tokens: list[str]
    """The text of each id."""

    mask: np.ndarray
    """(n_texts, n_ctx) bool: the places that count for any of the SAEs."""

    def __init__(self, acts: Mapping[str, Firings], tokens: Numbers, str_tokens: Sequence[str | bytes]):
        self.tokens = array("tokens", tokens)
        check_acts(acts, self.tokens, str_tokens)
        self.str_tokens = [as_token(token) for token in str_tokens]
        self.mask = np.logical_or.reduce([each.mask for each in acts.values()])

    @cached_property
    def letters(self) -> tuple[np.ndarray, list[Piece]]:
        """(n_texts, n_ctx) tokens, those that share a letter with others numbered from len(str_tokens) on; and what these are."""
        numbers, where = self.tokens.astype(np.int64), np.flatnonzero(self.mask)
        start = np.concatenate([[0], np.cumsum(self.mask.sum(1))])
        numbers.reshape(-1)[where], pieces = join(self.tokens.reshape(-1)[where], start, self.str_tokens)
        return numbers, pieces

    def piece(self, number: int) -> Piece | None:
        """The part of a letter that a number of `letters` stands for; None for a token of its own."""
        n_vocab = len(self.str_tokens)
        return self.letters[1][number - n_vocab] if number >= n_vocab else None

    def words(self, text: int, first: int, length: int) -> list[str]:
        """Part of a text, token by token: a split letter stands in the first of its tokens."""
        found = []
        for k, token in enumerate(self.letters[0][text, first : first + length].tolist()):
            piece = self.piece(token)
            found.append(self.str_tokens[token] if piece is None else piece.shown if k else piece.text)
        return found
