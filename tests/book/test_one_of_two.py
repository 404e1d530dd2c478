"""The tools behind the chapter "One of two": what they compute, against the slow way."""

from __future__ import annotations

import sys

import pytest
import torch
from places import ROOT


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "one_of_two"))
    yield
    for name in ("jobs", "looking", "signed", "starting"):
        sys.modules.pop(name, None)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("signed", [True, False])
def test_the_largest_are_kept(signed):
    from signed import keep_largest

    pre = numbers(40, 7)
    for given, kept in zip(pre.tolist(), keep_largest(pre, 3, signed).tolist()):
        order = sorted(range(7), key=lambda i: -(abs(given[i]) if signed else given[i]))[:3]
        assert kept == [value if i in order and (signed or value > 0) else 0 for i, value in enumerate(given)]


def test_a_signed_sae_learns_a_pair_with_one_latent_where_nobody_is_neither():
    from signed import keep_largest, pre_activations, train_signed

    torch.manual_seed(0)
    d, sign = torch.eye(4)[0], torch.randint(0, 2, (20_000, 1)) * 2.0 - 1
    W = torch.nn.functional.normalize(numbers(1, 1, 4), dim=2)
    params = {"W_encT": W.clone(), "b_enc": torch.zeros(1, 1), "W_dec": 0.1 * W, "b_dec": torch.zeros(1, 4)}
    x = 3 * sign * d
    looked = []
    train_signed(params, iter(x[None, i : i + 50] for i in range(0, 20_000, 50)), 400, k=1, signed=True, look=looked.append)
    acts = keep_largest(pre_activations(params, x[None]), 1, signed=True)[0]
    hat = acts @ (params["W_dec"][0] / params["W_dec"][0].norm(dim=1, keepdim=True)) + params["b_dec"][0]
    assert (hat - x).abs().max() < 0.1
    assert looked == list(range(401))


def test_a_mirror_turns_one_component_round_and_is_its_own_inverse():
    from starting import mirrored

    rows, axis = numbers(5, 6), torch.nn.functional.normalize(numbers(6, seed=1), dim=0)
    there = mirrored(rows, axis)
    assert torch.allclose(there @ axis, -(rows @ axis), atol=1e-6)
    assert torch.allclose(mirrored(there, axis), rows, atol=1e-6)
    assert torch.allclose(there.norm(dim=1), rows.norm(dim=1))


def test_what_a_latent_is_worth_is_the_objective_without_it_less_that_with_it():
    from looking import Weights, worth_of_each

    W_dec = torch.nn.functional.normalize(numbers(5, 6), dim=1)
    sae, x = Weights(numbers(5, 6, seed=1), numbers(5, seed=2), W_dec, numbers(6, seed=3)), numbers(30, 6, seed=4)

    def objective(keep):
        acts = sae.encode(x) * keep
        return ((x - acts @ W_dec - sae.b_dec).square().sum() + 0.3 * (acts / 0.1).log1p().sum()) / len(x)

    without = torch.stack([objective(1 - torch.eye(5)[i]) for i in range(5)])
    assert torch.allclose(worth_of_each(sae, x, 0.3), without - objective(torch.ones(5)), atol=1e-4)


def test_no_row_saves_more_than_the_best_one():
    from looking import best_added

    residual = numbers(50, 4) + torch.tensor([2.0, 0, 0, 0])
    added, row = best_added(residual, 100, 0.0)
    others = torch.nn.functional.normalize(numbers(500, 4, seed=1), dim=1)
    assert added.tau == 0
    assert added.saved == pytest.approx(float((residual @ row).relu().square().sum()) / 100)
    assert (residual @ others.T).relu().square().sum(0).max() / 100 <= added.saved + 1e-4


def test_f1_is_what_the_library_counts():
    from looking import pair_f1

    from msae.metrics import CLEARLY, concept_scores

    acts, flags = numbers(200, 3).relu(), numbers(2, 200, seed=1) > 0.5
    f1 = pair_f1(lambda part: part, acts, flags)
    for which in range(2):
        assert f1[which].tolist() == pytest.approx(concept_scores(acts, flags[which], level=CLEARLY).f1.tolist(), abs=1e-6)


def test_every_sae_has_a_name_of_its_own():
    from jobs import all_jobs

    names = [job.name for job in all_jobs()]
    assert len(names) == len(set(names))
