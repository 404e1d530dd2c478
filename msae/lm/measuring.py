"""How well a language model predicts stories that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from msae.support.arguments import device as judged_device
from msae.support.arguments import shown, whole
from msae.texts.given import check_stories

if TYPE_CHECKING:
    from tokenizers import Tokenizer

AT_ONCE = 32
"""Windows in one forward pass."""


@torch.no_grad()
def bits_per_character(
    model: Callable[[Tensor], Tensor], stories: Sequence[str], tokenizer: Tokenizer, n_ctx: int, device: str = "cpu", *, begin: int = 0
) -> float:
    """How well the model predicts whole stories: total bits over total characters.

    A story longer than the context is read in windows that overlap by half; every token is scored once, with as much context as its
    window gives. Comparable between tokenizers, which a loss per token is not.

    Args:
        model: tokens (batch, position) to logits (batch, position, d_vocab).
        stories: texts the model was not trained on.
        tokenizer: the model's, of the library tokenizers; of one of transformers its `backend_tokenizer`.
        n_ctx: tokens that the model reads at once.
        device: where the model is.
        begin: the id of [BEGIN], which is 0 in models of ours; another model may predict better after another token.

    Raises:
        ValueError: stories that are no texts, or hold no character; an impossible n_ctx or begin; a device that is not there.

    Example:
        >>> import msae
        >>> model, tokenizer = msae.lm.load_transformer("bundled")
        >>> bits_per_character(model, ["Lily saw a cat. She was happy."], tokenizer, n_ctx=64) < 2
        True
    """
    stories, n_ctx, device = check_stories(stories), whole("n_ctx", n_ctx, 2), str(judged_device("device", device))
    if not callable(model) or not hasattr(tokenizer, "encode_batch"):
        raise ValueError(f"expected a model and its tokenizer, of load_transformer, got {shown(model)} and {shown(tokenizer)}")
    if not any(stories):
        raise ValueError("stories must hold at least one character to measure on")
    bits, begin = 0.0, whole("begin", begin)
    encoded = tokenizer.encode_batch(list(stories), add_special_tokens=False)
    windows = [window for encoding in encoded for window in _windows(encoding.ids, n_ctx, begin)]
    windows.sort(key=lambda window: len(window[0]))
    for at in range(0, len(windows), AT_ONCE):
        chosen = windows[at : at + AT_ONCE]
        rows = torch.zeros(len(chosen), max(len(ids) for ids, _ in chosen), dtype=torch.long)
        scored = torch.zeros(rows.shape, dtype=torch.bool)
        for row, (ids, first) in enumerate(chosen):
            rows[row, : len(ids)] = torch.tensor(ids)
            scored[row, first : len(ids)] = True
        logits = model(rows[:, :-1].to(device)).float().cpu()
        losses = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
        bits += losses[scored[:, 1:].flatten()].double().sum().item() / math.log(2)
    return bits / sum(map(len, stories))


def _windows(ids: Sequence[int], n_ctx: int, begin: int) -> list[tuple[list[int], int]]:
    """A story as [BEGIN] and up to n_ctx tokens at a time, each window with the place of its first token that no earlier one has."""
    windows: list[tuple[list[int], int]] = []
    done = start = 0
    while done < len(ids):
        window = ids[start : start + n_ctx]
        windows.append(([begin, *window], done - start + 1))
        done = start + len(window)
        start = done - n_ctx // 2
    return windows
