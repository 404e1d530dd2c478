"""What a bundle answers about a latent, against plain NumPy over the dense activations; none of it asks for the format of its files."""

from __future__ import annotations

import numpy as np
import pytest

from msae.explore import Explorer
from msae.firings import Firings

G = np.random.default_rng(3)
TOKENS = G.integers(0, 6, (12, 9))
WORDS = ["Lily", " sat", " she", ".", " the", " cat"]
ACTS = (G.random((12, 9, 5)) * (G.random((12, 9, 5)) < 0.3)).astype(np.float32)
DIRECTIONS, UNEMBED = G.normal(size=(5, 4)).astype(np.float32), G.normal(size=(4, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer({"S": Firings.of_dense(ACTS)}, TOKENS, WORDS, directions={"S": DIRECTIONS}, unembed=UNEMBED, n_neighbours=4)


@pytest.mark.parametrize("latent", range(5))
def test_top_tokens_are_those_with_the_largest_sum(explorer, latent):
    found = explorer.bundle().top_tokens(f"S/{latent}")
    sums = {token: ACTS[..., latent][token == TOKENS].sum() for token in range(6)}
    assert [each.token for each in found] == sorted((t for t in sums if sums[t]), key=lambda token: -sums[token])
    for each in found:
        values = ACTS[..., latent][each.token == TOKENS]
        assert (each.n_firing, each.n) == ((values > 0).sum(), len(values))
        assert (each.mean, each.max) == pytest.approx((values[values > 0].mean(), values.max()), rel=1e-3)


@pytest.mark.parametrize("latent", range(5))
def test_neighbours_are_nearest_first(explorer, latent):
    fires = ACTS.reshape(-1, 5) > 0
    unit = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    expected = {
        "cosine": {f"S/{k}": unit[k] @ unit[latent] for k in range(5) if k != latent},
        "cofiring": {
            f"S/{k}": (fires[:, k] & fires[:, latent]).sum() / (fires[:, k] | fires[:, latent]).sum() for k in range(5) if k != latent
        },
    }
    for by, near in expected.items():
        found = explorer.bundle().neighbours(f"S/{latent}", by)
        assert found == sorted(found, key=lambda pair: -pair[1])
        assert dict(found) == pytest.approx({name: near[name] for name, _ in found}, abs=1e-3)
        assert {name for name, share in near.items() if share > 0.11} <= {name for name, _ in found}


@pytest.mark.parametrize("latent", range(5))
def test_effects_are_those_on_the_logits_less_their_mean(explorer, latent):
    push = DIRECTIONS[latent] @ UNEMBED
    found = explorer.bundle().effects(f"S/{latent}")
    assert dict(found) == pytest.approx(dict(zip(WORDS, push - push.mean())), rel=1e-3, abs=1e-4)
    assert found[0][1] == max(effect for _, effect in found)


def test_what_was_not_looked_for_is_an_empty_answer():
    bundle = Explorer({"S": Firings.of_dense(ACTS)}, TOKENS, WORDS, n_neighbours=0).bundle()
    assert bundle.neighbours("S/0") == bundle.effects("S/0") == []


def test_a_page_holds_a_sample_and_windows(explorer):
    page = explorer.page()
    assert page.n_sample <= len(page.number)
    assert (np.diff(page.number[: page.n_sample]) > 0).all()
    for k, (text, first) in enumerate(zip(page.number, page.first)):
        part = page.tokens[page.starts[k] : page.starts[k + 1]]
        assert page.vocab_ids[part].tolist() == TOKENS[text, first : first + len(part)].tolist()
