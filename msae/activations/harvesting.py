"""Texts through a model: what its hooks hold, in memory or in a cache, in one pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from msae.activations.cache import DTYPES, FORMAT, CachedArray, cache_folder, cache_lock
from msae.activations.hooks import check_hook_names, forward, run_to_hook, widths
from msae.activations.rows import Texts, check_language_model, texts_hash
from msae.lm.origin import check_hooks_are_known, model_origin
from msae.support import arguments
from msae.support.letters import vocabulary
from msae.support.origin import Origin

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


BLOCK = 512
"""Texts that are harvested, written and hashed together."""

DTYPES_IN_MEMORY = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
BUFFER = 2**20
"""Activations that are shuffled together, unless told otherwise."""


class How(NamedTuple):
    """How activations are harvested and kept."""

    batch_size: int
    dtype: torch.dtype
    device: torch.device
    cache: Path | None
    buffer: int
    progress: bool

    @classmethod
    def judged(cls, lm: Any, hook_names: Any, batch_size: Any, dtype: Any, device: Any, cache: Any, buffer: Any, progress: Any) -> How:
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


def origins_of(lm: TransformerBridge, texts: Texts, hook_names: Sequence[str], how: How) -> dict[str, Origin]:
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


class Harvested(NamedTuple):
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
def harvest_texts(
    lm: TransformerBridge,
    texts: Texts,
    origins: Mapping[str, Origin],
    how: How,
) -> dict[str, Harvested]:
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
            result[name] = Harvested(array.open().to(how.device), math.sqrt(width[name]) * bounds[-1] / array.norms, rate)
        return result


def _block(
    lm: TransformerBridge,
    texts: Texts,
    hook_names: Sequence[str],
    width: dict[str, int],
    how: How,
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
