"""Naming a batch with NaN or infinity without making a device wait: what was seen is kept there until somebody asks."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class FirstBad:
    """The first batch that holds NaN or infinity, its place there, and what it holds."""

    def __init__(self, device: torch.device):
        self._code = torch.full((), -1, device=device)  # step · entries of a batch + place
        self._value = torch.zeros((), device=device)
        self._shape: tuple[int, ...] = ()

    def see(self, x: Tensor, step: int) -> None:
        """Take a batch in; all have the same shape. The host reads nothing, except on a CPU, where it costs nothing.

        Raises:
            ValueError: on a CPU, as `look`.
        """
        self._shape = tuple(x.shape)
        if x.device.type == "cpu" and torch.isfinite(x).all():
            return
        flat = x.flatten()
        place = (~torch.isfinite(flat)).byte().argmax()
        value = flat.take(place).float()
        first = ~torch.isfinite(value) & (self._code < 0)
        self._code = torch.where(first, place + step * len(flat), self._code)
        self._value = torch.where(first, value, self._value)
        if x.device.type == "cpu":
            self.look()

    def look(self) -> None:
        """Tell what was seen. The host reads once.

        Raises:
            ValueError: a batch held NaN or infinity, with its first place.
        """
        code = int(self._code)
        if code < 0:
            return
        step, place = divmod(code, math.prod(self._shape))
        position = [int(i) for i in torch.unravel_index(torch.tensor(place), self._shape)]
        raise ValueError(f"batch {step} holds {self._value.item()} at position {position}: clean the activations before training")
