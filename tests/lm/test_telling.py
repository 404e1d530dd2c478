"""Stories that the model tells: sampling against the model's own forward pass."""

from __future__ import annotations

import pytest
import torch

from msae.lm import telling
from msae.lm.telling import sample_stories
from msae.lm.tokenizer import train_tokenizer
from msae.lm.transformer import KeyValueCache, Transformer, TransformerConfig
from msae.texts.copies import CopyIndex

TEXTS = ["Lily has a cat.\nShe is happy.", "Sue — “yes” — runs.", "She sees Lily."]


@pytest.fixture(scope="module")
def tiny() -> tuple:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(TEXTS, 280)
    config = TransformerConfig(d_vocab=tokenizer.get_vocab_size(), d_model=16, n_layers=2, n_heads=2, n_ctx=12)
    return Transformer(config).eval(), tokenizer


@torch.no_grad()
def test_cached_logits_are_those_of_a_whole_forward_pass(tiny):
    model, _ = tiny
    config = model.config
    tokens = torch.randint(config.d_vocab, (3, config.n_ctx), generator=torch.Generator().manual_seed(0))
    cache = KeyValueCache(config, 3)
    expected = model(tokens)
    torch.testing.assert_close(model.next_logits(tokens[:, :5], cache), expected[:, 4])
    with pytest.raises(ValueError, match="must be one token behind 5"):
        model.next_logits(tokens[:, :2], cache)
    for position in range(5, config.n_ctx):
        found = model.next_logits(tokens[:, position : position + 1], cache)
        torch.testing.assert_close(found, expected[:, position])
    with pytest.raises(ValueError, match=f"at most {config.n_ctx} with them"):
        model.next_logits(tokens[:, :1], cache)


@torch.no_grad()
def test_sampling_equals_the_slow_way(tiny, monkeypatch):
    """One token at a time with whole forward passes, the window starting anew with [BEGIN] and the later half when it is full."""
    model, _ = tiny

    def most_likely_but_end(probabilities, *_, **__):
        probabilities = probabilities.clone()
        probabilities[:, 0] = 0
        return probabilities.argmax(-1, keepdim=True)

    seen: list[int] = []

    def remember(probabilities, *_, **__):
        seen.append(int(most_likely_but_end(probabilities)))
        return most_likely_but_end(probabilities)

    monkeypatch.setattr(torch, "multinomial", remember)
    anything = torch.ones(model.config.d_vocab, dtype=torch.bool)
    told, unfinished = telling._Teller(model, anything, 1.0, 0).tell(1, 30)
    assert (told, unfinished) == ([], 1)
    window, slow = [0], []
    for _ in range(30):
        if len(window) > model.config.n_ctx:
            window = [0, *window[-(model.config.n_ctx // 2) :]]
        slow.append(int(most_likely_but_end(model(torch.tensor([window]))[:, -1].softmax(-1))))
        window.append(slow[-1])
    assert seen == slow


def test_the_same_seed_tells_the_same_stories_and_copies_are_dropped(tiny):
    model, tokenizer = tiny
    with torch.no_grad():
        model.head.weight[0] *= 0
    how = {"batch_size": 8, "max_tokens": 200, "progress": False, "temperature": 1.0}
    first = sample_stories((model, tokenizer), 6, seed=1, **how)
    again = sample_stories((model, tokenizer), 6, seed=1, **how)
    other = sample_stories((model, tokenizer), 2, seed=2, **how)
    assert first == again
    assert first.stories[:2] != other.stories
    assert len(first.stories) == 6
    assert all(story[0].isupper() or story[0] in '"“‘' for story in first.stories)
    long = [story for story in first.stories if len(story) >= 100]
    without = sample_stories((model, tokenizer), 6, seed=1, training=long, **how)
    assert long
    assert without.n_copied >= 1
    assert not any(CopyIndex(long).copied(without.stories))


@pytest.mark.parametrize("wrong", [{"n": 0}, {"temperature": 0.0}, {"batch_size": 0}, {"max_tokens": 0}])
def test_impossible_sampling_is_refused(tiny, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        sample_stories(tiny, **({"n": 1, "progress": False} | wrong))
