"""The hand-written gradients of a training step against autograd on the plain formula, in float64."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from step_forms import KINDS, both_forms
from tiny_saes import case
from torch.testing import assert_close

import msae
from msae.sae.nonlinearities.base import is_own, kinds
from msae.sae.penalties import PENALTIES
from msae.training.losses import prefix_loss
from msae.training.step import StepInputs


def test_every_kind_of_msae_is_tried():
    assert {type(kind) for kind in KINDS} == {kind for kind in kinds().values() if is_own(kind)}, "add it to KINDS"


def reference(x, params, rank, lengths, share, penalty, weight, kind):
    """The definition: plain losses of prefixes, weighted by `share`, with rows of unit norm, and autograd."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    norm = leaves["W_dec"].norm(dim=1)
    acts = kind((x @ leaves["W_encT"].T + leaves["b_enc"]) * norm, leaves.get("threshold"), training=True)
    rows = leaves["W_dec"] / norm[:, None]
    errors = torch.stack([prefix_loss(x, leaves["b_dec"], acts, rows, rank, m[None]) for m in lengths])
    error = (share * errors).sum()
    inclusion = (share[:, None] * (rank < lengths[:, None])).sum(0)
    pressed = (penalty(acts).mean(0) * inclusion).sum() if penalty else 0.0
    (error + weight * pressed).backward()
    grads = {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}
    return error.detach(), acts.detach(), grads


def inclusion_by_rank(lengths, share, n):
    return (share[:, None] * (torch.arange(n) < lengths[:, None])).sum(0)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 7),
    n=st.integers(1, 12),
    d=st.integers(1, 6),
    kind=st.sampled_from(KINDS),
    penalty=st.sampled_from([None, *PENALTIES]),
    level=st.sampled_from([-50.0, -2.0, 0.0, 50.0]),
    law=st.sampled_from(["full", "all", "sampled"]),
    block=st.sampled_from([1, 3, 100]),
)
def test_every_path_has_the_gradients_of_the_definition(seed, batch, n, d, kind, penalty, level, law, block):
    if kind.fixes_l0 and n < 2:
        kind = msae.ReLU()
    penalty = None if kind.fixes_l0 or penalty is None else PENALTIES[penalty]
    x, params, rank, g = case(seed, batch, n, d, kind, level)
    lengths = {"full": torch.tensor([n]), "all": torch.arange(1, n + 1), "sampled": torch.randint(1, n + 1, (3,), generator=g)}[law]
    share = torch.rand(len(lengths), dtype=torch.float64, generator=g)
    share = share / share.sum()
    by_rank = inclusion_by_rank(lengths, share, n)
    weight = torch.tensor(0.3, dtype=torch.float64)
    error, acts, expected = reference(x, params, rank, lengths, share, penalty, weight, kind)

    stacked = {name: tensor[None] for name, tensor in params.items()}
    inputs = StepInputs(x[None], stacked, kind, by_rank, rank[None], penalty=penalty, weight=weight[None])
    seen, seen_dense = both_forms(inputs, expected, block)
    for observed in (seen, seen_dense):
        assert_close(observed.error.squeeze(), error, rtol=1e-9, atol=1e-9)
        assert_close(observed.l0.double().squeeze(), (acts > 0).sum(1).double().mean())
        assert_close(observed.power_N.squeeze(0) if observed is seen_dense else observed.power_N, acts.square().mean(0))
        if kind.observes_smallest:
            assert_close(observed.smallest.squeeze(), torch.where(acts > 0, acts, torch.inf).amin())
