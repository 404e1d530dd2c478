"""What the language model is trained on: stories as tokens, in random order, cut into rows of one length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from msae.support.arguments import whole


def epoch_rows(stories_tokens: Sequence[np.ndarray], n_ctx: int, generator: np.random.Generator) -> np.ndarray:
    """All stories in random order, each after its [BEGIN], cut into rows of n_ctx + 1 tokens.

    A row that starts within a story has its first token replaced by [BEGIN], so that the model has always seen one:
    the activations we harvest later start with it too.

    Args:
        stories_tokens: the token ids of each story, without [BEGIN].
        n_ctx: tokens that the model reads at once; a row has one more, the last to be predicted.
        generator: draws the order.

    Returns:
        (n_rows, n_ctx + 1) int64.

    Raises:
        ValueError: the stories do not fill one row, whatever token it starts at.
    """
    check_length(stories_tokens, n_ctx)
    order = generator.permutation(len(stories_tokens))
    stream = np.concatenate([part for i in order for part in (np.zeros(1, np.int64), stories_tokens[i])])
    offset = int(generator.integers(n_ctx))
    n_rows = (len(stream) - n_ctx - 1) // n_ctx
    starts = offset + n_ctx * np.arange(n_rows)
    rows = stream[np.minimum(starts[:, None] + np.arange(n_ctx + 1), len(stream) - 1)]
    rows[:, 0] = 0
    return generator.permutation(rows)


def check_length(stories_tokens: Sequence[np.ndarray], n_ctx: int) -> None:
    """Raise a ValueError where the stories do not fill a row, whatever token it starts at."""
    n_tokens = sum(len(part) + 1 for part in stories_tokens)
    if n_tokens < 2 * n_ctx + 1:
        raise ValueError(f"stories have {n_tokens:,} tokens: expected at least {2 * n_ctx + 1:,}, give more stories or a smaller n_ctx")


def batches(stories_tokens: Sequence[np.ndarray], n_ctx: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Rows (batch_size, n_ctx + 1), epoch after epoch, without end. The same seed gives the same batches.

    Args:
        stories_tokens: the token ids of each story, without [BEGIN].
        n_ctx: tokens that the model reads at once.
        batch_size: rows in a batch.
        seed: of the order of stories and rows.

    Raises:
        ValueError: with the first batch, for impossible numbers or stories too short for a row.

    Example:
        >>> import numpy as np
        >>> next(batches([np.arange(1, 9)], n_ctx=4, batch_size=2, seed=0)).shape
        torch.Size([2, 5])
    """
    n_ctx, batch_size, seed = whole("n_ctx", n_ctx, 2), whole("batch_size", batch_size, 1), whole("seed", seed)
    generator = np.random.default_rng(seed)
    left = np.empty((0, n_ctx + 1), np.int64)
    while True:
        while len(left) < batch_size:
            left = np.concatenate([left, epoch_rows(stories_tokens, n_ctx, generator)])
        yield torch.from_numpy(left[:batch_size])
        left = left[batch_size:]
