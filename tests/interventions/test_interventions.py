"""A model without some latents, against what a person would do: keep the stream, change it by hand, and let the model go on from there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from tiny_models import STORIES, tiny_language_model

import msae
from msae.activations.hooks import run_to_hook
from msae.activations.rows import read_texts
from msae.interventions import continuations, continued, next_token, without

HOOK = "blocks.1.hook_resid_pre"
LATENTS = [3, 0]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_language_model(tmp_path_factory.mktemp("lm"), STORIES, d_model=8, n_layers=2)


@pytest.fixture(scope="module", params=[msae.ReLU(), msae.TopK(2)], ids=lambda kind: type(kind).__name__)
def sae(request: pytest.FixtureRequest) -> msae.SAE:
    sae = msae.SAE(8, 6, nonlinearity=request.param, hook_name=HOOK, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        sae.b_enc += 0.3
    return sae


def by_hand(lm: Any, sae: msae.SAE, tokens: torch.Tensor, latents: list[int]) -> torch.Tensor:
    """(n_texts, n_ctx - 1) log p of what comes next, one place at a time."""
    x = run_to_hook(lm, tokens, HOOK)
    for text in range(len(x)):
        for place in range(1, x.shape[1]):
            acts = sae.encode(x[text, place])
            for latent in latents:
                x[text, place] -= acts[latent] * sae.W_dec[latent]
    logits = lm.run_with_hooks(tokens, return_type="logits", fwd_hooks=[(HOOK, lambda value, hook: x)])
    rows = [[logits[i, t].log_softmax(-1)[tokens[i, t + 1]] for t in range(tokens.shape[1] - 1)] for i in range(len(tokens))]
    return torch.tensor(rows)


@torch.no_grad()
def test_the_prediction_without_latents_is_the_one_made_by_hand(lm: Any, sae: msae.SAE) -> None:
    texts = read_texts(lm, STORIES, n_ctx=12)
    with without(lm, sae, LATENTS):
        got = next_token(lm, texts, batch_size=2)
    expected = by_hand(lm, sae, texts.tokens, LATENTS)
    assert got.shape == texts.tokens.shape
    torch.testing.assert_close(got[:, 1:][texts.mask[:, 1:]], expected[texts.mask[:, 1:]], rtol=1e-4, atol=1e-5)
    assert got[~texts.mask].isnan().all()
    assert (got - next_token(lm, texts)).nan_to_num().abs().max() > 1e-3, "something changed"


def test_the_model_is_as_before_when_it_is_over(lm: Any, sae: msae.SAE) -> None:
    texts = read_texts(lm, STORIES, n_ctx=12)
    before = next_token(lm, texts)
    with pytest.raises(RuntimeError, match="inside"), without(lm, sae, LATENTS):
        raise RuntimeError("inside")
    torch.testing.assert_close(next_token(lm, texts), before, rtol=0, atol=0, equal_nan=True)


def test_without_silent_latents_nothing_changes(lm: Any) -> None:
    sae = msae.SAE(8, 4, hook_name=HOOK)
    with torch.no_grad():
        sae.b_enc -= 100
    texts = read_texts(lm, STORIES, n_ctx=12)
    before = next_token(lm, texts)
    with without(lm, sae, [0, 1, 2, 3]):
        torch.testing.assert_close(next_token(lm, texts), before, rtol=0, atol=0, equal_nan=True)


def test_other_rows_are_taken_out_as_strongly_as_the_latents_fire(lm: Any, sae: msae.SAE) -> None:
    """Exchanged rows: a fixed SAE whose decoder has them says the same."""
    rows = torch.randn(2, 8, generator=torch.Generator().manual_seed(3))
    other = msae.SAE(8, 6, nonlinearity=sae.nonlinearity, hook_name=HOOK)
    other.load_state_dict(sae.state_dict())
    with torch.no_grad():
        other.W_dec[LATENTS] = rows
    texts = read_texts(lm, STORIES, n_ctx=12)
    with without(lm, sae, LATENTS, rows=rows):
        got = next_token(lm, texts)
    with without(lm, other, LATENTS):
        torch.testing.assert_close(got, next_token(lm, texts), equal_nan=True)


@torch.no_grad()
def test_the_likeliest_token_goes_on(lm: Any) -> None:
    start = "Once upon a time"
    tokens = read_texts(lm, [start], n_ctx=16).tokens[:1]
    tokens = tokens[:, : 1 + len(lm.tokenizer.encode(start, add_special_tokens=False))]
    for _ in range(3):
        tokens = torch.cat([tokens, lm(tokens, return_type="logits")[:, -1:].argmax(-1)], dim=1)
    assert continued(lm, start, 3) == lm.tokenizer.decode(tokens[0, 1:].tolist())


def test_one_seed_writes_alike_and_another_does_not(lm: Any) -> None:
    once = [continued(lm, "Lily", 8, seed=seed) for seed in (0, 0, 1)]
    assert once[0] == once[1] != once[2]


def test_many_stories_at_once_are_told_as_one_by_one() -> None:
    lm, start, seeds = msae.load_language_model(), "They went home. They were very happy.", range(12)
    told = continuations(lm, start, 12, seeds=seeds, temperature=1.0)
    assert len(told) == len(seeds)
    over = (told[:, 1:] == told[0, 0]).int()
    assert over.any(), "some of these stories end"
    assert not over.all(1).any()
    assert (over.diff(dim=1) >= 0).all(), "behind the end of a story nothing is told"
    for row, seed in zip(told, seeds, strict=True):
        words = [int(token) for token in row[1:] if token != told[0, 0]]
        assert lm.tokenizer.decode(words) == continued(lm, start, 12, seed=seed, temperature=1.0)


def test_draws_follow_the_models_probabilities(lm: Any) -> None:
    """Gumbel noise: over many seeds each token comes as often as the softmax says."""
    start = "Lily"
    tokens = read_texts(lm, [start], n_ctx=16)
    length = int(tokens.mask.any(0).nonzero().max()) + 1
    with torch.no_grad():
        p = lm(tokens.tokens[:1, :length], return_type="logits")[0, -1].softmax(-1)
    expected: Counter[str] = Counter()
    for token, mass in enumerate(p.tolist()):  # tokens that are written alike, such as the ends of a story, are one
        expected[start + lm.tokenizer.decode([token])] += mass
    drawn = Counter(continued(lm, start, 1, seed=seed, temperature=1.0) for seed in range(200))
    for text, mass in expected.most_common(3):
        assert drawn[text] / 200 == pytest.approx(mass, abs=4 * (mass / 200) ** 0.5)
