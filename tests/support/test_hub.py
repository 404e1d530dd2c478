"""The real clients of the Hugging Face hub against a small hub on loopback: what arrives, what is kept, and what goes wrong."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback_hub import COMMIT, LoopbackHub, ask_it
from places import ALL_CHECKS
from tiny_models import Dangerous, forward, random_weights

import msae
from msae.family.measuring import measure_family
from msae.family.members import load_family
from msae.family.training import train_family
from msae.support import hub as module
from msae.texts.stories import load_stories

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet  # noqa: E402

STORIES = [f"Lily has {i} cats.\n\nShe said, “I  am happy.” " for i in range(600)]
CLEAN = [f'Lily has {i} cats.\nShe said, "I am happy."' for i in range(600)]
TRAIN = "data/train-00000-of-00002-2d5a1467fff1081b.parquet", "data/train-00001-of-00002-5852b56a2bd28fd9.parquet"


def parquet(texts: list[str]) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"text": texts}), buffer, row_group_size=100, compression="none")
    return buffer.getvalue()


class Waits(list):
    """Seconds that the clients wanted to wait."""


@pytest.fixture
def waits(monkeypatch) -> Waits:
    """Nobody waits in these tests; how long they would have is written down."""
    waits, sleep = Waits(), time.sleep

    def short(seconds: float) -> None:
        waits.append(seconds)
        sleep(min(seconds, 0.001))

    monkeypatch.setattr(time, "sleep", short)
    return waits


@pytest.fixture
def hub(monkeypatch, tmp_path, waits) -> Iterator[LoopbackHub]:
    """A hub that every client asks, with a cache of its own."""
    import datasets
    import huggingface_hub

    with LoopbackHub() as hub:
        ask_it(monkeypatch, hub.url, tmp_path)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
        huggingface_hub.HfFileSystem.clear_instance_cache()
        yield hub


@pytest.fixture
def stories_hub(hub: LoopbackHub) -> LoopbackHub:
    files = {"README.md": b"# TinyStories", TRAIN[0]: parquet(STORIES[:300]), TRAIN[1]: parquet(STORIES[300:])}
    hub.add("roneneldan/TinyStories", files | {"data/validation-00000-of-00001-869c898b519ad725.parquet": parquet(STORIES[:7])}, "dataset")
    return hub


def test_the_first_stories_come_as_a_stream_and_stay(stories_hub):
    assert load_stories("tinystories", 5) == CLEAN[:5]
    assert not any(TRAIN[1] in request for request in stories_hub.requests)
    stories_hub.requests.clear()
    assert load_stories("tinystories", 3) == CLEAN[:3]
    assert stories_hub.requests == []
    assert load_stories("tinystories", 301) == CLEAN[:301]
    stories_hub.close()
    assert load_stories("tinystories", 301) == CLEAN[:301]


def test_the_whole_split_is_downloaded_once(stories_hub):
    assert load_stories("tinystories") == CLEAN
    assert load_stories("tinystories", split="validation") == CLEAN[:7]
    stories_hub.close()
    assert load_stories("tinystories") == CLEAN


def test_a_damaged_cache_is_made_anew(stories_hub, tmp_path):
    load_stories("tinystories", 5)
    (cache,) = (tmp_path / "msae").iterdir()
    content = bytearray(cache.read_bytes())
    content[len(content) // 2] ^= 255
    cache.write_bytes(content)
    assert load_stories("tinystories", 5) == CLEAN[:5]
    cache.write_bytes(cache.read_bytes()[:-20])
    assert load_stories("tinystories", 5) == CLEAN[:5]


def test_the_articles_own_stories_come_as_lines(hub):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in STORIES).encode()
    hub.add("noanabeshima/TinyStoriesV2", {"README.md": b"", "TinyStoriesV2-GPT4-train.jsonl": lines}, "dataset")
    assert load_stories("tinystories-v2", 5) == CLEAN[:5]
    assert load_stories("tinystories-v2") == CLEAN


def test_a_stream_that_breaks_off_goes_on(stories_hub):
    stories_hub.break_off[TRAIN[0]] = 2
    assert load_stories("tinystories", 300) == CLEAN[:300]
    assert stories_hub.break_off[TRAIN[0]] == 0


def test_a_stream_that_ends_for_good_is_one_error_soon(stories_hub, waits):
    stories_hub.break_off[TRAIN[0]] = 10**6
    with pytest.raises(ConnectionError, match=r"^the TinyStories data set.*load_stories\('bundled'\)"):
        load_stories("tinystories", 300)
    assert sum(waits) < 90


def test_a_file_that_breaks_off_goes_on_where_it_stopped(hub):
    content = torch.arange(30_000).numpy().tobytes()
    hub.add("a/b", {"c.bin": content})
    hub.break_off["c.bin"] = 1
    assert module.fetch("a/b", "c.bin", "it", "instead").read_bytes() == content
    assert hub.requests[-1] == "GET /a/b/resolve/main/c.bin bytes=120000-"


def test_a_file_that_always_breaks_off_is_one_error_and_goes_on_later(hub):
    content = torch.arange(30_000).numpy().tobytes()
    hub.add("a/b", {"c.bin": content})
    hub.break_off["c.bin"] = 1000
    hub.stop_at = 50_000
    with pytest.raises(ConnectionError, match=r"^it could not be fetched from the Hugging Face hub \(peer closed connection.*\): instead$"):
        module.fetch("a/b", "c.bin", "it", "instead")
    hub.break_off.clear()
    assert module.fetch("a/b", "c.bin", "it", "instead").read_bytes() == content


@pytest.mark.parametrize("busy", ["HEAD README.md", f"GET revision/{COMMIT}", "GET data", f"GET {TRAIN[0]}"])
def test_a_busy_hub_is_asked_again(stories_hub, waits, busy):
    stories_hub.too_many[busy] = 2
    assert load_stories("tinystories", 2) == CLEAN[:2]
    assert stories_hub.too_many[busy] == 0
    assert len(waits) < 20


def test_a_busy_hub_is_asked_again_for_whole_files(stories_hub):
    stories_hub.too_many |= {"GET main": 2, f"HEAD {TRAIN[0]}": 1, f"GET {TRAIN[1]}": 2}
    assert load_stories("tinystories") == CLEAN


def test_a_hub_that_stays_busy_is_one_error(stories_hub):
    stories_hub.too_many["GET main"] = 1000
    with pytest.raises(ConnectionError, match=r"429.*load_stories\('bundled'\)"):
        load_stories("tinystories")


def test_a_file_with_a_wrong_hash_is_removed_and_fetched_anew(stories_hub):
    key, good = ("dataset", "roneneldan/TinyStories"), parquet(STORIES[300:])
    stories_hub.served[key][TRAIN[1]] = good.replace(b"Lily has 555 cats", b"Lily has 444 cats")
    message = r"a file of roneneldan/TinyStories arrived altered: expected the hash \w{64}, got \w{64}; it was removed"
    with pytest.raises(ValueError, match=message):
        load_stories("tinystories")
    stories_hub.served[key][TRAIN[1]] = good
    assert load_stories("tinystories") == CLEAN


def test_a_damaged_stream_is_one_error(stories_hub):
    key, good = ("dataset", "roneneldan/TinyStories"), parquet(STORIES[:300])
    stories_hub.served[key][TRAIN[0]] = good[: len(good) // 2] + bytes(len(good) - len(good) // 2)
    with pytest.raises(ConnectionError, match=r"^the TinyStories data set arrived damaged.*load_stories\('bundled'\)"):
        load_stories("tinystories", 5)


def test_half_a_download_is_not_taken_for_the_whole(stories_hub):
    stories_hub.too_many[f"GET {TRAIN[1]}"] = 1000
    with pytest.raises(ConnectionError):
        load_stories("tinystories")
    stories_hub.close()
    with pytest.raises(ConnectionError, match=r"not complete in the cache|no connection to"):
        load_stories("tinystories")


@pytest.mark.parametrize(
    ("load", "alternative"),
    [
        (lambda: load_stories("tinystories", 5), "load_stories('bundled')"),
        (lambda: load_stories("tinystories"), "load_stories('bundled')"),
        (lambda: msae.load_language_model("tinymodel"), "load_language_model('bundled')"),
        (lambda: msae.load_language_model("roneneldan/TinyStories-33M"), "load_language_model('bundled')"),
        (lambda: msae.lm.tinymodel.load_tokens(5), "load_stories('bundled')"),
    ],
)
def test_without_a_network_one_sentence_at_once(hub, waits, load, alternative):
    hub.close()
    with pytest.raises(ConnectionError) as caught:
        load()
    assert sum(waits) < 1
    assert f"no connection to {hub.url}" in str(caught.value)
    assert alternative in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_that_swallows_everything_is_given_up_soon(monkeypatch, hub, waits):
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(module, "ANSWER_WITHIN", 0.2)
        with pytest.raises(ConnectionError, match="no connection to"):
            module.fetch("a/b", "c", "it", "instead")
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # asked once
            silent.accept()
        assert sum(waits) < 1


def test_the_clients_own_offline_switch_is_named(monkeypatch, hub):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"\(HF_HUB_OFFLINE is set\)"):
        load_stories("tinystories", 1)
    assert hub.requests == []


def test_what_the_hub_does_not_know_is_said(hub):
    with pytest.raises(ConnectionError, match=r"TinyStories.*load_stories\('bundled'\)"):
        load_stories("tinystories", 5)
    with pytest.raises(ConnectionError, match=r"'no/model' could not be fetched.*check the name"):
        msae.load_language_model("no/model")


def test_wrong_arguments_are_refused_before_anything_is_asked(hub):
    with pytest.raises(ValueError, match="split must be one of train, validation, got 'test'"):
        load_stories("tinystories", 5, split="test")
    with pytest.raises(ValueError, match="only the hub's data sets have splits"):
        load_stories("bundled", 5, split="validation")
    for n in (0, -1, True, 2.5, "3", float("nan"), [3]):
        for load in (msae.lm.tinymodel.load_tokens, lambda n: load_stories("tinystories", n)):
            with pytest.raises(ValueError, match="n must be"):
                load(n)
    for split in ("test", None, 3, ["train"]):
        with pytest.raises(ValueError, match="split must be one of train, validation"):
            msae.lm.tinymodel.load_tokens(3, split)
    for repo, name, kind in ((None, "a", "model"), ("", "a", "model"), ("a/b", 3, "model"), ("a/b", "a", "models")):
        with pytest.raises(ValueError, match=r"repo|name|repo_type"):
            module.fetch(repo, name, "it", "instead", kind)
    with pytest.raises(ValueError, match="device"):
        msae.load_language_model("tinymodel", device="cuda:99")
    assert hub.requests == []


def test_stories_as_tokens(hub):
    rows = [[9996, *range(i, i + 127)] for i in range(20)]
    lines = "".join(json.dumps({"tok_ids": row}) + "\n" for row in rows).encode()
    wrong = lines.replace(b"9996", b"9997")
    hub.add("noanabeshima/TinyModelTokIds", {"README.md": b"", "train.jsonl": lines, "validation.jsonl": wrong}, "dataset")
    assert msae.lm.tinymodel.load_tokens(5).tolist() == rows[:5]
    hub.requests.clear()
    assert msae.lm.tinymodel.load_tokens(4).tolist() == rows[:4]
    assert hub.requests == []
    tokens = msae.lm.tinymodel.load_tokens()
    assert tokens.dtype == torch.int32
    assert tokens.tolist() == rows
    with pytest.raises(ValueError, match=r"start with \[BEGIN\], 9996: got \[9997, 0"):
        msae.lm.tinymodel.load_tokens(5, split="validation")


def save_tiny(folder: Path, kind: str) -> torch.nn.Module:
    """A random model of a few thousand weights, and its tokenizer, as the hub has them."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(letters | {"<|endoftext|>": 256}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    end = "<|endoftext|>"
    transformers.GPT2TokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end).save_pretrained(folder)
    sizes = {"vocab_size": 257, "bos_token_id": 256, "eos_token_id": 256}
    torch.manual_seed(0)
    if kind == "gpt2":
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **sizes))
    else:
        neo = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "max_position_embeddings": 32, "window_size": 8}
        model = transformers.GPTNeoForCausalLM(transformers.GPTNeoConfig(attention_types=[[["global", "local"], 1]], **neo, **sizes))
    model.save_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize(("kind", "name"), [("gpt2", "someone/tiny-gpt2"), ("neo", "roneneldan/TinyStories-33M")])
def test_any_name_of_transformer_lens(hub, tmp_path, kind, name):
    model = save_tiny(tmp_path / "made", kind)
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    if kind == "neo":  # as the small models of Eldan and Li are stored
        del files["model.safetensors"]
        buffer = io.BytesIO()
        torch.save({key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}, buffer)
        files["pytorch_model.bin"] = buffer.getvalue()
    hub.add(name, files)
    lm = msae.load_language_model(name)
    tokens = torch.randint(256, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(lm(tokens), model(tokens).logits, atol=1e-5, rtol=1e-4)
    assert lm.to_tokens("Lily").shape == (1, 5)
    assert len(msae.Activations(lm, ["Lily and Sue"], "blocks.1.hook_resid_pre", n_ctx=8, progress=False)) == 12
    hub.close()
    assert msae.load_language_model(name).cfg.d_model == 16


def test_weights_that_would_run_code_are_not_opened(hub, tmp_path):
    save_tiny(tmp_path / "made", "gpt2")
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir() if path.suffix == ".json"}
    buffer = io.BytesIO()
    torch.save({"transformer.wte.weight": Dangerous(tmp_path / "it ran")}, buffer)
    hub.add("someone/bad", files | {"pytorch_model.bin": buffer.getvalue()})
    with pytest.raises(Exception, match="weights_only|Weights only"):
        msae.load_language_model("someone/bad")
    assert not (tmp_path / "it ran").exists()


def test_a_model_with_a_wrong_hash_is_refused(hub, tmp_path):
    save_tiny(tmp_path / "made", "gpt2")
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    weights = files["model.safetensors"]
    hub.add("someone/tiny-gpt2", files, served={"model.safetensors": weights[:-1] + bytes([weights[-1] ^ 1])})
    with pytest.raises(ValueError, match=r"a file of someone/tiny-gpt2 arrived altered"):
        msae.load_language_model("someone/tiny-gpt2")
    assert not re.search("someone", str(list((tmp_path / "hub").glob("*/blobs/" + 64 * "?"))))


def serve_tokenizer(hub: LoopbackHub) -> None:
    """GPT-Neo's vocabulary in its right size: letters, numbers that never occur, and one pair that is not among the frequent tokens."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    frequent = msae.lm.tinymodel.frequent_tokens()
    vocab = dict(zip(letters, frequent))  # the rest never occurs
    vocab |= {f"{letters[0]}{i}": i for i in range(50_257) if i not in set(frequent[: len(letters)])}
    rare = next(i for i in range(50_257) if i not in set(frequent))
    del vocab[f"{letters[0]}{rare}"]
    vocab["Lu"] = rare
    hub.add("EleutherAI/gpt-neo-125m", {"vocab.json": json.dumps(vocab).encode(), "merges.txt": b"#version: 0.2\nL u\n"})


def test_the_articles_model_from_the_hub(hub, tmp_path):
    """Weights and tokenizer of the right shape, filled at random: from two repositories to a model that reads text."""
    serve_tokenizer(hub)
    state = {name: value.bfloat16() for name, value in random_weights(d_vocab=10_000, d_model=32, n_layers=2).items()}
    torch.save(state, tmp_path / "state.pt")  # bfloat16, as the author's file
    state = {name: value.float() for name, value in state.items()}
    hub.add("noanabeshima/tiny_model", {"tiny_model.pt": (tmp_path / "state.pt").read_bytes()})
    lm = msae.load_language_model("tinymodel")
    assert lm.to_str_tokens("La Lu") == ["[BEGIN]", "L", "a", " ", "[UNK]"]
    tokens = lm.to_tokens("La Lu")
    assert tokens[0, [0, -1]].tolist() == [9996, 9999]
    with torch.no_grad():
        torch.testing.assert_close(lm(tokens)[0], forward(state, tokens[0].tolist(), n_heads=16)[0], atol=1e-5, rtol=1e-4)
    hub.requests.clear()
    hub.close()
    assert msae.load_language_model("tinymodel").cfg.n_layers == 2


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not ALL_CHECKS, reason="24 steps with 24,576 latents, some minutes: set MSAE_ALL_CHECKS=1")
def test_the_full_experiment_at_a_thousandth_of_its_length(hub, tmp_path):
    """The file that describes 100 million tokens, 24,576 latents and the article's model runs as it is, from the hub to a row of results.

    The model has the article's shape and random weights; the stories are words at random.
    """
    serve_tokenizer(hub)
    state = {name: value.bfloat16() for name, value in random_weights(d_vocab=10_000, d_model=768, n_layers=4, n_ctx=512).items()}
    torch.save(state, tmp_path / "state.pt")
    hub.add("noanabeshima/tiny_model", {"tiny_model.pt": (tmp_path / "state.pt").read_bytes()})
    rng = np.random.default_rng(0)
    words = ["Lily", "Sue", "sees", "the", "red", "ball", "and", "she", "is", "happy", "today", "again"]
    stories = [f"{i} " + " ".join(rng.choice(words, 100)) + "." for i in range(600)]
    files = {"README.md": b"", TRAIN[0]: parquet(stories[:300]), TRAIN[1]: parquet(stories[300:])}
    hub.add("roneneldan/TinyStories", files, "dataset")

    family, only = load_family("article"), "blocks.1.hook_resid_pre/matryoshka-15-seed0"
    (member,) = train_family(family, tmp_path / "out", only=only, length=0.001, progress=False)
    sae = msae.SAE.load(tmp_path / "out" / member.id)
    assert (sae.d_model, sae.n_latents, sae.config["n_steps"]) == (768, 24_576, 24)
    assert sae.config["family"]["n_tokens"] == 100_000
    (row,) = measure_family(family, tmp_path / "out", only=only, length=0.001, n_tokens=2000, n_spliced=4, progress=False)
    assert 0 < row["measured"]["held_out"]["fvu"][0] < 1


def test_the_articles_model_with_a_wrong_hash_is_refused(hub, tmp_path):
    torch.save(random_weights(d_vocab=20), tmp_path / "state.pt")
    content = (tmp_path / "state.pt").read_bytes()
    hub.add("noanabeshima/tiny_model", {"tiny_model.pt": content}, served={"tiny_model.pt": content[:-1] + b"!"})
    with pytest.raises(ValueError, match="a file of noanabeshima/tiny_model arrived altered"):
        msae.load_language_model("tinymodel")
