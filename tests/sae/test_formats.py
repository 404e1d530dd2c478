"""The folders of other libraries, written by hand as these libraries write them: what is read computes their formula, or is refused."""

import json
import pickle
import zipfile
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import msae
from msae.sae import read_dictionary_learning, read_sae, read_saelens, write_saelens

D, N = 6, 10
KINDS = [msae.ReLU(), msae.TopK(3), msae.BatchTopK(3), msae.JumpReLU(0.3)]
CFG = {"d_in": D, "d_sae": N, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True, "normalize_activations": "none"}
CFG |= {"reshape_activations": "none", "architecture": "standard"}
METADATA = {"sae_lens_version": "6.54.12", "model_name": "gpt2", "hook_name": "blocks.2.hook_resid_post", "context_size": 64}


def random(*shape, seed=0, size=1.0):
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X = random(200, D, seed=9)


def weights(*more):
    sizes = torch.linspace(0.3, 3, N)[:, None]
    w = {"W_enc": random(D, N, seed=1), "b_enc": random(N, seed=2), "W_dec": random(N, D, seed=3) * sizes, "b_dec": random(D, seed=4)}
    w |= {"threshold": random(N, seed=5), "topk_threshold": torch.tensor(0.7, dtype=torch.float64)}
    w |= {"b_gate": random(N, seed=6), "b_mag": random(N, seed=7), "r_mag": random(N, seed=8, size=0.5)}
    return {name: w[name] for name in ("W_enc", "W_dec", "b_dec", *more)}


def saelens_folder(folder, w, **cfg):
    """The two files; a field that is "left out" is not there."""
    folder.mkdir(exist_ok=True)
    cfg = CFG | {"metadata": METADATA} | cfg
    (folder / "cfg.json").write_text(json.dumps({name: value for name, value in cfg.items() if value != "left out"}))
    save_file({name: weight.contiguous() for name, weight in w.items()}, folder / "sae_weights.safetensors")
    return folder


def assert_same(sae, acts, w, *, scale=1.0, lengths=None):
    """As many lengths as SAELens' activations add, and its reconstruction."""
    x_hat = (acts @ w["W_dec"] + w["b_dec"]) / scale
    lengths = acts * w["W_dec"].norm(dim=1) / scale if lengths is None else lengths
    assert_close(sae.encode(X), lengths, atol=1e-5, rtol=1e-5)
    assert_close(sae(X), x_hat, atol=1e-5, rtol=1e-5)
    assert_close(sae.W_dec.norm(dim=1), torch.ones(N))
    assert 0.5 < (lengths > 0).sum(1).float().mean() < N - 1


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_standard(centred, scale, tmp_path):
    w = weights("b_enc")
    more = {} if scale == 1 else {"normalize_activations": "expected_average_only_in"}
    saelens_folder(tmp_path, w, apply_b_dec_to_input=centred, **more)
    sae = read_saelens(tmp_path, **({} if scale == 1 else {"scale": scale}))
    acts = ((scale * X - centred * w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    assert_same(sae, acts, w, scale=scale)
    assert (sae.nonlinearity, sae.hook_name, sae.scale) == (msae.ReLU(), "blocks.2.hook_resid_post", scale)
    assert sae.config["data"] == {"model": "gpt2", "n_ctx": 64}
    assert sae.config["made_by"] == "SAELens 6.54.12"


def test_the_scale_of_a_checkpoint_lies_beside_it(tmp_path):
    w = weights("b_enc", "threshold")
    saelens_folder(tmp_path, w, architecture="jumprelu", normalize_activations="expected_average_only_in", jumprelu_bandwidth=0.25)
    with pytest.raises(ValueError, match="the scale of the input is not in the folder: give it as scale="):
        read_saelens(tmp_path)
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.5, "has_whitening": false}')
    pre = (0.5 * X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    sae = read_saelens(tmp_path)
    assert_same(sae, pre.relu() * (pre > w["threshold"]), w, scale=0.5)
    assert sae.nonlinearity == msae.JumpReLU(0.25)
    assert read_saelens(tmp_path, scale=0.4).scale == 0.4


def test_gated_is_a_jumprelu(tmp_path):
    w = weights("b_gate", "b_mag", "r_mag")
    saelens_folder(tmp_path, w, architecture="gated")
    x = (X - w["b_dec"]) @ w["W_enc"]
    acts = (x + w["b_gate"] > 0) * (x * w["r_mag"].exp() + w["b_mag"]).relu()
    assert_same(read_saelens(tmp_path), acts, w)


@pytest.mark.parametrize("by_length", [True, False])
@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_a_checkpoint_of_batchtopk_keeps_its_threshold(architecture, by_length, tmp_path):
    w = weights("b_enc", "topk_threshold")
    more = {"k": 3.0, "matryoshka_widths": [4, N], "topk_threshold_lr": 0.01}
    saelens_folder(tmp_path, w, architecture=architecture, rescale_acts_by_decoder_norm=by_length, **more)
    acts = ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    norm = w["W_dec"].norm(dim=1)
    acts = acts * ((acts * norm if by_length else acts) > 0.7)
    sae = read_saelens(tmp_path)
    assert_same(sae, acts, w)
    assert sae.nonlinearity == msae.BatchTopK(3)


def test_topk(tmp_path):
    w = weights("b_enc")
    pre, norm = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"], w["W_dec"].norm(dim=1)
    saelens_folder(tmp_path, w, architecture="topk", k=3, rescale_acts_by_decoder_norm=True)
    lengths = msae.TopK(3)(pre * norm)
    assert_same(read_saelens(tmp_path), lengths / norm, w, lengths=lengths)
    saelens_folder(tmp_path, w, architecture="topk", k=3)
    with pytest.raises(ValueError, match=r"rows of W_dec have norms from 0\.\d+ to \d.+rescale_acts_by_decoder_norm=False"):
        read_saelens(tmp_path)
    w["W_dec"] = 2 * w["W_dec"] / norm[:, None]
    saelens_folder(tmp_path, w, architecture="topk", k=3)
    assert_same(read_saelens(tmp_path), msae.TopK(3)(pre), w)


def test_a_latent_without_a_direction_never_fires(tmp_path):
    w = weights("b_enc")
    w["W_dec"][4] = 0
    sae = read_saelens(saelens_folder(tmp_path, w))
    assert not sae.encode(X)[:, 4].any()
    assert_close(sae(X), ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu() @ w["W_dec"] + w["b_dec"])


def test_the_precision_is_that_saelens_computes_in(tmp_path):
    w = weights("b_enc")
    rounded = {name: weight.bfloat16().float() for name, weight in w.items()}
    assert read_saelens(saelens_folder(tmp_path, w, dtype="bfloat16")).b_dec.equal(rounded["b_dec"])
    wide = {name: weight.double() for name, weight in w.items()}
    assert read_saelens(saelens_folder(tmp_path, wide, dtype="torch.float64")).W_enc.dtype == torch.float64


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({"normalize_activations": "layer_norm"}, "normalize_activations must be one of .*, got 'layer_norm'"),
        ({"normalize_activations": "constant_norm_rescale"}, "normalize_activations .* got 'constant_norm_rescale'"),
        ({"normalize_activations": "covariance_whitening"}, "normalize_activations .* got 'covariance_whitening'"),
        ({"reshape_activations": "hook_z"}, "reshape_activations must be one of 'none', got 'hook_z'"),
        ({"architecture": "skip_transcoder"}, "architecture must be one of .* got 'skip_transcoder'"),
        ({"architecture": "left out"}, "there is no 'architecture'"),
        ({"dtype": "int8"}, "dtype must be one of .* got 'int8'"),
        ({"dtype": "left out"}, "there is no 'dtype'"),
        ({"d_in": 7}, r"W_enc must have the shape \(7, 10\), got \(6, 10\)"),
        ({"d_sae": True}, "d_sae must be a whole number"),
        ({"apply_b_dec_to_input": "yes"}, "apply_b_dec_to_input must be True or False, got 'yes'"),
        ({"new_field": [1]}, r"the field 'new_field', \[1\], and msae does not know what it changes"),
        ({"metadata": METADATA | {"sae_lens_version": "5.11.0"}}, "sae_lens_version is '5.11.0', and files of SAELens 6 are read"),
        ({"metadata": "left out"}, "sae_lens_version is None"),
        ({"metadata": [1]}, "metadata must be a dict, got list"),
        ({"metadata": METADATA | {"hook_head_index": 3}}, "hook_head_index is 3"),
        ({"metadata": METADATA | {"hook_name": 3}}, "hook_name must be a string"),
        ({"metadata": METADATA | {"msae": {"scale": -1}}}, "scale must be positive, got -1"),
        ({"architecture": "topk", "k": 2.5}, "k must be a whole number"),
        ({"architecture": "topk"}, "there is no 'k'"),
        ({"architecture": "topk", "k": 11, "rescale_acts_by_decoder_norm": True}, "k=11 latents cannot be active among 10"),
        ({"architecture": "jumprelu"}, "expected the weights W_enc, W_dec, b_dec, b_enc, threshold, got"),
    ],
)
def test_what_cannot_be_represented_is_named(cfg, words, tmp_path):
    saelens_folder(tmp_path, weights("b_enc"), **cfg)
    with pytest.raises(ValueError, match=words) as caught:
        read_saelens(tmp_path)
    assert f"{tmp_path} cannot be read as an SAE of SAELens: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["cfg.json", "sae_weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe{}", b"[1, 2]", b"null", b"{" * 5000, b"[" * 100_000])
def test_a_damaged_file_is_one_sentence(file, content, tmp_path):
    saelens_folder(tmp_path, weights("b_enc"))
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as an SAE of SAELens") as caught:
        read_saelens(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_weight_that_is_not_finite_is_named(tmp_path):
    w = weights("b_enc")
    w["W_dec"][2, 1] = torch.inf
    with pytest.raises(ValueError, match=r"W_dec must be finite, got inf at \[2, 1\]"):
        read_saelens(saelens_folder(tmp_path, w))


# written by us


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_we_write_is_what_saelens_computes_and_comes_back(kind, tmp_path):
    config = {"data": {"model": "bundled", "n_ctx": 96}, "seed": 3}
    sae = msae.SAE(D, N, kind, hook_name="blocks.1.hook_resid_pre", scale=0.25, config=config)
    for weight in (sae.b_enc, sae.b_dec, sae.threshold):
        if weight is not None:
            weight.data = random(*weight.shape, seed=1, size=0.4)
    write_saelens(sae, tmp_path / "out")
    cfg, w = json.loads((tmp_path / "out" / "cfg.json").read_text()), load_file(tmp_path / "out" / "sae_weights.safetensors")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cfg.json", "sae_weights.safetensors"}
    pre = X @ w["W_enc"] + w["b_enc"]
    if cfg["architecture"] == "jumprelu":
        pre = pre * (pre > w["threshold"])
    acts = msae.TopK(cfg["k"])(pre) if cfg["architecture"] == "topk" else pre.relu()
    assert_close(sae.encode(X), acts)
    assert_close(sae(X), acts @ w["W_dec"] + w["b_dec"])
    assert (cfg["d_in"], cfg["d_sae"], cfg["apply_b_dec_to_input"], cfg["normalize_activations"]) == (D, N, False, "none")
    assert (cfg["metadata"]["model_name"], cfg["metadata"]["context_size"]) == ("bundled", 96)
    back = read_sae(tmp_path / "out")
    assert (back.nonlinearity, back.hook_name, back.scale, back.config) == (kind, sae.hook_name, 0.25, config)
    for name, weight in sae.named_parameters():
        assert_close(getattr(back, name), weight, rtol=0, atol=0)


def test_what_saelens_has_no_form_for_is_not_written(tmp_path):
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Mine(msae.sae.Nonlinearity):
        def __call__(self, pre, threshold=None, training=False):
            return pre.relu()

    for sae, words in [
        (msae.SAE(D, N, Mine()), "nonlinearity must be one that SAELens has"),
        (msae.SAE(D, N, msae.TopK(3)).prefix(5), "W_rivals"),
        (msae.SAE(D, N, config={"lr": float("nan")}), r"config\['lr'\] is nan"),
        (3, "sae must be an SAE of msae, got 3"),
    ]:
        with pytest.raises(ValueError, match=words):
            write_saelens(sae, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# dictionary_learning

LINEAR = {"encoder.weight": ("W_enc", True), "encoder.bias": ("b_enc", False), "decoder.weight": ("W_dec", True)}
FIVE = {name: (name, False) for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}
STATES = {
    "AutoEncoder": LINEAR | {"bias": ("b_dec", False)},
    "AutoEncoderNew": LINEAR | {"decoder.bias": ("b_dec", False)},
    "AutoEncoderTopK": LINEAR | {"b_dec": ("b_dec", False)},
    "BatchTopKSAE": LINEAR | {"b_dec": ("b_dec", False)},
    "MatryoshkaBatchTopKSAE": {name: both for name, both in FIVE.items() if name != "threshold"},
    "JumpReluAutoEncoder": FIVE,
    "GatedAutoEncoder": {
        **{"encoder.weight": ("W_enc", True), "decoder.weight": ("W_dec", True), "decoder_bias": ("b_dec", False)},
        **{"gate_bias": ("b_gate", False), "mag_bias": ("b_mag", False), "r_mag": ("r_mag", False)},
    },
}


def learnt(kind, theta=0.6):
    w = weights("b_enc", "threshold", "b_gate", "b_mag", "r_mag")
    if kind == "AutoEncoderTopK":
        w["W_dec"] = w["W_dec"] / w["W_dec"].norm(dim=1, keepdim=True)
    state = {name: w[ours].T if turned else w[ours] for name, (ours, turned) in STATES[kind].items()}
    if "TopK" in kind:
        state |= {"k": torch.tensor(3, dtype=torch.int), "threshold": torch.tensor(theta)}
    return w, state | ({"group_sizes": torch.tensor([4, 6])} if "Matryoshka" in kind else {})


def learnt_folder(folder, kind, state, **trainer):
    trainer = {"dict_class": kind, "activation_dim": D, "dict_size": N, "k": 3, "layer": 2, "lm_name": "EleutherAI/pythia-70m"} | trainer
    trainer = {name: value for name, value in trainer.items() if value != "left out"}
    (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
    torch.save(state, folder / "ae.pt")
    return folder


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("theta", [0.6, -1.0])
def test_dictionary_learning(kind, theta, tmp_path):
    w, state = learnt(kind, theta)
    x = X - (0 if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else w["b_dec"])
    pre = x @ w["W_enc"] + w["b_enc"]
    acts = pre.relu()
    if kind == "AutoEncoderTopK":
        acts = msae.TopK(3)(pre)
    elif "TopK" in kind:
        acts = acts * (acts > theta)
    elif kind == "JumpReluAutoEncoder":
        acts = (pre * (pre > w["threshold"])).relu()
    elif kind == "GatedAutoEncoder":
        acts = (x @ w["W_enc"] + w["b_gate"] > 0) * (w["r_mag"].exp() * (x @ w["W_enc"]) + w["b_mag"]).relu()
    sae = read_sae(learnt_folder(tmp_path, kind, state, submodule_name="resid_post_layer_2"))
    assert_same(sae, acts, w)
    assert sae.hook_name == "blocks.2.hook_resid_post"
    assert sae.config["data"] == {"model": "EleutherAI/pythia-70m", "n_ctx": 128}
    assert sae.config["trainer"]["dict_class"] == kind
    sae.save(tmp_path / "ours")
    assert_close(msae.SAE.load(tmp_path / "ours")(X), sae(X), rtol=0, atol=0)


def test_a_module_that_is_no_hook_is_not_guessed_at(tmp_path):
    assert (
        read_dictionary_learning(learnt_folder(tmp_path, "AutoEncoder", learnt("AutoEncoder")[1], submodule_name="mlp")).hook_name is None
    )


class Runs:
    def __reduce__(self):
        return open, ("it-ran", "w")


@pytest.mark.parametrize("where", ["alone", "among the tensors", "in place of a name"])
def test_a_pickle_is_never_run(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, state = learnt("AutoEncoder")
    state = {"alone": Runs(), "among the tensors": state | {"more": Runs()}, "in place of a name": {"a": 1, "b": [Runs()]}}[where]
    learnt_folder(tmp_path, "AutoEncoder", state)
    with pytest.raises(ValueError, match=r"ae.pt holds something else than tensors, and is not unpickled: save its state_dict\(\) alone"):
        read_sae(tmp_path)
    (tmp_path / "ae.pt").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match="is no archive that torch.save writes"):
        read_sae(tmp_path)
    assert not (tmp_path / "it-ran").exists()


def test_a_forged_archive_is_one_sentence(tmp_path):
    _, state = learnt("AutoEncoder")
    path = learnt_folder(tmp_path, "AutoEncoder", state) / "ae.pt"
    whole, order = path.read_bytes(), torch.Generator().manual_seed(0)
    for _ in range(60):
        forged = bytearray(whole)
        for place in torch.randint(len(whole), (15,), generator=order).tolist():
            forged[place] ^= 255
        path.write_bytes(bytes(forged))
        with suppress(ValueError):  # whatever else breaks in it fails here
            read_sae(tmp_path)


def packed(path):
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_what_would_unfold_to_more_than_the_file_is_refused(tmp_path):
    _, state = learnt("AutoEncoder")
    learnt_folder(tmp_path, "AutoEncoder", state | {"bias": torch.zeros(1).expand(D)})
    with pytest.raises(ValueError, match=r"bias repeats its numbers, \(6,\) out of 4 bytes"):
        read_sae(tmp_path)
    learnt_folder(tmp_path, "AutoEncoder", state)
    packed(tmp_path / "ae.pt")
    with pytest.raises(ValueError, match="ae.pt is packed"):
        read_sae(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {name: value for name, value in s.items() if name != "b_dec"}, "expected the weights .*, got"),
        (lambda s: s | {"more": torch.ones(3)}, "expected the weights .*, got .*more"),
        (lambda s: s | {"encoder.weight": s["encoder.weight"].T}, r"encoder.weight must have the shape \(10, 6\), got \(6, 10\)"),
        (lambda s: s | {"threshold": torch.ones(10)}, r"threshold must have the shape \(\), got \(10,\)"),
        (lambda s: s | {"encoder.bias": s["encoder.bias"].long()}, "encoder.bias must hold floating-point numbers, got torch.int64"),
        (lambda s: s | {"encoder.bias": s["encoder.bias"] / 0}, "encoder.bias must be finite"),
        (lambda s: s | {"b_dec": torch.ones(6).to_sparse()}, "b_dec must be a dense tensor, got one that is sparse"),
        (lambda s: s | {"b_dec": torch.ones(6, device="meta")}, "b_dec must be a dense tensor, got one that is without data"),
        (lambda s: s | {"k": torch.tensor(4)}, "k is 3 in config.json and 4 in ae.pt"),
        (lambda s: s | {"k": torch.ones(2)}, "k is 3 in config.json and a tensor of shape"),
        (lambda s: [1, 2], "ae.pt must be a dict, got list"),
        (lambda s: s | {"b_dec": [1.0]}, "ae.pt must hold tensors by name"),
    ],
)
def test_a_state_that_does_not_fit_is_one_sentence(change, words, tmp_path):
    learnt_folder(tmp_path, "BatchTopKSAE", change(learnt("BatchTopKSAE")[1]))
    with pytest.raises(ValueError, match=words) as caught:
        read_sae(tmp_path)
    assert f"{tmp_path} cannot be read as an SAE of dictionary_learning: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        ({"dict_class": "CrossCoder"}, "dict_class must be one of .* got 'CrossCoder'"),
        ({"dict_class": "left out"}, "there is no 'dict_class'"),
        ({"dict_class": ["AutoEncoder"]}, "dict_class must be one of"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": "left out"}, "there is no 'k'"),
        ({"activation_dim": 7}, r"encoder.weight must have the shape \(10, 7\), got \(10, 6\)"),
        ({"dict_size": "10"}, "dict_size must be a whole number"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(trainer, words, tmp_path):
    learnt_folder(tmp_path, "BatchTopKSAE", learnt("BatchTopKSAE")[1], **trainer)
    with pytest.raises(ValueError, match=words) as caught:
        read_sae(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"{}"])
def test_a_cut_archive_is_one_sentence(content, tmp_path):
    learnt_folder(tmp_path, "AutoEncoder", learnt("AutoEncoder")[1])
    (tmp_path / "ae.pt").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as an SAE of dictionary_learning") as caught:
        read_sae(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_recognised_by_its_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no sae.json: .* SAELens \(cfg.json, sae_weights.safetensors\) or of dictionary_l"):
        read_sae(tmp_path)
    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="holds no sae_weights.safetensors: give the folder that"):
        read_sae(tmp_path)
    (tmp_path / "cfg.json").unlink()
    (tmp_path / "ae.pt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"holds no config.json: give the folder that trainSAE"):
        read_sae(tmp_path)
    msae.SAE(D, N).save(tmp_path)
    assert read_sae(tmp_path).n_latents == N
