"""Activations: the right vectors in the right places, nothing of padding or [BEGIN], a stream that can be resumed, a cache to trust."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from tiny_models import STORIES as SIX_STORIES
from tiny_models import tiny_gpt2, tiny_language_model

import msae
from msae import activations as home
from msae.activations import harvesting, run_to_hook
from msae.activations.cache import CachedArray
from msae.activations.shuffling import Shuffled, ranges
from msae.lm.bridge import plain_transformer

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
    return tiny_language_model(tmp_path_factory.mktemp("lm"), STORIES, d_model=16, n_layers=3)


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
    assert torch.equal(activations.x_story, activations.story[activations.position[:, 0]])


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


@pytest.mark.parametrize("layer", [0, 1, 2])
@torch.no_grad()
def test_the_three_places_of_a_layer_against_a_straight_forward_pass(lm, layer):
    places = [f"blocks.{layer}.hook_{what}" for what in ("resid_pre", "attn_out", "mlp_out")]
    found = home.harvest(lm, STORIES, places, n_ctx=12, dtype=torch.float32, batch_size=3, progress=False)
    assert all(isinstance(activations, msae.Activations) and activations.hook_name == place for place, activations in found.items())
    first = found[places[0]]
    model = plain_transformer(lm)
    x = model.tok_embed(first.tokens)
    for block in model.layers[:layer]:
        x = block(x, model.rotation[:12])
    block = model.layers[layer]
    attention = block.attn(block.ln1(x), model.rotation[:12])
    expected = {places[0]: x, places[1]: attention, places[2]: block.mlp(block.ln2(x + attention))}
    for hook, value in expected.items():
        torch.testing.assert_close(found[hook].x, value[first.mask], atol=1e-5, rtol=1e-5)
        assert found[hook].hook_name == hook
        assert (found[hook].x * found[hook].scale).norm(dim=1).mean().item() == pytest.approx(4, rel=1e-5)
        assert found[hook].mask is first.mask


@pytest.fixture
def passes(lm):
    """How many rows each forward pass read at the first layer."""
    rows = []
    lm.blocks[0].hook_in.add_hook(lambda value, hook: rows.append(len(value)))
    yield rows
    lm.reset_hooks()


def test_several_hooks_cost_one_pass(lm, passes):
    harvest(lm, hook="blocks.2.hook_mlp_out")
    alone = list(passes)
    passes.clear()
    home.harvest(lm, STORIES, ["blocks.2.hook_mlp_out", "blocks.0.hook_attn_out", HOOK], n_ctx=12, batch_size=3, progress=False)
    assert passes == alone


def test_several_hooks_are_a_list(lm):
    for wrong in (HOOK, []):
        with pytest.raises(ValueError, match="a list of hook names"):
            home.harvest(lm, STORIES, wrong)
    with pytest.raises(ValueError, match=r"no hook 'blocks\.7"):
        home.harvest(lm, STORIES, [HOOK, "blocks.7.hook_mlp_out"])


def test_stories_may_come_as_token_ids(lm):
    ids = lm.tokenizer(STORIES, add_special_tokens=False)["input_ids"]
    assert torch.equal(harvest(lm, ids).x, harvest(lm).x)


def test_tokens_per_second_are_reported(lm):
    assert harvest(lm).tokens_per_second > 0


# --- shuffling -----------------------------------------------------------------------------------------------------------------------


def ones_of_each(n_stories):
    """Activations whose rows say which they are: counts of a few, values 0, 1, 2 …"""
    counts = np.random.default_rng(0).integers(1, 9, n_stories)
    x = torch.arange(int(counts.sum())).float()[:, None]
    starts = counts.cumsum() - counts
    return counts, x, lambda texts: (x, ranges(starts[texts], counts[texts]))


@pytest.mark.parametrize("buffer", [7, 50, 10**6])
def test_a_pass_through_small_buffers_shows_every_activation_once(buffer):
    counts, x, load = ones_of_each(60)
    n_batches = len(x) // 7
    seen = torch.cat(list(islice(Shuffled(counts, buffer, 1.0, load).batches(7, 0, 0), n_batches))).flatten().tolist()
    assert len(set(seen)) == len(seen) == 7 * n_batches
    second = torch.cat(list(islice(Shuffled(counts, buffer, 1.0, load).batches(7, 0, n_batches), n_batches))).flatten().tolist()
    assert len(set(second)) == 7 * n_batches
    assert second != seen


@pytest.mark.parametrize("buffer", [7, 50, 10**6])
def test_skipping_lands_where_reading_on_would(buffer):
    counts, _, load = ones_of_each(40)
    read = list(islice(Shuffled(counts, buffer, 2.0, load).batches(7, 5, 0), 60))
    for skip in range(50):
        assert torch.equal(next(Shuffled(counts, buffer, 2.0, load).batches(7, 5, skip)), read[skip]), skip


def test_a_buffer_mixes_stories_from_everywhere():
    counts, x, load = ones_of_each(2000)
    batch = next(Shuffled(counts, 1000, 1.0, load).batches(200, 0, 0)).flatten() / len(x)
    assert 0.4 < batch.mean() < 0.6  # of numbers spread evenly over 0 to 1, give or take 5 standard errors
    assert 0.23 < batch.std() < 0.35


def test_a_buffer_smaller_than_a_batch_is_refused(lm):
    with pytest.raises(ValueError, match="at least one batch of 9 activations, got 8"):
        harvest(lm, buffer=8).batches(9, seed=0)


@pytest.mark.parametrize("buffer", [20, 10**6])
def test_live_activations_are_the_same_stream(lm, passes, buffer):
    kept = harvest(lm, STORIES * 2, buffer=buffer)
    live = home.LiveActivations(lm, STORIES * 2, HOOK, n_ctx=12, batch_size=3, dtype=torch.float32, buffer=buffer)
    assert (live.d_model, live.hook_name, len(live)) == (16, HOOK, len(kept))
    assert live.scale == pytest.approx(kept.scale, rel=1e-6)
    for skip in (0, 9):
        for a, b in islice(zip(live.batches(7, seed=3, skip=skip), kept.batches(7, seed=3, skip=skip)), 25):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    passes.clear()
    next(live.batches(7, seed=3))
    if buffer == 20:
        assert sum(passes) < len(live._texts.tokens)  # no more of the model than one buffer needs


def test_the_scale_of_live_activations_is_measured_on_some_of_them(lm):
    stories = STORIES * 20
    live = home.LiveActivations(lm, stories, HOOK, n_ctx=12, scale_tokens=200)
    assert live.scale == pytest.approx(harvest(lm, stories).scale, rel=0.1)


# --- the cache -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(harvesting, "BLOCK", 2)


def folder_of(cache, hook=HOOK):
    (folder,) = cache.glob(f"{hook}-*")
    return folder


def test_a_cache_is_read_and_not_computed(lm, passes, tmp_path, small_blocks):
    first = harvest(lm, cache=tmp_path)
    passes.clear()
    second = harvest(lm, cache=tmp_path)
    assert passes == [1]  # two tokens, to see that there is such a hook
    assert second.tokens_per_second is None
    assert torch.equal(first.x, second.x)
    assert first.scale == second.scale == pytest.approx(harvest(lm).scale, rel=1e-6)
    assert torch.equal(next(first.batches(5, 0)), next(second.batches(5, 0)))
    second.x[0] = 7  # a private copy of the page: the file stays as it is
    assert torch.equal(harvest(lm, cache=tmp_path).x, first.x)


@pytest.mark.parametrize("changed", ["stories", "hook", "dtype", "n_ctx", "n_tokens", "model"])
def test_nothing_is_served_that_was_made_otherwise(lm, tmp_path, small_blocks, changed):
    harvest(lm, cache=tmp_path)
    how = {
        "stories": {"stories": ["Sue has a cat.", *STORIES[1:]]},
        "hook": {"hook": "blocks.1.hook_resid_pre"},
        "dtype": {"dtype": torch.float16},
        "n_ctx": {"n_ctx": 11},
        "n_tokens": {"n_tokens": 9},
        "model": {},
    }[changed]
    weight = dict(lm.original_model.named_parameters())["tok_embed._original_component.weight"]
    kept = weight.detach().clone()
    try:
        if changed == "model":
            weight.data += 0.01
        found, expected = harvest(lm, cache=tmp_path, **how), harvest(lm, **how)
    finally:
        weight.data.copy_(kept)
    assert found.tokens_per_second is not None
    torch.testing.assert_close(found.x, expected.x, atol=1e-5, rtol=1e-5)
    assert len(list(tmp_path.glob("blocks.*"))) == 2
    assert harvest(lm, cache=tmp_path).tokens_per_second is None  # the first is still there


def test_a_run_that_was_cut_off_goes_on(lm, passes, tmp_path, small_blocks, monkeypatch):
    whole = harvest(lm)
    n_rows, write = sum(passes), CachedArray.write

    def torn(self, block, values, norms):
        if block == 2:
            with open(self.folder / "x.npy", "r+b") as file:  # half of the block reaches the disk, its entry does not
                file.seek(self.offset + self.bounds[2] * self._row)
                file.write(values.numpy().tobytes()[:37])
            raise KeyboardInterrupt
        write(self, block, values, norms)

    passes.clear()  # what the hook has written down is part of what it is
    monkeypatch.setattr(CachedArray, "write", torn)
    with pytest.raises(KeyboardInterrupt):
        harvest(lm, cache=tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(harvesting, "BLOCK", 2)
    passes.clear()
    found = harvest(lm, cache=tmp_path)
    assert sum(passes) == n_rows - 4  # two blocks of two rows were there; what read two tokens first is in both sums
    torch.testing.assert_close(found.x, whole.x, atol=1e-5, rtol=1e-5)
    assert found.scale == pytest.approx(whole.scale, rel=1e-6)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", ["bit", "cut", "empty", "no array", "manifest cut", "manifest lies"])
def test_a_torn_or_altered_file_is_never_served(lm, tmp_path, small_blocks, harm):
    whole = harvest(lm, cache=tmp_path).x.clone()
    array, manifest = folder_of(tmp_path) / "x.npy", folder_of(tmp_path) / "manifest.json"
    if harm == "bit":
        flip(array, -100)
    elif harm in ("cut", "empty"):
        array.write_bytes(array.read_bytes()[: -100 if harm == "cut" else 0])
    elif harm == "no array":
        array.unlink()
    elif harm == "manifest cut":
        manifest.write_bytes(manifest.read_bytes()[:-9])
    else:
        about = json.loads(manifest.read_text())
        about["blocks"][1]["sha256"] = about["blocks"][0]["sha256"]
        manifest.write_text(json.dumps(about))
    if harm in ("bit", "manifest lies"):
        with pytest.warns(UserWarning, match=r"1 of \d+ blocks were altered"):
            found = harvest(lm, cache=tmp_path)
    else:
        found = harvest(lm, cache=tmp_path)
    assert found.tokens_per_second is not None
    torch.testing.assert_close(found.x, whole, atol=1e-5, rtol=1e-5)
    assert harvest(lm, cache=tmp_path).tokens_per_second is None


def test_a_cache_of_some_hooks_is_completed_with_the_others(lm, passes, tmp_path, small_blocks):
    hooks = ["blocks.2.hook_mlp_out", HOOK]
    alone = harvest(lm, cache=tmp_path)
    found = home.harvest(lm, STORIES, hooks, n_ctx=12, batch_size=3, dtype=torch.float32, cache=tmp_path, progress=False)
    assert torch.equal(found[HOOK].x, alone.x)
    torch.testing.assert_close(found[hooks[0]].x, harvest(lm, hook=hooks[0]).x, atol=1e-5, rtol=1e-5)


def test_a_full_disk_leaves_what_was_written(lm, tmp_path, small_blocks, monkeypatch):
    calls = []

    def full(self, block, values, norms, write=CachedArray.write):
        calls.append(block)
        if block == 1:
            raise OSError(28, "No space left on device")
        write(self, block, values, norms)

    monkeypatch.setattr(CachedArray, "write", full)
    with pytest.raises(OSError, match="No space"):
        harvest(lm, cache=tmp_path)
    about = json.loads((folder_of(tmp_path) / "manifest.json").read_text())
    assert [block is not None for block in about["blocks"]][:3] == [True, False, False]


def test_the_array_on_disk_is_what_numpy_reads(lm, tmp_path):
    activations = harvest(lm, cache=tmp_path)
    assert np.array_equal(np.load(folder_of(tmp_path) / "x.npy", allow_pickle=False), activations.x.numpy())
    assert re.fullmatch(r"blocks\.2\.hook_resid_pre-[0-9a-f]{12}", folder_of(tmp_path).name)


def test_a_dtype_that_no_cache_holds_is_refused(lm, tmp_path):
    with pytest.raises(ValueError, match=r"torch\.float16, torch\.float32, got dtype=torch\.bfloat16"):
        harvest(lm, cache=tmp_path, dtype=torch.bfloat16)


IN_A_LAYER = ["hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post"]


def test_the_hooks_that_are_listed_can_be_read(tmp_path):
    for model in (tiny_language_model(tmp_path / "ours", SIX_STORIES, 8, 2), msae.load_language_model(tiny_gpt2(tmp_path, SIX_STORIES))):
        hooks = home.list_hooks(model)
        assert [name.rpartition(".")[2] for name in hooks] == IN_A_LAYER * model.cfg.n_layers
        read = home.run_to_hooks(model, model.to_tokens("Once upon"), list(hooks))
        assert {name: value.shape[-1] for name, value in read.items()} == hooks
        assert home.list_hooks(model) == hooks, "no hook is left behind"
