"""How the tests and the chapters are shared out among the cores; what they need stands in tests/conftest.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MOST_AT_ONCE = 2
"""Processes that run tests: each may have a chapter's kernel, a browser or a large SAE beside it, about 3 GB together."""

# Threads that wait for each other sleep: those that spin are several times as slow on a busy machine. Kernels and commands inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sharing = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
if sharing > 1:  # before torch is imported, and handed on to kernels and commands: threads that outnumber the cores wait for each other
    threads = max(1, CORES // sharing)
    os.environ["OMP_NUM_THREADS"] = str(min(threads, int(os.environ.get("OMP_NUM_THREADS", threads))))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One file runs in this process, where it can be watched and debugged; several, or a folder, are shared out."""
    one = len(config.args) == 1 and Path(config.args[0].split("::")[0]).is_file()
    return 0 if one or CORES == 1 else min(MOST_AT_ONCE, CORES)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Chapters first where work is shared out: they take longest, and short files at the end let all processes end together."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not getattr(item, "nbmake", False))
