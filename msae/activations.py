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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from msae.activation_cache import DTYPES, FORMAT, CachedArray, cache_folder, cache_lock
from msae.harvesting import (
    Stories,
    Texts,
    check_hook_names,
    check_language_model,
    forward,
    read_texts,
    run_to_hook,
    run_to_hooks,
    texts_hash,
    tokenize,
    widths,
)
from msae.model_origin import added_hooks, check_hooks_are_known, model_origin
from msae.shuffling import ranges, shuffled
from msae.support import arguments
from msae.support.letters import vocabulary
from msae.support.origin import Origin, check_origin

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["Activations", "LiveActivations", "check_hook_names", "harvest", "run_to_hook", "run_to_hooks", "tokenize"]

BLOCK = 512
"""Texts that are harvested, written and hashed together."""

DTYPES_IN_MEMORY = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

CHANGED = "the scale was measured before the change, make LiveActivations anew"

BUFFER = 2**20
"""Activations that are shuffled together, unless told otherwise."""


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
        skip_first: leave out position 0.
        cache: a folder to keep them in. What is there already of the same model, stories, hook and dtype is checked against its hashes
            and read, not computed; what a run that was cut off has left is completed. The model is the same where its weights, its
            settings and the hooks that were added to it are.
        buffer: activations that are shuffled together in `batches`.
        progress: show a progress bar with tokens per second and the time left.

    Raises:
        ValueError: no such hook (the nearest names are given), a hook without one vector per token, impossible n_ctx or n_tokens,
            a story that is neither text nor token ids, a cache for a model with a hook that cannot be told from another,
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
        stories: Stories,
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
        how = _How.judged(lm, [hook_name], batch_size, dtype, device, cache, buffer, progress)
        texts = read_texts(lm, stories, n_ctx, n_tokens, skip_first)
        origins = _origins(lm, texts, [hook_name], how)
        (harvested,) = _harvest(lm, texts, origins, how).values()
        self._set(lm, texts, origins[hook_name], harvested)

    def _set(self, lm: TransformerBridge, texts: Texts, origin: Origin, harvested: _Harvested) -> None:
        self._tokenizer, self._texts = lm.tokenizer, texts
        self.tokens, self.mask, self.story = texts
        self.x, self.scale, self.tokens_per_second = harvested
        self.hook_name, self.d_model, self._origin = origin["hook_name"], origin["d_model"], origin

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Activations({self.hook_name!r}, {len(self.tokens):,} texts, {len(self):,} tokens, d_model={self.d_model})"

    @property
    def origin(self) -> Origin:
        """What the batches are made from, as JSON values; `LiveActivations` of the same data have the same, but for the scale.

        `language_model` (a hash of weights and settings), `hooks` (those that were added to the model), `texts` (a hash of token ids and
        of the places that count), `hook_name`, `d_model`, `n_ctx`, `n_tokens`, `dtype`, `buffer` and `scale`.
        """
        return self._origin | {"scale": self.scale}

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

        Raises:
            ValueError: an impossible batch_size, seed or skip.
        """
        counts = self._texts.counts.numpy()
        starts = counts.cumsum() - counts

        def load(texts: np.ndarray) -> tuple[Tensor, np.ndarray]:
            return self.x, ranges(starts[texts], counts[texts])

        return shuffled(counts, batch_size, seed, skip, self._origin["buffer"], self.scale, load)


class LiveActivations:
    """The same stream as `Activations`, computed while it is read: memory holds `buffer` activations, however many there are.

    Every pass over the stories runs the model again. `batches(…, skip=n)` computes nothing of what it skips but the buffer it lands in.

    Args:
        as for `Activations`, and
        device: where the buffer lies and batches arrive; the model's own device if left out.
        scale_tokens: activations, of stories drawn at random, that the mean norm is measured on.

    Raises:
        ValueError: as `Activations`; and in `batches`, where the model was changed since.
    """

    hook_name: str
    d_model: int
    scale: float

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
        device: str | torch.device | None = None,
        skip_first: bool = True,
        buffer: int = BUFFER,
        scale_tokens: int = 2**17,
    ):
        check_language_model(lm)
        self._lm, self.hook_name, self._hooks = lm, hook_name, added_hooks(lm)
        self._how = _How.judged(lm, [hook_name], batch_size, dtype, lm.cfg.device if device is None else device, None, buffer, False)
        scale_tokens = arguments.whole("scale_tokens", scale_tokens, 1)
        self._texts = read_texts(lm, stories, n_ctx, n_tokens, skip_first)
        self._origin = _origins(lm, self._texts, [hook_name], self._how)[hook_name]
        self.d_model = self._origin["d_model"]
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(self._texts.tokens)))
        n_texts = int((self._texts.counts[order].cumsum(0) < scale_tokens).sum()) + 1
        self.scale = self._run(order[:n_texts].sort().values).scale

    def __len__(self) -> int:
        return int(self._texts.counts.sum())

    def __repr__(self) -> str:
        return f"LiveActivations({self.hook_name!r}, {len(self._texts.tokens):,} texts, {len(self):,} tokens, d_model={self.d_model})"

    @property
    def origin(self) -> Origin:
        """As `Activations.origin`."""
        return self._origin | {"scale": self.scale}

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """As `Activations.batches`: the same seed and buffer give the same batches, up to the rounding of `dtype` and of `scale`."""

        def load(texts: np.ndarray) -> tuple[Tensor, np.ndarray]:
            self._check_hooks()
            x = self._run(torch.from_numpy(texts)).x
            return x, np.arange(len(x))

        self._check_hooks()
        check_origin({"language_model": self._origin["language_model"]}, model_origin(self._lm), "LiveActivations", CHANGED)
        return shuffled(self._texts.counts.numpy(), batch_size, seed, skip, self._origin["buffer"], self.scale, load)

    def _check_hooks(self) -> None:
        if added_hooks(self._lm) != self._hooks:
            raise ValueError(f"the hooks of the model are others than when LiveActivations was made: {CHANGED}")

    def _run(self, rows: Tensor) -> _Harvested:
        (harvested,) = _harvest(self._lm, self._texts.pick(rows), {self.hook_name: self._origin}, self._how).values()
        return harvested


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
    how = _How.judged(lm, hook_names, batch_size, dtype, device, cache, buffer, progress)
    texts = read_texts(lm, stories, n_ctx, n_tokens, skip_first)
    origins = _origins(lm, texts, hook_names, how)
    result = {}
    for hook_name, harvested in _harvest(lm, texts, origins, how).items():
        result[hook_name] = Activations.__new__(Activations)
        result[hook_name]._set(lm, texts, origins[hook_name], harvested)
    return result


class _How(NamedTuple):
    """How activations are harvested and kept."""

    batch_size: int
    dtype: torch.dtype
    device: torch.device
    cache: Path | None
    buffer: int
    progress: bool

    @classmethod
    def judged(cls, lm: Any, hook_names: Any, batch_size: Any, dtype: Any, device: Any, cache: Any, buffer: Any, progress: Any) -> _How:
        """What was asked for, where it is possible."""
        check_language_model(lm)
        check_hook_names(lm, hook_names)
        if cache is not None:
            cache = arguments.path("cache", cache)
            if cache.exists() and not cache.is_dir():
                raise ValueError(f"cache must be a folder, got the file {cache}")
            if dtype not in DTYPES:
                raise ValueError(f"a cache holds {', '.join(map(str, DTYPES))}, got dtype={arguments.shown(dtype)}")
            check_hooks_are_known(lm)
        return cls(
            arguments.whole("batch_size", batch_size, 1),
            arguments.one_of("dtype", dtype, DTYPES_IN_MEMORY),
            arguments.device("device", device),
            cache,
            arguments.whole("buffer", buffer, 1),
            arguments.yes_or_no("progress", progress),
        )


def _origins(lm: TransformerBridge, texts: Texts, hook_names: Sequence[str], how: _How) -> dict[str, Origin]:
    """For each hook what its activations are made from: all that an origin tells but the scale, which is measured on them."""
    width = widths(lm, hook_names)
    n_tokens = int(texts.mask.sum())
    shared = model_origin(lm) | {
        "texts": texts_hash(texts),
        "n_ctx": texts.tokens.shape[1],
        "n_tokens": n_tokens,
        "dtype": str(how.dtype),
        "buffer": min(how.buffer, n_tokens),  # in a larger one the order is the same
    }
    return {name: shared | {"hook_name": name, "d_model": width[name]} for name in hook_names}


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
    origins: Mapping[str, Origin],
    how: _How,
) -> dict[str, _Harvested]:
    """Run the model on every block of texts that some hook still lacks."""
    from tqdm.auto import tqdm

    width = {name: int(origin["d_model"]) for name, origin in origins.items()}
    blocks = list(torch.arange(len(texts.tokens)).split(BLOCK))
    bounds = [0, *texts.counts.cumsum(0)[[int(rows[-1]) for rows in blocks]].tolist()]
    with nullcontext() if how.cache is None else cache_lock(how.cache):
        arrays: dict[str, _Array | CachedArray] = {}
        for name, origin in origins.items():
            if how.cache is None:
                arrays[name] = _Array(bounds, width[name], how.dtype, how.device)
            else:
                identity = {key: value for key, value in origin.items() if key != "buffer"}
                identity |= {"format": FORMAT, "texts_per_block": BLOCK}
                arrays[name] = CachedArray(cache_folder(how.cache, identity), identity, how.dtype, bounds, width[name])
        todo: dict[int, list[str]] = {b: [] for b in range(len(blocks))}
        for name, array in arrays.items():
            for b in array.missing:
                todo[b].append(name)
        n_todo = sum(bounds[b + 1] - bounds[b] for b, names in todo.items() if names)
        started = time.perf_counter()
        with tqdm(total=n_todo, unit="token", unit_scale=True, desc=", ".join(arrays), disable=not how.progress or not n_todo) as bar:
            for b, names in todo.items():
                if names:
                    found = _block(lm, texts.pick(blocks[b]), names, width, how, bar.update)
                    for name, (values, norms) in found.items():
                        arrays[name].write(b, values, norms)
        rate = n_todo / (time.perf_counter() - started) if n_todo else None
        result = {}
        for name, array in arrays.items():
            if not 0 < array.norms < math.inf:
                raise ValueError(f"the mean norm at {name} is {array.norms / bounds[-1]}: expected a positive number to divide by")
            result[name] = _Harvested(array.open().to(how.device), math.sqrt(width[name]) * bounds[-1] / array.norms, rate)
        return result


def _block(
    lm: TransformerBridge,
    texts: Texts,
    hook_names: Sequence[str],
    width: dict[str, int],
    how: _How,
    count: Callable[[int], Any],
) -> dict[str, tuple[Tensor, float]]:
    """For each hook the (n, d_model) activations of some texts, and the sum of their norms."""
    n = int(texts.mask.sum())
    kept = {name: torch.empty(n, width[name], dtype=how.dtype, device=lm.cfg.device) for name in hook_names}
    for place, values in forward(lm, texts, hook_names, how.batch_size):
        place = place.to(lm.cfg.device)
        for name, value in values.items():
            kept[name].index_copy_(0, place, value.to(how.dtype))
        count(len(place))
    found = {}
    for name, x in kept.items():
        norms = torch.linalg.vector_norm(x, dim=1, dtype=torch.float32 if x.dtype == torch.float16 else torch.float64)
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
        fix = "use dtype=torch.float32" if kept.dtype in (torch.float16, torch.bfloat16) else "look at the model's weights there"
        raise ValueError(f"the activation {where} reaches {value.abs().max():.3g}, too large for {kept.dtype}: {fix}")
    fix = "run it in float32 (lm.float()), or look at its" if value.dtype == torch.float16 else "look at the model's"
    reason = f", of a model that computes in {value.dtype}" if value.dtype == torch.float16 else ""
    raise ValueError(f"the activation {where} at {hook_name} is NaN or infinite{reason}: {fix} weights there")
