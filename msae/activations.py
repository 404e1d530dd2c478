"""Activations of a language model at some hooks: what an SAE is trained on and what the figures show.

    activations = msae.Activations(lm, stories, hook_name="blocks.3.hook_resid_pre")
    for x in activations.batches(1024, seed=0): ...

In memory, or on disk (`cache=`); several hooks in one pass over the model (`harvest`); or computed anew while training goes on, where
neither memory nor disk would hold them (`LiveActivations`). All of them are streams for `msae.train`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from msae.activation_cache import DTYPES, CachedArray, cache_folder, cache_lock, fingerprint, texts_hash
from msae.harvesting import Texts, check_hook_names, forward, read_texts, run_to_hook, run_to_hooks, tokenize, widths
from msae.support.letters import vocabulary

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["Activations", "LiveActivations", "check_hook_names", "harvest", "run_to_hook", "run_to_hooks", "tokenize"]

BLOCK = 512
"""Texts that are harvested, written and hashed together."""

BUFFER = 2**20
"""Activations that are shuffled together, unless told otherwise."""


class Activations:
    """What a model computes at one hook on every token of some stories.

    Each story becomes one or more *texts*: rows of [BEGIN] and up to n_ctx - 1 tokens. A longer story goes on in the next row, again after
    [BEGIN] (the bundled model was trained on such rows). A shorter one is filled up with padding, which never counts. Position 0 is left
    out: nothing stands before it, so [BEGIN] has the same activation in every text and says nothing about any (in many models it is also
    so long that it would dominate the mean norm).

    It is a stream for `msae.train`: it has `d_model`, `hook_name`, `scale` and `batches`.

    Args:
        lm: a model of `load_language_model`.
        stories: texts, or lists of token ids without [BEGIN].
        hook_name: one of `lm.hook_dict`: "blocks.3.hook_resid_pre" is the residual stream before layer 3, "blocks.3.hook_attn_out" what
            its attention adds, "blocks.3.hook_mlp_out" what its MLP adds.
        n_ctx: tokens in a row, [BEGIN] included.
        n_tokens: stop after this many activations; all of them if left out.
        batch_size: rows in one forward pass.
        dtype: how activations are kept; float16 halves the memory and keeps 11 bits.
        device: where activations are kept and batches arrive; the forward pass runs where the model is.
        skip_first: leave out position 0.
        cache: a folder to keep them in. What is there already of the same model, stories, hook and dtype is checked against its hashes
            and read, not computed; what a run that was cut off has left is completed.
        buffer: activations that are shuffled together in `batches`.
        progress: show a progress bar with tokens per second and the time left.

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
    """(n_tokens, d_model): the activations as the model computes them, not scaled; memory-mapped where they come from a cache."""

    tokens_per_second: float | None
    """How fast they were harvested, all hooks of the pass together; None where nothing was left to compute."""

    def __init__(
        self,
        lm: TransformerBridge,
        stories: Sequence[str] | Sequence[Sequence[int]],
        hook_name: str,
        *,
        n_ctx: int = 128,
        n_tokens: int | None = None,
        batch_size: int = 32,
        dtype: torch.dtype = torch.float16,
        device: str | torch.device = "cpu",
        skip_first: bool = True,
        cache: str | os.PathLike | None = None,
        buffer: int = BUFFER,
        progress: bool = True,
    ):
        check_hook_names(lm, [hook_name])
        texts = read_texts(lm, stories, n_ctx, n_tokens, skip_first)
        (harvested,) = _harvest(lm, texts, [hook_name], batch_size, dtype, torch.device(device), cache, progress).values()
        self._set(lm, texts, hook_name, harvested, buffer)

    def _set(self, lm: TransformerBridge, texts: Texts, hook_name: str, harvested: _Harvested, buffer: int) -> None:
        self.hook_name, self._tokenizer, self._texts, self._buffer = hook_name, lm.tokenizer, texts, buffer
        self.tokens, self.mask, self.story = texts
        self.x, self.scale, self.tokens_per_second = harvested
        self.d_model = self.x.shape[1]

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Activations({self.hook_name!r}, {len(self.tokens):,} texts, {len(self):,} tokens, d_model={self.d_model})"

    @cached_property
    def position(self) -> Tensor:
        """(n_tokens, 2) int64: the text and the position in it that each row of `x` belongs to."""
        return self.mask.nonzero()

    @cached_property
    def x_story(self) -> Tensor:
        """(n_tokens,) int64: the story of each row of `x`."""
        return self.story.repeat_interleave(self._texts.counts)

    @cached_property
    def str_tokens(self) -> list[str]:
        """The vocabulary as text to show, one string per token id; `\\xc3` and the like, with its bytes as `raw`, for part of a letter."""
        return vocabulary(self._tokenizer)

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
        """
        counts = self._texts.counts.numpy()
        starts = counts.cumsum() - counts

        def load(texts: np.ndarray) -> tuple[Tensor, np.ndarray]:
            return self.x, _ranges(starts[texts], counts[texts])

        return _shuffled(counts, batch_size, seed, skip, self._buffer, self.scale, load)


class LiveActivations:
    """The same stream as `Activations`, computed while it is read: memory holds `buffer` activations, however many there are.

    Every pass over the stories runs the model again. `batches(…, skip=n)` computes nothing of what it skips but the buffer it lands in.

    Args:
        as for `Activations`, and
        device: where the buffer lies and batches arrive; the model's own device if left out.
        scale_tokens: activations, of stories drawn at random, that the mean norm is measured on.
    """

    hook_name: str
    d_model: int
    scale: float

    def __init__(
        self,
        lm: TransformerBridge,
        stories: Sequence[str] | Sequence[Sequence[int]],
        hook_name: str,
        *,
        n_ctx: int = 128,
        n_tokens: int | None = None,
        batch_size: int = 32,
        dtype: torch.dtype = torch.float16,
        device: str | torch.device | None = None,
        skip_first: bool = True,
        buffer: int = BUFFER,
        scale_tokens: int = 2**17,
    ):
        self.hook_name, self._lm, self._buffer, self._batch_size, self._dtype = hook_name, lm, buffer, batch_size, dtype
        self._device = torch.device(lm.cfg.device if device is None else device)
        check_hook_names(lm, [hook_name])
        self.d_model = widths(lm, [hook_name])[hook_name]
        self._texts = read_texts(lm, stories, n_ctx, n_tokens, skip_first)
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(self._texts.tokens)))
        n_texts = int((self._texts.counts[order].cumsum(0) < scale_tokens).sum()) + 1
        self.scale = self._run(order[:n_texts].sort().values)[1]

    def __len__(self) -> int:
        return int(self._texts.counts.sum())

    def __repr__(self) -> str:
        return f"LiveActivations({self.hook_name!r}, {len(self._texts.tokens):,} texts, {len(self):,} tokens, d_model={self.d_model})"

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """As `Activations.batches`: the same seed and buffer give the same batches, up to the rounding of `dtype` and of `scale`."""

        def load(texts: np.ndarray) -> tuple[Tensor, np.ndarray]:
            x = self._run(torch.from_numpy(texts))[0]
            return x, np.arange(len(x))

        return _shuffled(self._texts.counts.numpy(), batch_size, seed, skip, self._buffer, self.scale, load)

    def _run(self, rows: Tensor) -> tuple[Tensor, float]:
        texts = self._texts.pick(rows)
        (harvested,) = _harvest(self._lm, texts, [self.hook_name], self._batch_size, self._dtype, self._device, None, False).values()
        return harvested.x, harvested.scale


def harvest(
    lm: TransformerBridge,
    stories: Sequence[str] | Sequence[Sequence[int]],
    hook_names: Sequence[str],
    *,
    n_ctx: int = 128,
    n_tokens: int | None = None,
    batch_size: int = 32,
    dtype: torch.dtype = torch.float16,
    device: str | torch.device = "cpu",
    skip_first: bool = True,
    cache: str | os.PathLike | None = None,
    buffer: int = BUFFER,
    progress: bool = True,
) -> dict[str, Activations]:
    """Activations at several hooks, in one pass over the model that ends at the last of them.

    Args and Raises: as for `Activations`.

    Returns:
        for each hook name its `Activations`; they share `tokens`, `mask` and `story`.
    """
    check_hook_names(lm, hook_names)
    texts = read_texts(lm, stories, n_ctx, n_tokens, skip_first)
    found = _harvest(lm, texts, hook_names, batch_size, dtype, torch.device(device), cache, progress)
    result = {}
    for hook_name, harvested in found.items():
        result[hook_name] = Activations.__new__(Activations)
        result[hook_name]._set(lm, texts, hook_name, harvested, buffer)
    return result


class _Harvested(NamedTuple):
    x: Tensor
    scale: float
    tokens_per_second: float | None


class _Array:
    """The part of `CachedArray` that is needed, in memory."""

    def __init__(self, bounds: list[int], d_model: int, dtype: torch.dtype, device: torch.device):
        self.x = torch.empty(bounds[-1], d_model, dtype=dtype, device=device)
        self.bounds, self.missing, self.norms = bounds, list(range(len(bounds) - 1)), 0.0

    def write(self, block: int, values: Tensor, norms: float) -> None:
        self.x[self.bounds[block] : self.bounds[block + 1]] = values.to(self.x.device)
        self.norms += norms

    def open(self) -> Tensor:
        return self.x


@torch.no_grad()
def _harvest(
    lm: TransformerBridge,
    texts: Texts,
    hook_names: Sequence[str],
    batch_size: int,
    dtype: torch.dtype,
    device: torch.device,
    cache: str | os.PathLike | None,
    progress: bool,
) -> dict[str, _Harvested]:
    """Run the model on every block of texts that some hook still lacks."""
    from tqdm.auto import tqdm

    if cache is not None and dtype not in DTYPES:
        raise ValueError(f"a cache holds {', '.join(map(str, DTYPES))}, got dtype={dtype}")
    width = widths(lm, hook_names)
    blocks = list(torch.arange(len(texts.tokens)).split(BLOCK))
    bounds = [0, *texts.counts.cumsum(0)[[int(rows[-1]) for rows in blocks]].tolist()]
    with nullcontext() if cache is None else cache_lock(cache):
        arrays: Mapping[str, _Array | CachedArray]
        if cache is None:
            arrays = {name: _Array(bounds, width[name], dtype, device) for name in hook_names}
        else:
            shared: dict[str, Any] = {
                "format": "msae-activations/1",
                "model": fingerprint(lm),
                "texts": texts_hash(texts),
                "dtype": str(dtype),
            }
            shared |= {"n_tokens": bounds[-1], "texts_per_block": BLOCK}
            about = {name: shared | {"hook_name": name, "d_model": width[name]} for name in hook_names}
            arrays = {name: CachedArray(cache_folder(cache, about[name]), about[name], dtype, bounds, width[name]) for name in hook_names}
        todo: dict[int, list[str]] = {b: [] for b in range(len(blocks))}
        for name, array in arrays.items():
            for b in array.missing:
                todo[b].append(name)
        n_todo = sum(bounds[b + 1] - bounds[b] for b, names in todo.items() if names)
        started = time.perf_counter()
        with tqdm(total=n_todo, unit="token", unit_scale=True, desc=", ".join(arrays), disable=not progress or not n_todo) as bar:
            for b, names in todo.items():
                if names:
                    found = _block(lm, texts.pick(blocks[b]), names, width, batch_size, dtype, bar.update)
                    for name, (values, norms) in found.items():
                        arrays[name].write(b, values, norms)
        rate = n_todo / (time.perf_counter() - started) if n_todo else None
        result = {}
        for name, array in arrays.items():
            if not 0 < array.norms < math.inf:
                raise ValueError(f"the mean norm at {name} is {array.norms / bounds[-1]}: expected a positive number to divide by")
            result[name] = _Harvested(array.open().to(device), math.sqrt(width[name]) * bounds[-1] / array.norms, rate)
        return result


def _block(
    lm: TransformerBridge,
    texts: Texts,
    hook_names: Sequence[str],
    width: dict[str, int],
    batch_size: int,
    dtype: torch.dtype,
    count: Callable[[int], Any],
) -> dict[str, tuple[Tensor, float]]:
    """For each hook the (n, d_model) activations of some texts, and the sum of their norms."""
    n = int(texts.mask.sum())
    kept = {name: torch.empty(n, width[name], dtype=dtype, device=lm.cfg.device) for name in hook_names}
    for place, values in forward(lm, texts, hook_names, batch_size):
        place = place.to(lm.cfg.device)
        for name, value in values.items():
            kept[name].index_copy_(0, place, value.to(dtype))
        count(len(place))
    found = {}
    for name, x in kept.items():
        norms = torch.linalg.vector_norm(x, dim=1, dtype=torch.float32)
        if not norms.isfinite().all():  # a norm is finite where all of its row is: fifteen times faster than to look at every entry
            _refuse(lm, texts, name, x, norms)
        found[name] = (x, norms.sum(dtype=torch.float64).item())
    return found


def _refuse(lm: TransformerBridge, texts: Texts, hook_name: str, kept: Tensor, norms: Tensor) -> NoReturn:
    """Name the first activation that is not finite."""
    text, position = texts.mask.nonzero()[int((~norms.isfinite()).nonzero()[0])].tolist()
    token = vocabulary(lm.tokenizer)[int(texts.tokens[text, position])]
    where = f"of story {int(texts.story[text])}, position {position}, token {token!r}"
    value = run_to_hook(lm, texts.tokens[text : text + 1, : position + 1], hook_name)[0, position]
    if value.isfinite().all():
        fix = "use dtype=torch.float32" if kept.dtype != torch.float32 else "look at the model's weights there"
        raise ValueError(f"the activation {where} reaches {value.abs().max():.3g}, too large for {kept.dtype}: {fix}")
    raise ValueError(f"the activation {where} at {hook_name} is NaN or infinite: look at the model's weights there")


def _shuffled(
    counts: np.ndarray,
    batch_size: int,
    seed: int,
    skip: int,
    buffer: int,
    scale: float,
    load: Callable[[np.ndarray], tuple[Tensor, np.ndarray]],
) -> Iterator[Tensor]:
    """Check, and then yield the batches of `_passes`."""
    total = int(counts.sum())
    per_pass = total // batch_size if batch_size > 0 else 0
    if per_pass < 1:
        raise ValueError(f"batch_size must lie between 1 and the {total:,} activations there are, got {batch_size}")
    if skip < 0:
        raise ValueError(f"skip must not be negative, got {skip}")
    if buffer < batch_size:
        raise ValueError(f"buffer must hold at least one batch of {batch_size:,} activations, got {buffer:,}")
    return _passes(counts, batch_size, seed, skip, buffer, scale, load)


def _passes(
    counts: np.ndarray,
    batch_size: int,
    seed: int,
    skip: int,
    buffer: int,
    scale: float,
    load: Callable[[np.ndarray], tuple[Tensor, np.ndarray]],
) -> Iterator[Tensor]:
    epoch, first = divmod(skip, int(counts.sum()) // batch_size)
    while True:
        at = 0  # where in this pass the next buffer begins
        rest: list[Tensor] = []  # a batch that goes on in the next buffer
        start = first * batch_size
        for b, texts in enumerate(_buffers(counts, buffer, np.random.default_rng([seed, epoch, 0, 1]))):
            n = int(counts[texts].sum())
            if at + n > start:
                x, rows = load(texts)
                rows = rows[np.random.default_rng([seed, epoch, b]).permutation(n)]
                order = torch.from_numpy(rows[max(0, start - at) :]).to(x.device)
                for part in _cut(order, batch_size - sum(map(len, rest)), batch_size):
                    rest.append(x[part])
                    if sum(map(len, rest)) == batch_size:
                        yield (rest[0] if len(rest) == 1 else torch.cat(rest)).float() * scale
                        rest = []
            at += n
        epoch, first = epoch + 1, 0


def _buffers(counts: np.ndarray, buffer: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The texts, drawn without order, in parts of about `buffer` activations; all in one part where they fit."""
    if counts.sum() <= buffer:
        return [np.arange(len(counts))]
    order = rng.permutation(len(counts))
    part = (counts[order].cumsum() - 1) // buffer
    return [np.sort(texts) for texts in np.split(order, np.flatnonzero(np.diff(part)) + 1)]


def _cut(order: Tensor, first: int, size: int) -> list[Tensor]:
    """Cut `first` entries off, and then `size` at a time."""
    return [part for part in (order[:first], *order[first:].split(size)) if len(part)]


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[0] … starts[0] + counts[0] - 1, starts[1] …, all in a row."""
    return np.repeat(starts - (counts.cumsum() - counts), counts) + np.arange(counts.sum())
