"""Where things are, and how long a test waits."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ALL_CHECKS = os.environ.get("MSAE_ALL_CHECKS") == "1"
"""Set by `.ci/run`, which has built the book before."""

PATIENCE = 300
"""Seconds that a test waits for what must come. It guards against a hang: on a busy machine everything may take ten times as long."""
