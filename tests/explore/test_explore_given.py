"""What an explorer is given and leaves: every precision, padded vocabularies, split letters, streams; folders whole or not at all."""

from __future__ import annotations

import copy
import errno
import gzip
import json
import os
import re
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch

import msae
from msae.explore import Explorer, LatentActivations, read_bundle, write_bundle
from msae.explore.bundle import schema
from msae.explore.writing import manifest
from msae.patterns.matching import match

HOOK = "blocks.2.hook_resid_pre"
TEXTS = ["Zoë ate a café.", "naïve café 中文 😀 é", "Lily saw a cat."]
VOCAB = [*"abcdef", " g", b"\xc3", b"\xa9"]


@pytest.fixture(scope="module")
def lm():
    return msae.load_language_model()


@pytest.fixture(scope="module")
def read(lm):
    return msae.Activations(lm, TEXTS, hook_name=HOOK, progress=False)


def small_sae(d_model: int, n_latents: int = 8, **more) -> msae.SAE:
    torch.manual_seed(1)
    made = msae.SAE(d_model, n_latents, **more)
    made.W_enc.data = torch.randn(d_model, n_latents) / 4
    return made


def stream(x: torch.Tensor, **more) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    tokens = torch.from_numpy(rng.integers(0, 7, (2, len(x) // 2)))
    return SimpleNamespace(x=x, mask=torch.ones(tokens.shape, dtype=torch.bool), tokens=tokens, str_tokens=VOCAB, hook_name="here", **more)


def x_of(n: int = 40, d_model: int = 6) -> torch.Tensor:
    return torch.randn(n, d_model, generator=torch.Generator().manual_seed(0))


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("of_x", [torch.float16, torch.bfloat16, torch.float64])
def test_saes_and_activations_of_every_precision_make_a_page(dtype, of_x, tmp_path):
    sae = small_sae(6, hook_name="here").to(dtype)
    activations = stream(x_of().to(of_x))
    model = SimpleNamespace(W_U=torch.randn(6, 9, generator=torch.Generator().manual_seed(2)).to(dtype))
    ex = Explorer.from_saes({"S": sae}, activations, model)
    page = ex.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "NaN" not in re.search(r'<script type="application/json">(.*?)</script>', page)[1]
    weights = {name: tensor.detach().double().numpy() for name, tensor in sae.named_parameters()}
    expected = np.maximum(activations.x.double().numpy() @ weights["W_enc"] + weights["b_enc"], 0)
    found = np.stack([ex.dense(k).ravel() for k in range(8)], 1)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol={torch.float16: 0.02, torch.bfloat16: 0.15}.get(dtype, 1e-5))
    effect = weights["W_dec"][0] @ model.W_U.double().numpy()
    assert ex.bundle().details[0]["logits"][0][1] == pytest.approx(effect.max() - effect.mean(), rel=0.02)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, bool])
def test_dense_arrays_of_every_precision_are_read(dtype):
    dense = (np.random.default_rng(0).random((3, 4, 5)) * 3).astype(dtype)
    acts = LatentActivations.from_dense(dense)
    assert np.array_equal(acts.dense(2), dense[..., 2].astype(np.float32))
    assert Explorer({"S": acts, "T": acts}, np.zeros((3, 4), int), VOCAB)._repr_html_()


@pytest.mark.parametrize("unit", [1e-35, 1e-20, 1e18, 1e34])
def test_relatives_do_not_depend_on_the_unit_of_activations(unit):
    def relatives(scale):
        rng = np.random.default_rng(0)
        dense = {name: rng.gamma(2, 2, (4, 10, n)) * (rng.random((4, 10, n)) < 0.5) for name, n in (("S", 3), ("T", 6))}
        acts = {name: LatentActivations.from_dense(each * scale) for name, each in dense.items()}
        ex = Explorer(acts, np.zeros((4, 10), int), VOCAB)
        return ex.edges, [[detail[kind] for kind in ("cofiring", "cosine")] for detail in ex.bundle().details]

    (edges, near), (plain_edges, plain_near) = relatives(unit), relatives(1)
    assert [edge[:2] for edge in edges] == [edge[:2] for edge in plain_edges] != []
    assert [edge[2] for edge in edges] == pytest.approx([edge[2] for edge in plain_edges], abs=2e-4)
    assert near == plain_near


# Vocabularies that are padded, or have holes


@pytest.mark.parametrize("n_columns", [4, 9, 16])
def test_an_unembedding_may_be_wider_or_narrower_than_the_vocabulary(n_columns):
    vocab = [*VOCAB[:3], "[id 3]", *VOCAB[4:]]  # 3 is a number without a token
    W_U = torch.randn(6, n_columns, generator=torch.Generator().manual_seed(2))
    W_U[:, 3] = 100
    activations = stream(x_of())
    activations.str_tokens, activations.tokens[activations.tokens == 3] = vocab, 0
    sae = small_sae(6, hook_name="here")
    bundle = Explorer.from_saes({"S": sae}, activations, SimpleNamespace(W_U=W_U)).bundle()
    tokens = [i for i in range(min(n_columns, len(vocab))) if i != 3]
    for k, detail in enumerate(bundle.details):
        effect = (sae.W_dec[k].double() @ W_U.double()[:, tokens]).detach().numpy()
        effect -= effect.mean()
        found = {bundle.vocab_ids[kind]: value for kind, value in detail["logits"]}
        assert set(found) == set(tokens)
        assert [found[token] for token in tokens] == pytest.approx(effect, rel=1e-3, abs=1e-4)


def test_a_tokenizer_with_an_added_token_makes_a_page(lm):
    tokenizer = copy.deepcopy(lm.tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    given = SimpleNamespace(**vars(stream(x_of(40, lm.cfg.d_model))))
    given.str_tokens = msae.support.letters.vocabulary(tokenizer)
    assert len(given.str_tokens) == lm.W_U.shape[1] + 1
    ex = Explorer.from_saes({"S": small_sae(lm.cfg.d_model)}, given, lm)
    assert "Effect" in ex._repr_html_()
    assert len(ex.bundle().details[0]["logits"]) == 16


# Letters that are split


def test_texts_read_naturally_in_the_bundle_and_the_page(lm, read, tmp_path):
    sae = small_sae(lm.cfg.d_model, hook_name=HOOK)
    ex = Explorer.from_saes({"S": sae}, read, lm)
    jsonschema.validate(manifest(ex.bundle())[0], schema())
    ex.save(tmp_path / "ex", progress=False)
    bundle = read_bundle(tmp_path / "ex")
    shown = ["".join(bundle.vocab[kind] for kind in bundle.tokens[a:b]) for a, b in zip(bundle.starts, bundle.starts[1:])]
    assert shown == TEXTS
    parts = {kind: (part, of, text) for kind, part, of, text in bundle.parts}
    for position, kind in enumerate(bundle.tokens):
        if kind in parts:
            part, of, text = parts[kind]
            assert [parts[other] for other in bundle.tokens[position - part + 1 : position - part + 1 + of]] == [
                (k + 1, of, text) for k in range(of)
            ]
            assert bundle.vocab[kind] == (text if part == 1 else "")
    assert {text for _, _, text in parts.values()} == set("ëéï中文😀")
    page = ex._repr_html_()
    assert "\\ufffd" not in page
    before = page[: page.index("<script")]
    seen = re.sub("<[^>]*>", "", before)
    assert "�" not in seen
    assert "café" in seen
    top = ex.bundle().details[0]["tokens"]
    assert all(0 < n <= occurring for _, n, occurring, *_ in top)
    assert match('"café"', ex.tokens, ex.str_tokens, mask=ex.mask).sum(1).tolist() == [1, 1, 0]


def test_each_part_of_a_letter_has_numbers_of_its_own():
    tokens = np.array([[0, 7, 8, 7, 8, 7]])  # a é é and a stray byte
    acts = np.zeros((1, 6, 1), dtype=np.float32)
    acts[0, [2, 4], 0], acts[0, 5, 0] = (1, 3), 0.5
    bundle = Explorer({"S": LatentActivations.from_dense(acts)}, tokens, VOCAB).bundle()
    (detail,) = bundle.details
    rows = {(bundle.vocab[kind], {k: (p, of, text) for k, p, of, text in bundle.parts}.get(kind)): row for kind, *row in detail["tokens"]}
    assert rows == {("", (2, 2, "é")): [2, 2, 2.0, 3.0], ("\\xc3", None): [1, 1, 0.5, 0.5]}


def test_typed_text_is_told_with_its_letters(lm, read):
    pytest.importorskip("anywidget")
    from msae.explore.typed import on_text

    sae = small_sae(lm.cfg.d_model, hook_name=HOOK)
    told = on_text("a café 😀", lm, {"S": sae}, ["S/0"])
    assert "".join(told["tokens"]) == "a café 😀"
    assert [text for *_, text in told["parts"]] == [*["é"] * 2, *["😀"] * 4]
    json.dumps(told, allow_nan=False)


# Folders


def explorer(seed: int = 0, n_latents: int = 9) -> Explorer:
    rng = np.random.default_rng(seed)
    dense = rng.gamma(2, 2, (4, 10, n_latents)) * (rng.random((4, 10, n_latents)) < 0.3)
    return Explorer({"S": LatentActivations.from_dense(dense)}, rng.integers(0, 7, (4, 10)), VOCAB, made_from={"hook_name": "here"})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("nth", [1, 3, 7])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_save_that_fails_leaves_the_old_folder_whole(tmp_path, monkeypatch, nth, error, call):
    folder = tmp_path / "ex"
    explorer(0, 9).save(folder, latents_per_shard=2, progress=False)
    (folder / "notes.txt").write_text("mine")
    before, true, calls = files(folder), getattr(os, call), []

    def failing(*args):
        calls.append(args)
        if len(calls) == nth:
            raise error
        return true(*args)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(type(error)):
        explorer(1, 5).save(folder, latents_per_shard=2, progress=False)
    monkeypatch.undo()
    assert files(folder) == before
    read_bundle(folder)
    monkeypatch.setattr(os, call, lambda *args: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        explorer(1, 5).save(tmp_path / "new" / "ex", progress=False)
    assert not (tmp_path / "new").exists()


def test_a_page_of_another_bundle_does_not_stay_beside_a_new_one(tmp_path):
    explorer(0).save(tmp_path / "ex", progress=False)
    write_bundle(explorer(1).bundle(), tmp_path / "ex")
    assert not (tmp_path / "ex" / "index.html").exists()
    (tmp_path / "ex" / "index.html").write_text("<p>mine</p>")
    write_bundle(explorer(1).bundle(), tmp_path / "ex")
    assert (tmp_path / "ex" / "index.html").exists()


def test_ctrl_c_while_files_are_moved_waits_until_all_are(tmp_path, monkeypatch):
    folder = tmp_path / "ex"
    explorer(0, 9).save(folder, latents_per_shard=2, progress=False)
    true, sent = os.replace, []

    def replace(*args):
        if not sent:
            sent.append(signal.raise_signal(signal.SIGINT))
        true(*args)

    monkeypatch.setattr(os, "replace", replace)
    new = explorer(1, 9)
    with pytest.raises(KeyboardInterrupt):
        new.save(folder, latents_per_shard=2, progress=False)
    assert np.array_equal(read_bundle(folder).q, new.bundle().q)


def test_files_have_the_mode_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        explorer().save(tmp_path / "ex", progress=False)
        explorer().save(tmp_path / "page.html")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in [*(tmp_path / "ex").rglob("*.*"), tmp_path / "page.html"]}
    assert modes == {0o640}


def test_a_folder_says_what_it_was_made_from(tmp_path):
    sae = small_sae(6, hook_name="here", config={"made_from": {"hook_name": "here", "language_model": "one", "texts": "others"}})
    origin = {"hook_name": "here", "language_model": "one", "texts": "these"}
    Explorer.from_saes({"S": sae}, stream(x_of(), origin=origin)).save(tmp_path, progress=False)
    assert read_bundle(tmp_path).about["made_from"] == origin
    jsonschema.validate(json.loads((tmp_path / "manifest.json").read_bytes()), schema())


def altered(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["manifest.json", "payload.bin", "acts/001.bin"])
@pytest.mark.parametrize("harm", [altered, cut, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_folder_that_was_altered_or_half_written_is_refused_in_a_sentence(tmp_path, name, harm):
    explorer().save(tmp_path, latents_per_shard=4, progress=False)
    read_bundle(tmp_path)
    harm(tmp_path / name)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_bundle(tmp_path)
    assert "\n" not in str(caught.value)
    assert re.search(r"save the explorer again|made by Explorer.save|cut short", str(caught.value))


def test_files_of_two_saves_and_labels_changed_by_hand_are_refused(tmp_path):
    explorer(0).save(tmp_path / "a", latents_per_shard=4, progress=False)
    explorer(1).save(tmp_path / "b", latents_per_shard=4, progress=False)
    shutil.copy(tmp_path / "a" / "acts" / "000.bin", tmp_path / "b" / "acts" / "000.bin")
    with pytest.raises(ValueError, match="acts/000.bin .* is not the file that its manifest names"):
        read_bundle(tmp_path / "b")
    described = json.loads((tmp_path / "a" / "manifest.json").read_bytes())
    described["latents"]["label"][0] = "another"
    (tmp_path / "a" / "manifest.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="manifest.json .* is not as it was written"):
        read_bundle(tmp_path / "a")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(n_sample=99),
        lambda m: m.update(vocab=m["vocab"][:2]),
        lambda m: m.update(edges=[[0, 99, 0.5]]),
        lambda m: m.update(text_starts=[0, 3, 999], text_length=None) or m.pop("text_length"),
        lambda m: m.pop("latents"),
        lambda m: m["latents"].pop("off"),
        lambda m: m["latents"].update(n=m["latents"]["n"][:-1]),
        lambda m: m["latents"].update(max=["a"] * 9),
        lambda m: m.update(n_tokens="many"),
        lambda m: m.update(saes=None, vocab=None),
        lambda m: m.update(vocab=[1] * len(m["vocab"])),
        lambda m: m["latents"].update(id=[1] * 9),
        lambda m: m["latents"].update(label=[None] * 9),
    ],
)
def test_a_bundle_of_another_program_has_to_fit_together_without_hashes_too(tmp_path, change):
    write_bundle(explorer().bundle(), tmp_path, 4)
    described = json.loads((tmp_path / "manifest.json").read_bytes())
    del described["sha256"]
    (tmp_path / "manifest.json").write_text(json.dumps(described))
    read_bundle(tmp_path)
    change(described)
    (tmp_path / "manifest.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="altered|cut short"):
        read_bundle(tmp_path)


def test_a_manifest_nested_without_end_is_refused(tmp_path):
    explorer().save(tmp_path, progress=False)
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="altered"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("name", ["pythia-1.4b", "run.2", "l0.5", "a.b.c1"])
def test_a_folder_may_have_a_dot_in_its_name(tmp_path, name):
    assert explorer().save(tmp_path / name, progress=False) == tmp_path / name / "index.html"
    assert len(read_bundle(tmp_path / name).id) == len(explorer().bundle().id)


def test_a_newer_format_says_so(tmp_path):
    explorer().save(tmp_path, progress=False)
    described = json.loads((tmp_path / "manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(described | {"schema": "msae-explorer/2"}))
    with pytest.raises(ValueError, match=r"got 'msae-explorer/2' in .*: it was written by another version of msae"):
        read_bundle(tmp_path)
    (tmp_path / "payload.bin").write_bytes(gzip.compress(b""))
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match="got None"):
        read_bundle(tmp_path)
