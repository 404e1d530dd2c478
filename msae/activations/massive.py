"""Vectors that are many times as long as the others: the FVU is about them alone, and nothing else would say so.

In many models the first token of a row, and at some layers a few others, have a vector hundreds of times as long as all the rest
(Sun et al. 2024, "Massive Activations in Large Language Models"). Where these are reconstructed the FVU looks perfect, whatever has become
of the others; where they are many, the scale is about them, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from msae.support.letters import vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from msae.activations.rows import Texts

TIMES = 10
"""Times the median norm of a block, above which a vector is massive."""

SHARE = 0.1
"""Of all squared norms: massive vectors that hold less than this are not worth a word."""

FEW_POSITIONS = 8
"""Positions at the start of a row that are worth leaving out; massive vectors further on are a matter of the layer."""


class Massive(NamedTuple):
    """The massive vectors of a block of texts."""

    n: int
    """How many there are."""

    squares: tuple[float, float]
    """The sum of their squared norms, and that of all."""

    times: float
    """How long the longest is, in medians; 0 where there is none."""

    place: tuple[int, int, int]
    """The longest one's story, position and token id."""

    last: int
    """The largest position of one."""


def massive(norms: Tensor, texts: Texts) -> Massive:
    """Look for them among the norms of a block of texts.

    Args:
        norms: (n,) of the places that count, text by text.
        texts: the rows that were read.
    """
    squares, median = norms.double().square(), norms.median()
    is_massive = norms > TIMES * median
    total = float(squares.sum())
    if not is_massive.any():
        return Massive(0, (0.0, total), 0.0, (-1, -1, -1), -1)
    places = texts.mask.nonzero()
    text, position = places[int(norms.argmax())].tolist()
    place = (int(texts.story[text]), position, int(texts.tokens[text, position]))
    times = float(norms.max() / median.clamp(min=1e-30))
    return Massive(int(is_massive.sum()), (float(squares[is_massive].sum()), total), times, place, int(places[is_massive.cpu(), 1].max()))


def warn_of(blocks: Sequence[Massive], hook_name: str, tokenizer: PreTrainedTokenizerBase, stacklevel: int) -> None:
    """Say it once for a whole pass, where it matters.

    Args:
        blocks: one for each block that was harvested.
        hook_name: where.
        tokenizer: of the model, for the text of a token.
        stacklevel: of `warnings.warn`, so that the line named is the caller's.
    """
    n = sum(block.n for block in blocks)
    share = sum(block.squares[0] for block in blocks) / max(sum(block.squares[1] for block in blocks), 1e-30)
    if n == 0 or share < SHARE:
        return
    longest = max(blocks, key=lambda block: block.times)
    (story, position, token), last = longest.place, max(block.last for block in blocks)
    fix = f"leave them out with skip_first={last + 1}, or read another hook" if last < FEW_POSITIONS else "read another hook"
    warnings.warn(
        f"{n:,} of the vectors at {hook_name} are more than {TIMES} times as long as the median and hold {share:.0%} of all squared norms, "
        f"so that the FVU will be about them. The longest, {longest.times:,.0f} times, is that of "
        f"{vocabulary(tokenizer)[token]!r} at position {position} of a row of story {story}: {fix}",
        stacklevel=stacklevel,
    )
