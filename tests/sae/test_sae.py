"""The SAE: its formula, its shapes, its folder on disk."""

import json

import pytest
import torch
from torch.testing import assert_close

import msae

KINDS = [msae.ReLU(), msae.TopK(3), msae.BatchTopK(3), msae.JumpReLU()]


def make(nonlinearity=None, **more):
    sae = msae.SAE(6, 10, nonlinearity, generator=torch.Generator().manual_seed(0), **more)
    with torch.no_grad():
        sae.b_enc.uniform_(-0.2, 0.2)
        if sae.threshold is not None:
            sae.threshold.fill_(0.3)
    return sae


def test_formula():
    sae, x = make(), torch.randn(5, 6)
    acts = torch.clamp(x @ sae.W_enc + sae.b_enc, min=0)
    assert_close(sae.encode(x), acts)
    assert_close(sae(x), acts @ sae.W_dec + sae.b_dec)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_any_leading_shape(kind):
    sae, x = make(kind), torch.randn(2, 3, 6)
    one_by_one = torch.stack([torch.stack([sae(v) for v in row]) for row in x])
    assert_close(sae(x), one_by_one)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_round_trip_through_a_folder(kind, tmp_path):
    sae, x = make(kind, hook_name="blocks.1.hook_resid_pre", scale=0.25, config={"seed": 3}), torch.randn(5, 6)
    sae.save(tmp_path / "sae")
    loaded = msae.SAE.load(tmp_path / "sae")
    assert_close(loaded(x), sae(x), rtol=0, atol=0)
    assert (loaded.hook_name, loaded.scale, loaded.config, loaded.nonlinearity) == (sae.hook_name, sae.scale, sae.config, kind)


def test_a_prefix_is_the_first_latents_alone():
    sae, x = make(), torch.randn(5, 6)
    assert_close(sae.prefix(4)(x), sae.encode(x)[:, :4] @ sae.W_dec[:4] + sae.b_dec)
    with pytest.raises(ValueError, match="1 to 10 latents, got 11"):
        sae.prefix(11)


def test_topk_keeps_the_largest():
    acts = make(msae.TopK(3)).encode(torch.randn(50, 6))
    assert ((acts > 0).sum(1) <= 3).all()
    pre = torch.tensor([[3.0, -1.0, 2.0, 1.0]])
    assert msae.TopK(2)(pre).tolist() == [[3, 0, 2, 0]]
    assert msae.TopK(4)(pre).tolist() == [[3, 0, 2, 1]]


def test_batchtopk_keeps_k_on_average_in_training_and_uses_its_threshold_after():
    pre = torch.tensor([[5.0, 4.0, 3.0], [2.0, 1.0, 0.5]])
    assert msae.BatchTopK(1)(pre, training=True).tolist() == [[5, 4, 0], [0, 0, 0]]
    assert msae.BatchTopK(1)(pre, torch.tensor(1.5)).tolist() == [[5, 4, 3], [2, 0, 0]]


def test_jumprelu_jumps_and_its_threshold_learns():
    pre = torch.tensor([[0.2, 0.31, 2.0]], requires_grad=True)
    threshold = torch.full((3,), 0.3, requires_grad=True)
    acts = msae.JumpReLU(bandwidth=0.1)(pre, threshold)
    assert_close(acts, torch.tensor([[0.0, 0.31, 2.0]]))
    acts.sum().backward()
    assert pre.grad.tolist() == [[0, 1, 1]]
    assert_close(threshold.grad, torch.tensor([0.0, -3.0, 0.0]))  # Eq. 11: -0.3 / 0.1 inside the kernel only


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="d_model=6, got x of shape"):
        make().encode(torch.randn(5, 7))
    with pytest.raises(ValueError, match="n_latents must be a positive whole number, got 0"):
        msae.SAE(6, 0)
    with pytest.raises(ValueError, match="k must be at least 1"):
        msae.TopK(0)
    with pytest.raises(ValueError, match="k=11 latents cannot be active among 10"):
        make(msae.TopK(11)).encode(torch.randn(5, 6))


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no sae\.json"):
        msae.SAE.load(tmp_path)
    make().save(tmp_path)
    weights = (tmp_path / "sae.safetensors").read_bytes()
    (tmp_path / "sae.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match="does not hold a whole SAE"):
        msae.SAE.load(tmp_path)
    (tmp_path / "sae.safetensors").write_bytes(weights)
    about = json.loads((tmp_path / "sae.json").read_text())
    (tmp_path / "sae.json").write_text(json.dumps(about | {"n_latents": 11}))
    with pytest.raises(ValueError, match="does not hold a whole SAE"):
        msae.SAE.load(tmp_path)


def test_the_threshold_of_any_leading_shape_has_its_gradient():
    pre, threshold = torch.rand(2, 3, 4, dtype=torch.float64), torch.full((4,), 0.3, dtype=torch.float64, requires_grad=True)
    kind = msae.JumpReLU(bandwidth=0.8)
    kind(pre, threshold).sum().backward()
    flat = threshold.detach().clone().requires_grad_()
    kind(pre.reshape(6, 4), flat).sum().backward()
    assert_close(threshold.grad, flat.grad)


def test_numpy_arrays_are_read_too():
    sae, x = make(), torch.randn(5, 6)
    for array in (x.numpy(), x.numpy().astype("float64"), x.numpy().astype(">f4"), x.numpy()[::-1].copy()[::-1]):
        assert_close(sae(array), sae(x), check_dtype=False)
