"""Activations of a language model at some hooks: what an SAE is trained on and what the figures show.

    activations = msae.Activations(lm, stories, hook_name="blocks.3.hook_resid_pre")
    for x in activations.batches(1024, seed=0): ...

In memory, or on disk (`cache=`); several hooks in one pass over the model (`harvest`); or computed anew while training goes on, where
neither memory nor disk would hold them (`LiveActivations`). All of them are streams for `msae.train`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.activations.harvesting import Harvested, harvest_texts, plan
from msae.activations.massive import warn_of
from msae.activations.rows import Texts
from msae.activations.settings import BUFFER, HarvestSettings
from msae.activations.shuffling import Shuffled, ranges
from msae.support.letters import vocabulary
from msae.support.origin import Origin
from msae.texts.given import Stories

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase


class _Parts(NamedTuple):
    """All that activations at one hook consist of."""

    texts: Texts
    """The rows that were read."""

    origin: Origin
    """What they are made from, but for the scale."""

    harvested: Harvested
    """Their numbers."""

    tokenizer: PreTrainedTokenizerBase
    """Of the model, for the texts of tokens."""


class Activations:
    """What a model computes at one hook on every token of some stories.

    Each story becomes one or more *texts*: rows of [BEGIN] and up to n_ctx - 1 tokens. A longer story goes on in the next row, again after
    [BEGIN] (the bundled model was trained on such rows). A shorter one is filled up with padding, which never counts. Position 0 is left
    out: nothing stands before it, so [BEGIN] has the same activation in every text and says nothing about any (in many models it is also
    so long that it would dominate the mean norm).

    It is a stream for `msae.train`: it has `d_model`, `hook_name`, `scale`, `origin` and `batches`.

    Args:
        lm: a model of `load_language_model`.
        stories: texts, or rows of token ids, as lists, arrays or a tensor. [BEGIN] and padding that rows carry already are left out.
        hook_name: one of `lm.hook_dict`: "blocks.3.hook_resid_pre" is the residual stream before layer 3, "blocks.3.hook_attn_out" what
            its attention adds, "blocks.3.hook_mlp_out" what its MLP adds.
        n_ctx: tokens in a row, [BEGIN] included.
        n_tokens: stop after this many activations; all of them if left out.
        batch_size: rows in one forward pass.
        dtype: how activations are kept; float16 halves the memory and keeps 11 bits.
        device: where activations are kept and batches arrive; the forward pass runs where the model is.
        skip_first: leave out position 0; a number leaves out so many positions, where more of them have vectors far too long.
        cache: a folder to keep them in. What is there already of the same model, stories, hook and dtype is checked against its hashes
            and read, not computed; what a run that was cut off has left is completed. The model is the same where its weights, its
            settings and the hooks that were added to it are.
        buffer: activations that are shuffled together in `batches`.
        progress: show a progress bar with tokens per second and the time left.

    Raises:
        ValueError: no such hook (the nearest names are given), a hook without one vector per token, impossible n_ctx or n_tokens,
            a story that is neither text nor token ids, a cache for a model with a hook that cannot be told from another,
            or an activation that is NaN or infinite (its text and position are given).

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> activations = msae.Activations(lm, ["Lily ran.", "Sue sat."], "blocks.2.hook_resid_pre", n_ctx=8, progress=False)
        >>> activations.x.shape
        torch.Size([6, 256])
        >>> [activations.str_tokens[i] for i in activations.tokens[activations.mask]]
        ['Lily', ' ran', '.', 'Sue', ' sat', '.']
    """

    def __init__(
        self,
        lm: TransformerBridge,
        stories: Stories,
        hook_name: str,
        *,
        n_ctx: int = 128,
        n_tokens: int | None = None,
        batch_size: int = 32,
        dtype: torch.dtype = torch.float16,
        device: str | torch.device = "cpu",
        skip_first: bool | int = True,
        cache: str | os.PathLike[str] | None = None,
        buffer: int = BUFFER,
        progress: bool = True,
    ):
        settings = HarvestSettings(
            n_ctx=n_ctx,
            n_tokens=n_tokens,
            skip_first=skip_first,
            batch_size=batch_size,
            dtype=dtype,
            device=device,
            buffer=buffer,
            cache=cache,
            progress=progress,
        )
        self._parts = _harvest(lm, stories, [hook_name], settings)[hook_name]

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Activations({self.hook_name!r}, {len(self.tokens):,} texts, {len(self):,} tokens, d_model={self.d_model})"

    @property
    def hook_name(self) -> str:
        """Where the activations were taken."""
        return str(self._parts.origin["hook_name"])

    @property
    def d_model(self) -> int:
        """Length of one activation."""
        return int(self._parts.origin["d_model"])

    @property
    def scale(self) -> float:
        """`x * scale` has the mean norm sqrt(d_model)."""
        return self._parts.harvested.scale

    @property
    def tokens(self) -> Tensor:
        """(n_texts, n_ctx) int64: the texts as token ids, padded at the end with [BEGIN]'s id."""
        return self._parts.texts.tokens

    @property
    def mask(self) -> Tensor:
        """(n_texts, n_ctx) bool: the places that have an activation in `x`, row after row."""
        return self._parts.texts.mask

    @property
    def story(self) -> Tensor:
        """(n_texts,) int64: which story each text belongs to."""
        return self._parts.texts.story

    @property
    def x(self) -> Tensor:
        """(n_tokens, d_model): the activations as the model computes them, not scaled; memory-mapped where they come from a cache."""
        return self._parts.harvested.x

    @property
    def tokens_per_second(self) -> float | None:
        """How fast they were harvested, all hooks of the pass together; None where nothing was left to compute."""
        return self._parts.harvested.tokens_per_second

    @property
    def origin(self) -> Origin:
        """What the batches are made from, as JSON values; `LiveActivations` of the same data have the same, but for the scale.

        `language_model` (a hash of weights and settings), `hooks` (those that were added to the model), `texts` (a hash of token ids and
        of the places that count), `hook_name`, `d_model`, `n_ctx`, `n_tokens`, `dtype`, `buffer` and `scale`.
        """
        return self._parts.origin | {"scale": self.scale}

    @cached_property
    def position(self) -> Tensor:
        """(n_tokens, 2) int64: the text and the position in it that each row of `x` belongs to."""
        return self.mask.nonzero()

    @cached_property
    def x_story(self) -> Tensor:
        """(n_tokens,) int64: the story of each row of `x`."""
        return self.story.repeat_interleave(self._parts.texts.counts)

    @cached_property
    def str_tokens(self) -> list[str]:
        """The vocabulary as text to show, one string per token id; `\\xc3` and the like, with its bytes as `raw`, for part of a letter."""
        return vocabulary(self._parts.tokenizer)

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """Activations in random order, without end; every pass over the data is shuffled anew.

        Up to `buffer` activations are shuffled as one. Of more, the stories are shuffled, and `buffer` activations at a time of whole
        texts are shuffled as one, so that a pass reads each part of a file once.

        Args:
            batch_size: rows in a batch. The few left over at the end of a pass are left out of that pass.
            seed: the same seed gives the same batches, wherever activations are kept.
            skip: leave out this many batches at the start, at no cost: where a resumed run goes on.

        Yields:
            (batch_size, d_model) float32, multiplied by `scale`.

        Raises:
            ValueError: an impossible batch_size, seed or skip.

        Example:
            >>> lm = msae.load_language_model("bundled")
            >>> activations = msae.Activations(lm, ["Lily ran."], "blocks.2.hook_resid_pre", n_ctx=8, progress=False)
            >>> next(activations.batches(2, seed=0)).shape
            torch.Size([2, 256])
        """
        counts = self._parts.texts.counts.numpy()
        starts = counts.cumsum() - counts

        def load(texts: np.ndarray) -> tuple[Tensor, np.ndarray]:
            return self.x, ranges(starts[texts], counts[texts])

        return Shuffled(counts, self._parts.origin["buffer"], self.scale, load).batches(batch_size, seed, skip)


def harvest(
    lm: TransformerBridge,
    stories: Stories,
    hook_names: Sequence[str],
    *,
    n_ctx: int = 128,
    n_tokens: int | None = None,
    batch_size: int = 32,
    dtype: torch.dtype = torch.float16,
    device: str | torch.device = "cpu",
    skip_first: bool | int = True,
    cache: str | os.PathLike[str] | None = None,
    buffer: int = BUFFER,
    progress: bool = True,
) -> dict[str, Activations]:
    """Activations at several hooks, in one pass over the model that ends at the last of them.

    Args:
        lm: a model of `load_language_model`.
        stories: texts, or rows of token ids, as lists, arrays or a tensor. [BEGIN] and padding that rows carry already are left out.
        hook_names: names as in `lm.hook_dict`.
        n_ctx: tokens in a row, [BEGIN] included.
        n_tokens: stop after this many activations; all of them if left out.
        batch_size: rows in one forward pass.
        dtype: how activations are kept; float16 halves the memory and keeps 11 bits.
        device: where activations are kept and batches arrive; the forward pass runs where the model is.
        skip_first: leave out position 0; a number leaves out so many positions, where more of them have vectors far too long.
        cache: a folder to keep them in; what is there already is checked against its hashes and read, not computed.
        buffer: activations that are shuffled together in `batches`.
        progress: show a progress bar with tokens per second and the time left.

    Returns:
        for each hook name its `Activations`; they share `tokens`, `mask` and `story`.

    Raises:
        ValueError: no such hook, a hook without one vector per token, impossible numbers, a story that is neither text nor token ids,
            a cache that does not fit, or an activation that is NaN or infinite.

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> hook_names = ["blocks.1.hook_resid_pre", "blocks.2.hook_resid_pre"]
        >>> found = msae.harvest(lm, ["Lily ran.", "Sue sat."], hook_names, n_ctx=8, progress=False)
        >>> [len(activations) for activations in found.values()]
        [6, 6]
    """
    settings = HarvestSettings(
        n_ctx=n_ctx,
        n_tokens=n_tokens,
        skip_first=skip_first,
        batch_size=batch_size,
        dtype=dtype,
        device=device,
        buffer=buffer,
        cache=cache,
        progress=progress,
    )
    return {hook_name: _OneOfSeveral(parts) for hook_name, parts in _harvest(lm, stories, hook_names, settings).items()}


class _OneOfSeveral(Activations):
    """Activations at a hook that was harvested together with others."""

    def __init__(self, parts: _Parts):
        self._parts = parts


def _harvest(lm: TransformerBridge, stories: Stories, hook_names: Sequence[str], settings: HarvestSettings) -> dict[str, _Parts]:
    texts, origins = plan(lm, stories, hook_names, settings)
    harvested = harvest_texts(lm, texts, origins, settings)
    for name, each in harvested.items():
        warn_of(each.massive, name, lm.tokenizer, stacklevel=4)
    return {name: _Parts(texts, origins[name], harvested[name], lm.tokenizer) for name in origins}
