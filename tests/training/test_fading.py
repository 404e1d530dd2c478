"""The fading end: over a share of the run the prefixes go, and the penalty before them."""

import dataclasses
import itertools

import pytest
import torch
from torch.testing import assert_close

import msae
from msae.toy.tree import orthogonal_directions
from msae.training.run import Run

torch.set_num_threads(1)
TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20))
CONFIG = msae.TrainConfig(n_latents=20, target_l0=TREE.l0, n_steps=40, batch_size=100, penalty="l1")


def watch(config):
    """Per step: inclusion by rank, the penalty's weight, the ranks, and what the controller alone would say."""
    run = Run(config, 20, torch.device("cpu"))
    seen = []
    for x, _ in zip(STREAM.batches(config.batch_size, 0), range(config.n_steps), strict=False):
        seen.append((run._inclusion_by_rank().clone(), run._penalty_weight().clone(), run.rank_SN.clone(), run.controller.weight().clone()))
        run.step(x[None])
    return seen


@pytest.mark.parametrize("sampled", [False, True])
def test_inclusion_rises_in_a_line_to_one_and_the_ranks_stay(sampled):
    config = dataclasses.replace(CONFIG, sample_prefixes=sampled, fade_prefixes=0.5)
    seen = watch(config)
    if not sampled:
        law = config.prefixes.inclusion(20).float()
        for t, (inclusion, *_) in enumerate(seen):
            kept = min(1.0, (40 - t) / 20)  # a line from 1 at the half to 0 after the last step
            assert_close(inclusion, 1 - kept * (1 - law))
    assert seen[-1][0].min() > 0.95
    assert all(ranks.equal(seen[21][2]) for _, _, ranks, _ in seen[21:])
    assert not all(ranks.equal(seen[1][2]) for _, _, ranks, _ in seen[1:20]), "before, they move"


@pytest.mark.parametrize("target", [TREE.l0, None])
def test_the_penalty_falls_as_the_square_of_what_is_left_and_the_controller_waits(target):
    config = dataclasses.replace(CONFIG, target_l0=target, fade_penalty=0.25, sparsify=0.5)
    seen = watch(config)
    for t, (_, weight, _, controller) in enumerate(seen):
        full = controller if target else torch.tensor([config.penalty_weight * min(1.0, t / 20)])
        assert_close(weight, full * min(1.0, (40 - t) / 10) ** 2, rtol=1e-4, atol=1e-9)
    assert all(controller.equal(seen[31][3]) for *_, controller in seen[31:])


def test_with_the_same_share_the_penalty_is_gone_before_the_prefixes():
    seen = watch(dataclasses.replace(CONFIG, fade_prefixes=0.5, fade_penalty=0.5))
    speaks = [(weight / (1 - inclusion[-1])).item() for inclusion, weight, *_ in seen[21:]]
    assert all(b < a for a, b in itertools.pairwise(speaks)), "what pulls to holes falls faster than what speaks against them"


def test_without_a_share_nothing_fades():
    seen = watch(CONFIG)
    assert all(inclusion.equal(seen[0][0]) for inclusion, *_ in seen)
    assert all(weight.equal(controller) for _, weight, _, controller in seen)
