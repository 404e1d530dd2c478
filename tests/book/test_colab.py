"""Google Colab keeps its own packages when a chapter's first cell installs msae.

`colab.txt` lists the versions that Colab brings. The test below asks pip's resolver whether an installation exists that leaves all of them
in place. It needs a package index and minutes, so it only runs when asked for:

    pytest tests/book/test_colab.py -m network --run-network

Whether the chapters also *run* with these versions is checked once per release, in an environment of its own:

    python3 -m venv .venv-colab
    .venv-colab/bin/pip install -c tests/book/colab.txt -e ".[lm,explore]" "ipykernel<7" pytest nbmake
    .venv-colab/bin/pytest --nbmake book/**/*.ipynb
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from places import ROOT

HERE = Path(__file__).parent
MOST_SECONDS = 1800


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions_of_colab() -> dict[str, str]:
    lines = (HERE / "colab.txt").read_text(encoding="utf8").splitlines()
    return {normal(name): version for name, version in (line.split("==") for line in lines if line and not line.startswith("#"))}


def needs_of_a_chapter() -> list[str]:
    """What the setup cell makes Colab install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["lm"], *extras["explore"]]


def test_what_a_chapter_needs_admits_the_versions_of_colab() -> None:
    """No resolver and no network: each direct need, held against Colab's version of it."""
    colab = versions_of_colab()
    needs = {normal(need.name): need.specifier for need in map(Requirement, needs_of_a_chapter())}
    assert {f"{name}{needs[name]}, Colab has {colab[name]}" for name in needs if name in colab and colab[name] not in needs[name]} == set()
    assert set(needs) - set(colab) <= {"transformer-lens"}, "what Colab lacks costs its readers time"


@pytest.mark.network
@pytest.mark.timeout(MOST_SECONDS)
def test_an_installation_exists_that_leaves_colab_as_it_is(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", report, "-c", HERE / "colab.txt"]
    done = subprocess.run([*command, *needs_of_a_chapter()], capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]
    chosen = {normal(item["metadata"]["name"]): item["metadata"]["version"] for item in json.loads(report.read_text())["install"]}
    colab = versions_of_colab()
    assert {name: version for name, version in chosen.items() if colab.get(name, version) != version} == {}
