"""Stories as the rows of tokens that a language model reads, and the places in them that count."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.activations.checks import check_language_model
from msae.support.arguments import whole
from msae.support.renamed import by_name
from msae.texts.given import Stories, check_stories

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase


class Texts(NamedTuple):
    """Stories as rows of [BEGIN] and up to n_ctx - 1 tokens; a longer story goes on in the next row, again after [BEGIN]."""

    tokens: Tensor
    """(n_texts, n_ctx) int64: token ids, padded at the end with [BEGIN]'s id."""

    mask: Tensor
    """(n_texts, n_ctx) bool: the places whose activation is wanted."""

    story: Tensor
    """(n_texts,) int64: which story each text belongs to."""

    @property
    def counts(self) -> Tensor:
        """(n_texts,) int64: activations of each text."""
        return self.mask.sum(1)

    def pick(self, rows: Tensor) -> Texts:
        """Some of the texts, by number or by a mask."""
        return Texts(self.tokens[rows], self.mask[rows], self.story[rows])

    def sha256(self) -> str:
        """Of the token ids and of the places wanted: it changes with the stories, the tokenizer, n_ctx and n_tokens."""
        digest = hashlib.sha256(str(tuple(self.tokens.shape)).encode())
        digest.update(self.tokens.numpy().data)
        digest.update(self.mask.numpy().data)
        return digest.hexdigest()


@by_name()
def read_texts(
    lm: TransformerBridge,
    stories: Stories,
    n_ctx: int = 128,
    *,
    n_tokens: int | None = None,
    skip_first: bool | int = True,
) -> Texts:
    """Stories, or rows of their token ids, as the rows a model reads.

    Args:
        lm: a model of `load_language_model`.
        stories: texts, or rows of token ids: lists, arrays, or a tensor (n, length), padded on whichever side.
        n_ctx: tokens in a row, [BEGIN] included.
        n_tokens: how many places count, from the first on; all of them if left out.
        skip_first: leave out position 0, where [BEGIN] stands; or so many positions, where vectors at more of them are far too long.

    Returns:
        the rows, and which of their places count; rows without any are left out.

    Raises:
        ValueError: one string instead of a list, a story that is neither text nor token ids, a token that the model does not know, no
            tokens at all, or an impossible n_ctx or n_tokens.

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> texts = msae.activations.read_texts(lm, ["Lily ran.", "Sue sat."], n_ctx=8)
        >>> texts.tokens.shape, texts.counts.tolist()
        (torch.Size([2, 8]), [3, 3])
    """
    check_language_model(lm)
    n_ctx = whole("n_ctx", n_ctx, 2, lm.cfg.n_ctx, most_is=f"the model's {lm.cfg.n_ctx}")
    n_skipped = _skipped(skip_first, n_ctx)
    tokens, lengths, story = tokenize(lm.tokenizer, stories, n_ctx, d_vocab=lm.cfg.d_vocab)
    place = torch.arange(n_ctx)
    mask = (place < lengths[:, None]) & (place >= n_skipped)
    available = int(mask.sum())
    if available == 0:
        beyond = f" beyond the first {n_skipped} positions, which skip_first leaves out" if n_skipped > 1 else ""
        raise ValueError(f"the stories have no tokens{beyond}")
    if n_tokens is not None:
        hint = "give more stories (msae.lm.telling.sample_stories tells new ones), or leave n_tokens out"
        n_tokens = whole("n_tokens", n_tokens, 1, available, hint, most_is=f"the {available:,} tokens of these stories")
        mask &= (mask.flatten().cumsum(0) <= n_tokens).view_as(mask)
    return Texts(tokens, mask, story).pick(mask.any(1))


def _skipped(skip_first: bool | int, n_ctx: int) -> int:
    """How many positions at the start of each row are left out."""
    if isinstance(skip_first, (bool, np.bool_)):
        return int(skip_first)
    return whole("skip_first", skip_first, 0, n_ctx - 1, "or True or False", most_is=f"{n_ctx - 1}, below n_ctx")


def tokenize(
    tokenizer: PreTrainedTokenizerBase, stories: Stories, n_ctx: int, *, d_vocab: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Stories as rows of [BEGIN] and up to n_ctx - 1 tokens.

    What a row of tokens, or a text, carries already is left out first: [BEGIN] and padding before it, padding and the token that ends a
    text after it. So rows of `Activations.tokens`, `lm.to_tokens` and `msae.lm.tinymodel.load_tokens` give what their text gives.

    Args:
        tokenizer: of `transformers`, with a token that begins a text.
        stories: texts, or rows of token ids: lists, arrays, or a tensor (n, length), padded on whichever side.
        n_ctx: tokens in a row, [BEGIN] included.
        d_vocab: how many tokens the model knows.

    Returns:
        tokens (n_texts, n_ctx) padded with [BEGIN]'s id; lengths (n_texts,), [BEGIN] included; story (n_texts,), the story of each row.

    Raises:
        ValueError: a story that is neither text nor token ids, a token that the model does not know, or a tokenizer without [BEGIN].

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> tokens, lengths, story = msae.activations.tokenize(lm.tokenizer, ["Lily ran.", "Sue sat."], n_ctx=3)
        >>> lm.to_string(tokens[0]), lengths.tolist(), story.tolist()
        ('[BEGIN]Lily ran', [3, 2, 3, 2], [0, 0, 1, 1])
    """
    begin = begin_of(tokenizer, d_vocab)
    n_ctx = whole("n_ctx", n_ctx, 2)
    encoded = check_stories(stories, token_ids=True)
    padding = getattr(tokenizer, "pad_token_id", None)
    if encoded and isinstance(encoded[0], str):
        padding = None  # a text is not padded, and some tokenizers pad with what may stand in a text
        encoded = [np.array(ids, np.int64) for ids in tokenizer(encoded, add_special_tokens=False)["input_ids"]]
    before = {begin, *([] if padding is None else [padding])}
    ends = getattr(tokenizer, "eos_token_id", None)
    after = before | ({ends} if ends is not None else set())
    parts: list[tuple[int, np.ndarray]] = []
    for i, ids in enumerate(encoded):
        ids = _without_ends(ids, before, after)
        if d_vocab is not None and len(ids) and not 0 <= ids.min() <= ids.max() < d_vocab:
            wrong = next(int(token) for token in ids if not 0 <= token < d_vocab)
            raise ValueError(f"stories[{i}] holds the token {wrong:,}: the model's tokens are 0 to {d_vocab - 1:,}; use lm.tokenizer's")
        parts += [(i, ids[at : at + n_ctx - 1]) for at in range(0, len(ids), n_ctx - 1)]
    tokens = np.full((len(parts), n_ctx), begin, dtype=np.int64)
    for row, (_, ids) in enumerate(parts):
        tokens[row, 1 : len(ids) + 1] = ids
    lengths = torch.tensor([len(ids) + 1 for _, ids in parts], dtype=torch.long)
    return torch.from_numpy(tokens), lengths, torch.tensor([i for i, _ in parts], dtype=torch.long)


def begin_of(tokenizer: Any, d_vocab: int | None) -> int:
    """The id of [BEGIN].

    Raises:
        ValueError: there is no tokenizer, or it has none that the model knows.
    """
    if tokenizer is None:
        raise ValueError("the model has no tokenizer, so that [BEGIN] is not known: set lm.tokenizer to the one of its vocabulary")
    begin = getattr(tokenizer, "bos_token_id", None)
    if begin is None:
        raise ValueError(
            "the tokenizer has no token that begins a text (its bos_token_id is None), and every row starts with one: set it, for "
            "instance tokenizer.bos_token = tokenizer.eos_token"
        )
    if d_vocab is not None and not 0 <= begin < d_vocab:
        raise ValueError(f"the tokenizer begins a text with the token {begin:,}: the model's tokens are 0 to {d_vocab - 1:,}")
    return int(begin)


def _without_ends(ids: np.ndarray, before: set[int], after: set[int]) -> np.ndarray:
    """The row from its first token that is not one of `before` to its last that is not one of `after`."""
    first, last = np.ones(len(ids), bool), np.ones(len(ids), bool)
    for token in before:
        first &= ids != token
    for token in after:
        last &= ids != token
    if not (first.any() and last.any()):
        return ids[:0]
    return ids[first.argmax() : len(ids) - last[::-1].argmax()]
