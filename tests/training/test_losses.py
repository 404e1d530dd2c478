"""The closed form against brute force over every prefix, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import msae
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import inclusion_of, inclusion_probability
from msae.training.losses import all_prefix_loss, dense_all_prefix_loss, plain_loss, prefix_loss


def case(seed, batch, n, d, k):
    """Random inputs, sparse activations, a random order of the latents and a random law of prefix lengths."""
    g = torch.Generator().manual_seed(seed)
    kind = {"dtype": torch.float64, "generator": g}
    x = torch.randn(batch, d, **kind)
    b_dec, W_dec = torch.randn(d, **kind), torch.randn(n, d, **kind)
    indices = torch.stack([torch.randperm(n, generator=g)[:k] for _ in range(batch)])
    values = torch.rand(batch, k, **kind) * (torch.rand(batch, k, **kind) > 0.3)
    law = torch.rand(n, **kind)
    rank = torch.randperm(n, generator=g)
    return x, b_dec, values, indices, W_dec, rank, law / law.sum()


def brute_force(x, b_dec, acts, W_dec, rank, law):
    return sum(p * ((x - b_dec - (acts * (rank < m)) @ W_dec) ** 2).sum(1).mean() for m, p in enumerate(law, start=1))


def dense(values, indices, n):
    return torch.zeros(len(values), n, dtype=values.dtype).scatter(1, indices, values)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12), st.integers(1, 7), st.data())
def test_closed_form_equals_every_prefix_with_gradients(seed, batch, n, d, data):
    k = data.draw(st.integers(1, n))
    x, b_dec, values, indices, W_dec, rank, law = case(seed, batch, n, d, k)
    inclusion = inclusion_probability(law)[rank]
    leaves = [x, b_dec, values, W_dec]
    for leaf in leaves:
        leaf.requires_grad_()
    expected = brute_force(x, b_dec, dense(values, indices, n), W_dec, rank, law)
    gradients = torch.autograd.grad(expected, leaves)
    for exact in (
        all_prefix_loss(x, b_dec, values, indices, W_dec, inclusion),
        dense_all_prefix_loss(x, b_dec, dense(values, indices, n), W_dec, inclusion),
    ):
        assert_close(exact, expected, rtol=1e-12, atol=1e-12)
        for ours, theirs in zip(torch.autograd.grad(exact, leaves), gradients, strict=True):
            assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_sampled_prefixes_are_the_same_formula():
    """The mean over given lengths equals the closed form with s_i = share of the lengths that hold latent i."""
    x, b_dec, values, indices, W_dec, rank, _ = case(0, 5, 9, 4, 3)
    acts, lengths = dense(values, indices, 9), torch.tensor([2, 2, 5, 9])
    expected = prefix_loss(x, b_dec, acts, W_dec, rank, lengths)
    assert_close(dense_all_prefix_loss(x, b_dec, acts, W_dec, inclusion_of(lengths, 9)[rank]), expected)


def test_the_full_prefix_alone_is_the_plain_loss():
    x, b_dec, values, indices, W_dec, *_ = case(1, 5, 9, 4, 3)
    acts = dense(values, indices, 9)
    assert_close(dense_all_prefix_loss(x, b_dec, acts, W_dec, torch.ones(9)), plain_loss(x, b_dec, acts, W_dec))


def test_leading_axes_are_independent():
    cases = [case(seed, 5, 9, 4, 3) for seed in range(3)]
    stacked = [
        torch.stack(parts)
        for parts in zip(*[(x, b, dense(v, i, 9), W, inclusion_probability(p)[r]) for x, b, v, i, W, r, p in cases], strict=True)
    ]
    together = dense_all_prefix_loss(*stacked)
    alone = torch.stack([dense_all_prefix_loss(*[part[s] for part in stacked]) for s in range(3)])
    assert_close(together, alone)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_are_zero_at_zero_rise_and_have_finite_gradients(name):
    acts = torch.linspace(0, 5, 101, dtype=torch.float64, requires_grad=True)
    value = PENALTIES[name](acts)
    (gradient,) = torch.autograd.grad(value.sum(), acts)
    assert value[0] == 0
    assert (value.diff() > 0).all()
    assert torch.isfinite(gradient).all()
    numeric = (PENALTIES[name](acts.detach() + 1e-6) - PENALTIES[name]((acts.detach() - 1e-6).clamp(min=0)))[1:] / 2e-6
    assert_close(gradient[1:], numeric, rtol=1e-4, atol=1e-6)
    assert_close(PENALTIES[name].slope(acts.detach()), gradient)


def test_shapes_that_do_not_fit_are_named():
    x, b_dec, values, indices, W_dec, *_ = case(0, 5, 9, 4, 3)
    with pytest.raises(ValueError, match="one inclusion probability for each of 9 latents, got 8"):
        msae.all_prefix_loss(x, b_dec, values, indices, W_dec, torch.ones(8))
    with pytest.raises(ValueError, match="share d_model"):
        msae.all_prefix_loss(x[:, :3], b_dec, values, indices, W_dec, torch.ones(9))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_losses_leave_half_precision(dtype):
    """Squares of some hundreds leave float16; the loss is that of the same numbers in float64, gradients come back as they went in."""
    x, b_dec, values, indices, W_dec, rank, law = case(0, 7, 9, 4, 3)
    x, b_dec, values, W_dec = ((300 * part).to(dtype).requires_grad_() for part in (x, b_dec, values, W_dec / 300))
    inclusion, lengths = inclusion_probability(law)[rank], torch.tensor([2, 9])
    acts = dense(values, indices, 9)
    wide = [part.detach().double() for part in (x, b_dec, values, W_dec, acts)]
    pairs = [
        (all_prefix_loss(x, b_dec, values, indices, W_dec, inclusion), brute_force(wide[0], wide[1], wide[4], wide[3], rank, law)),
        (dense_all_prefix_loss(x, b_dec, acts, W_dec, inclusion), brute_force(wide[0], wide[1], wide[4], wide[3], rank, law)),
        (plain_loss(x, b_dec, acts, W_dec), plain_loss(wide[0], wide[1], wide[4], wide[3])),
        (prefix_loss(x, b_dec, acts, W_dec, rank, lengths), prefix_loss(wide[0], wide[1], wide[4], wide[3], rank, lengths)),
    ]
    for found, expected in pairs:
        assert found.dtype == torch.float32
        assert_close(found.double(), expected, rtol=1e-5, atol=0)
        assert {g.dtype for g in torch.autograd.grad(found, [x, b_dec, W_dec], retain_graph=True)} == {dtype}


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_penalties_in_every_precision(name, dtype):
    acts = torch.tensor([0, 1e-6, 1e-3, 0.1, 1, 100, 6e4], dtype=torch.float64).to(dtype)
    a = acts.double()
    expected = {"l1": a, "log": (1 + a / 0.1).log(), "sqrt": (a + 0.001).sqrt() - 0.001**0.5, "tanh": a.tanh()}[name]
    found = PENALTIES[name](acts)
    assert found[0] == 0
    assert_close(found, expected.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-9)
