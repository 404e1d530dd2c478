"""Activations: the right vectors in the right places, nothing of padding or [BEGIN], and a stream that can be resumed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
import torch

import msae
from msae.activations import run_to_hook
from msae.language_model import save_language_model
from msae.pretraining import train_tokenizer
from msae.transformer import Transformer, TransformerConfig

STORIES = [
    "Lily has a cat.",
    "Sue sees Lily and she is very happy today because of the cat that Lily has.",
    "",
    "She runs.",
    "Lily and Sue and Lily and Sue and Lily and Sue.",
]
HOOK = "blocks.2.hook_resid_pre"


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("lm")
    tokenizer = train_tokenizer(STORIES, 280)
    config = TransformerConfig(tokenizer.get_vocab_size(), d_model=16, n_layers=3, n_heads=2, n_ctx=16)
    save_language_model(folder, Transformer(config), tokenizer, report={}, command="")
    return msae.load_language_model(folder)


def harvest(lm, stories=STORIES, hook=HOOK, **how):
    return msae.Activations(lm, stories, hook, **({"n_ctx": 12, "progress": False, "dtype": torch.float32, "batch_size": 3} | how))


@pytest.mark.parametrize("hook", [HOOK, "blocks.1.hook_mlp_out", "blocks.2.hook_resid_post", "blocks.0.mlp.hook_post", "hook_embed"])
@torch.no_grad()
def test_each_row_is_what_the_model_computes_there(lm, hook):
    activations = harvest(lm, hook=hook)
    assert len(activations) == len(activations.position) == int(activations.mask.sum())
    _, cache = lm.run_with_cache(activations.tokens)
    text, position = activations.position.T
    torch.testing.assert_close(activations.x, cache[hook][text, position], atol=1e-5, rtol=1e-5)
    assert activations.d_model == cache[hook].shape[-1]


def test_texts_hold_all_tokens_of_the_stories_in_order(lm):
    activations = harvest(lm)
    assert (activations.tokens[:, 0] == 0).all()
    assert not activations.mask[:, 0].any()
    for i, story in enumerate(STORIES):
        rows = activations.story == i
        assert lm.tokenizer.decode(activations.tokens[rows][activations.mask[rows]]) == story
    shown = "".join(activations.str_tokens[token] for token in activations.tokens[activations.mask])
    assert shown == "".join(STORIES)
    assert activations.str_tokens[0] == "[BEGIN]"


def test_padding_changes_nothing(lm):
    """A story alone gives the same activations as beside longer ones."""
    together = harvest(lm)
    alone = harvest(lm, [STORIES[3]])
    rows = together.story[together.position[:, 0]] == 3
    torch.testing.assert_close(together.x[rows], alone.x, atol=1e-5, rtol=1e-5)


def test_the_first_position_can_be_kept(lm):
    activations = harvest(lm, skip_first=False)
    assert activations.mask[:, 0].all()
    assert len(activations) == len(harvest(lm)) + len(activations.tokens)


def test_the_scale_gives_the_mean_norm_of_the_square_root_of_d_model(lm):
    activations = harvest(lm)
    norms = (activations.x * activations.scale).norm(dim=1)
    assert norms.mean().item() == pytest.approx(16**0.5, rel=1e-5)


def test_float16_is_close(lm):
    torch.testing.assert_close(harvest(lm, dtype=torch.float16).x.float(), harvest(lm).x, atol=2e-3, rtol=2e-3)


def test_n_tokens_takes_the_first(lm):
    whole, part = harvest(lm), harvest(lm, n_tokens=17)
    assert len(part) == 17
    torch.testing.assert_close(part.x, whole.x[:17], atol=1e-5, rtol=1e-5)
    assert torch.equal(part.position, whole.position[:17])
    assert part.mask.any(1).all()


def test_a_pass_shows_every_activation_once(lm):
    activations = harvest(lm)
    n_batches = len(activations) // 5
    batches = list(islice(activations.batches(5, seed=0), n_batches))
    rows = Counter(tuple(row) for row in (activations.x * activations.scale).tolist())  # texts that start alike have equal rows
    seen = Counter(tuple(row) for batch in batches for row in batch.tolist())
    assert seen.total() == 5 * n_batches
    assert seen <= rows
    assert batches[0].dtype == torch.float32


def test_the_same_seed_gives_the_same_batches_and_skip_goes_on(lm):
    activations = harvest(lm)
    first = list(islice(activations.batches(7, seed=3), 40))
    for skip in (0, 1, len(activations) // 7, 25):
        for a, b in zip(first[skip:], activations.batches(7, seed=3, skip=skip)):
            assert torch.equal(a, b)
    assert not torch.equal(first[0], next(activations.batches(7, seed=4)))
    assert not torch.equal(first[0], first[len(activations) // 7])  # a new order in the next pass


def test_the_forward_pass_ends_at_the_hook_and_leaves_the_model_whole(lm):
    tokens = lm.to_tokens("Lily")
    before = lm(tokens)
    reached = []
    lm.blocks[2].hook_in.add_hook(lambda value, hook: reached.append(hook.name))
    run_to_hook(lm, tokens, "blocks.1.hook_resid_pre")
    assert not reached
    lm.reset_hooks()
    assert torch.equal(lm(tokens), before)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hook": "blocks.2.hook_resid_pree"}, r"no hook 'blocks\.2\.hook_resid_pree'; the nearest are blocks\.2\.hook_resid_pre"),
        ({"hook": "blocks.9.hook_resid_pre"}, r"nearest are blocks\.\d\.hook_resid_pre"),
        ({"hook": "blocks.0.attn.hook_pattern"}, "one vector per token"),
        ({"n_ctx": 17}, "between 2 and the model's 16, got 17"),
        ({"n_ctx": 1}, "between 2"),
        ({"n_tokens": 10**6}, r"between 1 and the \d+ tokens"),
        ({"n_tokens": 0}, "got 0"),
        ({"stories": []}, "no tokens"),
        ({"stories": "Lily"}, "one string"),
    ],
)
def test_wrong_input_is_refused(lm, wrong, message):
    with pytest.raises(ValueError, match=message):
        harvest(lm, **wrong)


def test_batches_that_cannot_be(lm):
    activations = harvest(lm)
    for size in (0, len(activations) + 1):
        with pytest.raises(ValueError, match=f"got {size}"):
            activations.batches(size, seed=0)
    with pytest.raises(ValueError, match="skip"):
        activations.batches(2, seed=0, skip=-1)


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "NaN or infinite"), (1e6, "too large for torch.float16")])
def test_a_bad_activation_is_named_by_text_and_position(lm, value, message):
    token = lm.to_tokens(" runs", prepend_bos=False)[0, 0]
    at = harvest(lm)
    text, position = (at.tokens == token).nonzero()[-1].tolist()
    weight = dict(lm.original_model.named_parameters())["tok_embed._original_component.weight"]
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[token, 0] = value
        with pytest.raises(ValueError, match=message) as error:
            harvest(lm, [STORIES[0], STORIES[3]], hook="hook_embed", dtype=torch.float16)
    finally:
        weight.data.copy_(kept)
    story_row = 1 if int(at.story[text]) == 3 else 0
    assert f"of story {story_row}" in str(error.value)
    assert f"position {position}," in str(error.value)
