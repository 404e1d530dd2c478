"""An SAE spliced into a model with its error, against the stream put together by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import STORIES, tiny_gpt2, tiny_language_model

import msae
from msae.activations.hooks import run_to_hook
from msae.activations.rows import Texts, read_texts
from msae.interventions import Change, ablate, add_noise, clamp, each_alone, effect, next_token, responses, spliced, steer, without

KINDS = [msae.ReLU(), msae.TopK(2), msae.JumpReLU()]


def an_sae(d_model: int, hook: str, kind: Any = None, seed: int = 1) -> msae.SAE:
    sae = msae.SAE(d_model, 6, nonlinearity=kind, hook_name=hook, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        sae.b_enc += 0.3
        sae.b_dec += 0.2
        if sae.threshold is not None:
            sae.threshold += 0.1
    return sae


@pytest.fixture(scope="module", params=["without layer norm", "GPT-2"])
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two models with random weights, of two architectures."""
    folder: Path = tmp_path_factory.mktemp("lm")
    if request.param == "GPT-2":
        return msae.load_language_model(tiny_gpt2(folder, STORIES))
    return tiny_language_model(folder, STORIES, d_model=8, n_layers=3)


@pytest.fixture(params=KINDS, ids=lambda kind: type(kind).__name__)
def sae(request: pytest.FixtureRequest, lm: Any) -> msae.SAE:
    return an_sae(lm.cfg.d_model, "blocks.1.hook_resid_pre", request.param)


@pytest.fixture
def texts(lm: Any) -> Texts:
    return read_texts(lm, STORIES, n_ctx=12)


@torch.no_grad()
def logits_of(lm: Any, sae: msae.SAE, tokens: torch.Tensor, new: Any) -> torch.Tensor:
    """With x̂(z') + (x − x̂(z)) in the stream, the reconstructions written out, and [BEGIN] as it is."""
    x = run_to_hook(lm, tokens, str(sae.hook_name))
    acts = sae.encode(x)
    changed = sae.decode(new(acts.clone())) + (x - sae.decode(acts))
    changed[:, 0] = x[:, 0]
    return lm.run_with_hooks(tokens, return_type="logits", fwd_hooks=[(sae.hook_name, lambda value, hook: changed)])


def test_a_change_that_changes_nothing_leaves_the_logits(lm: Any, sae: msae.SAE, texts: Texts) -> None:
    expected = lm(texts.tokens, return_type="logits")
    with spliced(lm, sae, Change(tuple(range(6)), lambda acts: acts)):
        torch.testing.assert_close(lm(texts.tokens, return_type="logits"), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits_of(lm, sae, texts.tokens, lambda acts: acts), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_nothing_changes_the_bundled_model_where_nothing_is_changed() -> None:
    lm, sae = msae.load_language_model("bundled"), msae.load_saes(["S/2"])["S/2"]
    tokens = read_texts(lm, ["Once upon a time there was a girl named Lily. She had a red ball."], n_ctx=24).tokens
    expected = lm(tokens, return_type="logits")
    every = tuple(range(sae.n_latents))
    for change in (Change(every, lambda acts: acts), steer(every, 0.0), add_noise(every, 0.0)):
        with spliced(lm, sae, change):
            torch.testing.assert_close(lm(tokens, return_type="logits"), expected, rtol=0, atol=1e-5)
    with spliced(lm, sae, clamp([66], 5.0)):
        assert (lm(tokens, return_type="logits") - expected).abs().max() > 0.1


def column(values: Any) -> Any:
    """New activations of latents 4 and 1, the others as they are."""

    def of(acts: torch.Tensor) -> torch.Tensor:
        for latent in (4, 1):
            acts[..., latent] = values(acts[..., latent])
        return acts

    return of


CHANGES = {
    "ablate": (lambda: ablate([4, 1]), column(torch.zeros_like)),
    "clamp": (lambda: clamp([4, 1], 1.5), column(lambda z: 0 * z + 1.5)),
    "clamp where active": (lambda: clamp([4, 1], 1.5, only_active=True), column(lambda z: 1.5 * (z > 0))),
    "steer": (lambda: steer([4, 1], -0.7), column(lambda z: z - 0.7)),
}


@pytest.mark.parametrize(("change", "by_hand"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_the_one_made_by_hand(lm: Any, sae: msae.SAE, texts: Texts, change: Any, by_hand: Any) -> None:
    with spliced(lm, sae, change()):
        got = lm(texts.tokens, return_type="logits")
    torch.testing.assert_close(got, logits_of(lm, sae, texts.tokens, by_hand), rtol=1e-4, atol=1e-5)
    assert (got - lm(texts.tokens, return_type="logits")).abs().max() > 1e-4, "something changed"


def test_without_is_an_ablation(lm: Any, sae: msae.SAE, texts: Texts) -> None:
    with without(lm, sae, [4, 1]):
        expected = next_token(lm, texts)
    with spliced(lm, sae, ablate([4, 1])):
        torch.testing.assert_close(next_token(lm, texts), expected, rtol=0, atol=0, equal_nan=True)


def test_noise_has_its_size_and_its_seed() -> None:
    acts = torch.ones(4000, 2)
    draws = [add_noise([3, 0], 0.5, generator=torch.Generator().manual_seed(seed)).of(acts) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], add_noise([3, 0], 0.5).of(acts))
    torch.testing.assert_close(draws[0].mean(0), torch.ones(2), rtol=0, atol=0.05)
    torch.testing.assert_close(draws[0].std(0), torch.full((2,), 0.5), rtol=0, atol=0.03)
    assert abs(float(torch.corrcoef((draws[0] - acts).T)[0, 1])) < 0.06


def test_the_effect_is_the_kl_and_the_logits_of_both_predictions(lm: Any, sae: msae.SAE, texts: Texts) -> None:
    found = effect(lm, sae, steer([4, 1], -0.7), texts=texts, tokens=[7, 3], batch_size=4)
    before, after = lm(texts.tokens, return_type="logits"), logits_of(lm, sae, texts.tokens, CHANGES["steer"][1])
    kl = torch.nn.functional.kl_div(after.log_softmax(-1), before.log_softmax(-1), reduction="none", log_target=True).sum(-1)
    inside = texts.mask.clone()
    torch.testing.assert_close(found.kl[inside], kl[:, :-1][inside[:, 1:]], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found.logits[inside], (after - before)[..., [7, 3]][:, :-1][inside[:, 1:]], rtol=1e-3, atol=1e-5)
    assert found.kl[~inside].isnan().all()
    assert found.logits[~inside].isnan().all()


def test_other_latents_respond_here_and_further_down(lm: Any, sae: msae.SAE, texts: Texts) -> None:
    """The changed stream read by hand, at the same hook and one layer on."""
    later = an_sae(lm.cfg.d_model, "blocks.2.hook_resid_pre", seed=2)
    for reader in (None, later):
        read = sae if reader is None else reader
        found = responses(lm, sae, clamp([4, 1], 1.5), texts=texts, reader=reader, batch_size=4)
        x = run_to_hook(lm, texts.tokens, "blocks.1.hook_resid_pre")
        acts = sae.encode(x)
        more = (CHANGES["clamp"][1](acts.clone()) - acts) @ sae.W_dec
        more[:, 0] = 0
        streams = [run_to_hook(lm, texts.tokens, str(read.hook_name)), x + more]
        if reader is not None:
            kept = {}

            def change(value: Any, hook: Any, new: Any = streams[1]) -> Any:
                return new

            def keep(value: Any, hook: Any, kept: Any = kept) -> None:
                kept["x"] = value

            lm.run_with_hooks(texts.tokens, fwd_hooks=[("blocks.1.hook_resid_pre", change), (read.hook_name, keep)])
            streams[1] = kept["x"]
        for got, stream in zip(found, streams):
            torch.testing.assert_close(got.float(), read.encode(stream)[texts.mask].mean(0), rtol=1e-3, atol=1e-5)
        assert (found.after - found.before).abs().max() > 1e-4


@torch.no_grad()
def test_each_latent_alone_is_taken_out_at_the_last_token(lm: Any, sae: msae.SAE, texts: Texts) -> None:
    row = texts.tokens[0, :7]
    found = each_alone(lm, sae, row, batch_size=2)
    x = run_to_hook(lm, row[None], "blocks.1.hook_resid_pre")
    acts = sae.encode(x[0, -1])
    assert sorted(found.latents.tolist()) == acts.nonzero().flatten().tolist()
    torch.testing.assert_close(found.acts, acts.detach().sort(descending=True).values[: len(found.acts)])
    before = lm(row[None], return_type="logits")[0, -1].log_softmax(-1)
    for latent, kl, log_p in zip(found.latents.tolist(), found.kl, found.log_p):
        changed = x.clone()
        changed[0, -1] -= acts[latent] * sae.W_dec[latent]
        hooks = [("blocks.1.hook_resid_pre", lambda value, hook, changed=changed: changed)]
        after = lm.run_with_hooks(row[None], return_type="logits", fwd_hooks=hooks)[0, -1].log_softmax(-1)
        assert float(kl) == pytest.approx(float((before.exp() * (before - after)).sum()), rel=1e-2, abs=1e-6)
        assert float(log_p) == pytest.approx(float((after - before)[before.argmax()]), rel=1e-2, abs=1e-6)


def test_no_latent_fires_and_none_is_taken_out(lm: Any) -> None:
    silent = an_sae(lm.cfg.d_model, "blocks.1.hook_resid_pre")
    with torch.no_grad():
        silent.b_enc -= 1000
    assert [len(each) for each in each_alone(lm, silent, torch.tensor([0, 5]))] == [0, 0, 0, 0]
