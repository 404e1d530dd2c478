"""Training on a real card: its gradients against float64 on a CPU, and runs that end where a CPU's end. Skipped where there is no card.

`MSAE_TEST_DEVICE=cpu` (or `pretend`) runs the same tests elsewhere, to try the tests themselves.
"""

import dataclasses

import pytest
import torch
from chosen_device import WHY_NOT, chosen_device
from interruptions import stopping
from tiny_saes import case
from torch.testing import assert_close

import msae
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import inclusion_of
from msae.toy.tree import orthogonal_directions
from msae.training.dense import blocks, dense_step
from msae.training.losses import dense_all_prefix_loss
from msae.training.run import Run
from msae.training.sparse import sparse_step
from msae.training.step import StepInputs

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

BATCH, N, D = 96, 512, 24
KINDS = [msae.ReLU(), msae.JumpReLU(bandwidth=0.8), msae.TopK(5), msae.BatchTopK(5)]
LAWS = ["plain", "sampled", "exact"]
PRECISE = {"float32": 1e-4, "bfloat16": 0.02}
"""‖gradient - that in float64‖ over ‖that in float64‖. In bfloat16 a sum in another order may round to its neighbour, 0.4 % away."""


def inclusion(law):
    if law == "plain":
        return torch.ones(N).double()
    if law == "exact":
        return msae.SquareRootPrefixes().inclusion(N).double()
    return inclusion_of(torch.tensor([3, 20, 20, 77, N]), N).double()


def rounded(pre, x, W_encT):
    """What an encoder in bfloat16 makes of it: factors and products rounded; the gradient is that of the unrounded product."""
    half = (x.bfloat16().double() @ W_encT.bfloat16().double().T).bfloat16().double()
    return pre + (half - pre).detach()


def expected(x, params, s, kind, penalty, weight, dtype):
    """Gradients by autograd on the public loss, in float64 on the CPU; the threshold's by its own estimate."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    norm = leaves["W_dec"].norm(dim=1)
    product = x @ leaves["W_encT"].T
    product = rounded(product, x, leaves["W_encT"]) if dtype == "bfloat16" else product
    level = (product + leaves["b_enc"]) * norm
    acts = kind(level, leaves.get("threshold"), training=True)
    error = dense_all_prefix_loss(x, leaves["b_dec"], acts, leaves["W_dec"] / norm[:, None], s)
    pressed = (penalty(acts).mean(0) * s).sum() if penalty else 0.0
    (error + weight * pressed).backward()
    return {name: leaf.grad for name, leaf in leaves.items() if name != "threshold" or kind.learns_threshold}


def distance(found, wanted):
    """Relative, in the Euclidean norm."""
    found, wanted = found.detach().cpu().double(), wanted.detach().cpu().double()
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))


@pytest.mark.parametrize("dtype", PRECISE)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_gradients_of_a_step_are_those_of_float64(kind, law, dtype):
    """The sparse form; and the dense form, which has no such encoder, with one seed and with two."""
    x, params, rank, _ = case(0, BATCH, N, D, kind, -6.0)
    penalty, weight, by_rank = None if kind.fixes_l0 else PENALTIES["log"], torch.tensor(0.3).double(), inclusion(law)
    wanted = expected(x, params, by_rank[rank], kind, penalty, weight, dtype)
    with chosen_device() as device:
        there = {name: value.float().to(device)[None] for name, value in params.items()}
        s, ranks, weights = by_rank.float().to(device), rank.to(device)[None], weight.float().to(device)[None]
        inputs = StepInputs(x.float().to(device)[None], there, kind, s, ranks, penalty=penalty, weight=weights)
        grads = {name: torch.full_like(there[name][0], torch.nan) for name in wanted}
        assert sparse_step(inputs.one(), grads, max_mean=torch.inf, dtype=getattr(torch, dtype)) is not None
        far = {f"sparse {name}": distance(grads[name], wanted[name]) for name in wanted}
        for n_seeds in (1, 2) if dtype == "float32" else ():
            several = {name: value.expand(n_seeds, *value.shape[1:]).clone() for name, value in there.items()}
            asked = inputs._replace(params=several, rank=ranks.expand(n_seeds, -1).clone(), weight=weights.expand(n_seeds))
            made = {name: torch.full_like(several[name], torch.nan) for name in wanted}
            dense_step(asked, made, blocks(by_rank))
            far |= {f"dense {name}, {n_seeds} seeds, {i}": distance(made[name][i], wanted[name]) for name in wanted for i in range(n_seeds)}
    assert all(value < PRECISE[dtype] for value in far.values()), far


TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20))
RECIPE = msae.TrainConfig(n_latents=512, target_l0=3, n_steps=30, batch_size=128, start_l0=10)
QUIET = {"progress": False}
LOSSES = {"plain": {"prefixes": msae.FullPrefix()}, "sampled": {"sample_prefixes": True}, "exact": {}}
TOY_KINDS = [msae.ReLU(), msae.JumpReLU(), msae.TopK(3), msae.BatchTopK(3)]


def recipe(kind=TOY_KINDS[0], **changes):
    return dataclasses.replace(RECIPE, nonlinearity=kind, **changes)


RECIPES = {
    **{
        f"{kind} {loss} {seed}": recipe(kind, **how, seed=seed)
        for kind in TOY_KINDS
        for loss, how in LOSSES.items()
        for seed in (0, (0, 1))
    },
    **{f"{kind} exchange {seed}": recipe(kind, exchange_every=3, seed=seed) for kind in TOY_KINDS for seed in (0, (0, 1))},
    **{f"{kind} fading": recipe(kind, fade_prefixes=0.5, fade_penalty=0.7) for kind in TOY_KINDS},
    **{f"{kind} {dtype}": recipe(kind, encoder_dtype=dtype) for kind in TOY_KINDS for dtype in ("bfloat16", "float16")},
    "fixed penalty": recipe(target_l0=None),
    "dense": recipe(start_l0=None),
    "fixed prefixes": recipe(prefixes=msae.FixedPrefixes([100, 512])),
}


def assert_near(ours, theirs, **tolerance):
    for name, value in theirs.items():
        assert_close(ours[name].detach().cpu(), value.detach().cpu(), **tolerance, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_in_float64_ends_where_one_on_a_cpu_ends(name, float64):
    """To 8 digits; with half an encoder the sums are rounded elsewhere, and a latent at the cut may go the other way: 1 %."""
    config = RECIPES[name]
    here = Run(config, 20, torch.device("cpu"))
    batches = [x[None].double() for x, _ in zip(STREAM.batches(config.batch_size, 0), range(config.n_steps), strict=False)]
    for x in batches:
        here.step(x)
    with chosen_device() as device:
        there = Run(config, 20, device)
        for x in batches:
            there.step(x.to(device))
        finished = there.finish(STREAM)
    half = config.encoder_dtype != "float32"
    tolerance = {"rtol": 0.05, "atol": 0.05} if half else {"rtol": 1e-7, "atol": 1e-8}
    for ours, theirs in zip(finished, here.finish(STREAM), strict=True):
        if not half:
            assert_near(ours.state_dict(), theirs.state_dict(), **tolerance)
    for key in ("loss", "l0"):
        assert_close(torch.stack(there.history[key]).cpu(), torch.stack(here.history[key]), **tolerance)


@pytest.mark.parametrize("kind", TOY_KINDS, ids=str)
def test_training_in_float32_ends_near_a_cpu(kind):
    """Rounding grows from step to step: losses and L0 within 2 % after 30 steps."""
    config = recipe(kind, exchange_every=5)
    here = msae.train(config, STREAM, **QUIET)
    with chosen_device() as device:
        there = msae.train(config, STREAM, device=device, **QUIET)
    for key in ("loss", "l0"):
        assert_close(there.history[key].cpu(), here.history[key], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("config", [*map(recipe, TOY_KINDS), recipe(seed=(0, 1))], ids=[*map(str, TOY_KINDS), "two seeds"])
def test_a_checkpoint_goes_to_the_card_and_back(config, tmp_path):
    whole = msae.train(config, STREAM, **QUIET)
    with chosen_device() as device:
        for i, (first, then) in enumerate(((device, "cpu"), ("cpu", device), (device, device))):
            path = tmp_path / f"checkpoint {i}"
            with pytest.raises(KeyboardInterrupt):
                msae.train(config, stopping(STREAM, at=12), checkpoint=path, device=first, **QUIET)
            result = msae.train(config, STREAM, checkpoint=path, device=then, **QUIET)
            for key in ("loss", "l0"):
                assert_close(result.history[key].cpu(), whole.history[key], rtol=0.02, atol=0.02)


def test_a_huge_batch_is_found_out_on_the_card(tmp_path):
    class Huge(msae.TreeStream):
        def batches(self, batch_size, seed, skip=0):
            for i, x in enumerate(super().batches(batch_size, seed, skip)):
                yield x * 1e30 if i == 3 else x

    with chosen_device() as device, pytest.raises(FloatingPointError, match="lower lr"):
        msae.train(recipe(n_steps=1000), Huge(TREE, STREAM.directions), checkpoint=tmp_path / "c", device=device, **QUIET)
    assert not (tmp_path / "c").exists()
