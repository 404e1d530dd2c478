"""What something was measured on: a sentence for a table, or the whole machine for a benchmark."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from msae.support import arguments


def hardware(device: str = "cpu") -> str:
    """What a time was measured on, in a few words: "NVIDIA A100", or "2 of 8 CPU cores, x86_64".

    Args:
        device: where the work was done.

    Raises:
        ValueError: this machine lacks the device.
    """
    import torch  # here: the benchmark asks for `machine` in a process that never loads it

    if (found := arguments.device("device", device)).type == "cuda":
        return torch.cuda.get_device_name(found)
    return f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores, {platform.machine()}"


def machine() -> dict[str, Any]:
    """This machine, now: its "system", "processor", the "cpus" that this process may use, and "when" it was asked."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
