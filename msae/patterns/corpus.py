"""Texts as a pattern reads them: tokens, the text of each place, what stands in quotes, where a string occurs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import regex

from msae.support.arguments import array, shown
from msae.support.letters import as_token, check_vocabulary, join
from msae.support.renamed import by_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from msae.firings.firings import Firings

_SPACE = regex.compile(r"\p{White_Space}*")


@by_name()
class Corpus:
    """The tokens that count, text after text, and what can be asked about them.

    Args:
        tokens: (n_texts, n_ctx) token ids, NumPy or torch.
        str_tokens: the text of each id; bytes, or what `Activations.str_tokens` has, where a token is only part of a letter.
        acts: name → where the latents of that SAE fire, on the same texts.
        mask: (n_texts, n_ctx) bool, the places that count; if left out, the mask of `acts`, or everything.
        whole_letters: whether tokens that hold parts of one letter count as one token, at the place of the last of them.

    Raises:
        ValueError: shapes that do not fit each other, or a token id without text.

    Example:
        >>> from msae.patterns import Corpus
        >>> corpus = Corpus([[0, 1, 0]], ["a", " b"])
        >>> corpus.seen.tolist(), corpus.place.tolist()
        ([False, False, True], [0, 1, 2])
    """

    tokens: np.ndarray
    """(n,) int64: for each token its number among the kinds of token that occur."""

    kinds: np.ndarray
    """(n_kinds,) int64: the token id of each. `texts` are their texts; `split` says which are the last part of a letter."""

    start: np.ndarray
    """(n_texts + 1,) int64: where each text begins."""

    where: np.ndarray
    """(n,) int64: text · n_ctx + place in the text."""

    def __init__(
        self,
        tokens: Tensor | ArrayLike,
        str_tokens: Sequence[str | bytes],
        *,
        acts: Mapping[str, Firings] | None = None,
        mask: Tensor | ArrayLike | None = None,
        whole_letters: bool = True,
    ):
        ids = array("tokens", tokens)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"tokens must be whole numbers (n_texts, n_ctx), got shape {ids.shape} of {ids.dtype}; one text is tokens[None]"
            )
        self.acts, self.shape = _checked_acts(acts, ids.shape), ids.shape
        if mask is None:
            mask = next(iter(self.acts.values())).mask if self.acts else np.ones(ids.shape, dtype=bool)
        counts = array("mask", mask, numbers="marks")
        if counts.shape != ids.shape:
            raise ValueError(f"expected a mask of shape {ids.shape}, one entry per token, got {counts.shape}")
        where = np.flatnonzero(counts)
        flat = ids.reshape(-1)[where]
        check_vocabulary(str_tokens, flat)
        numbers, pieces = join(flat, np.concatenate([[0], np.cumsum(counts.sum(1))]), str_tokens)
        if pieces and whole_letters:  # the parts of a letter before its last are left out
            earlier = len(str_tokens) + np.flatnonzero([piece.part < piece.n_parts for piece in pieces])
            kept = ~np.isin(numbers, earlier)
            where, numbers = where[kept], numbers[kept]
        self.where = where
        self.start = np.searchsorted(where, np.arange(len(ids) + 1) * ids.shape[1])
        occurs = np.bincount(numbers, minlength=len(str_tokens)) > 0
        found = np.flatnonzero(occurs).tolist()
        known = {len(str_tokens) + k: piece for k, piece in enumerate(pieces)}
        self.kinds = np.array([known[kind].token if kind in known else kind for kind in found], dtype=np.int64)
        self.texts = [known[kind].text if kind in known else as_token(str_tokens[kind]) for kind in found]
        self.split = np.array([kind in known for kind in found], dtype=bool)
        self.tokens = (np.cumsum(occurs) - 1)[numbers]

    @cached_property
    def text_of(self) -> np.ndarray:
        """(n,) int64: the text that each token is in."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @cached_property
    def place(self) -> np.ndarray:
        """(n,) int64: each token's place in its text, from 0."""
        return np.arange(len(self.tokens)) - self.start[self.text_of]

    @cached_property
    def seen(self) -> np.ndarray:
        """(n,) bool: the same token stands earlier in the text."""
        seen = np.ones(len(self.tokens), dtype=bool)
        seen[np.unique(self.text_of * len(self.kinds) + self.tokens, return_index=True)[1]] = False
        return seen

    @cached_property
    def quoted(self) -> np.ndarray:
        """(n,) bool: an odd number of quotation marks stands before, counted from the text's start or the last newline; no mark itself."""
        marks = np.array([text.count('"') for text in self.texts], dtype=np.int64)
        since_newline = np.array([text.rpartition("\n")[2].count('"') for text in self.texts], dtype=np.int64)
        newline = np.array(["\n" in text for text in self.texts], dtype=bool)[self.tokens]
        counted = np.where(newline, since_newline[self.tokens], marks[self.tokens])
        up_to = np.cumsum(counted)
        reset = np.maximum.accumulate(np.where(newline | (self.place == 0), np.arange(len(counted)), 0))
        return ((up_to - (up_to - counted)[reset]) % 2 == 1) & (marks[self.tokens] == 0)

    @cached_property
    def _joined(self) -> tuple[str, np.ndarray, np.ndarray]:
        """All texts as one, a character between two of them; and (n,), (n,) where each token begins and ends in it."""
        words = [self.texts[token] for token in self.tokens]
        length = np.array([len(text) for text in self.texts], dtype=np.int64)[self.tokens]
        ends = np.cumsum(length) + self.text_of
        return "\0".join("".join(words[a:b]) for a, b in zip(self.start[:-1], self.start[1:])), ends - length, ends

    def occurrences(self, text: str) -> dict[int, np.ndarray]:
        """Where whole tokens have this text together: number of tokens → the places where such a stretch begins.

        A token without any text can stand inside a stretch, not at its ends. A stretch with a letter that several tokens share may begin
        behind the white space of its first token: nobody sees where the tokens of such a word begin.
        """
        joined, begins, ends = self._joined
        at, found = [], joined.find(text)
        while found >= 0:
            at.append(found)
            found = joined.find(text, found + 1)
        if not at or not len(begins):
            return {}
        begin = np.array(at, dtype=np.int64)
        end = begin + len(text)
        first = (np.searchsorted(begins, begin, side="right") - 1).clip(min=0)
        last = np.searchsorted(ends, end).clip(max=len(ends) - 1)
        space = np.array([len(_SPACE.match(text)[0]) for text in self.texts], dtype=np.int64)[self.tokens[first]]
        split = np.concatenate([[0], np.cumsum(self.split[self.tokens])])
        behind_space = (begins[first] + space == begin) & (split[last + 1] > split[first])
        whole = ((begins[first] == begin) | behind_space) & (ends[last] == end) & (self.text_of[first] == self.text_of[last])
        first, n_tokens = first[whole], (last - first)[whole] + 1
        return {int(n): first[n_tokens == n] for n in np.unique(n_tokens)}


def _checked_acts(acts: Mapping[str, Firings] | None, shape: tuple[int, ...]) -> Mapping[str, Firings]:
    if acts is not None and not isinstance(acts, Mapping):
        raise ValueError(f'expected acts={{"name": Firings}}, got {type(acts).__name__}; for one SAE that is {{"S": acts}}')
    for name, each in (acts or {}).items():
        if not hasattr(each, "mask"):
            raise ValueError(f"acts[{name!r}] must be Firings, got {shown(each)}")
        if each.mask.shape != shape:
            raise ValueError(f"acts[{name!r}] is for texts of shape {each.mask.shape}, but the tokens have shape {shape}")
    return acts or {}
