"""Other orders and masked stories: what the tool changes is what it says it changes, and a short run of it ends in its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rivals_on_stories as tool
import torch
from toy_worlds import by_frequency, ranked_by

import msae
from msae.activations import read_texts
from msae.texts.stories import save_stories
from msae.training import run as training_run
from msae.training.run import Run

STORIES = msae.load_stories("bundled", n=40)


@pytest.fixture(scope="module")
def lm():
    return msae.load_language_model("bundled")


def test_an_order_ranks_in_the_sparse_form_as_in_the_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, sparse_step = [], training_run.sparse_step

    def watched(*given, **more):
        taken.append(sparse_step(*given, **more))
        return taken[-1]

    monkeypatch.setattr(training_run, "sparse_step", watched)
    x = torch.randn(1, 64, 8, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, *[1.0] * 7])
    config = msae.TrainConfig(128, 4.0, 10, batch_size=64, start_l0=4, lazy_adam=True)
    ranks = {}
    for form, most in (("sparse", 16.0), ("dense", 0.0)):
        run = Run(config, 8, torch.device("cpu"), sparse_up_to=most)
        with torch.no_grad(), ranked_by(by_frequency):
            run._start_sparse(x)  # as the first step does
            fires = (x[0] @ run.params["W_encT"][0].T + run.params["b_enc"][0] > 0).float().mean(0)
            run.step(x)
        ranks[form] = run.rank_SN[0]
        assert ranks[form].tolist() == fires.argsort(descending=True, stable=True).argsort().tolist()
        power = Run(config, 8, torch.device("cpu"), sparse_up_to=most)
        power.step(x)
        assert power.rank_SN[0].tolist() != ranks[form].tolist(), "outside the block the power ranks again"
    assert ranks["sparse"].equal(ranks["dense"])
    assert any(seen is not None for seen in taken), "the sparse form was never taken: this asks nothing"


def test_masked_stories_have_other_tokens_at_the_share_asked_for_and_nothing_else(lm) -> None:
    read = read_texts(lm, STORIES, 32)
    rows = tool.masked(lm, STORIES, 32)
    again = read_texts(lm, rows, 32)
    assert again.mask.equal(read.mask)
    assert again.tokens[~read.mask].equal(read.tokens[~read.mask])
    differs = (again.tokens != read.tokens)[read.mask]
    assert abs(differs.float().mean() - tool.MASKED) < 0.02
    assert not set(again.tokens[read.mask].tolist()) & set(lm.tokenizer.all_special_ids)
    assert all((one == other).all() for one, other in zip(rows, tool.masked(lm, STORIES, 32), strict=True)), "drawn once for all"


def test_a_short_run_ends_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_stories(STORIES, tmp_path / "stories.jsonl")
    family = msae.load_family("architectures", stories=str(tmp_path / "stories.jsonl"))
    kinds = ("matryoshka by reach", "matryoshka, masked")
    monkeypatch.setattr(tool, "SEEDS", (0,))
    monkeypatch.setattr(tool, "N_TOKENS", 300)
    for _ in range(2):  # the second finds all there
        tool.train_missing(family, tmp_path / "out", tmp_path / "family", length=0.002, only=kinds)
    tool.write_asset(family, tmp_path / "out", tmp_path / "table.json")
    table = json.loads((tmp_path / "table.json").read_text())
    assert [row["kind"] for row in table["rows"]] == list(kinds)
    for row in table["rows"]:
        assert set(row["holes"]) == {"S1-seed0", "S2-seed0", "S3-seed0"}
        assert row["holes"]["S2-seed0"] == row["beside"]["S2-seed0"]["holes 0.25"]
        assert set(row["beside"]) == {"S2-seed0"}
        assert set(row["beside"]["S2-seed0"]) == set(tool.PAIR)
        assert row["fvu"] > 0
