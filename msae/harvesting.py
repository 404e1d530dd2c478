"""From stories to the vectors a language model computes on them: rows of tokens, and forward passes that end at the last hook."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.support.arguments import shown, tensor, whole, yes_or_no

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Stories = Sequence[str] | Sequence[Sequence[int]] | Tensor | np.ndarray
"""Texts, or rows of token ids."""


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


def read_texts(
    lm: TransformerBridge,
    stories: Stories,
    n_ctx: int = 128,
    n_tokens: int | None = None,
    skip_first: bool = True,
) -> Texts:
    """Stories, or rows of their token ids, as the rows a model reads.

    Raises:
        ValueError: one string instead of a list, a story that is neither text nor token ids, a token that the model does not know, no
            tokens at all, or an impossible n_ctx or n_tokens.
    """
    check_language_model(lm)
    n_ctx = whole("n_ctx", n_ctx, 2, lm.cfg.n_ctx, most_is=f"the model's {lm.cfg.n_ctx}")
    skip_first = yes_or_no("skip_first", skip_first)
    tokens, lengths, story = tokenize(lm.tokenizer, stories, n_ctx, d_vocab=lm.cfg.d_vocab)
    place = torch.arange(n_ctx)
    mask = (place < lengths[:, None]) & (place >= int(skip_first))
    available = int(mask.sum())
    if available == 0:
        raise ValueError("the stories have no tokens")
    if n_tokens is not None:
        hint = "give more stories (msae.stories.sample_stories tells new ones), or leave n_tokens out"
        n_tokens = whole("n_tokens", n_tokens, 1, available, hint, most_is=f"the {available:,} tokens of these stories")
        mask &= (mask.flatten().cumsum(0) <= n_tokens).view_as(mask)
    return Texts(tokens, mask, story).pick(mask.any(1))


def tokenize(tokenizer: Any, stories: Stories, n_ctx: int, *, d_vocab: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Stories as rows of [BEGIN] and up to n_ctx - 1 tokens.

    What a row of tokens, or a text, carries already is left out first: [BEGIN] and padding before it, padding and the token that ends a
    text after it. So rows of `Activations.tokens`, `lm.to_tokens` and `msae.tinymodel.load_tokens` give what their text gives.

    Args:
        stories: texts, or rows of token ids: lists, arrays, or a tensor (n, length), padded on whichever side.
        d_vocab: how many tokens the model knows.

    Returns:
        tokens (n_texts, n_ctx) padded with [BEGIN]'s id; lengths (n_texts,), [BEGIN] included; story (n_texts,), the story of each row.

    Raises:
        ValueError: a story that is neither text nor token ids, a token that the model does not know, or a tokenizer without [BEGIN].
    """
    begin = _begin(tokenizer, d_vocab)
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


def _begin(tokenizer: Any, d_vocab: int | None) -> int:
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


def texts_hash(texts: Texts) -> str:
    """SHA-256 of the token ids and of the places wanted: it changes with the stories, the tokenizer, n_ctx and n_tokens."""
    digest = hashlib.sha256(str(tuple(texts.tokens.shape)).encode())
    digest.update(texts.tokens.numpy().data)
    digest.update(texts.mask.numpy().data)
    return digest.hexdigest()


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


def check_language_model(lm: Any) -> None:
    """Raise a ValueError where this is no model whose activations can be read as they are."""
    if not all(hasattr(lm, name) for name in ("cfg", "hook_dict", "run_with_hooks", "tokenizer")):
        raise ValueError(f"lm must be a model of load_language_model, got {shown(lm)}")
    if getattr(lm.cfg, "attention_dir", "causal") != "causal":
        raise ValueError("lm reads in both directions, so that padding would change what it computes: expected a causal language model")
    if any(isinstance(module, torch.nn.Dropout) and module.p > 0 and module.training for module in lm.modules()):
        raise ValueError("lm is in training mode, in which dropout makes its activations random: call lm.eval()")


def check_hook_names(lm: TransformerBridge, hook_names: Sequence[str]) -> None:
    """Raise a ValueError with the nearest names if the model lacks one of the hooks."""
    if isinstance(hook_names, (str, bytes)) or not isinstance(hook_names, Collection) or not hook_names:
        raise ValueError(f"hook_names: expected a list of hook names, got {shown(hook_names)}")
    for hook_name in hook_names:
        if isinstance(hook_name, str) and hook_name in lm.hook_dict:
            continue
        nearest = difflib.get_close_matches(str(hook_name), list(lm.hook_dict), n=3, cutoff=0) or sorted(lm.hook_dict)[:3]
        raise ValueError(f"hook_name: the model has no hook {shown(hook_name)}; the nearest are {', '.join(nearest)}")


def widths(lm: TransformerBridge, hook_names: Sequence[str]) -> dict[str, int]:
    """The length of the vectors at each hook, found by reading two tokens.

    Raises:
        ValueError: a hook that a forward pass never reaches, or one without a vector per token.
    """
    found = run_to_hooks(lm, torch.full((1, 2), lm.tokenizer.bos_token_id), hook_names)
    for hook_name, value in found.items():
        if value.ndim != 3 or value.shape[:2] != (1, 2):
            raise ValueError(
                f"{hook_name} has the shape {tuple(value.shape)} for two tokens: expected one vector per token, (texts, positions, width); "
                "take hook_resid_pre, hook_resid_post, hook_mlp_out or hook_attn_out"
            )
    return {hook_name: value.shape[-1] for hook_name, value in found.items()}


class _Reached(Exception):
    """The last hook was reached: what comes after it is not needed."""


@torch.no_grad()
def run_to_hooks(lm: TransformerBridge, tokens: Tensor, hook_names: Sequence[str]) -> dict[str, Tensor]:
    """The values at some hooks, by one forward pass that ends at the last of them.

    Args:
        tokens: (batch, position) int64.

    Returns:
        whatever each hook holds; the residual stream is (batch, position, d_model).

    Raises:
        ValueError: no such hook, one that a forward pass never reaches, or tokens that are none of the model's.
    """
    check_language_model(lm)
    check_hook_names(lm, hook_names)
    tokens = tensor("tokens", tokens, ("batch", "position"), numbers="whole")
    if tokens.numel() == 0 or tokens.shape[1] > lm.cfg.n_ctx or not 0 <= tokens.min() <= tokens.max() < lm.cfg.d_vocab:
        limits = f"1 to {lm.cfg.n_ctx} in a row, from 0 to {lm.cfg.d_vocab - 1:,}"
        got = f", {tokens.min():,} to {tokens.max():,}" if tokens.numel() else ""
        raise ValueError(f"tokens must be the model's, {limits}; got the shape {tuple(tokens.shape)}{got}")
    found: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any, hook_name: str) -> None:
        found[hook_name] = value.detach()
        if len(found) == len(set(hook_names)):
            raise _Reached

    def keeper(hook_name: str) -> Any:
        return lambda value, hook: keep(value, hook, hook_name)

    try:
        hooks = [(hook_name, keeper(hook_name)) for hook_name in dict.fromkeys(hook_names)]
        lm.run_with_hooks(tokens.to(lm.cfg.device), return_type=None, fwd_hooks=hooks)
    except _Reached:
        return {hook_name: found[hook_name] for hook_name in hook_names}
    raise ValueError(f"the hook {next(name for name in hook_names if name not in found)} is never reached in a forward pass")


def run_to_hook(lm: TransformerBridge, tokens: Tensor, hook_name: str) -> Tensor:
    """The value at one hook, by a forward pass that ends there."""
    return run_to_hooks(lm, tokens, [hook_name])[hook_name]


def forward(lm: TransformerBridge, texts: Texts, hook_names: Sequence[str], batch_size: int) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Run the texts through the model, rows of like length together, so that little of the work is on padding.

    Yields:
        for each batch: (n,) int64, which of the texts' activations these are, counted in the order of `texts.mask.nonzero()`;
        and (n, d_model) for each hook, where the model is.
    """
    counts = texts.counts
    starts = counts.cumsum(0) - counts
    ends = texts.mask.shape[1] - texts.mask.flip(1).int().argmax(1)  # where the last place that counts ends
    for rows in ends.argsort(stable=True).split(batch_size):
        mask = texts.mask[rows, : int(ends[rows].max())]
        values = run_to_hooks(lm, texts.tokens[rows, : mask.shape[1]], hook_names)
        n = counts[rows]
        first = torch.repeat_interleave(starts[rows] - (n.cumsum(0) - n), n)  # what turns the place in this batch into the place in x
        wanted = mask.flatten().nonzero().squeeze(1)
        yield first + torch.arange(len(first)), {name: _take(value, wanted) for name, value in values.items()}


def _take(value: Tensor, wanted: Tensor) -> Tensor:
    flat = value.flatten(0, 1)
    return flat if len(wanted) == len(flat) else flat.index_select(0, wanted.to(flat.device))
