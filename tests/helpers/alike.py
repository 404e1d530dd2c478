"""Results of the device and of the CPU, side by side."""

from __future__ import annotations

import numpy as np
import torch
from torch.testing import assert_close


def plain(value):
    """A result with everything on the CPU, for comparison; what is on the device must say so."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return list(value.encode()) if isinstance(value, str) else value


def assert_equal(ours, theirs):
    assert_close(plain(ours), plain(theirs), rtol=1e-4, atol=1e-5, equal_nan=True, check_dtype=False)


def vars_of(result):
    return {name: np.nan_to_num(np.asarray(value, dtype=np.float64)).tolist() for name, value in result._asdict().items()}
