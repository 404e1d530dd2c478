"""Activations of a language model at one hook, in memory: what an SAE is trained on and what the figures show.

    activations = msae.Activations(lm, stories, hook_name="blocks.3.hook_resid_pre")
    for x in activations.batches(1024, seed=0): ...
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Activations:
    """What a model computes at one hook on every token of some stories.

    Each story becomes one or more *texts*: rows of [BEGIN] and up to n_ctx - 1 tokens. A longer story goes on in the next row, again after
    [BEGIN] (the bundled model was trained on such rows). A shorter one is filled up with padding, which never counts. Position 0 is left
    out: nothing stands before it, so [BEGIN] has the same activation in every text and says nothing about any (in many models it is also
    so long that it would dominate the mean norm).

    It is a stream for `msae.train`: it has `d_model`, `hook_name`, `scale` and `batches`.

    Args:
        lm: a model of `load_language_model`.
        stories: texts.
        hook_name: one of `lm.hook_dict`, for example "blocks.3.hook_resid_pre": the residual stream before layer 3.
        n_ctx: tokens in a row, [BEGIN] included.
        n_tokens: stop after this many activations; all of them if left out.
        batch_size: rows in one forward pass.
        dtype: how activations are kept; float16 halves the memory and keeps 11 bits.
        device: where activations are kept and batches arrive; the forward pass runs where the model is.
        skip_first: leave out position 0.
        progress: show a progress bar with the time left.

    Raises:
        ValueError: no such hook (the nearest names are given), a hook without one vector per token, impossible n_ctx or n_tokens,
            or an activation that is NaN or infinite (its text and position are given).
    """

    hook_name: str
    """Where the activations were taken."""

    d_model: int
    """Length of one activation."""

    scale: float
    """`x * scale` has the mean norm sqrt(d_model)."""

    tokens: Tensor
    """(n_texts, n_ctx) int64: the texts as token ids, padded at the end with [BEGIN]'s id."""

    mask: Tensor
    """(n_texts, n_ctx) bool: the places that have an activation in `x`, row after row."""

    story: Tensor
    """(n_texts,) int64: which story each text belongs to."""

    x: Tensor
    """(n_tokens, d_model): the activations as the model computes them, not scaled."""

    def __init__(
        self,
        lm: TransformerBridge,
        stories: Sequence[str],
        hook_name: str,
        *,
        n_ctx: int = 128,
        n_tokens: int | None = None,
        batch_size: int = 32,
        dtype: torch.dtype = torch.float16,
        device: str | torch.device = "cpu",
        skip_first: bool = True,
        progress: bool = True,
    ):
        if isinstance(stories, str):
            raise ValueError("expected a list of stories, got one string: put it into a list")
        check_hook_name(lm, hook_name)
        if not 2 <= n_ctx <= lm.cfg.n_ctx:
            raise ValueError(f"n_ctx must lie between 2 and the model's {lm.cfg.n_ctx}, got {n_ctx}")
        self.hook_name, self._tokenizer = hook_name, lm.tokenizer
        self.tokens, lengths, self.story = tokenize(lm.tokenizer, stories, n_ctx)
        place = torch.arange(n_ctx)
        self.mask = (place < lengths[:, None]) & (place >= int(skip_first))
        self._cut(n_tokens)
        self._harvest(lm, batch_size, dtype, torch.device(device), progress)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Activations({self.hook_name!r}, {len(self.tokens):,} texts, {len(self):,} tokens, d_model={self.d_model})"

    @cached_property
    def position(self) -> Tensor:
        """(n_tokens, 2) int64: the text and the position in it that each row of `x` belongs to."""
        return self.mask.nonzero()

    @cached_property
    def str_tokens(self) -> list[str]:
        """The vocabulary as text to show, one string per token id."""
        return self._tokenizer.batch_decode([[i] for i in range(len(self._tokenizer))], clean_up_tokenization_spaces=False)

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """Activations in random order, without end; every pass over the data is shuffled anew.

        Args:
            batch_size: rows in a batch. The few left over at the end of a pass are left out of that pass.
            seed: the same seed gives the same batches.
            skip: leave out this many batches at the start, at no cost: where a resumed run goes on.

        Yields:
            (batch_size, d_model) float32, multiplied by `scale`.
        """
        per_pass = len(self) // batch_size if batch_size > 0 else 0
        if per_pass < 1:
            raise ValueError(f"batch_size must lie between 1 and the {len(self):,} activations there are, got {batch_size}")
        if skip < 0:
            raise ValueError(f"skip must not be negative, got {skip}")
        return self._batches(batch_size, per_pass, seed, skip)

    def _batches(self, batch_size: int, per_pass: int, seed: int, skip: int) -> Iterator[Tensor]:
        epoch, first = divmod(skip, per_pass)
        while True:
            order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(len(self))).to(self.x.device)
            for i in range(first, per_pass):
                yield self.x[order[i * batch_size : (i + 1) * batch_size]].float() * self.scale
            epoch, first = epoch + 1, 0

    def _cut(self, n_tokens: int | None) -> None:
        """Keep the first n_tokens places, and the texts that have any."""
        available = int(self.mask.sum())
        if available == 0:
            raise ValueError("the stories have no tokens")
        if n_tokens is not None:
            if not 1 <= n_tokens <= available:
                raise ValueError(
                    f"n_tokens must lie between 1 and the {available:,} tokens of these stories, got {n_tokens:,}: "
                    "give more stories (msae.stories.sample_stories tells new ones), or leave n_tokens out"
                )
            self.mask &= (self.mask.flatten().cumsum(0) <= n_tokens).view_as(self.mask)
            keep = self.mask.any(1)
            self.tokens, self.mask, self.story = self.tokens[keep], self.mask[keep], self.story[keep]

    @torch.no_grad()
    def _harvest(self, lm: TransformerBridge, batch_size: int, dtype: torch.dtype, device: torch.device, progress: bool) -> None:
        from tqdm.auto import tqdm

        counts = self.mask.sum(1)
        starts = counts.cumsum(0) - counts
        ends = self.mask.shape[1] - self.mask.flip(1).int().argmax(1)  # where the last place that counts ends
        order = ends.argsort(stable=True)  # rows of like length together: little padding
        norms = 0.0
        with tqdm(total=int(counts.sum()), unit="token", unit_scale=True, desc=self.hook_name, disable=not progress) as bar:
            for rows in order.split(batch_size):
                mask = self.mask[rows, : int(ends[rows].max())]
                values = run_to_hook(lm, self.tokens[rows, : mask.shape[1]], self.hook_name)
                if values.ndim != 3 or values.shape[:2] != mask.shape:
                    raise ValueError(
                        f"{self.hook_name} has the shape {tuple(values.shape)}: expected one vector per token, (texts, positions, width); "
                        "take hook_resid_pre, hook_resid_post, hook_mlp_out or hook_attn_out"
                    )
                if not hasattr(self, "x"):
                    self.d_model = values.shape[-1]
                    self.x = torch.empty(int(counts.sum()), self.d_model, dtype=dtype, device=device)
                values = values[mask.to(values.device)]
                kept = values.to(dtype)
                if not kept.isfinite().all():
                    self._refuse(rows, mask, values, kept)
                norms += values.float().norm(dim=-1).double().sum().item()
                target = torch.cat([torch.arange(int(starts[row]), int(starts[row] + counts[row])) for row in rows])
                self.x[target.to(device)] = kept.to(device)
                bar.update(len(target))
        if not norms:
            raise ValueError(f"every activation at {self.hook_name} is zero")
        self.scale = math.sqrt(self.d_model) * len(self.x) / norms

    def _refuse(self, rows: Tensor, mask: Tensor, values: Tensor, kept: Tensor) -> None:
        bad = int((~kept.isfinite()).any(-1).nonzero()[0])
        row, position = mask.nonzero()[bad].tolist()
        text = int(rows[row])
        token = self.str_tokens[int(self.tokens[text, position])]
        where = f"at text {text} (of story {int(self.story[text])}), position {position}, token {token!r}"
        if values[bad].isfinite().all():
            largest = values[bad].abs().max().item()
            raise ValueError(f"the activation {where} reaches {largest:.3g}, too large for {kept.dtype}: use dtype=torch.float32")
        raise ValueError(f"the activation {where} at {self.hook_name} is NaN or infinite: look at the model's weights there")


def check_hook_name(lm: TransformerBridge, hook_name: str) -> None:
    """Raise a ValueError with the nearest names if the model has no such hook."""
    if hook_name not in lm.hook_dict:
        nearest = difflib.get_close_matches(str(hook_name), list(lm.hook_dict), n=3, cutoff=0) or sorted(lm.hook_dict)[:3]
        raise ValueError(f"the model has no hook {hook_name!r}; the nearest are {', '.join(nearest)}")


def tokenize(tokenizer: Any, stories: Sequence[str], n_ctx: int) -> tuple[Tensor, Tensor, Tensor]:
    """Stories as rows of [BEGIN] and up to n_ctx - 1 tokens.

    Returns:
        tokens (n_texts, n_ctx) padded with [BEGIN]'s id; lengths (n_texts,), [BEGIN] included; story (n_texts,), the story of each row.
    """
    begin = tokenizer.bos_token_id
    encoded = tokenizer(list(stories), add_special_tokens=False)["input_ids"] if len(stories) else []
    parts = [(i, ids[at : at + n_ctx - 1]) for i, ids in enumerate(encoded) for at in range(0, len(ids), n_ctx - 1)]
    tokens = torch.full((len(parts), n_ctx), begin, dtype=torch.long)
    for row, (_, ids) in enumerate(parts):
        tokens[row, 1 : len(ids) + 1] = torch.tensor(ids)
    lengths = torch.tensor([len(ids) + 1 for _, ids in parts], dtype=torch.long)
    return tokens, lengths, torch.tensor([i for i, _ in parts], dtype=torch.long)


class _Reached(Exception):
    """The hook was reached: what comes after it is not needed."""


def run_to_hook(lm: TransformerBridge, tokens: Tensor, hook_name: str) -> Tensor:
    """The value at a hook, by a forward pass that ends there.

    Args:
        tokens: (batch, position) int64.

    Returns:
        whatever the hook holds; the residual stream is (batch, position, d_model).
    """
    found: list[Tensor] = []

    def keep_and_stop(value: Tensor, hook: Any) -> None:
        found.append(value.detach())
        raise _Reached

    try:
        lm.run_with_hooks(tokens.to(lm.cfg.device), return_type=None, fwd_hooks=[(hook_name, keep_and_stop)])
    except _Reached:
        return found[0]
    raise ValueError(f"the hook {hook_name} is never reached in a forward pass")
