"""The language model: the same numbers with hooks and without, its tokenizer, its folder, and bits per character by the slow way."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import PATIENCE
from tiny_models import STORIES as SIX_STORIES
from tiny_models import tiny_gpt2

import msae
from msae.lm.bridge import plain_transformer
from msae.lm.loading import FILES, load_manifest, load_transformer, save_language_model
from msae.lm.measuring import bits_per_character
from msae.lm.tokenizer import train_tokenizer
from msae.lm.transformer import Transformer, TransformerConfig
from msae.support.manifests import write_with_manifest

TEXTS = ["Once upon a time there was a girl named Lily.", "Sue and Lily see the cat. She is happy.", "“Yes,” said Sue — naïve."]


def make(folder, layer_norm: bool = False):
    torch.manual_seed(0)
    tokenizer = train_tokenizer(TEXTS, 300)
    config = TransformerConfig(tokenizer.get_vocab_size(), d_model=16, n_layers=3, n_heads=2, n_ctx=16, layer_norm=layer_norm)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter + 0.1 * torch.randn_like(parameter)).half().float())
    save_language_model(folder, model, tokenizer, report={"config": {"seed": 0}, "bits_per_character_valid": 1.5}, command="test")
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm")
    make(path)
    return path


@pytest.fixture(scope="module")
def lm(folder):
    return msae.load_language_model(folder)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_transformer_lens_computes_what_the_plain_module_computes(tmp_path, layer_norm):
    model = make(tmp_path, layer_norm)
    before = torch.random.get_rng_state()
    lm = msae.load_language_model(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    tokens = torch.randint(model.config.d_vocab, (4, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(lm(tokens), model(tokens), atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(plain_transformer(lm)(tokens), model(tokens), atol=0, rtol=0)


def test_a_module_without_hooks_is_not_taken_for_one_with(lm):
    with lm.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", lambda value, hook: value * 2)]):
        for run in (plain_transformer, lambda lm: msae.sample_stories(lm, 1)):
            with pytest.raises(ValueError, match=r"lm has a hook at blocks\.1.*lm\.reset_hooks\(\)"):
                run(lm)
    plain_transformer(lm)


def test_every_text_starts_with_begin(lm):
    text = "Once upon a time"
    tokens = lm.to_tokens(text)
    assert tokens[0, 0] == 0
    assert lm.to_str_tokens(text)[0] == "[BEGIN]"
    assert lm.tokenizer.decode(tokens[0, 1:]) == text
    assert lm.to_tokens(text, prepend_bos=False).tolist() == [tokens[0, 1:].tolist()]


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_any_text_survives_the_tokenizer(folder, text):
    _, tokenizer = load_transformer(folder)
    text = text.replace("[BEGIN]", "")
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_hooks_read_and_write_and_it_generates(lm):
    tokens = lm.to_tokens("Lily")
    logits, cache = lm.run_with_cache(tokens)
    assert cache["blocks.2.hook_resid_pre"].shape == (1, tokens.shape[1], 16)
    changed = lm.run_with_hooks(tokens, fwd_hooks=[("blocks.2.hook_resid_pre", lambda value, hook: value + 1)])
    assert not torch.allclose(logits, changed)
    longer = lm.generate("Lily", max_new_tokens=5, stop_at_eos=False, verbose=False, return_type="tokens")
    assert longer.shape == (1, tokens.shape[1] + 5)


def test_the_manifest_says_where_the_model_comes_from(folder):
    manifest = load_manifest(folder)
    assert manifest["report"]["bits_per_character_valid"] == 1.5
    assert "CDLA-Sharing-1.0" in manifest["data_licence"]
    assert set(manifest["sha256"]) == {"model.safetensors", "config.json", "tokenizer.json"}
    assert manifest["command"] == "test"
    assert manifest["hardware"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_altered_or_missing_file_is_named(tmp_path, name):
    make(tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"!")
    with pytest.raises(ValueError, match=f"{name} was altered"):
        msae.load_language_model(tmp_path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {name}"):
        msae.load_language_model(tmp_path)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.json"):
        msae.load_language_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        msae.load_language_model(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_transformer("none")


def test_weights_too_large_for_float16_are_refused(tmp_path):
    model = make(tmp_path)
    with torch.no_grad():
        model.head.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"head\.weight does not fit into float16"):
        save_language_model(tmp_path, model, load_transformer(tmp_path)[1], report={}, command="")


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    make(tmp_path / "a")
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert set(before) == {"model.safetensors", "config.json", "tokenizer.json", "manifest.json"}
    model, tokenizer = load_transformer(tmp_path / "a")
    other = Transformer(model.config)
    with pytest.raises(ValueError, match=r"manifest\['report'\]\['loss'\] is nan"):
        save_language_model(tmp_path / "a", other, tokenizer, report={"loss": math.nan}, command="")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_language_model(tmp_path / "a", other, tokenizer, report={}, command="")
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def test_files_have_the_mode_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        make(tmp_path / "a")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir()} == {0o640}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", r"manifest\.json is not JSON"),
        (b'{"a": "\xff"}', r"manifest\.json is not JSON"),
        (b"[]", r"manifest\.json is no manifest"),
        (b'{"sha256": 3}', r"manifest\.json is no manifest"),
        (b"{}", r"model\.safetensors was altered: expected the SHA-256 None"),
        (b'{"format": "msae-manifest/2"}', r"format 'msae-manifest/2'.*install a newer msae"),
    ],
)
def test_a_manifest_that_is_none_or_of_a_later_format(tmp_path, content, words):
    make(tmp_path)
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        msae.load_language_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda content: content.replace(b"d_model", b"width")),
        ("config.json", lambda content: content.replace(b"16,", b"18,", 1)),
        ("config.json", lambda content: content[:-9]),
        ("tokenizer.json", lambda content: content[:-9]),
        ("model.safetensors", lambda content: content[:-9]),
    ],
)
def test_files_that_fit_the_manifest_and_not_each_other(tmp_path, name, change):
    make(tmp_path)
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    write_with_manifest(tmp_path, {name: (tmp_path / name).read_bytes() for name in FILES}, {})
    with pytest.raises(ValueError, match="holds no language model that this msae reads .*write the folder again"):
        msae.load_language_model(tmp_path)


def slow_bits_per_character(model, stories, tokenizer, n_ctx, begin):
    """One story, one token at a time: windows of n_ctx tokens after [BEGIN]; each next one keeps half of the one before."""
    bits, characters = 0.0, 0
    for story in stories:
        ids = tokenizer.encode(story).ids
        characters += len(story)
        start = 0
        for i, token in enumerate(ids):
            if i - start == n_ctx:
                start = i - n_ctx // 2
            logits = model(torch.tensor([[begin, *ids[start:i]]]))[0, -1]
            bits -= logits.log_softmax(-1)[token].item() / math.log(2)
    return bits / characters


@torch.no_grad()
@pytest.mark.parametrize(("n_ctx", "begin"), [(8, 0), (16, 0), (16, 5)])
def test_bits_per_character_equals_the_slow_way(folder, n_ctx, begin):
    model, tokenizer = load_transformer(folder)
    stories = [*TEXTS, "She " * 40, "a"]
    assert len(tokenizer.encode(stories[3]).ids) > 2 * n_ctx
    found = bits_per_character(model, stories, tokenizer, n_ctx, begin=begin)
    assert found == pytest.approx(slow_bits_per_character(model, stories, tokenizer, n_ctx, begin), rel=1e-5)


def test_the_bundled_model_loads_without_a_network():
    """In a process of its own in which every connection is refused."""
    code = """
import socket
def refuse(*_, **__): raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import msae
lm = msae.load_language_model("bundled")
assert lm.to_tokens("Once upon a time")[0, 0] == 0
text = lm.generate("Once upon a time", max_new_tokens=8, verbose=False)
assert text.startswith("Once upon a time") and len(text) > 16, text
assert len(msae.load_stories("bundled", 3)) == 3
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


def test_the_bundled_model_keeps_its_promises():
    manifest = load_manifest()
    assert json.dumps(manifest).count("/home") == 0
    model, _ = load_transformer("bundled")
    assert model.config.n_layers == 4
    assert not model.config.layer_norm
    assert (msae.support.manifests.ASSETS / "language_model" / "model.safetensors").stat().st_size < 12e6
    assert manifest["report"]["bits_per_character_valid"] < 1.0


def test_a_folder_of_transformers_loads_as_it_would_from_the_hub(tmp_path):
    from transformers import GPT2LMHeadModel

    folder = tiny_gpt2(tmp_path, SIX_STORIES)
    lm = msae.load_language_model(folder)
    tokens = lm.to_tokens(SIX_STORIES[0])
    expected = GPT2LMHeadModel.from_pretrained(folder).eval()(tokens).logits
    assert torch.allclose(lm(tokens).log_softmax(-1), expected.log_softmax(-1), atol=1e-4)


@pytest.mark.parametrize("broken", ["model.safetensors", "tokenizer.json"])
def test_a_folder_of_transformers_that_is_not_whole_says_so(tmp_path, broken):
    (tiny_gpt2(tmp_path, SIX_STORIES) / broken).unlink()
    with pytest.raises(ValueError, match=r"holds no model of transformers .* save the model and its tokenizer there"):
        msae.load_language_model(tmp_path)


def test_a_folder_of_transformers_of_an_unknown_architecture_says_so(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of nobody", "architectures": ["NobodysModel"]}')
    with pytest.raises(ValueError, match="holds no model of transformers that TransformerLens reads"):
        msae.load_language_model(tmp_path)
