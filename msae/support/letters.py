"""Tokens as text that a person can read: the one way in which a token becomes a string.

Byte-level tokenizers cut letters that are rare in their text into several tokens: é is b"\\xc3" and b"\\xa9". Such a token has no text of
its own. Alone, in a vocabulary, it shows its bytes as escapes and keeps them (`PartOfLetter`); in a text it belongs to the letter that it
makes with its neighbours (`join`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from msae.support.arguments import shown

SPACE = "\u2581"
"""What SentencePiece writes for a space."""


class PartOfLetter(str):
    """A token that is not UTF-8 by itself. Its text is `\\xc3` and the like, which can be printed and told apart; `raw` are its bytes."""

    raw: bytes

    def __new__(cls, raw: bytes) -> PartOfLetter:
        part = super().__new__(cls, raw.decode("utf-8", "backslashreplace"))
        part.raw = raw
        return part

    def __reduce__(self) -> tuple[type[PartOfLetter], tuple[bytes]]:
        return PartOfLetter, (self.raw,)


def as_token(token: str | bytes) -> str:
    """A token as text; bytes that are not UTF-8 become a `PartOfLetter`."""
    if isinstance(token, str):
        return token
    try:
        return token.decode()
    except UnicodeDecodeError:
        return PartOfLetter(token)


def vocabulary(tokenizer: Any) -> list[str]:
    """The text of each token id, from 0 to the largest.

    Byte-level tokens and the byte tokens of SentencePiece (<0xE2>) that are no text alone are `PartOfLetter`; a SentencePiece token
    keeps its leading space; a number that no token has reads [id 7]. Where decoding puts spaces between tokens, as with WordPiece, a token
    has the space that it gets behind a word: " cat", and "s" for ##s.
    """
    if not hasattr(tokenizer, "get_vocab"):
        raise ValueError(f"tokens have a text where the model has a tokenizer, got {shown(tokenizer)}: set lm.tokenizer")
    known = {i: piece for piece, i in tokenizer.get_vocab().items()}
    ids = sorted(known)
    texts = tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
    added = tokenizer.get_added_vocab() if hasattr(tokenizer, "get_added_vocab") else {}
    words = (i for i, text in zip(ids, texts, strict=True) if known[i] == text and text.isascii() and text.isalpha() and text not in added)
    if (word := next(words, None)) is not None:
        behind = tokenizer.batch_decode([[word, i] for i in (word, *ids)], clean_up_tokenization_spaces=False)
        if behind[0] == f"{known[word]} {known[word]}":
            return _filled({i: text.removeprefix(known[word]) for i, text in zip(ids, behind[1:], strict=True)})
    return _filled({i: _text(known[i], text) for i, text in zip(ids, texts, strict=True)})


def _filled(found: dict[int, str]) -> list[str]:
    return [found.get(i, no_token(i)) for i in range(max(found, default=-1) + 1)]


def no_token(i: int) -> str:
    """What stands in a vocabulary for a number that no token has."""
    return f"[id {i}]"


def _text(piece: str, decoded: str) -> str:
    """What a piece of a vocabulary stands for, which decoding it alone may have cut: its bytes, or its leading space."""
    if "\ufffd" in decoded:
        raw = _raw(piece)
        return decoded if raw is None else as_token(raw)
    spaced = piece.replace(SPACE, " ")
    return spaced if SPACE in piece and spaced.strip(" ") == decoded.strip(" ") else decoded


def _raw(piece: str) -> bytes | None:
    if found := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece):
        return bytes.fromhex(found[1])
    return bytes(BYTE_OF[sign] for sign in piece) if all(sign in BYTE_OF for sign in piece) else None


def _byte_alphabet() -> dict[str, int]:
    """The signs that GPT-2 and those after it write for the 256 bytes: printable ones for themselves, the others from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + k): byte for k, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()


def check_vocabulary(str_tokens: Any, ids: np.ndarray) -> None:
    """Refuse what is no list of texts, or lacks one of these token ids."""
    if isinstance(str_tokens, (str, bytes)) or not isinstance(str_tokens, (Sequence, np.ndarray)):
        raise ValueError(f"str_tokens must be a list with the text of each token id, got {shown(str_tokens)}")
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < len(str_tokens):
        raise ValueError(f"token ids run from {ids.min()} to {ids.max()}, but str_tokens has the texts of 0 … {len(str_tokens) - 1}")
    for i, token in enumerate(str_tokens):
        if not isinstance(token, (str, bytes)):
            raise ValueError(f"str_tokens must hold strings, or bytes, got {shown(token)} for token {i}")


class Piece(NamedTuple):
    """A token that holds part of a letter, in its place in a text."""

    text: str
    """What the tokens that share the letter make together."""

    part: int
    """Which of them it is, from 1 …"""

    n_parts: int
    """… to this."""

    token: int
    """Its id."""

    @property
    def shown(self) -> str:
        """Its text where the tokens are read one after another: the first shows the letter."""
        return self.text if self.part == 1 else ""


def join(ids: np.ndarray, start: np.ndarray, str_tokens: Sequence[str | bytes]) -> tuple[np.ndarray, list[Piece]]:
    """Number the tokens anew, so that those which share a letter are told by the letter.

    Args:
        ids: (n,) token ids, text after text.
        start: (n_texts + 1,) where each text begins, and n.
        str_tokens: the text of each id; `PartOfLetter` or bytes where it is no text alone.

    Returns:
        (n,) numbers: a token's id, or len(str_tokens) + k for the k-th of the pieces; and the pieces.
    """
    numbers = np.array(ids, dtype=np.int64)
    pieces: list[Piece] = []
    occurring = np.flatnonzero(np.bincount(numbers, minlength=1)).tolist()
    known = {i: raw for i in occurring if (raw := _broken(str_tokens[i])) is not None}
    if not known:
        return numbers, []
    where = np.flatnonzero(np.isin(numbers, list(known)))
    apart = (np.diff(where) > 1) | (np.diff(np.searchsorted(start, where, side="right")) > 0)
    number: dict[tuple[tuple[int, ...], int], int] = {}
    runs: dict[tuple[int, ...], list[int]] = {}
    for run in np.split(where, np.flatnonzero(apart) + 1):
        tokens = tuple(numbers[run].tolist())
        if tokens not in runs:
            runs[tokens] = renumbered = list(tokens)
            for first, last, text in _letters([known[token] for token in tokens]):
                group = tokens[first:last]
                for k, token in enumerate(group):
                    if (group, k) not in number:
                        number[group, k] = len(str_tokens) + len(pieces)
                        pieces.append(Piece(text, k + 1, len(group), token))
                    renumbered[first + k] = number[group, k]
        numbers[run] = runs[tokens]
    return numbers, pieces


def words(ids: Iterable[int], str_tokens: Sequence[str | bytes]) -> list[str]:
    """The tokens of one text as they are read one after another: a letter that is split stands in the first of its tokens."""
    given = np.fromiter(ids, dtype=np.int64)
    numbers, pieces = join(given, np.array([0, len(given)]), str_tokens)
    n_vocab = len(str_tokens)
    return [as_token(str_tokens[i]) if i < n_vocab else pieces[i - n_vocab].shown for i in numbers.tolist()]


def _broken(token: str | bytes) -> bytes | None:
    """The bytes of a token that is no text alone."""
    token = as_token(token)
    return token.raw if isinstance(token, PartOfLetter) else None


def _letters(tokens: list[bytes]) -> list[tuple[int, int, str]]:
    """(first, last + 1, text) of each group of tokens that share a letter, or several in a chain."""
    read = b"".join(tokens).decode("utf-8", "surrogateescape")  # a byte that belongs to no letter is a letter of its own
    letter_ends = np.cumsum([len(char.encode("utf-8", "surrogateescape")) for char in read])
    token_ends = np.cumsum([len(token) for token in tokens])
    ends = np.flatnonzero(np.isin(token_ends, letter_ends)) + 1
    groups = zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    return [(a, b, b"".join(tokens[a:b]).decode("utf-8", "backslashreplace")) for a, b in groups if b - a > 1]
