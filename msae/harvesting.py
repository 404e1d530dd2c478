"""From stories to the vectors a language model computes on them: rows of tokens, and forward passes that end at the last hook."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


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
    stories: Sequence[str] | Sequence[Sequence[int]],
    n_ctx: int = 128,
    n_tokens: int | None = None,
    skip_first: bool = True,
) -> Texts:
    """Stories, or lists of their token ids without [BEGIN], as the rows a model reads.

    Raises:
        ValueError: one string instead of a list, no tokens at all, or an impossible n_ctx or n_tokens.
    """
    if isinstance(stories, str):
        raise ValueError("expected a list of stories, got one string: put it into a list")
    if not 2 <= n_ctx <= lm.cfg.n_ctx:
        raise ValueError(f"n_ctx must lie between 2 and the model's {lm.cfg.n_ctx}, got {n_ctx}")
    tokens, lengths, story = tokenize(lm.tokenizer, stories, n_ctx)
    place = torch.arange(n_ctx)
    mask = (place < lengths[:, None]) & (place >= int(skip_first))
    available = int(mask.sum())
    if available == 0:
        raise ValueError("the stories have no tokens")
    if n_tokens is not None:
        if not 1 <= n_tokens <= available:
            raise ValueError(
                f"n_tokens must lie between 1 and the {available:,} tokens of these stories, got {n_tokens:,}: "
                "give more stories (msae.stories.sample_stories tells new ones), or leave n_tokens out"
            )
        mask &= (mask.flatten().cumsum(0) <= n_tokens).view_as(mask)
    return Texts(tokens, mask, story).pick(mask.any(1))


def tokenize(tokenizer: Any, stories: Sequence[str] | Sequence[Sequence[int]], n_ctx: int) -> tuple[Tensor, Tensor, Tensor]:
    """Stories as rows of [BEGIN] and up to n_ctx - 1 tokens.

    Returns:
        tokens (n_texts, n_ctx) padded with [BEGIN]'s id; lengths (n_texts,), [BEGIN] included; story (n_texts,), the story of each row.
    """
    begin = tokenizer.bos_token_id
    encoded: Sequence[Any] = stories
    if len(stories) and isinstance(stories[0], str):
        encoded = tokenizer(list(stories), add_special_tokens=False)["input_ids"]
    parts = [(i, ids[at : at + n_ctx - 1]) for i, ids in enumerate(encoded) for at in range(0, len(ids), n_ctx - 1)]
    tokens = torch.full((len(parts), n_ctx), begin, dtype=torch.long)
    for row, (_, ids) in enumerate(parts):
        tokens[row, 1 : len(ids) + 1] = torch.as_tensor(ids)
    lengths = torch.tensor([len(ids) + 1 for _, ids in parts], dtype=torch.long)
    return tokens, lengths, torch.tensor([i for i, _ in parts], dtype=torch.long)


def check_hook_names(lm: TransformerBridge, hook_names: Sequence[str]) -> None:
    """Raise a ValueError with the nearest names if the model lacks one of the hooks."""
    if isinstance(hook_names, str) or not hook_names:
        raise ValueError(f"expected a list of hook names, got {hook_names!r}")
    for hook_name in hook_names:
        if hook_name in lm.hook_dict:
            continue
        nearest = difflib.get_close_matches(str(hook_name), list(lm.hook_dict), n=3, cutoff=0) or sorted(lm.hook_dict)[:3]
        raise ValueError(f"the model has no hook {hook_name!r}; the nearest are {', '.join(nearest)}")


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
    """
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
