"""The device that tests of a real card use: CUDA where there is one. MSAE_TEST_DEVICE=cpu or =pretend tries the tests themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pretend_device import pretend_device

CHOSEN = os.environ.get("MSAE_TEST_DEVICE", "cuda")
WHY_NOT = "PyTorch finds no CUDA device here" if CHOSEN == "cuda" and not torch.cuda.is_available() else ""


@contextmanager
def chosen_device() -> Iterator[torch.device]:
    """The device, within this block."""
    if CHOSEN != "pretend":
        yield torch.device(CHOSEN)
        return
    with pretend_device() as gpu:
        yield gpu.device
