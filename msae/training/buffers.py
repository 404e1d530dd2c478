"""Memory that is asked for once. A CPU step that allocates tens of megabytes anew spends a third of its time in page faults."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor


def keep_freed_memory() -> None:
    """Let the allocator keep what a step frees; call it once, before training.

    glibc hands memory back to the system as soon as more than its trim threshold is free, and fetches it again page by page at the next
    step. Freeing one large mapped block, never touched, raises that threshold to twice the block's size (mallopt(3)).
    """
    torch.empty(31 << 20, dtype=torch.uint8)


class Buffers:
    """Named scratch tensors that grow and never shrink: the same name gives the same memory at the next step."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """An uninitialised tensor of this shape with the dtype and device of `like`; what the name held before is overwritten."""
        size = prod(shape)
        flat = self._flat.get(name)
        if flat is None or len(flat) < size or flat.dtype != like.dtype or flat.device != like.device:
            grown = size if flat is None else max(size, len(flat) + len(flat) // 4)
            flat = self._flat[name] = torch.empty(grown, dtype=like.dtype, device=like.device)
        return flat[:size].view(shape)
