"""Exchanges: a latent moves where the error is largest, only if that pays, and takes nothing of its past along."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

import msae
from msae import metrics
from msae.toy.tree import orthogonal_directions
from msae.training import exchange
from msae.training.exchange import find_moves
from msae.training.run import Run

torch.set_num_threads(1)
TREE = msae.FeatureTree.article()
WORLD = orthogonal_directions(20, 20)
CONFIG = msae.TrainConfig(n_latents=20, target_l0=TREE.l0, n_steps=40, batch_size=300, penalty="l1", exchange_every=1, decay=0.5)


def test_the_move_found_is_the_one_that_brute_force_finds():
    g = torch.Generator().manual_seed(0)
    x, residual = torch.randn(3, 12, 5, generator=g, dtype=torch.float64), torch.randn(3, 12, 5, generator=g, dtype=torch.float64)
    power = torch.tensor([[0.2, 0.1, 0.3], [0.3, 1e6, 0.01], [1e6, 1e6, 1e6]], dtype=torch.float64)
    moves = find_moves(x, residual, power)
    assert moves.sae.tolist() == [0, 1], "the third SAE has no latent that is worth less than a move gains"
    assert moves.latent.tolist() == [1, 2]
    for m, s in enumerate(moves.sae.tolist()):
        errors = []
        for j in range(12):  # a new latent as each input proposes it, put in and measured
            direction = residual[s, j] / residual[s, j].norm()
            bias = min(residual[s, j].norm() - x[s, j] @ direction, -x[s].mean(0) @ direction)
            z = (x[s] @ direction + bias).relu()
            errors.append(((residual[s] - z[:, None] * direction).square().sum(1).mean(), direction, bias, z.square().mean()))
        _, direction, bias, power_of_new = min(errors, key=lambda e: e[0])
        assert_close(moves.direction[m], direction)
        assert_close(moves.bias[m], bias)
        assert_close(moves.power[m], power_of_new)


@pytest.mark.parametrize("shared", [False, True])
def test_several_moves_are_those_that_brute_force_takes_one_after_the_other(shared):
    g = torch.Generator().manual_seed(1)
    x = 2 * torch.randn(1 if shared else 3, 12, 5, generator=g, dtype=torch.float64)
    residual = (0.3 * x).expand(3, -1, -1) + 0.1 * torch.randn(3, 12, 5, generator=g, dtype=torch.float64)
    power = torch.rand(3, 9, generator=g, dtype=torch.float64) * torch.tensor([[0.02], [0.3], [3]]) + torch.tensor([[0], [0], [3]])
    moves = find_moves(x, residual, power, most=6)
    found = []
    for s in range(3):
        own, left = x[0 if shared else s], residual[s].clone()
        used = []
        for latent in power[s].argsort()[:6].tolist():
            error = left.square().sum(1).mean()
            gains = {}
            for j in set(range(12)) - set(used):  # as the input's first residual proposes it, put in beside those before
                direction = residual[s, j] / residual[s, j].norm()
                z = (own @ direction + min(residual[s, j].norm() - own[j] @ direction, -own.mean(0) @ direction)).relu()
                gains[j] = error - (left - z[:, None] * direction).square().sum(1).mean(), z[:, None] * direction, z.square().mean()
            best = max(gains, key=lambda j: gains[j][0])
            gain, part, power_of_new = gains[best]
            if gain <= exchange.MARGIN * power[s, latent]:
                break
            used.append(best)
            left = left - part
            found.append((s, latent, residual[s, best] / residual[s, best].norm(), power_of_new))
    assert moves.sae.tolist() == [f[0] for f in found]
    assert moves.latent.tolist() == [f[1] for f in found]
    assert len({s for s, *_ in found}) == 2, "one SAE has nothing to gain"
    assert 6 < len(found) < 12, "one SAE stops where a move no longer pays"
    assert_close(moves.direction, torch.stack([f[2] for f in found]))
    assert_close(moves.power, torch.stack([f[3] for f in found]))


def test_alike_inputs_do_not_all_get_a_latent():
    x = torch.cat([torch.eye(4)[[0, 0, 0, 1, 1, 2]], torch.zeros(94, 4)])[None]
    moves = find_moves(x, x, torch.zeros(1, 6), most=3)
    assert moves.direction.tolist() == torch.eye(4)[:3].tolist()
    assert moves.latent.tolist() == [0, 1, 2]


def test_more_moves_than_inputs_or_latents_are_not_made():
    x = torch.eye(4)[None]
    assert len(find_moves(x, x, torch.zeros(1, 2), most=9).sae) == 2
    assert len(find_moves(x, x, torch.zeros(1, 9), most=9).sae) == 4


def test_an_sae_that_overshoots_gets_no_latent_that_answers_to_everything():
    x = torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(0)) + 3
    moves = find_moves(x, -2 * x, torch.zeros(1, 3))
    answers = (x[0] @ moves.direction.T + moves.bias).relu()
    assert (answers > 0).float().mean() < 0.9
    assert (x[0].mean(0) @ moves.direction.T + moves.bias).item() <= 1e-5


def test_a_move_has_to_gain_more_than_its_margin():
    x = torch.eye(4)[None]
    residual = torch.zeros(1, 4, 4)
    residual[0, 2, 2] = 1.0  # of four inputs one is not reconstructed; silent on the mean, a new latent answers to it with 0.75
    assert find_moves(x, residual, torch.full((1, 3), (2 * 0.75 - 0.75**2) / 4 / exchange.MARGIN - 1e-4)).sae.numel() == 1
    assert find_moves(x, residual, torch.full((1, 3), (2 * 0.75 - 0.75**2) / 4 / exchange.MARGIN + 1e-4)).sae.numel() == 0
    assert find_moves(x, torch.zeros(1, 4, 4), torch.zeros(1, 3)).sae.numel() == 0, "nothing to gain where nothing is wrong"


@pytest.mark.parametrize("nonlinearity", [msae.ReLU(), msae.TopK(2), msae.BatchTopK(2), msae.JumpReLU()], ids=str)
def test_a_latent_without_use_learns_the_feature_that_has_none(nonlinearity):
    """All latents but one are features; that one is dead. One exchange gives it the direction that is missing, and the error is gone."""
    k = nonlinearity.fixed_l0
    config = dataclasses.replace(CONFIG, nonlinearity=nonlinearity, target_l0=k or TREE.l0)
    run = Run(config, 20, torch.device("cpu"))
    missing = TREE.names.index("Sue")
    x, features = TREE.sample(2000, WORLD, torch.Generator().manual_seed(1))
    few = features.sum(1) <= 2  # so that TopK(2) has room for all
    x, features = x[few], features[few]
    with torch.no_grad():
        run.params["W_dec"].copy_(2 * WORLD)
        run.params["W_encT"].copy_(WORLD / 2)
        run.params["b_enc"].zero_()
        run.params["b_enc"][0, missing] = -10
        run.power_SN.copy_(features.mean(0))
        run.power_SN[0, missing] = 0
    run.exchange(x[None])
    sae = run.finish(msae.TreeStream(TREE, WORLD))[0]
    assert metrics.cosines(sae.W_dec.detach(), WORLD)[:, missing].max() > 0.999
    if not isinstance(nonlinearity, msae.BatchTopK):  # its threshold is a running mean, not yet there
        assert metrics.fvu(x, sae(x).detach()) < 1e-4


@pytest.mark.parametrize("most", [1, 4])
def test_a_moved_latent_starts_without_moments(most):
    run = Run(dataclasses.replace(CONFIG, exchange_moves=most), 20, torch.device("cpu"))
    batches = msae.TreeStream(TREE, WORLD).batches(300, 0)
    before = run.params["W_dec"].detach().clone()
    moved = torch.zeros(20, dtype=torch.bool)
    exchange_of_run = run.exchange

    def watched(x):
        nonlocal before, moved
        before = run.params["W_dec"].detach().clone()
        exchange_of_run(x)
        moved = (run.params["W_dec"].detach() != before).any(-1)[0]
        for name in ("W_encT", "b_enc", "W_dec"):
            for moment in ("exp_avg", "exp_avg_sq"):
                value = run.optimizer.state[run.params[name]][moment][0]
                per_latent = value.reshape(20, -1).abs().sum(1)
                assert (per_latent[moved] == 0).all()
                assert (per_latent[~moved] > 0).all()

    run.exchange = watched
    seen = []
    for x, _ in zip(batches, range(15), strict=False):
        run.step(x[None])
        seen.append(int(moved.sum()))
    assert (0 < max(seen) <= 1) if most == 1 else (1 < max(seen) <= most), "early in training something is always worth moving"


def test_exchanges_begin_after_the_warmup_and_end_before_the_decay(monkeypatch):
    steps = []
    config = dataclasses.replace(CONFIG, exchange_every=5, warmup=0.25, decay=0.25)
    run = Run(config, 20, torch.device("cpu"))
    monkeypatch.setattr(run, "exchange", lambda x: steps.append(run.step_number))
    for x, _ in zip(msae.TreeStream(TREE, WORLD).batches(300, 0), range(40), strict=False):
        run.step(x[None])
    assert steps == [10, 15, 20, 25]


def test_a_negative_distance_is_refused():
    with pytest.raises(ValueError, match="exchange_every"):
        dataclasses.replace(CONFIG, exchange_every=-1)
    with pytest.raises(ValueError, match="exchange_moves"):
        dataclasses.replace(CONFIG, exchange_moves=0)
