"""What activations are made from: rows of tokens that carry what we add, and caches and streams of a model that was changed."""

from __future__ import annotations

import copy
import functools
import json
import random

import numpy as np
import pytest
import torch
from interruptions import After, full_disk, interrupt, press
from tiny_models import tiny_language_model

import msae
from msae.activations import harvesting
from msae.activations.rows import read_texts
from msae.lm.origin import model_origin

STORIES = ["Lily has a cat.", "Sue sees Lily and she is very happy today because of the cat that Lily has.", "She runs."]
HOOK = "blocks.2.hook_resid_pre"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm")
    tiny_language_model(path, STORIES, d_model=16, n_layers=3)
    return path


@pytest.fixture
def lm(folder):
    return msae.load_language_model(folder)


def harvest(lm, stories=STORIES, **how):
    return msae.Activations(lm, stories, HOOK, **({"n_ctx": 12, "progress": False, "dtype": torch.float32} | how))


# --- rows of tokens ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tensor", "int32", "array", "lists", "rows", "texts"])
@pytest.mark.parametrize("source", ["Activations", "to_tokens", "left"])
def test_rows_that_carry_begin_and_padding_give_what_their_text_gives(lm, source, kind):
    short = [STORIES[0], STORIES[2]]  # rows of to_tokens are not cut
    expected = harvest(lm, short)
    rows = {
        "Activations": lambda: expected.tokens,
        "to_tokens": lambda: lm.to_tokens(short),
        "left": lambda: lm.to_tokens(short, padding_side="left"),
    }[source]()
    given = {
        "tensor": lambda: rows,
        "int32": lambda: rows.int(),
        "array": lambda: rows.numpy().astype(np.uint16),
        "lists": lambda: rows.tolist(),
        "rows": lambda: list(rows),
        "texts": lambda: [lm.tokenizer.decode(row) for row in rows],
    }[kind]()
    found = harvest(lm, given)
    assert len(found) == len(expected) > 0
    assert torch.equal(found.tokens[found.mask], expected.tokens[expected.mask])
    torch.testing.assert_close(found.x, expected.x)


def test_rows_of_the_articles_model(lm):
    """[BEGIN], a story, [END], and [PAD] to the end, with tokens of their own for all three."""
    lm.tokenizer = copy.deepcopy(lm.tokenizer)
    end, pad = lm.cfg.d_vocab - 1, lm.cfg.d_vocab - 2
    lm.tokenizer.eos_token_id, lm.tokenizer.pad_token_id = end, pad
    stories = [[7, 8, 9], list(range(10, 21)), [30]]
    rows = torch.tensor([[0, *story, end, *[pad] * (11 - len(story))][:12] for story in stories])
    found = harvest(lm, rows)
    assert [found.tokens[found.story == i][found.mask[found.story == i]].tolist() for i in range(3)] == stories


def test_a_padding_token_beyond_the_models_is_left_out_and_another_refused(lm):
    lm.tokenizer = copy.deepcopy(lm.tokenizer)
    lm.tokenizer.add_special_tokens({"pad_token": "<pad>"})
    assert lm.tokenizer.pad_token_id == lm.cfg.d_vocab
    assert len(harvest(lm, lm.to_tokens([STORIES[0], STORIES[2]]))) == len(harvest(lm, [STORIES[0], STORIES[2]]))
    with pytest.raises(ValueError, match=rf"stories\[1\] holds the token {lm.cfg.d_vocab}"):
        harvest(lm, ["Lily", "Lily <pad> Sue"])


def test_a_text_keeps_what_its_tokenizer_pads_with(lm):
    lm.tokenizer = copy.deepcopy(lm.tokenizer)
    lm.tokenizer.pad_token = "."
    found = harvest(lm, ["..Lily.."])
    assert lm.tokenizer.decode(found.tokens[found.mask]) == "..Lily.."


def test_a_begin_within_a_row_stays(lm):
    found = harvest(lm, [[0, 7, 0, 8, 0]])
    assert found.tokens[found.mask].tolist() == [7, 0, 8]


def test_a_tokenizer_that_adds_an_end_changes_nothing(lm):
    from tokenizers import processors

    expected = harvest(lm)
    lm.tokenizer = copy.deepcopy(lm.tokenizer)
    lm.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[BEGIN] $A [BEGIN]", special_tokens=[("[BEGIN]", 0)]
    )
    assert lm.tokenizer("Lily")["input_ids"][-1] == 0
    for side in ("left", "right"):
        lm.tokenizer.padding_side = side
        assert torch.equal(harvest(lm).x, expected.x)


def test_no_token_that_begins_a_text(lm):
    lm.tokenizer = copy.deepcopy(lm.tokenizer)
    lm.tokenizer.bos_token = None
    with pytest.raises(ValueError, match=r"bos_token_id is None.*tokenizer\.bos_token = tokenizer\.eos_token"):
        harvest(lm)
    lm.tokenizer.bos_token = lm.tokenizer.eos_token
    assert len(harvest(lm))
    lm.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer"):
        harvest(lm)


# --- what a cache rests on -----------------------------------------------------------------------------------------------------------

FACTOR = 2


class Halved:
    def __call__(self, value, hook):
        return value / 2


class Doubled:
    def at(self, value, hook):
        return value * 2


def global_factor(value, hook):
    return value * FACTOR


def add(value, hook, what):
    return value + what


def write_in_place(value, hook):
    value *= 2


def first_layer(lm):
    return lm.blocks[0].mlp.original_component


CHANGES = {
    "a hook": lambda lm: lm.add_hook("blocks.1.hook_resid_pre", lambda value, hook: value * 2),
    "a permanent hook": lambda lm: lm.add_perma_hook("blocks.1.hook_resid_pre", lambda value, hook: value * 2),
    "a hook that writes in place": lambda lm: lm.add_hook("blocks.1.hook_mlp_out", write_in_place),
    "a hook of torch": lambda lm: first_layer(lm).register_forward_hook(lambda module, args, value: value * 0),
    "a hook before": lambda lm: first_layer(lm).register_forward_pre_hook(lambda module, args: (args[0] * 0,)),
    "another forward": lambda lm: setattr(first_layer(lm), "forward", lambda x: x * 0),
    "weights": lambda lm: next(first_layer(lm).parameters()).data.mul_(2),
    "half precision": lambda lm: lm.half(),
    "a setting of a layer": lambda lm: setattr(lm.blocks[0].attn.original_component, "scale", 1.0),
    "a setting": lambda lm: setattr(lm.cfg, "eps", 1.0),
    "an activation function": lambda lm: setattr(first_layer(lm), "act_fn", torch.tanh),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_gets_nothing_of_the_cache_of_the_old_one(lm, tmp_path, change):
    before = harvest(lm, cache=tmp_path)
    CHANGES[change](lm)
    expected = harvest(lm)
    found = harvest(lm, cache=tmp_path)
    assert torch.equal(found.x, expected.x)
    assert found.tokens_per_second is not None
    assert found.origin != before.origin
    assert harvest(lm, cache=tmp_path).tokens_per_second is None  # its own cache


def test_the_cache_of_a_changed_model_is_not_the_old_ones(lm, folder, tmp_path):
    expected = harvest(lm, cache=tmp_path / "other").x
    with lm.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", lambda value, hook: value * 3)]):
        changed = harvest(lm, cache=tmp_path)
    assert not torch.equal(changed.x, expected)
    for model in (lm, msae.load_language_model(folder)):
        found = harvest(model, cache=tmp_path)
        assert torch.equal(found.x, expected)
    assert found.origin == harvest(lm).origin  # the same weights, loaded twice


def test_arithmetic_in_lower_precision_has_a_cache_of_its_own(lm, tmp_path):
    expected = harvest(lm, cache=tmp_path).x
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lower = harvest(lm, cache=tmp_path)
    assert lower.tokens_per_second is not None
    assert not torch.equal(lower.x, expected)


@pytest.mark.parametrize("action", [interrupt, full_disk, press])
def test_a_harvest_that_is_interrupted_anywhere_and_often_is_completed(lm, tmp_path, monkeypatch, action):
    monkeypatch.setattr(harvesting, "BLOCK", 2)
    stories = STORIES * 3
    expected = harvest(lm, stories)
    with After(None, None) as counted:
        harvest(lm, stories, cache=tmp_path / "counted")
    rng, n_stopped = random.Random(0), 0
    for attempt in range(4):
        for _ in range(3):
            try:
                with After(rng.randrange(1, counted.seen), action):
                    harvest(lm, stories, cache=tmp_path / f"{attempt}")
            except (KeyboardInterrupt, OSError):
                n_stopped += 1
        found = harvest(lm, stories, cache=tmp_path / f"{attempt}")
        assert torch.equal(found.x, expected.x)
        assert found.scale == pytest.approx(expected.scale, rel=1e-12)
        assert {path.suffix for path in (tmp_path / f"{attempt}").glob("*/*")} == {".npy", ".json"}
    assert n_stopped >= 4


def hook_origin(lm, hook):
    with lm.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", hook)]):
        return model_origin(lm)["hooks"]


def test_hooks_are_told_apart_by_all_that_they_rest_on(lm, monkeypatch):
    def scaled(by):
        return lambda value, hook: value * by

    def nested(by):
        def inner(value):
            return value * by

        return lambda value, hook: inner(value)

    sae = msae.SAE(16, 4)
    other = copy.deepcopy(sae)
    other.b_dec.data += 1
    hooks = [
        *(scaled(by) for by in (1, 2, 2.0, True, torch.ones(3), torch.zeros(3), np.ones(3), [1], [2], {"a": 1})),
        *(nested(by) for by in (1, 2)),
        *(functools.partial(add, what=what) for what in (1, 2)),
        lambda value, hook: torch.relu(value),
        lambda value, hook: torch.tanh(value),
        lambda value, hook, by=1: value * by,
        lambda value, hook, by=2: value * by,
        *((lambda value, hook, sae=sae: sae(value)) for sae in (sae, other)),
        global_factor,
    ]
    told = [json.dumps(hook_origin(lm, hook)) for hook in hooks]
    assert len(set(told)) == len(hooks)
    assert [json.dumps(hook_origin(lm, hook)) for hook in hooks] == told
    assert hook_origin(lm, scaled(2)) == hook_origin(lm, scaled(2))
    assert not any("process" in text for text in told)
    monkeypatch.setitem(global_factor.__globals__, "FACTOR", 3)
    assert json.dumps(hook_origin(lm, global_factor)) != told[-1]


@pytest.mark.parametrize("hook", [Halved(), Doubled().at, lambda value, hook: value * hook.ctx.get("by", 1)])
def test_a_hook_that_cannot_be_told_from_another_gets_no_cache(lm, tmp_path, hook):
    lm.add_hook("blocks.1.hook_resid_pre", hook)
    with pytest.raises(ValueError, match=r"^cache: the model has a hook at blocks\.1.*lm\.reset_hooks\(\)"):
        harvest(lm, cache=tmp_path)
    assert not list(tmp_path.iterdir())
    assert harvest(lm).origin == harvest(lm).origin
    assert "process" in harvest(lm).origin["hooks"][0]


def test_dropout_is_refused(lm):
    lm.blocks[0].add_module("dropout", torch.nn.Dropout(0.1).train())
    with pytest.raises(ValueError, match=r"dropout.*lm\.eval\(\)"):
        harvest(lm)
    lm.eval()
    assert len(harvest(lm))


def test_a_hook_at_the_very_place_counts(lm, tmp_path):
    expected = harvest(lm, cache=tmp_path)
    lm.add_hook(HOOK, lambda value, hook: value * 2)
    torch.testing.assert_close(harvest(lm, cache=tmp_path).x, 2 * expected.x)


# --- origins -------------------------------------------------------------------------------------------------------------------------


def test_an_origin_is_flat_json_and_the_same_for_live_activations(lm):
    kept = harvest(lm, buffer=20)
    live = msae.LiveActivations(lm, STORIES, HOOK, n_ctx=12, dtype=torch.float32, buffer=20)
    assert json.loads(json.dumps(kept.origin)) == kept.origin
    assert list(kept.origin) == [
        *("language_model", "hooks", "texts", "n_ctx", "n_tokens", "dtype", "buffer", "hook_name", "d_model", "scale")
    ]
    assert live.origin | {"scale": 0} == kept.origin | {"scale": 0}
    assert live.origin["scale"] == pytest.approx(kept.origin["scale"], rel=1e-6)
    assert kept.origin["n_tokens"] == len(kept)
    whole = harvest(lm).origin
    assert whole == harvest(lm, buffer=10**6).origin  # the order is the same where all fits


@pytest.mark.parametrize(
    ("entry", "how"),
    [
        ("texts", {"stories": [*STORIES[:2], "Sue runs."]}),
        ("texts", {"skip_first": False}),
        ("n_ctx", {"n_ctx": 11}),
        ("n_tokens", {"n_tokens": 9}),
        ("dtype", {"dtype": torch.float16}),
        ("buffer", {"buffer": 20}),
    ],
)
def test_each_entry_changes_with_what_it_tells(lm, entry, how):
    assert harvest(lm, **how).origin[entry] != harvest(lm).origin[entry]


def test_live_activations_of_a_changed_model_are_refused(lm):
    live = msae.LiveActivations(lm, STORIES, HOOK, n_ctx=12, buffer=20)
    batches = live.batches(4, seed=0)
    first = next(batches)
    with lm.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", lambda value, hook: value * 3)]):
        with pytest.raises(ValueError, match="hooks of the model are others.*make LiveActivations anew"):
            live.batches(4, seed=0)
        with pytest.raises(ValueError, match="hooks of the model are others"):
            list(batches)
    assert torch.equal(next(live.batches(4, seed=0)), first)
    next(first_layer(lm).parameters()).data.mul_(2)
    with pytest.raises(ValueError, match="LiveActivations was made otherwise.*language_model"):
        live.batches(4, seed=0)


# --- precision -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("model", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_the_scale_is_that_of_the_kept_numbers_in_float64(lm, model, kept):
    lm.to(model)
    activations = harvest(lm, dtype=kept)
    norms = np.sqrt((activations.x.double().numpy() ** 2).sum(1))
    assert activations.x.dtype == kept
    assert activations.scale == pytest.approx(16**0.5 / norms.mean(), rel=1e-7)
    assert next(activations.batches(3, 0)).dtype == torch.float32


def test_a_model_in_half_precision_that_overflows_is_named(lm):
    dict(lm.original_model.named_parameters())["tok_embed._original_component.weight"].data.mul_(1e4)
    lm.half()
    with pytest.raises(ValueError, match=r"computes in torch\.float16: run it in float32 \(lm\.float\(\)\)"):
        harvest(lm)


def test_padding_and_counts_of_read_texts(lm):
    texts = read_texts(lm, STORIES, 12)
    again = read_texts(lm, texts.tokens, 12)
    assert torch.equal(texts.tokens, again.tokens)
    assert torch.equal(texts.mask, again.mask)
