"""Texts through a model: what its hooks hold, in memory or in a cache, in one pass."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import torch
from torch import Tensor

from msae.activations.cache import FORMAT, CachedArray, cache_folder, cache_lock
from msae.activations.checks import check_hook_names, check_language_model
from msae.activations.hooks import forward, run_to_hook, widths
from msae.activations.massive import Massive, massive
from msae.activations.rows import Texts, read_texts
from msae.activations.settings import HarvestSettings
from msae.lm.origin import check_hooks_are_known, model_origin
from msae.support.letters import vocabulary
from msae.support.origin import Origin
from msae.texts.given import Stories

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


BLOCK = 512
"""Texts that are harvested, written and hashed together."""


class Harvested(NamedTuple):
    """What one hook holds on some texts."""

    x: Tensor
    """(n_tokens, d_model), not scaled."""

    scale: float
    """`x * scale` has the mean norm sqrt(d_model)."""

    tokens_per_second: float | None
    """Of the pass, all hooks together; None where nothing was left to compute."""

    massive: list[Massive]
    """Vectors many times as long as the others, in each block that this pass computed."""


class Pass(NamedTuple):
    """Stories as they are read, and what the activations at each hook will be made from."""

    texts: Texts
    origins: dict[str, Origin]
    """For each hook all that an origin tells but the scale, which is measured on the activations."""


def plan(lm: TransformerBridge, stories: Stories, hook_names: Sequence[str], settings: HarvestSettings) -> Pass:
    """See that all that is asked for can be had, before the model reads more than two tokens.

    Raises:
        ValueError: no such hook, a hook without one vector per token, stories or sizes that do not fit the model, or a cache for a model
            with a hook that cannot be told from another.
    """
    check_language_model(lm)
    check_hook_names(lm, hook_names)
    if settings.cache is not None:
        check_hooks_are_known(lm)
    texts = read_texts(lm, stories, settings.n_ctx, n_tokens=settings.n_tokens, skip_first=settings.skip_first)
    width = widths(lm, hook_names)
    n_tokens = int(texts.mask.sum())
    shared = model_origin(lm) | {
        "texts": texts.sha256(),
        "n_ctx": texts.tokens.shape[1],
        "n_tokens": n_tokens,
        "dtype": str(settings.dtype),
        "buffer": min(settings.buffer, n_tokens),  # in a larger one the order is the same
    }
    return Pass(texts, {name: shared | {"hook_name": name, "d_model": width[name]} for name in hook_names})


class _Array(Protocol):
    """(n_tokens, d_model) numbers that are filled block by block: `CachedArray` on disk, `_ArrayInMemory`."""

    @property
    def missing(self) -> list[int]:
        """The blocks that are still to be harvested."""

    @property
    def norms(self) -> float:
        """Sum of the norms of all rows so far."""

    def write(self, block: int, values: Tensor, norms: float) -> None:
        """Keep one block, and the sum of its norms."""

    def open(self) -> Tensor:
        """The whole array, once no block is missing."""


class _ArrayInMemory:
    """The same in memory, complete at the end of one pass."""

    def __init__(self, bounds: list[int], d_model: int, dtype: torch.dtype, device: str | torch.device):
        self.x = torch.empty(bounds[-1], d_model, dtype=dtype, device=device)
        self.bounds, self.missing, self.norms = bounds, list(range(len(bounds) - 1)), 0.0

    def write(self, block: int, values: Tensor, norms: float) -> None:
        self.x[self.bounds[block] : self.bounds[block + 1]] = values.to(self.x.device)
        self.norms += norms

    def open(self) -> Tensor:
        return self.x


@torch.no_grad()
def harvest_texts(lm: TransformerBridge, texts: Texts, origins: Mapping[str, Origin], settings: HarvestSettings) -> dict[str, Harvested]:
    """Run the model on every block of texts that some hook still lacks."""
    blocks = list(torch.arange(len(texts.tokens)).split(BLOCK))
    bounds = bounds_of(texts.counts)
    with nullcontext() if settings.cache is None else cache_lock(settings.cache):
        arrays = {name: _array(origin, bounds, settings) for name, origin in origins.items()}
        missing = {name: set(array.missing) for name, array in arrays.items()}
        todo = {b: names for b in range(len(blocks)) if (names := [name for name in arrays if b in missing[name]])}
        n_todo = sum(bounds[b + 1] - bounds[b] for b in todo)
        started, found = time.perf_counter(), {name: list[Massive]() for name in arrays}
        with _progress(n_todo, arrays, settings) as bar:
            for b, names in todo.items():
                width = {name: int(origins[name]["d_model"]) for name in names}
                for name, (values, norms, longest) in _block(lm, texts.pick(blocks[b]), width, settings, bar.update).items():
                    arrays[name].write(b, values, norms)
                    found[name].append(longest)
        rate = n_todo / (time.perf_counter() - started) if n_todo else None
        result = {}
        for name, array in arrays.items():
            if not 0 < array.norms < math.inf:
                raise ValueError(f"the mean norm at {name} is {array.norms / bounds[-1]}: expected a positive number to divide by")
            scale = math.sqrt(int(origins[name]["d_model"])) * bounds[-1] / array.norms
            result[name] = Harvested(array.open().to(settings.device), scale, rate, found[name])
        return result


def _array(origin: Origin, bounds: list[int], settings: HarvestSettings) -> _Array:
    """Where the activations of one hook are put: block b holds the rows bounds[b] to bounds[b + 1]."""
    if settings.cache is None:
        return _ArrayInMemory(bounds, int(origin["d_model"]), settings.dtype, settings.device)
    return array_on_disk(settings.cache, origin, bounds, settings.dtype)


def array_on_disk(
    cache: str | os.PathLike[str], origin: Origin, bounds: list[int], dtype: torch.dtype, *, make: bool = True
) -> CachedArray:
    """The activations of one hook in a cache, as much of them as is there.

    Args:
        cache: the folder of all.
        origin: what they are made from, without the scale.
        bounds: block b holds the rows bounds[b] to bounds[b + 1] (`bounds_of`).
        dtype: how they are kept.
        make: begin with it where there is none.
    """
    identity = {key: value for key, value in origin.items() if key != "buffer"} | {"format": FORMAT, "texts_per_block": BLOCK}
    return CachedArray(cache_folder(cache, identity), identity, dtype, bounds, int(origin["d_model"]), make=make)


def bounds_of(counts: Tensor) -> list[int]:
    """The rows where blocks of texts begin, and where the last ends; counts (n_texts,) are the activations of each text."""
    return [0, *counts.cumsum(0)[[*range(BLOCK - 1, len(counts) - 1, BLOCK), len(counts) - 1]].tolist()]


def _progress(n_todo: int, hook_names: Iterable[str], settings: HarvestSettings) -> Any:
    from tqdm.auto import tqdm

    silent = not settings.progress or not n_todo
    return tqdm(total=n_todo, unit="token", unit_scale=True, desc=", ".join(hook_names), disable=silent)


def _block(
    lm: TransformerBridge, texts: Texts, width: Mapping[str, int], settings: HarvestSettings, count: Callable[[int], Any]
) -> dict[str, tuple[Tensor, float, Massive]]:
    """For each hook, given with its width, the (n, d_model) activations of some texts, their summed norm, and the far too long ones."""
    n = int(texts.mask.sum())
    kept = {name: torch.empty(n, width[name], dtype=settings.dtype, device=lm.cfg.device) for name in width}
    for place, values in forward(lm, texts, list(width), settings.batch_size):
        place = place.to(lm.cfg.device)
        for name, value in values.items():
            kept[name].index_copy_(0, place, value.to(settings.dtype))
        count(len(place))
    found = {}
    for name, x in kept.items():
        norms = torch.linalg.vector_norm(x, dim=1, dtype=torch.float32 if x.dtype == torch.float16 else torch.float64)
        if not norms.isfinite().all():  # a norm is finite where all of its row is: fifteen times faster than to look at every entry
            _refuse(lm, texts, name, x, norms)
        found[name] = (x, norms.sum(dtype=torch.float64).item(), massive(norms, texts))
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
