"""Naming a batch with NaN or infinity without making a device wait: what was seen is kept there until somebody asks."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class FirstBad:
    """The first batch that holds NaN or infinity, its place there, and what it holds."""

    def __init__(self) -> None:
        self._code: Tensor | None = None  # step · entries of a batch + place; -1 where all was well
        self._value = torch.zeros(())
        self._shape: tuple[int, ...] = ()

    def see(self, x: Tensor, step: int) -> None:
        """Take a batch in; all have the same shape. The host reads nothing, except on a CPU, where it costs nothing.

        Raises:
            ValueError: on a CPU, as `look`.
        """
        if x.device.type == "cpu" and torch.isfinite(x).all():
            return
        flat = x.flatten()
        place = (~torch.isfinite(flat)).byte().argmax()
        value = flat.take(place).float()
        if self._code is None:
            self._code, self._value, self._shape = torch.full_like(place, -1), torch.zeros_like(value), tuple(x.shape)
        first = ~torch.isfinite(value) & (self._code < 0)
        self._code = torch.where(first, place + step * len(flat), self._code)
        self._value = torch.where(first, value, self._value)
        if x.device.type == "cpu":
            self.look()

    def look(self) -> None:
        """Tell what was seen; the host reads once.

        Raises:
            ValueError: a batch held NaN or infinity, with its first place.
        """
        code = -1 if self._code is None else int(self._code)
        if code >= 0:
            step, place = divmod(code, math.prod(self._shape))
            position = [int(i) for i in torch.unravel_index(torch.tensor(place), self._shape)]
            raise ValueError(f"batch {step} holds {self._value.item()} at position {position}: clean the activations before training")
