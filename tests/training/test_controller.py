"""The controller of L0: it reaches its target without driving the penalty far over what the target needs, however slowly L0 answers."""

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

import msae
from msae.training.controller import L0Controller, integral_for, integral_in_fade

TREE = msae.FeatureTree.article()
SEEDS = tuple(range(100, 104))
WORLDS = torch.stack([msae.orthogonal_directions(20, 20, seed) for seed in SEEDS])
SPARE = msae.TrainConfig(24, TREE.l0, 1500, batch_size=200, lr=1e-2, penalty="l1", sparsify=0.2, seed=SEEDS)


def test_the_weight_is_the_sum_that_is_written_down():
    """Against scipy's filter: a running average corrected for its start, and log weight as proportional part and sum."""
    l0 = np.random.default_rng(0).uniform(5, 15, 60)
    controller = L0Controller(1, start=0.05, smoothing=0.8, proportional=1.5, integral=0.02)
    got = [controller.update(torch.tensor([value], dtype=torch.float32), 10.0).item() for value in l0]
    average = lfilter([0.2], [1, -0.8], l0) / lfilter([0.2], [1, -0.8], np.ones(60))
    error = np.log((average + 1e-3) / (10 + 1e-3)).clip(-1, 1)
    np.testing.assert_allclose(got, 0.05 * np.exp(1.5 * error + 0.02 * error.cumsum()), rtol=1e-4)


@pytest.mark.parametrize("lag", [10, 50, 150])
@pytest.mark.parametrize("needed", [0.3, 3.0])
def test_a_slow_answer_is_waited_for(lag, needed):
    """L0 goes as the root of the weight, `lag` steps late; the weight that 30 active latents need is ten or a hundred times the start."""
    n_steps = 1500
    controller = L0Controller(1, start=0.03, integral=integral_for(n_steps))
    log_l0, seen = np.log(100.0), []
    for t in range(n_steps):
        target = 30 * (100 / 30) ** max(0.0, 1 - t / (0.3 * n_steps))
        weight = controller.update(torch.tensor([np.exp(log_l0)], dtype=torch.float32), target).item()
        log_l0 += (np.log(30) - 0.5 * np.log(weight / needed) - log_l0) / lag
        seen.append(weight)
    assert np.exp(log_l0) == pytest.approx(30, rel=0.05)
    assert max(seen) < 1.5 * needed


@pytest.mark.parametrize("n_fade", [240, 600, 2400])
@pytest.mark.parametrize("lag", [5, 50])
def test_a_target_that_needs_less_and_less_weight_is_held_while_prefixes_fade(n_fade, lag):
    """L0 stands at its target, and then the weight it needs falls by the factor that was measured, evenly over the fade."""
    controller = L0Controller(1, start=0.3, integral=integral_in_fade(n_fade))
    log_l0, weight = np.log(30.0), 0.3
    for t in range(n_fade):
        needed = 0.3 * 0.55 ** (t / n_fade)
        log_l0 += (np.log(30) - 0.5 * np.log(weight / needed) - log_l0) / lag
        weight = controller.update(torch.tensor([np.exp(log_l0)], dtype=torch.float32), 30.0).item()
    assert np.exp(log_l0) == pytest.approx(30, rel=0.03)


def test_spare_latents_do_not_drive_the_weight_until_holes_open():
    """24 latents for 20 features under L1: an error is left that hardly answers to the weight; adding it up opens holes."""
    result = msae.train(SPARE, msae.TreeStream(TREE, WORLDS), progress=False)
    weight, rates = result.history["penalty_weight"], []
    assert weight.max() < 0.5, "from about 0.5 on holes open, and a part of them stays when the weight falls again"
    for sae, world in zip(result.saes, WORLDS, strict=True):
        x, features = TREE.sample(3000, world, torch.Generator().manual_seed(1))
        acts = sae.encode(x).detach()
        closest = msae.metrics.closest(acts, features)
        for parent in TREE.parents:  # counted by hand
            with_child = (features[:, parent] > 0) & features[:, TREE.children(parent)].any(1)
            rates.append((acts[with_child, closest[parent]] == 0).float().mean())
    assert max(rates) < 0.05
