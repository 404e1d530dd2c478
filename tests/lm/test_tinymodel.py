"""The article's model: its weights on TransformerLens against a plain forward pass, its tokenizer against the rule said slowly."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import Dangerous, forward, random_weights
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE

import msae
from msae.lm import tinymodel

N_HEADS = 4
N_TOKENS = 300
TEXTS = ["Once upon a time, there was a girl named Lily.", "Lily and Sue see the cat. She is happy.", "“Yes,” said Sue — naïve.\nShe sees."]


@torch.no_grad()
def test_transformer_lens_computes_the_articles_architecture():
    state = random_weights()
    lm = tinymodel.to_bridge(state, n_heads=N_HEADS)
    rows = torch.randint(30, (3, 12), generator=torch.Generator().manual_seed(1))
    logits, cache = lm.run_with_cache(rows)
    for row, found in enumerate(logits):
        expected, seen = forward(state, rows[row].tolist())
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        assert len(seen) == 9
        for name, value in seen.items():
            torch.testing.assert_close(cache[name][row], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("embed.weight"), "the weights lack 'embed.weight'"),
        (lambda state: state.pop("torso.1.attn.O.bias"), r"'layers\.1\.attn\.o\.bias' is unknown, missing"),
        (lambda state: state.update({"torso.1.attn.Z.weight": torch.zeros(2)}), r"'layers\.1\.attn\.Z\.weight' is unknown"),
        (lambda state: state.update({"lm_head.weight": torch.zeros(30, 8)}), r"'head\.weight' is unknown, missing or of another shape"),
    ],
)
def test_weights_of_another_model_are_refused(change, message):
    state = random_weights()
    change(state)
    with pytest.raises(ValueError, match=message):
        tinymodel.to_bridge(state, n_heads=N_HEADS)


def test_a_file_that_would_run_code_is_not_opened(tmp_path):
    torch.save({"embed.weight": Dangerous(tmp_path / "it ran")}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match=r"bad\.pt is not a file of weights alone, and is not opened"):
        tinymodel.read_weights(tmp_path / "bad.pt")
    assert not (tmp_path / "it ran").exists()
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds no state dict"):
        tinymodel.read_weights(tmp_path / "list.pt")
    torch.save(random_weights(), tmp_path / "good.pt")
    assert tinymodel.read_weights(tmp_path / "good.pt").keys() == random_weights().keys()


@pytest.fixture(scope="module")
def whole() -> Tokenizer:
    """A byte-pair tokenizer that keeps all of its tokens."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=N_TOKENS, initial_alphabet=alphabet, show_progress=False))
    assert tokenizer.get_vocab_size() == N_TOKENS
    return tokenizer


PIECES = [*"abLS .\nñ—", "Lily", " Lily", " happy", "She"]


def cut(whole: Tokenizer, frequent: list[int]):
    model = json.loads(whole.to_str())["model"]
    return tinymodel.cut_tokenizer(model["vocab"], [tuple(pair) for pair in model["merges"]], frequent)


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(1, N_TOKENS), st.lists(st.lists(st.sampled_from(PIECES)).map("".join), min_size=1))
def test_rare_tokens_become_unknown_after_the_cut(whole, random, n, texts):
    frequent = random.sample(range(N_TOKENS), n)
    tokenizer = cut(whole, frequent)
    place = {old: new for new, old in enumerate(frequent)}
    begin, _, _, unknown = range(len(frequent), len(frequent) + 4)
    expected = [[place.get(old, unknown) for old in whole.encode(text).ids] for text in texts]
    assert tokenizer(texts, add_special_tokens=False)["input_ids"] == expected
    assert tokenizer(texts)["input_ids"] == [[begin, *ids] for ids in expected]
    assert tokenizer.encode(texts[0]) == [begin, *expected[0]]
    assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer.get_vocab()) == len(frequent) + 4


def test_the_tokenizer_serves_the_hooked_model(whole):
    frequent = [i for i in range(N_TOKENS) if whole.id_to_token(i) != "L"]
    lm = tinymodel.to_bridge(random_weights(d_vocab=N_TOKENS + 3), cut(whole, frequent), n_heads=N_HEADS)
    assert lm.to_str_tokens("She Lu") == ["[BEGIN]", "She", " ", "[UNK]", "u"]
    tokens = lm.to_tokens(["She", "She sees"])
    assert tokens[:, 0].tolist() == [N_TOKENS - 1, N_TOKENS - 1]
    assert tokens[0, -1] == N_TOKENS + 1  # [PAD]
    assert lm.tokenizer.eos_token_id == N_TOKENS
    assert lm.generate("She", max_new_tokens=4, stop_at_eos=False, verbose=False).startswith("She")
    activations = msae.Activations(lm, ["She sees Lily."], "blocks.2.hook_attn_out", n_ctx=12, progress=False)
    assert activations.d_model == 16
    assert activations.str_tokens[N_TOKENS + 2] == "[UNK]"


def test_a_tokenizer_that_lacks_a_token_is_refused(whole):
    with pytest.raises(ValueError, match="has no token 301, one of the model's: expected GPT-Neo's with 50,257, got 300"):
        cut(whole, [1, 301])


def test_the_tokens_are_those_of_the_published_rows():
    """The first story of `noanabeshima/TinyModelTokIds` starts 51, 56, 4, 36, 1, 38, 6, 4: GPT-2's "Once upon a time, there was a"."""
    frequent = tinymodel.frequent_tokens()
    assert [frequent[i] for i in [51, 56, 4, 36, 1, 38, 6, 4]] == [7454, 2402, 257, 640, 11, 612, 373, 257]
    assert len(frequent) == len(set(frequent)) == tinymodel.D_VOCAB - len(tinymodel.SPECIAL)
    assert max(frequent) < 50_257


def test_an_altered_token_list_is_refused(tmp_path, monkeypatch):
    (tmp_path / "tinymodel").mkdir()
    for name in ("tokens.json", "manifest.json"):
        content = (tinymodel.ASSETS / "tinymodel" / name).read_text()
        (tmp_path / "tinymodel" / name).write_text(content.replace("[13,11,", "[11,13,"))
    monkeypatch.setattr(tinymodel, "ASSETS", tmp_path)
    with pytest.raises(ValueError, match=r"tokens\.json was altered"):
        tinymodel.frequent_tokens()


@pytest.mark.network
def test_the_tokens_are_those_of_the_authors_package(tmp_path):
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", tmp_path, "tinymodel==0.1.2.2.post9"]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extract("tinymodel/tokenization/ts_tok_ids_to_neo.pt", tmp_path)
        wheel.extract("tinymodel/tokenization/neo_tok_ids_to_ts.pt", tmp_path)
    to_neo, to_ours = (
        torch.load(tmp_path / "tinymodel/tokenization" / name, weights_only=True)
        for name in ("ts_tok_ids_to_neo.pt", "neo_tok_ids_to_ts.pt")
    )
    frequent = tinymodel.frequent_tokens()
    assert to_neo.tolist() == [*frequent, 50_257, 50_258, 50_259, 50_260]
    place = {old: new for new, old in enumerate(to_neo.tolist())}
    assert to_ours.tolist() == [place.get(old, 9999) for old in range(50_261)]
