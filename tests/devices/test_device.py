"""Training on an accelerator, on a pretend one: it ends where a CPU ends, waits for the device as seldom as it can, and keeps little.

`PYTHONPATH=tests/helpers python tests/devices/test_device.py` prints how often a step waits.
"""

import dataclasses
import gc

import pytest
import torch
from interruptions import stopping
from pretend_device import OnDevice, pretend_device
from tiny_saes import case
from torch.testing import assert_close

import msae
from msae.toy.tree import orthogonal_directions
from msae.training.controller import L0Controller
from msae.training.run import Run
from msae.training.sparse import sparse_step
from msae.training.step import StepInputs

torch.set_num_threads(1)
TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20))
CONFIG = msae.TrainConfig(n_latents=400, target_l0=3, n_steps=8, batch_size=128, start_l0=10)
KINDS = [msae.ReLU(), msae.JumpReLU(), msae.BatchTopK(3), msae.TopK(3)]
LOSSES = {"plain": {"prefixes": msae.FullPrefix()}, "sampled": {"sample_prefixes": True}, "all_prefixes": {}}
QUIET = {"progress": False}


def recipe(kind=KINDS[0], **changes):
    return dataclasses.replace(CONFIG, nonlinearity=kind, **changes)


RECIPES = [
    *(recipe(kind, **loss, seed=seed) for kind in KINDS for loss in LOSSES.values() for seed in (0, (0, 1))),
    *(recipe(kind, exchange_every=3, exchange_moves=2, seed=seed) for kind in KINDS for seed in (0, (0, 1))),
    *(recipe(kind, lazy_adam=True, seed=seed) for kind in KINDS for seed in (0, (0, 1))),
    *(recipe(kind, fade_prefixes=0.5, fade_penalty=0.7) for kind in KINDS),
    *(recipe(kind, encoder_dtype=dtype) for kind in KINDS for dtype in ("bfloat16", "float16")),
    recipe(target_l0=None),
    recipe(start_l0=None),  # so many are active that the dense form takes over
    recipe(prefixes=msae.FixedPrefixes([100, 400])),
    recipe(start_l0=None, n_latents=768),  # three whole blocks of the dense form at once
]


def name_of(config):
    changed = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if getattr(config, f.name) != getattr(CONFIG, f.name)}
    return "-".join(str(value) for value in changed.values()) or "ReLU()-all_prefixes"


def assert_same(a, b, **tolerance):
    for ours, theirs in zip(a.parameters(), b.parameters(), strict=True):
        assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize("config", RECIPES, ids=name_of)
def test_a_run_on_a_device_ends_where_one_on_a_cpu_ends(config, float64):
    here = Run(config, 20, torch.device("cpu"))
    batches = [x[None].double() for x, _ in zip(STREAM.batches(config.batch_size, 0), range(config.n_steps), strict=False)]
    for x in batches:
        here.step(x)
    with pretend_device() as gpu:
        there = Run(config, 20, gpu.device)
        for x in batches:
            there.step(x.to(gpu.device))
        assert all(isinstance(tensor, OnDevice) for tensor in (*there.params.values(), there.power_SN, there.rank_SN, there.weight_S))
        finished = there.finish(STREAM)
    half = config.encoder_dtype != "float32"
    equals = half and isinstance(config.nonlinearity, msae.BatchTopK)  # activations that are equal at the cut: either may be kept
    tolerance = {"rtol": 1e-2, "atol": 0} if equals else {"rtol": 1e-3, "atol": 1e-4} if half else {"rtol": 1e-8, "atol": 1e-10}
    for ours, theirs in zip(finished, here.finish(STREAM), strict=True):
        if not equals:
            assert_same(ours, theirs, **tolerance)
    for name in ("loss", "l0", "penalty_weight"):
        assert_close(torch.stack(there.history[name]), torch.stack(here.history[name]), **tolerance)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("level", [-50.0, -2.0, 0.0])
@pytest.mark.parametrize("batch", [1, 7, 200])
def test_a_step_has_the_gradients_of_one_on_a_cpu(kind, level, batch):
    """No latent active, few, or half of them; a single input, one group of inputs, and several."""
    x, params, rank, _ = case(0, batch, 30, 6, kind, level)
    by_rank, penalty, weight = torch.linspace(1, 0, 30).double(), None if kind.fixes_l0 else msae.PENALTIES["log"], torch.tensor(0.3)
    learnt = [name for name in params if name != "threshold" or kind.learns_threshold]
    grads = {name: torch.full_like(params[name], torch.nan) for name in learnt}
    inputs = StepInputs(x, params, kind, by_rank, rank, penalty=penalty, weight=weight)
    seen = sparse_step(inputs, grads, max_mean=torch.inf)
    with pretend_device() as gpu:
        there = inputs._replace(
            x=x.to(gpu.device),
            params={name: tensor.to(gpu.device) for name, tensor in params.items()},
            inclusion_by_rank=by_rank.to(gpu.device),
            rank=rank.to(gpu.device),
            weight=weight.to(gpu.device),
        )
        grads_there = {name: torch.full_like(there.params[name], torch.nan) for name in learnt}
        seen_there = sparse_step(there, grads_there, max_mean=torch.inf)
        for name in learnt:
            assert_close(grads_there[name].cpu(), grads[name], rtol=1e-10, atol=1e-10)
        for ours, theirs in zip(seen_there, seen, strict=True):
            assert_close(ours.cpu(), theirs, rtol=1e-10, atol=1e-10)


def interrupted(config, path, device):
    with pytest.raises(KeyboardInterrupt):
        msae.train(config, stopping(STREAM, at=5), checkpoint=path, device=device, **QUIET)


@pytest.mark.parametrize("config", [*map(recipe, KINDS), recipe(seed=(0, 1))], ids=name_of)
def test_a_run_goes_on_on_another_device(config, tmp_path):
    whole = msae.train(config, STREAM, **QUIET)
    with pretend_device() as gpu:
        there = msae.train(config, STREAM, device=gpu.device, **QUIET)
        interrupted(config, tmp_path / "there", gpu.device)
        again = msae.train(config, STREAM, checkpoint=tmp_path / "there", device=gpu.device, **QUIET)
        interrupted(config, tmp_path / "out", "cpu")
        out = msae.train(config, STREAM, checkpoint=tmp_path / "out", device=gpu.device, **QUIET)
        interrupted(config, tmp_path / "back", gpu.device)
    back = msae.train(config, STREAM, checkpoint=tmp_path / "back", **QUIET)
    for i, sae in enumerate(whole.saes):
        assert_same(again.saes[i], there.saes[i], rtol=0, atol=0)
        assert_same(out.saes[i], sae, rtol=1e-4, atol=1e-5)
        assert_same(back.saes[i], sae, rtol=1e-4, atol=1e-5)
    assert_close(out.history, whole.history, rtol=1e-4, atol=1e-5)


class Broken(msae.TreeStream):
    """A stream whose batches 3 and 6 hold something that is no number."""

    def batches(self, batch_size, seed, skip=0):
        for i, x in enumerate(super().batches(batch_size, seed, skip)):
            if i in (3, 6):
                x[5, 7], x[6, 1] = -torch.inf, torch.nan
            yield x


@pytest.mark.parametrize("every", [4, 5, 10**6])
def test_a_bad_batch_is_named_on_a_device_too_before_anything_is_kept(every, tmp_path):
    config = recipe(n_steps=2_000)  # the history tells of every tenth step
    with pretend_device() as gpu, pytest.raises(ValueError, match=r"batch 3 holds -inf at position \[5, 7\]: clean the activations"):
        msae.train(config, Broken(TREE, STREAM.directions), device=gpu.device, checkpoint=tmp_path / "c", checkpoint_every=every, **QUIET)
    assert not (tmp_path / "c").exists()


def test_a_run_that_has_come_apart_leaves_no_checkpoint(tmp_path):
    class Huge(msae.TreeStream):
        def batches(self, batch_size, seed, skip=0):
            for i, x in enumerate(super().batches(batch_size, seed, skip)):
                yield x * 1e30 if i == 3 else x

    stream, keep = Huge(TREE, STREAM.directions), {"checkpoint": tmp_path / "c", "checkpoint_every": 7}
    with pretend_device() as gpu, pytest.raises(FloatingPointError, match="lower lr"):
        msae.train(recipe(n_steps=10_000), stream, device=gpu.device, **keep, **QUIET)
    assert not (tmp_path / "c").exists()


def waits(config):
    """What a step waits for that the history does not tell of, and whether it is the sparse form."""
    config = dataclasses.replace(config, n_steps=10_000, warmup=0.0, lr=1e-12)
    with pretend_device() as gpu:
        run = Run(config, 20, gpu.device)
        for x, _ in zip(STREAM.batches(config.batch_size, 0), range(5), strict=False):
            there = x[None].to(gpu.device)
            gpu.clear()
            run.step(there)
        return list(gpu.reads), list(gpu.sends)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("seed", [0, (0, 1)], ids=str)
def test_a_step_waits_once_where_the_number_of_active_latents_varies_and_never_where_it_is_fixed(loss, kind, seed):
    reads, sends = waits(recipe(kind, **LOSSES[loss], seed=seed))
    varies = seed == 0 and not isinstance(kind, msae.TopK)
    assert [wait.where.split(":")[0] for wait in reads] == ["msae/training/layout.py"] * varies
    assert [wait.where.split(":")[0] for wait in sends] == ["msae/training/run.py"] * (loss == "sampled"), (
        "the lengths are drawn on the host"
    )


def test_a_lazy_step_waits_for_nothing():
    assert waits(recipe(msae.TopK(3), lazy_adam=True)) == ([], [])


@pytest.mark.parametrize("most", [1, 5])
def test_an_exchange_waits_once_more(most):
    reads, sends = waits(recipe(msae.TopK(3), exchange_every=1, exchange_moves=most))
    assert [wait.where.split(":")[0] for wait in reads] == ["msae/training/exchange.py"]
    assert sends == []


def test_where_too_many_are_active_a_step_waits_to_know_it():
    reads, sends = waits(recipe(start_l0=None))
    assert ([wait.where.split(":")[0] for wait in reads], sends) == (["msae/training/layout.py"], [])


def test_training_itself_waits_only_for_its_steps():
    """Batches that are there already: what is left is what the steps themselves read, and what the history is told."""
    config = recipe(msae.TopK(3), n_steps=2_000)

    class There(msae.TreeStream):
        def batches(self, batch_size, seed, skip=0):
            for i, x in enumerate(super().batches(batch_size, seed, skip)):
                x = x.to(gpu.device)
                per_step.append(len(gpu.reads) + len(gpu.sends))
                if i == 30:
                    raise KeyboardInterrupt
                gpu.clear()
                yield x

    per_step = []
    with pretend_device() as gpu, pytest.raises(KeyboardInterrupt):
        msae.train(config, There(TREE, STREAM.directions), device=gpu.device, **QUIET)
    told = {1 + t for t in range(0, 30, 10)}
    assert {n for i, n in enumerate(per_step) if i not in told and i} == {1}, "the stream's own sending"


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("seed", [0, (0, 1)], ids=str)
def test_nothing_of_the_size_of_all_activations_outlives_a_step(kind, seed):
    config = recipe(kind, seed=seed)
    with pretend_device() as gpu:
        run = Run(config, 20, gpu.device)
        for x, _ in zip(STREAM.batches(config.batch_size, 0), range(3), strict=False):
            run.step(x[None].to(gpu.device))
        gc.collect()
        large = {address for address, n in gpu.alive().items() if n >= len(config.seeds) * config.batch_size * config.n_latents}
        named = {flat.elem.untyped_storage().data_ptr() for flat in run.buffers._flat.values()}
        assert large <= named
        assert bool(large) == (seed == 0)


def test_the_controller_is_the_same_on_a_device():
    g = torch.Generator().manual_seed(0)
    measured = torch.rand(50, 2, generator=g) * 40
    here = L0Controller(2)
    with pretend_device() as gpu:
        there = L0Controller(2, device=gpu.device)
        gpu.clear()
        for l0_S in measured:
            weight, other = here.update(l0_S, 20.0), there.update(l0_S.to(gpu.device), 20.0)
        assert gpu.reads == []
        assert_close(other.cpu(), weight)


if __name__ == "__main__":
    print("| loss | nonlinearity | seeds | reads | sends |\n| --- | --- | --- | --- | --- |")
    for loss in LOSSES:
        for kind in KINDS:
            for seed in (0, (0, 1)):
                columns = [
                    ", ".join(wait.where for wait in kind_of) or "none" for kind_of in waits(recipe(kind, **LOSSES[loss], seed=seed))
                ]
                print(f"| {loss} | {kind} | {1 if seed == 0 else len(seed)} | {' | '.join(columns)} |")
