"""Parts of a stream taken over from another prompt, against the stream put together by hand, pair by pair and place by place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import STORIES, tiny_gpt2, tiny_language_model

import msae
from msae.activations.hooks import run_to_hook
from msae.interventions import (
    Decomposition,
    Pairs,
    Restored,
    attribution,
    into_directions,
    into_latents,
    logit_differences,
    patched,
    prompt_pairs,
    restored,
)

HOOK = "blocks.1.hook_resid_pre"
LENGTHS = (13, 9, 5)


@pytest.fixture(scope="module", params=["without layer norm", "GPT-2"])
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("lm")
    if request.param == "GPT-2":
        return msae.load_language_model(tiny_gpt2(folder, STORIES))
    return tiny_language_model(folder, STORIES * 3, d_model=8, n_layers=3)


@pytest.fixture(scope="module")
def pairs(lm: Any) -> Pairs:
    """Of any tokens, of different lengths; each differs from its counterfactual in two of them."""
    generator = torch.Generator().manual_seed(0)
    clean, answers = (torch.randint(5, 250, shape, generator=generator) for shape in ((3, 14), (3, 2)))
    clean[:, 0] = lm.tokenizer.bos_token_id
    other = clean.clone()
    other[:, [2, 4]] += 7
    for row, length in enumerate(LENGTHS):
        clean[row, length + 1 :] = other[row, length + 1 :] = lm.tokenizer.bos_token_id
    return Pairs(clean, other, answers, torch.tensor(LENGTHS))


def an_sae(d_model: int, kind: Any = None) -> msae.SAE:
    sae = msae.SAE(d_model, 2 * d_model, nonlinearity=kind, hook_name=HOOK, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        sae.b_enc += 0.2
        sae.b_dec += 0.3
    return sae


def directions(d_model: int, n: int | None = None) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(d_model, d_model, generator=torch.Generator().manual_seed(2)))[0].T[:n]


def decompositions(lm: Any) -> dict[str, tuple[Decomposition, Any]]:
    """Each with what it reads of one vector, written out."""
    sae, rows = an_sae(lm.cfg.d_model), directions(lm.cfg.d_model)
    few = an_sae(lm.cfg.d_model, msae.TopK(3))
    return {
        "latents": (into_latents(sae), lambda x: torch.relu((x) @ sae.W_enc + sae.b_enc)),
        "top k": (into_latents(few), few.encode),
        "directions": (into_directions(rows, HOOK), lambda x: torch.stack([row @ x for row in rows])),
    }


@torch.no_grad()
def by_hand(
    lm: Any, pairs: Pairs, into: Decomposition, read: Any, which: list[int], error: bool = False, places: Any = None
) -> list[float]:
    """One pair at a time, without the filling behind it."""
    found = []
    for clean, other, (right, wrong), at in zip(*pairs, strict=True):
        clean, other = clean[None, : at + 1], other[None, : at + 1]
        x, theirs = run_to_hook(lm, clean, into.hook_name).clone(), run_to_hook(lm, other, into.hook_name)
        for place in range(x.shape[1]):
            if places is not None and not places[len(found), place]:
                continue
            mine, a, b = x[0, place].clone(), read(x[0, place]), read(theirs[0, place])
            for part in which:
                x[0, place] += (b[part] - a[part]) * into.rows[part]
            if error:
                x[0, place] += (theirs[0, place] - b @ into.rows) - (mine - a @ into.rows)
        logits = lm.run_with_hooks(clean, return_type="logits", fwd_hooks=[(into.hook_name, lambda value, hook, x=x: x)])[0, -1]
        found.append(float(logits[right] - logits[wrong]))
    return found


def test_pairs_hold_the_tokens_behind_begin_and_are_filled_up(lm: Any) -> None:
    clean, other = ["xyz ran", "q"], ["xzy ran", "v"]
    found = prompt_pairs(lm, clean, other, answers=[("k", "j"), ("j", "k")])
    assert found.clean.shape == found.other.shape
    for texts, rows in ((clean, found.clean), (other, found.other)):
        for text, row, at in zip(texts, rows.tolist(), found.at.tolist(), strict=True):
            ids = lm.tokenizer.encode(text, add_special_tokens=False)
            assert row == [lm.tokenizer.bos_token_id, *ids, *[lm.tokenizer.bos_token_id] * (len(row) - 1 - len(ids))]
            assert at == len(ids)
    assert len(set(found.at.tolist())) == 2
    assert [lm.tokenizer.decode([token]) for token in found.answers.flatten().tolist()] == ["k", "j", "j", "k"]


@pytest.mark.parametrize("name", ["latents", "top k", "directions"])
@pytest.mark.parametrize("error", [False, True])
def test_some_parts_are_the_ones_taken_over_by_hand(lm: Any, pairs: Pairs, name: str, error: bool) -> None:
    into, read = decompositions(lm)[name]
    places = torch.rand(pairs.clean.shape, generator=torch.Generator().manual_seed(4)) < 0.6
    for which in ([], [3], [5, 0, 2], list(range(len(into.rows)))):
        for where in (None, places):
            got = patched(lm, pairs, into, which=which, error=error, places=where, batch_size=2)
            torch.testing.assert_close(got, torch.tensor(by_hand(lm, pairs, into, read, which, error, where)), rtol=1e-4, atol=1e-5)


def test_no_parts_are_the_prompt_and_all_with_the_error_the_counterfactual(lm: Any, pairs: Pairs) -> None:
    clean, other = logit_differences(lm, pairs, batch_size=2).T
    torch.testing.assert_close(clean, torch.tensor(by_hand(lm, pairs, *decompositions(lm)["directions"], which=[])), rtol=0, atol=1e-5)
    for into, _ in decompositions(lm).values():
        torch.testing.assert_close(patched(lm, pairs, into, which=[]), clean, rtol=0, atol=1e-5)
        torch.testing.assert_close(patched(lm, pairs, into, error=True), other, rtol=1e-4, atol=1e-5)
    into = into_directions(directions(lm.cfg.d_model), HOOK)
    torch.testing.assert_close(patched(lm, pairs, into), other, rtol=1e-4, atol=1e-5)
    few = into_directions(directions(lm.cfg.d_model, 3), HOOK)
    assert (patched(lm, pairs, few) - other).abs().max() > 1e-4, "the rest is the error"


def test_one_latent_adds_its_change_along_its_row(lm: Any, pairs: Pairs) -> None:
    """x + (z' − z) d, for all places of a pair at once, in one line of algebra."""
    sae = an_sae(lm.cfg.d_model)
    x, theirs = (run_to_hook(lm, tokens, HOOK) for tokens in (pairs.clean, pairs.other))
    with torch.no_grad():
        change = (sae.encode(theirs) - sae.encode(x))[..., 4, None] * sae.W_dec[4]
        logits = lm.run_with_hooks(pairs.clean, return_type="logits", fwd_hooks=[(HOOK, lambda value, hook: x + change)])
    at = logits[torch.arange(len(pairs.at)), pairs.at]
    expected = (at.gather(1, pairs.answers) * torch.tensor([1.0, -1.0])).sum(1)
    assert change.abs().max() > 1e-3
    torch.testing.assert_close(patched(lm, pairs, into_latents(sae), which=[4]), expected, rtol=1e-4, atol=1e-5)


def test_attribution_is_the_derivative_of_taking_over_a_little(lm: Any, pairs: Pairs) -> None:
    """Of a thousandth of each part alone, by difference quotient in both directions."""
    places = torch.rand(pairs.clean.shape, generator=torch.Generator().manual_seed(4)) < 0.7
    lm = lm.to(torch.float64)
    try:
        sae = an_sae(lm.cfg.d_model).to(torch.float64)
        for where in (None, places):
            into = into_latents(sae)
            got = attribution(lm, pairs, into, places=where, batch_size=2)
            assert got.abs().max() > 1e-3
            x, theirs = (run_to_hook(lm, tokens, HOOK) for tokens in (pairs.clean, pairs.other))
            change = into.read(theirs) - into.read(x)
            if where is not None:
                change = change * where[..., None]
            for part in range(0, len(into.rows), 3):
                ends = []
                for little in (1e-3, -1e-3):
                    moved = x + little * change[..., part, None] * into.rows[part]
                    with torch.no_grad():
                        logits = lm.run_with_hooks(
                            pairs.clean, return_type="logits", fwd_hooks=[(HOOK, lambda value, hook, moved=moved: moved)]
                        )
                    at = logits[torch.arange(len(pairs.at)), pairs.at].gather(1, pairs.answers)
                    ends.append(float((at[:, 0] - at[:, 1]).mean()))
                assert float(got[part]) == pytest.approx(-(ends[0] - ends[1]) / 2e-3, abs=1e-5)
    finally:
        lm.to(torch.float32)


def test_the_share_is_of_the_way_to_the_counterfactual(lm: Any, pairs: Pairs) -> None:
    into, _ = decompositions(lm)["directions"]
    n = len(into.rows)
    found = restored(lm, pairs, into, order=range(n), sizes=[0, 2, n], batch_size=2)
    for size, row in zip(found.sizes, found.patched, strict=True):
        torch.testing.assert_close(row, patched(lm, pairs, into, which=list(range(size))), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.stack([found.clean, found.other], dim=1), logit_differences(lm, pairs))
    shares = [share.value for share in found.shares()]
    clean, other, half = found.clean.sum(), found.other.sum(), found.patched[1].sum()
    assert shares == pytest.approx([0, float((clean - half) / (clean - other)), 1], abs=1e-3)


def test_pairs_of_a_group_are_drawn_together() -> None:
    """Four pairs of two groups that do not differ within: as if they were two pairs."""
    clean, now = torch.tensor([2.0, 2.0, 4.0, 4.0]), torch.tensor([[1.0, 1.0, 4.0, 4.0]])
    four = Restored((1,), clean, -clean, now).shares([0, 0, 1, 1])[0]
    two = Restored((1,), clean[::2], -clean[::2], now[:, ::2]).shares()[0]
    assert tuple(four) == pytest.approx(tuple(two))
    assert four.value == pytest.approx(2 / 24)


def test_the_bundled_model_says_her_after_lily() -> None:
    lm, sae = msae.load_language_model("bundled"), msae.load_saes(["S/2"])["S/2"]
    clean, other = ["One day, Lily lost", "Little Tim was tired, so"], ["One day, Tim lost", "Little Lily was tired, so"]
    pairs = prompt_pairs(lm, clean, other, answers=[(" her", " his"), (" he", " she")])
    differences = logit_differences(lm, pairs).numpy()
    assert (np.sign(differences) == [1, -1]).all()
    assert attribution(lm, pairs, into_latents(sae)).argmax() == 66, "the latent for female words"
