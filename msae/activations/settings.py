"""How stories are read by a model, and how what it computes is kept: what all ways to activations take."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from msae.activations.cache import DTYPES
from msae.support import arguments

DTYPES_IN_MEMORY = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

BUFFER = 2**20
"""Activations that are shuffled together, unless told otherwise."""


@dataclass(frozen=True)
class HarvestSettings:
    """What `Activations`, `harvest` and `LiveActivations` are told besides model, stories and hooks.

    What depends on the model or the stories, `n_ctx`, `n_tokens` and `skip_first`, is judged with them, by `read_texts`.
    """

    n_ctx: int
    """Tokens in a row, [BEGIN] included."""

    n_tokens: int | None
    """Stop after this many activations; None for all."""

    skip_first: bool | int
    """Leave out position 0, or so many positions."""

    batch_size: int
    """Rows in one forward pass."""

    dtype: torch.dtype
    """How activations are kept."""

    device: str | torch.device
    """Where activations are kept and batches arrive."""

    buffer: int
    """Activations that are shuffled together."""

    cache: str | os.PathLike[str] | None = None
    """A folder to keep them in."""

    progress: bool = False
    """Show a progress bar."""

    def __post_init__(self) -> None:
        if self.cache is not None:
            cache = arguments.path("cache", self.cache)
            if cache.exists() and not cache.is_dir():
                raise ValueError(f"cache must be a folder, got the file {cache}")
            if self.dtype not in DTYPES:
                raise ValueError(f"a cache holds {', '.join(map(str, DTYPES))}, got dtype={arguments.shown(self.dtype)}")
            object.__setattr__(self, "cache", cache)
        arguments.one_of("dtype", self.dtype, DTYPES_IN_MEMORY)
        object.__setattr__(self, "batch_size", arguments.whole("batch_size", self.batch_size, 1))
        object.__setattr__(self, "device", arguments.device("device", self.device))
        object.__setattr__(self, "buffer", arguments.whole("buffer", self.buffer, 1))
        object.__setattr__(self, "progress", arguments.yes_or_no("progress", self.progress))
