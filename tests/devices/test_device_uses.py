"""Everything but training on an accelerator, on a pretend one: each result is that of a CPU, and no two devices meet."""

import copy
import json

import numpy as np
import pytest
import torch
from alike import assert_equal, vars_of
from pretend_device import OnDevice, pretend_device
from tiny_models import STORIES
from tiny_saes import random_sae
from torch.testing import assert_close

import msae
from msae import metrics
from msae.bench import worker as _bench_worker
from msae.explore import Explorer, LatentActivations
from msae.family.measuring import measure_family
from msae.family.members import Family
from msae.family.training import train_family
from msae.lm.measuring import bits_per_character
from msae.lm.origin import model_origin
from msae.toy.tree import orthogonal_directions
from msae.training.losses import dense_all_prefix_loss, plain_loss

torch.set_num_threads(1)
HOOK = "blocks.1.hook_resid_pre"
KINDS = [msae.ReLU(), msae.TopK(3), msae.BatchTopK(3), msae.JumpReLU()]
QUIET = {"progress": False}


def there(sae, gpu):
    return copy.deepcopy(sae).to(gpu.device)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_sae_moves_encodes_and_is_saved_and_loaded(kind, tmp_path):
    sae, x = random_sae(kind), torch.randn(9, 16, generator=torch.Generator().manual_seed(1))
    with pretend_device() as gpu:
        moved, x_there = there(sae, gpu), x.to(gpu.device)
        gpu.clear()
        acts = moved.encode(x_there)
        assert isinstance(moved.decode(acts), OnDevice)
        assert (gpu.reads, gpu.sends) == ([], [])
        assert_equal(acts, sae.encode(x))
        assert_equal(moved(x_there), sae(x))
        assert_equal(moved.prefix(7)(x_there), sae.prefix(7)(x))
        moved.save(tmp_path / "sae")
        again = msae.SAE.load(tmp_path / "sae", device=gpu.device)
        assert again.W_enc.device == moved.prefix(7).W_enc.device == gpu.device
        assert_equal(again(x_there), sae(x))
        assert_equal(moved.to("cpu")(x), sae(x))
    assert_equal(msae.SAE.load(tmp_path / "sae")(x), sae(x))


def test_the_losses_and_their_gradients():
    g = torch.Generator().manual_seed(0)
    x, b_dec, values, W_dec, acts = (torch.randn(*s, generator=g) for s in ((6, 5), (5,), (6, 3), (9, 5), (6, 9)))
    indices, inclusion = torch.stack([torch.randperm(9, generator=g)[:3] for _ in range(6)]), torch.rand(9, generator=g)
    ranks, lengths = torch.arange(9), torch.tensor([2, 9])

    def losses(device):
        learnt = [t.clone().to(device).requires_grad_() for t in (x, b_dec, values, W_dec, acts)]
        given = [t.to(device) for t in (indices, inclusion, ranks, lengths)]
        with pretend_device() as inner:
            loss = msae.all_prefix_loss(*learnt[:3], given[0], learnt[3], given[1])
            loss.backward()
        judged = ("msae/support/arguments/arrays.py", "msae/training/losses.py")
        assert [wait for wait in inner.reads if wait.where.split(":")[0] not in judged] == []
        assert inner.sends == []
        others = (learnt[0], learnt[1], learnt[4], learnt[3])
        slow = [dense_all_prefix_loss(*others, given[1]), plain_loss(*others), msae.prefix_loss(*others, *given[2:])]
        return [loss, *slow, *(t.grad for t in learnt[:4])]

    with pretend_device() as gpu:
        assert_equal(losses(gpu.device), losses("cpu"))


def test_a_toy_on_the_device():
    tree, directions = msae.FeatureTree.article(), orthogonal_directions(20, 32)
    with pretend_device() as gpu:
        stream = msae.TreeStream(tree, directions.to(gpu.device))
        assert isinstance(next(stream.batches(5, 0)), OnDevice)
        assert_equal(next(stream.batches(5, 0, skip=2)), next(msae.TreeStream(tree, directions).batches(5, 0, skip=2)))
        sampled = tree.sample((2, 5), directions.to(gpu.device), torch.Generator().manual_seed(0))
        assert_equal(sampled, tree.sample((2, 5), directions, torch.Generator().manual_seed(0)))


def test_a_language_model_on_the_device_gives_the_same_activations(folder, lm, read, tmp_path):
    whole = next(read.batches(8, 0, skip=5))
    how = {"hook_name": HOOK, "n_ctx": 16, "dtype": torch.float32}
    with pretend_device() as gpu:
        model = msae.load_language_model(folder, device=gpu.device)
        moved = msae.load_language_model(folder).to(gpu.device)
        for source in (model, moved, lm):
            assert model_origin(source) == model_origin(lm), "what is kept of it on one device is good on another"
            for cache in (None, tmp_path / "cache"):
                kept = msae.Activations(source, STORIES, device=gpu.device, cache=cache, **how, **QUIET)
                assert isinstance(kept.x, OnDevice)
                assert kept.scale == pytest.approx(read.scale, rel=1e-5)
                assert_equal(kept.x, read.x)
                gpu.clear()
                assert_equal(next(kept.batches(8, 0, skip=5)), whole)
                assert len(gpu.sends) == 1, "the order of a buffer; batches then cost nothing"
            assert_equal(msae.Activations(source, STORIES, **how, **QUIET).x, read.x)
            live = msae.LiveActivations(source, STORIES, device=gpu.device, **how)
            assert isinstance(next(live.batches(8, 0)), OnDevice)
            assert_equal(next(live.batches(8, 0, skip=5)), whole)
        assert isinstance(next(msae.LiveActivations(model, STORIES, **how).batches(8, 0)), OnDevice), "where the model is"
        found = msae.harvest(model, STORIES, [HOOK, "blocks.0.hook_mlp_out"], n_ctx=16, dtype=torch.float32, device=gpu.device, **QUIET)
        assert_equal(found[HOOK].x, read.x)
        n_live = sum(gpu.alive().values())
        next(msae.LiveActivations(model, STORIES, **how).batches(8, 0))
        assert sum(gpu.alive().values()) == n_live, "a live stream that is gone leaves nothing"


def test_bits_per_character_on_the_device(folder, lm):
    tokenizer = lm.tokenizer.backend_tokenizer
    expected = bits_per_character(lambda tokens: lm(tokens), STORIES, tokenizer, 16)
    with pretend_device() as gpu:
        model = msae.load_language_model(folder, device=gpu.device)
        assert bits_per_character(lambda tokens: model(tokens), STORIES, tokenizer, 16, gpu.device) == pytest.approx(expected, rel=1e-5)


def test_training_from_the_device_and_from_a_language_model_there(folder, read):
    config = msae.TrainConfig(n_latents=64, target_l0=4, n_steps=6, batch_size=32)
    expected = msae.train(config, read, **QUIET)
    how = {"hook_name": HOOK, "n_ctx": 16, "dtype": torch.float32, "device": None}
    with pretend_device() as gpu:
        model = msae.load_language_model(folder, device=gpu.device)
        streams = [
            read,
            msae.Activations(model, STORIES, **how | {"device": gpu.device}, **QUIET),
            msae.LiveActivations(model, STORIES, **how),
        ]
        for stream in streams:
            result = msae.train(config, stream, device=gpu.device, **QUIET)
            assert_close(result.history, expected.history, rtol=1e-3, atol=1e-4)
        assert_close(msae.train(config, streams[1], **QUIET).history, expected.history, rtol=1e-3, atol=1e-4)


CONCEPT = np.arange(60) % 4 == 0
TRAIN = np.arange(60) < 30
STORY = torch.arange(60) // 6


def numbers_of(found):
    """All but the levels, which are no array."""
    return {name: np.nan_to_num(each).tolist() for name, each in found._asdict().items() if isinstance(each, np.ndarray)} | {
        name: each.tolist() for name, each in found.replicates.items()
    }


MEASURES = {
    "l0": lambda sae, x, acts, mask: metrics.l0(acts),
    "fvu": lambda sae, x, acts, mask: metrics.fvu(x, sae.decode(acts)),
    "dead": lambda sae, x, acts, mask: metrics.dead(acts).tolist(),
    "closest": lambda sae, x, acts, mask: metrics.closest(acts, acts[:, 3:6]),
    "assign": lambda sae, x, acts, mask: metrics.assign(acts, acts[:, 3:6]),
    "holes": lambda sae, x, acts, mask: metrics.holes(acts, (acts[:, :4] > 0).float(), 5, parent=0, children=[1, 2]),
    "reconstruction": lambda sae, x, acts, mask: metrics.reconstruction(sae, x, story=STORY),
    "reconstruction, stories there": lambda sae, x, acts, mask: metrics.reconstruction(sae, x, story=STORY.to(x.device), chunk=7),
    "mean_max_correlation": lambda sae, x, acts, mask: vars_of(metrics.mean_max_correlation(sae, sae.prefix(20), x, story=STORY)),
    "mean_max_correlation of activations": lambda sae, x, acts, mask: vars_of(metrics.mean_max_correlation(acts, acts[:, :9])),
    "unselected_holes": lambda sae, x, acts, mask: numbers_of(metrics.unselected_holes(acts[:, 4:9], acts, STORY.to(acts.device))),
    "concept_score": lambda sae, x, acts, mask: metrics.concept_score(acts, 3, mask, story=STORY),
    "concept_scores": lambda sae, x, acts, mask: metrics.concept_scores(acts, mask).f1.tolist(),
    "hole_rate": lambda sae, x, acts, mask: metrics.hole_rate(acts, 3, mask, parts={"part": mask}),
    "fragmentation": lambda sae, x, acts, mask: metrics.fragmentation(acts, mask, story=STORY, share=0.5, min_precision=0.1),
    "splitting": lambda sae, x, acts, mask: metrics.splitting(acts, mask),
    "absorption": lambda sae, x, acts, mask: metrics.absorption(sae, x, mask, latents=[3], chunk=5),
    "absorption along a direction": lambda sae, x, acts, mask: metrics.absorption(sae, x, mask, latents=[3, 5], direction=torch.ones(16)),
    "mean_difference": lambda sae, x, acts, mask: metrics.mean_difference(x, mask),
    "linear_probe": lambda sae, x, acts, mask: metrics.linear_probe(x, mask, l2=0.1).weight.tolist(),
    "sparse_probe": lambda sae, x, acts, mask: metrics.sparse_probe(acts, mask, train=TRAIN, l1=0.001, n_most=3),
    "absorption_by_probe": lambda sae, x, acts, mask: metrics.absorption_by_probe(sae, x, mask, train=TRAIN, l1=0.001).absorption,
    "latent activations": lambda sae, x, acts, mask: LatentActivations.from_dense(acts[None], mask[None]).matrix.toarray().tolist(),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_the_same_on_the_device(name):
    sae, x = random_sae(), torch.randn(60, 16, generator=torch.Generator().manual_seed(1))
    acts, mask = sae.encode(x).detach(), torch.from_numpy(CONCEPT)
    expected = MEASURES[name](sae, x, acts, mask)
    with pretend_device() as gpu:
        moved = there(sae, gpu)
        acts = acts.to(gpu.device)
        assert_equal(MEASURES[name](moved, x.to(gpu.device), acts, mask.to(gpu.device)), expected)
        assert_equal(MEASURES[name](moved, x.to(gpu.device), acts, mask), expected)


def test_activations_and_sae_may_lie_apart():
    """Measures that read activations some rows at a time bring them to the SAE."""
    sae, x = random_sae(), torch.randn(60, 16, generator=torch.Generator().manual_seed(1))
    names = ("reconstruction", "mean_max_correlation", "absorption")
    expected = {name: MEASURES[name](sae, x, None, CONCEPT) for name in names}
    with pretend_device() as gpu:
        for name in names:
            assert_equal(MEASURES[name](there(sae, gpu), x, None, CONCEPT), expected[name])
            assert_equal(MEASURES[name](sae, x.to(gpu.device), None, CONCEPT), expected[name])


def test_splicing_on_the_device(folder, lm, read):
    saes = {"a": random_sae(), "b": random_sae(msae.TopK(3))}
    expected = metrics.splice(lm, saes, read)
    with pretend_device() as gpu:
        model = msae.load_language_model(folder, device=gpu.device)
        moved = {name: there(sae, gpu) for name, sae in saes.items()}
        for which, these in ((model, moved), (model, saes), (lm, moved)):
            assert_equal(metrics.splice(which, these, read, batch_size=2), expected)


def test_an_explorer_of_what_is_on_the_device(folder, lm, read):
    sae = random_sae()
    expected = Explorer.from_saes({"S": sae}, read, lm)
    with pretend_device() as gpu:
        model = msae.load_language_model(folder, device=gpu.device)
        kept = msae.Activations(model, STORIES, hook_name=HOOK, n_ctx=16, dtype=torch.float32, device=gpu.device, **QUIET)
        for activations, which in ((kept, there(sae, gpu)), (read, there(sae, gpu)), (kept, sae)):
            made = Explorer.from_saes({"S": which}, activations, model)
            assert_equal(made.bundle(), expected.bundle())
        widget = made.widget(model, {"S": there(sae, gpu)})
        widget.typed = "Lily saw a cat."
        there_answer = widget.answer
    here = expected.widget(lm, {"S": sae})
    here.typed = "Lily saw a cat."
    assert here.answer
    assert_equal(there_answer, here.answer)


@pytest.mark.parametrize("nonlinearity", ["relu", "topk"])
@pytest.mark.parametrize("loss", ["plain", "all_prefixes"])
def test_the_step_that_is_benchmarked_runs_on_the_device(nonlinearity, loss):
    task = {"n_latents": 400, "d_model": 16, "batch": 64, "l0": 5.0, "k": 5, "loss": loss, "nonlinearity": nonlinearity, "dtype": "float32"}
    expected = _bench_worker.ours(task | {"device": "cpu"}).active()
    with pretend_device() as gpu:
        step = _bench_worker.ours(task | {"device": str(gpu.device)})
        step.run()
        gpu.clear()
        counted = _bench_worker.counts(step.run, gpu.device.type)
        assert counted["host_reads"] == len(gpu.reads) == (nonlinearity == "relu")
        assert_equal(step.active(), expected)
        for kind in ("floor", "encoder"):
            run = _bench_worker.BUILDERS[kind][1](task | {"device": str(gpu.device)}).run
            assert _bench_worker.counts(run, gpu.device.type) == {"kernels": 5 if kind == "floor" else 1, "host_reads": 0}


def test_a_family_is_trained_and_measured_on_the_device(folder, tmp_path):
    (tmp_path / "stories.jsonl").write_text("".join(json.dumps({"text": story}) + "\n" for story in STORIES))
    group = {"hook_names": [HOOK], "seeds": [0], "n_steps": 6, "references": [[16, 3]]}
    family = Family(
        language_model=str(folder), stories=str(tmp_path / "stories.jsonl"), n_ctx=16, groups=[group], recipe={"batch_size": 16}
    )

    def rows(device):
        train_family(family, tmp_path / device, device=device)
        found = measure_family(family, tmp_path / device, valid=family.stories, n_tokens=60, n_spliced=30, device=device)
        return [{key: value for key, value in row.items() if key not in ("sha256", "seconds")} for row in found]

    with pretend_device() as gpu:
        assert_equal(rows(str(gpu.device)), rows("cpu"))


@pytest.mark.parametrize(("loss", "form", "most"), [("all_prefixes", torch.inf, 190), ("plain", 0.0, 140), ("all_prefixes", 0.0, 170)])
def test_a_step_on_a_device_starts_few_operations(loss, form, most):
    """Each start costs a GPU some ten microseconds of waiting. Adam's own, which a card fuses into a few, are counted here too."""
    task = {"n_latents": 1024, "d_model": 16, "batch": 256, "l0": 5.0, "k": 5, "loss": loss, "nonlinearity": "relu", "dtype": "float32"}
    with pretend_device() as gpu:
        step = _bench_worker.ours(task | {"device": str(gpu.device), "sparse_up_to": form})
        step.run()
        assert _bench_worker.counts(step.run, gpu.device.type)["kernels"] <= most
