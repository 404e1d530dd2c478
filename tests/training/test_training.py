"""Training: the method faults of the reference implementation stay away, and a run can be stopped, resumed and repeated."""

import dataclasses
import itertools

import pytest
import torch
from interruptions import stopping
from torch.testing import assert_close

import msae
from msae.support.checkpoints import load_checkpoint, save_checkpoint
from msae.support.schedules import trapezoid
from msae.toy.tree import orthogonal_directions
from msae.training.controller import L0Controller
from msae.training.run import Run

torch.set_num_threads(1)  # these products are small: a second thread would only wait
TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20))
SMALL = msae.TrainConfig(n_latents=20, target_l0=TREE.l0, n_steps=60, batch_size=100, penalty="l1")
QUIET = {"progress": False}
EVERY_KIND = [
    SMALL,
    dataclasses.replace(SMALL, prefixes=msae.FullPrefix()),
    dataclasses.replace(SMALL, sample_prefixes=True),
    dataclasses.replace(SMALL, target_l0=None, penalty_weight=0.05, penalty="sqrt"),
    dataclasses.replace(SMALL, nonlinearity=msae.TopK(2), target_l0=2),
    dataclasses.replace(SMALL, nonlinearity=msae.BatchTopK(2), target_l0=2),
    dataclasses.replace(SMALL, nonlinearity=msae.JumpReLU()),
    dataclasses.replace(SMALL, exchange_every=5),
    dataclasses.replace(SMALL, exchange_every=5, exchange_moves=3, lazy_adam=True),
    dataclasses.replace(SMALL, n_latents=20, aux_latents=4, dead_after=300, lr=0.03),
    dataclasses.replace(SMALL, centre=True),
    dataclasses.replace(SMALL, stop_gradient=True),
    dataclasses.replace(SMALL, stop_gradient=True, sample_prefixes=True),
]


def name_of(config: msae.TrainConfig) -> str:
    loss = type(config.prefixes).__name__ + "-sampled" * config.sample_prefixes
    return (
        f"{loss}-{type(config.nonlinearity).__name__}-L0={config.target_l0}"
        + "-exchange" * (config.exchange_every > 0)
        + "-lazy" * config.lazy_adam
        + "-aux" * (config.aux_latents > 0)
        + "-centre" * config.centre
        + "-stop" * config.stop_gradient
    )


def assert_same(a: msae.SAE, b: msae.SAE, **tolerance: float) -> None:
    for ours, theirs in zip(a.parameters(), b.parameters(), strict=True):
        assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize("config", EVERY_KIND, ids=name_of)
def test_training_does_not_depend_on_the_order_of_latents(config, float64):
    """Relabel the latents before the run: everything that belongs to a latent, optimizer moments and statistics included, goes along."""
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))

    def relabel(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if name == "b_dec" else tensor[:, order]

    runs = [Run(config, 20, torch.device("cpu")) for _ in range(2)]
    with torch.no_grad():
        for name, tensor in runs[1].params.items():
            tensor.copy_(relabel(name, tensor))
        runs[1].rank_SN.copy_(runs[1].rank_SN[:, order])
    for x, _ in zip(STREAM.batches(config.batch_size, 0), range(30), strict=False):
        for run in runs:
            run.step(x[None].double())
    for name, tensor in runs[0].params.items():
        assert_close(runs[1].params[name], relabel(name, tensor), rtol=1e-8, atol=1e-10)
    assert runs[1].rank_SN.equal(runs[0].rank_SN[:, order])
    for a, b in zip(runs[0].finish(STREAM), runs[1].finish(STREAM), strict=True):
        assert_same(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("config", EVERY_KIND, ids=name_of)
def test_an_interrupted_run_resumes_bit_for_bit(config, tmp_path):
    whole = msae.train(config, STREAM, **QUIET)
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        msae.train(config, stopping(STREAM, at=25), checkpoint=path, **QUIET)
    resumed = msae.train(config, STREAM, checkpoint=path, **QUIET)
    assert_same(resumed.sae, whole.sae, rtol=0, atol=0)
    assert resumed.history["step"].equal(whole.history["step"])


def test_a_batch_of_seeds_equals_single_runs():
    config = dataclasses.replace(SMALL, n_steps=20)
    together = msae.train(dataclasses.replace(config, seed=(0, 1, 2)), STREAM, **QUIET)
    for seed, sae in enumerate(together.saes):
        alone = msae.train(dataclasses.replace(config, seed=seed), STREAM, **QUIET).sae
        assert_same(sae, alone, rtol=1e-3, atol=1e-4)


def test_the_sparse_and_the_dense_form_train_the_same():
    config = dataclasses.replace(SMALL, n_latents=40, n_steps=30)
    runs = [Run(config, 20, torch.device("cpu"), sparse_up_to=most) for most in (0, 1e9)]
    for x, _ in zip(STREAM.batches(config.batch_size, 0), range(config.n_steps), strict=False):
        for run in runs:
            run.step(x[None])
    dense, sparse = (run.finish(STREAM)[0] for run in runs)
    assert_same(sparse, dense, rtol=1e-3, atol=1e-4)


def test_training_starts_with_the_asked_number_of_active_latents():
    wide = dataclasses.replace(SMALL, n_latents=400, n_steps=1, target_l0=5)
    for start_l0, expected in ((40.0, 40), (None, 200), (300.0, 200)):
        result = msae.train(dataclasses.replace(wide, start_l0=start_l0), STREAM, **QUIET)
        assert result.history["l0"].item() == pytest.approx(expected, rel=0.35 if start_l0 == 40 else 0.5)


def test_one_input_with_all_latents_active_goes_to_the_dense_form_whole():
    """Nothing is dropped where an input has more active latents than the sparse form has room for."""
    config = dataclasses.replace(SMALL, n_latents=400, target_l0=5, batch_size=64, start_l0=5)
    grads = []
    for most in (None, 0):
        run = Run(config, 20, torch.device("cpu"), sparse_up_to=most)
        x = next(STREAM.batches(64, 0))
        run.step(x[None])
        run.params["b_dec"].detach()[:] = 0
        x[7] = 1000 * run.params["W_encT"].detach()[0].sum(0)
        with torch.no_grad():
            run.gradients(x[None])
        grads.append({name: grad.clone() for name, grad in run.grads.items()})
    for name, grad in grads[0].items():
        assert_close(grad, grads[1][name], rtol=1e-3, atol=1e-3 * grad.abs().max().item())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_half_precision_encoder_trains_like_a_full_one(dtype):
    config = dataclasses.replace(SMALL, n_latents=200, target_l0=5, n_steps=150, penalty="log", start_l0=30)
    x = next(STREAM.batches(2000, 7))
    full, half = (
        msae.metrics.fvu(x, msae.train(dataclasses.replace(config, encoder_dtype=kind), STREAM, **QUIET).sae(x).detach())
        for kind in ("float32", dtype)
    )
    assert half == pytest.approx(full, rel=0.1)


def test_the_thresholds_of_a_jumprelu_sae_are_learnt():
    config = dataclasses.replace(SMALL, nonlinearity=msae.JumpReLU(), penalty="tanh", n_steps=600)
    sae = msae.train(config, STREAM, **QUIET).sae
    assert sae.threshold is not None
    assert (sae.threshold - sae.threshold[0]).abs().max() > 0.01, "each latent has a threshold of its own"
    x = next(STREAM.batches(4000, 9))
    acts = sae.encode(x).detach()
    assert msae.metrics.l0(acts) == pytest.approx(TREE.l0, rel=0.15)
    assert msae.metrics.fvu(x, sae.decode(acts).detach()) < 0.5
    assert ((acts == 0) | (acts > sae.threshold)).all()


def test_several_saes_share_the_batches():
    config = dataclasses.replace(SMALL, n_steps=10)
    plain = dataclasses.replace(config, prefixes=msae.FullPrefix())
    both = msae.train({"matryoshka": config, "plain": plain}, STREAM, **QUIET)
    assert_same(both["matryoshka"].sae, msae.train(config, STREAM, **QUIET).sae)
    assert_same(both["plain"].sae, msae.train(plain, STREAM, **QUIET).sae)


def test_the_controller_reaches_its_target_and_its_average_is_unbiased_from_the_first_step():
    controller = L0Controller(1)
    controller.update(torch.tensor([7.0]), 7.0)
    assert_close(controller.state["average"] / controller.state["mass"], torch.tensor([7.0]))
    l0 = torch.tensor([50.0])
    for _ in range(2000):  # a plant whose L0 falls with the weight, slowly
        l0 = l0 + 0.05 * (10 / controller.update(l0, 20.0) ** 0.5 - l0)
    assert_close(l0, torch.tensor([20.0]), rtol=0.02, atol=0)


def test_a_matryoshka_sae_closes_the_holes_of_a_plain_one():
    """One seed of the chapter's run, short: the claim of the book in a test."""
    longer = dataclasses.replace(SMALL, n_steps=2000, batch_size=200)
    plain = dataclasses.replace(longer, prefixes=msae.FullPrefix(), target_l0=None, penalty_weight=0.05)
    results = msae.train({"plain": plain, "matryoshka": longer}, STREAM, **QUIET)
    x, features = TREE.sample(5000, STREAM.directions, torch.Generator().manual_seed(1))
    rates = {}
    for name, result in results.items():
        acts = result.sae.encode(x).detach()
        latents = msae.metrics.closest(acts, features)
        rates[name] = [msae.metrics.holes(acts, features, int(latents[p]), parent=p, children=TREE.children(p)).rate for p in TREE.parents]
        assert msae.metrics.l0(acts) == pytest.approx({"plain": 0.85, "matryoshka": TREE.l0}[name], rel=0.05)
    assert min(rates["plain"]) > 0.9
    assert max(rates["matryoshka"]) < 0.01


def test_finished_saes_are_sorted_scaled_and_of_unit_norm():
    class Scaled(msae.TreeStream):
        pass

    directions = orthogonal_directions(20, 20) * 7
    raw = msae.TreeStream(TREE, directions)
    scaled = Scaled(TREE, directions / 7, hook_name="somewhere", scale=1 / 7)
    sae = msae.train(dataclasses.replace(SMALL, n_steps=800), scaled, **QUIET).sae
    assert_close(sae.W_dec.norm(dim=1), torch.ones(20))
    assert sae.hook_name == "somewhere"
    assert sae.scale == 1 / 7
    x = next(raw.batches(4000, 0))
    acts = sae.encode(x).detach()
    power = acts.square().mean(0)
    assert (power.diff() < 0.15 * power.max()).all(), "sorted by power, up to the noise of a running mean"
    assert msae.metrics.fvu(x, sae.decode(acts)) < 0.5


def test_the_learning_rate_is_never_negative_nor_zero_within_the_run():
    for n_steps in (1, 2, 7, 1000):
        factors = [trapezoid(t, n_steps) for t in range(n_steps)]
        assert min(factors) > 0
        assert max(factors) <= 1
    assert trapezoid(2000, 1000) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target_l0": 0}, "target_l0 must lie between 0 and n_latents=20, got 0"),
        ({"target_l0": 21}, "target_l0 must lie between"),
        ({"n_latents": 0}, "n_latents must be at least 1"),
        ({"sample_prefixes": "plain"}, "sample_prefixes must be"),
        ({"penalty": "l2"}, "penalty must be one of"),
        ({"lr": 0.0}, "lr must lie"),
        ({"penalty_weight": 0.0}, "penalty_weight must be positive"),
        ({"encoder_dtype": "float8"}, "encoder_dtype must be"),
        ({"start_l0": 0.0}, "start_l0 must be positive or None"),
        ({"warmup": 2.0}, "warmup is a share of the run"),
        ({"nonlinearity": msae.TopK(3)}, "fixes L0 at its k: give target_l0=3"),
        ({"prefixes": msae.FixedPrefixes([5, 10])}, "last width must be the number of latents, 20"),
    ],
)
def test_impossible_recipes_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SMALL, **change)


def test_bad_activations_are_named_by_place():
    class Broken(msae.TreeStream):
        def batches(self, batch_size, seed, skip=0):
            for i, x in enumerate(super().batches(batch_size, seed, skip)):
                if i == 3:
                    x[5, 7] = float("nan")
                yield x

    with pytest.raises(ValueError, match=r"batch 3 holds nan at position \[5, 7\]"):
        msae.train(SMALL, Broken(TREE, STREAM.directions), **QUIET)


def test_other_settings_do_not_resume(tmp_path):
    path = tmp_path / "run.safetensors"
    config = dataclasses.replace(SMALL, n_steps=4)
    msae.train(config, STREAM, checkpoint=path, checkpoint_every=2, **QUIET)
    with pytest.raises(ValueError, match=r"other settings of 'sae' \(lr\)"):
        msae.train(dataclasses.replace(config, lr=1e-3), STREAM, checkpoint=path, **QUIET)
    with pytest.raises(ValueError, match="share n_steps"):
        msae.train({"a": config, "b": dataclasses.replace(config, n_steps=5)}, STREAM, **QUIET)


def test_a_recipe_survives_its_own_checkpoint(tmp_path):
    """A tuple comes back from JSON as a list: it is the same recipe."""
    config = dataclasses.replace(SMALL, n_steps=4, prefixes=msae.FixedPrefixes([5, 20]), betas=(0.8, 0.9), seed=(0, 1))
    whole = msae.train(config, STREAM, **QUIET)
    with pytest.raises(ValueError, match="ended after 2 of 4 batches"):
        msae.train(config, Listed(STREAM.batches(100, 0), 2), checkpoint=tmp_path / "run", **QUIET)
    resumed = msae.train(config, STREAM, checkpoint=tmp_path / "run", **QUIET)
    assert_same(resumed.sae, whole.sae, rtol=0, atol=0)


class Listed:
    """The first n batches of another stream, or those of a list."""

    hook_name, scale, d_model = None, 1.0, 20

    def __init__(self, batches, n=None):
        self.given, self.n = batches, n

    def batches(self, batch_size, seed, skip=0):
        return itertools.islice(self.given, skip, self.n)


def test_what_goes_on_is_held_against_all_that_it_was_made_from(tmp_path):
    path, config = tmp_path / "run", dataclasses.replace(SMALL, n_steps=6)
    with pytest.raises(ValueError, match="ended after 3 of 6"):
        msae.train(config, Listed(STREAM.batches(100, 0), 3), checkpoint=path, **QUIET)
    other_tree = msae.FeatureTree.from_dict({"active_prob": 1, "is_read_out": False, "children": [{"active_prob": 0.1}] * 20})
    others = {
        "hook_name": dataclasses.replace(STREAM, hook_name="blocks.1.hook_resid_pre"),
        "scale": dataclasses.replace(STREAM, scale=2.0),
        "d_model": msae.TreeStream(TREE, orthogonal_directions(20, 32)),
        "batch 2 of this stream": msae.TreeStream(other_tree, STREAM.directions),
        "other inputs": msae.TreeStream(TREE, orthogonal_directions(20, 20, seed=1)),
        "data_seed": STREAM,
    }
    for words, stream in others.items():
        with pytest.raises(ValueError, match=words):
            msae.train(config, stream, checkpoint=path, data_seed=int(words == "data_seed"), **QUIET)
    assert_same(msae.train(config, STREAM, checkpoint=path, **QUIET).sae, msae.train(config, STREAM, **QUIET).sae, rtol=0, atol=0)


def test_an_origin_is_recorded_and_held_against(tmp_path):
    class Named(msae.TreeStream):
        origin = {"texts": "abc", "n_ctx": 128}

    config = dataclasses.replace(SMALL, n_steps=4)
    sae = msae.train(config, Named(TREE, STREAM.directions), checkpoint=tmp_path / "run", **QUIET).sae
    assert sae.config["made_from"] == Named.origin
    Named.origin = {"texts": "def", "n_ctx": 128}
    with pytest.raises(ValueError, match=r"stream.texts is 'abc', and 'def' is asked for"):
        msae.train(config, Named(TREE, STREAM.directions), checkpoint=tmp_path / "run", **QUIET)


def test_a_finished_run_comes_back_without_a_step(tmp_path):
    config = dataclasses.replace(SMALL, n_steps=4)
    first = msae.train(config, STREAM, checkpoint=tmp_path / "run", **QUIET)
    again = msae.train(config, STREAM, checkpoint=tmp_path / "run", **QUIET)
    assert_same(first.sae, again.sae, rtol=0, atol=0)
    assert first.history["loss"].equal(again.history["loss"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_batches_of_any_kind_of_real_number_are_trained_on(dtype):
    config = dataclasses.replace(SMALL, n_steps=3)
    batches = [x.to(dtype) for x in itertools.islice(STREAM.batches(100, 0), 3)]
    found = msae.train(config, Listed(batches), **QUIET).sae
    expected = msae.train(config, Listed([x.float() for x in batches]), **QUIET).sae
    assert_same(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.ones(100, 20, dtype=torch.long), "floating-point"),
        (torch.ones(100, 20, dtype=torch.complex64), "floating-point"),
        (None, "ended after 0"),
        ([[1.0]], "floating-point"),
        (torch.ones(0, 20), r"got \(0, 20\)"),
        (torch.ones(100, 21), r"got \(100, 21\)"),
        (torch.ones(20), r"got \(20,\)"),
        (torch.ones(3, 100, 20), "3 batches"),
        (torch.full((100, 20), float("nan")), r"holds nan at position \[0, 0\]"),
        (torch.full((100, 20), 1e200, dtype=torch.float64), "holds inf"),
    ],
    ids=str,
)
def test_batches_that_cannot_be_trained_on_are_refused(batch, words):
    with pytest.raises(ValueError, match=words):
        msae.train(SMALL, Listed([batch]), **QUIET)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run"
    config = dataclasses.replace(SMALL, n_steps=2)
    msae.train(config, STREAM, checkpoint=path, **QUIET)
    whole = path.read_bytes()
    for content in (b"", b"not one", whole[: len(whole) // 2], whole[:40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole checkpoint"):
            msae.train(config, STREAM, checkpoint=path, **QUIET)
    save_checkpoint(path, {"model": torch.ones(2), "step": 3})
    with pytest.raises(ValueError, match="not a checkpoint of SAEs in training"):
        msae.train(config, STREAM, checkpoint=path, **QUIET)
    msae.SAE(4, 5).save(tmp_path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        msae.train(config, STREAM, checkpoint=tmp_path / "sae.safetensors", **QUIET)


def test_a_checkpoint_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    """Hours of training do not end because the disk is full."""

    def full(path, state):
        raise OSError(28, "No space left on device")

    config = dataclasses.replace(SMALL, n_steps=4)
    monkeypatch.setattr("msae.training.progress.save_checkpoint", full)
    with pytest.warns(UserWarning, match="the checkpoint of step 4 could not be written: .* No space left"):
        found = msae.train(config, STREAM, checkpoint=tmp_path / "run", checkpoint_every=9, **QUIET)
    assert_same(found.sae, msae.train(config, STREAM, **QUIET).sae, rtol=0, atol=0)


def test_numbers_of_another_kind_do_not_go_on(tmp_path, float64):
    config, stream = dataclasses.replace(SMALL, n_steps=4), Listed([torch.rand(100, 20) for _ in range(4)])
    msae.train(config, stream, checkpoint=tmp_path / "run", **QUIET)
    torch.set_default_dtype(torch.float32)
    with pytest.raises(ValueError, match=r"dtype is 'torch.float64', and 'torch.float32' is asked for"):
        msae.train(config, stream, checkpoint=tmp_path / "run", **QUIET)


def test_weights_that_are_no_longer_finite_are_never_kept(tmp_path, monkeypatch):
    """The loss of the last step is finite; its update is not."""
    config, path = dataclasses.replace(SMALL, n_steps=4), tmp_path / "run"
    clip = Run._clip

    def overflow(run):
        clip(run)
        if run.step_number == 3:
            run.grads["b_dec"].fill_(float("inf"))

    monkeypatch.setattr(Run, "_clip", overflow)
    with pytest.raises(FloatingPointError, match=r"b_dec of 'sae' is no longer finite at step 4"):
        msae.train(config, STREAM, checkpoint=path, checkpoint_every=2, **QUIET)
    assert load_checkpoint(path)["runs"]["sae"]["step"] == 2
    with pytest.raises(FloatingPointError):
        msae.train(config, STREAM, **QUIET)
