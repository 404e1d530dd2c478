"""The chapter on a model of one's own keeps its promise: with another name in its first cell, every other cell runs as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT
from tiny_models import tiny_gpt2, tiny_language_model

import msae

CHAPTER = ROOT / "book" / "04_using" / "01_your_own_model.ipynb"
SHORTER = {f'"n_steps": {n}': '"n_steps": 12' for n in (400, 200, 120, 40)}
FEWER = {
    "msae.load_stories(text_name)": "msae.load_stories(text_name, n=400)",
    "n_tokens=40_000": "n_tokens=3_000",
    "n_tokens=8_000": "n_tokens=1_500",
    "few_tokens = 2_000": "few_tokens = 600",
}


LETTERS = "a|e|t"
"""A pattern that is made of tokens whatever the tokenizer."""


def cells_for(name: str) -> list[tuple[str, str]]:
    """The chapter's code with another model's name, and less of everything."""
    cells = [cell for cell in json.loads(CHAPTER.read_text(encoding="utf8"))["cells"] if cell["cell_type"] == "code"]
    code = {cell["id"]: "".join(cell["source"]) for cell in cells}
    assert code["name"].count('model_name = "bundled"') == 1
    code["name"] = code["name"].replace('model_name = "bundled"', f"model_name = {name!r}")
    code["name"] = re.sub(r'^pattern = ".*?"', f'pattern = "{LETTERS}"', code["name"], flags=re.MULTILINE)
    for old, new in (SHORTER | FEWER).items():
        assert any(old in each for each in code.values()), f"the chapter has no {old} any more"
        code = {cell: each.replace(old, new) for cell, each in code.items()}
    return list(code.items())


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["GPT-2 of transformers", "one of ours"])
def test_every_cell_runs_with_another_model(kind: str, tmp_path: Path, threads: None, capsys: pytest.CaptureFixture[str]) -> None:
    stories = msae.load_stories(n=60)
    if kind == "one of ours":
        tiny_language_model(tmp_path, stories, 20, 2)
    else:
        tiny_gpt2(tmp_path, stories)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell, code in cells_for(str(tmp_path)):
        exec(compile(re.sub(r"^explorer$", "", code), cell, "exec"), names)
    said = capsys.readouterr().out
    assert "nothing to compute, read" in said
    assert "goes well here" not in said.split("huge activations")[0], "what cannot be is refused, whatever the model"
    assert (names["page"].parent / "index.html").is_file()
    assert names["again"].d_model == names["lm"].cfg.d_model
