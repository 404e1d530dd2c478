"""A nonlinearity and a prefix law of one's own: a class each, and training, both of its forms, saving and loading take them."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

import msae
from msae.sae import Nonlinearity
from msae.sae.nonlinearities.base import check_answers, is_own, kinds
from msae.sae.prefixes import RandomPrefixes
from msae.toy.tree import orthogonal_directions
from msae.training.run import Run

TREE = msae.FeatureTree.article()
STREAM = msae.TreeStream(TREE, orthogonal_directions(20, 20), scale=2.0)


@dataclass(frozen=True)
class Above(Nonlinearity):
    """pre where it exceeds a fixed bound."""

    theta: float = 0.04

    def __call__(self, pre, threshold=None, training=False):
        return pre * (pre > threshold)

    @property
    def start_threshold(self):
        return self.theta

    def lowest(self, threshold):
        return threshold


@dataclass(frozen=True)
class Ends(RandomPrefixes):
    """One latent, or all."""

    def lengths(self, n_latents):
        return torch.nn.functional.one_hot(torch.tensor([0, n_latents - 1]), n_latents).double().mean(0)


CONFIG = msae.TrainConfig(20, TREE.l0, 40, batch_size=64, nonlinearity=Above(), prefixes=Ends(3))


def test_they_are_trained_saved_and_loaded(tmp_path):
    sae = msae.train(CONFIG, STREAM, progress=False).sae
    assert sae.threshold is not None
    assert_close(sae.threshold.detach(), torch.full((20,), 0.04 / STREAM.scale), msg="the scale is folded in")
    sae.save(tmp_path)
    again, x = msae.SAE.load(tmp_path), torch.randn(50, 20)
    assert again.nonlinearity == sae.nonlinearity
    assert again(x).equal(sae(x))
    assert again.config["prefixes"] == {"name": "Ends", "n": 3}


@pytest.mark.parametrize("sampled", [False, True])
def test_both_forms_of_a_step_take_them(sampled):
    config = dataclasses.replace(CONFIG, sample_prefixes=sampled)
    runs = [Run(config, 20, torch.device("cpu"), sparse_up_to=most) for most in (0, 1e9)]
    for x, _ in zip(STREAM.batches(64, 0), range(20), strict=False):
        for run in runs:
            run.step(x[None])
    dense, sparse = (run.finish(STREAM)[0] for run in runs)
    for ours, theirs in zip(sparse.parameters(), dense.parameters(), strict=True):
        assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (lambda pre: pre * (pre > 0.3), "has a level that does not grow with its input"),
        (lambda pre: (pre - 0.3).relu(), "must keep each pre-activation as it is"),
        (lambda pre: pre.relu().sqrt(), "must keep each pre-activation as it is"),
        (lambda pre: pre[..., :1], "must keep each pre-activation as it is"),
        (lambda pre: pre, r"keeps a pre-activation that is not above its lowest\(\), 0.0"),
    ],
)
@pytest.mark.parametrize("n_latents", [2, 500])
def test_what_training_cannot_rest_on_is_refused(kept, says, n_latents):
    """A level in `__call__` is the natural way to write one, and the SAE would fire elsewhere than it did in training."""
    own = dataclass(frozen=True)(type("Own", (Nonlinearity,), {"__call__": lambda self, pre, threshold=None, training=False: kept(pre)}))
    with pytest.raises(ValueError, match=rf"^Own\(\) {says}"):
        msae.TrainConfig(n_latents, 1.0, 10, nonlinearity=own())


@pytest.mark.parametrize("kind", [kind for kind in kinds().values() if is_own(kind)])
def test_those_of_msae_keep_what_training_rests_on(kind):
    for n_latents in (2, 500):
        check_answers(kind(*[2] * ("k" in {field.name for field in dataclasses.fields(kind)})), n_latents)


def test_of_one_name_the_newest_counts_and_those_of_msae_stay():
    first, second = (dataclass(frozen=True)(type("Twice", (Above,), {})) for _ in range(2))
    assert kinds()["Twice"] is second
    assert isinstance(msae.SAE(4, 5, first()).nonlinearity, first), "an object of the class as it was before"
    false = dataclass(frozen=True)(type("TopK", (Nonlinearity,), {}))
    assert kinds()["TopK"] is msae.TopK
    with pytest.raises(ValueError, match="nonlinearity is called 'TopK', as one of msae's own is"):
        msae.SAE(4, 5, false())
    with pytest.raises(ValueError, match="nonlinearity must be a dataclass"):
        msae.SAE(4, 5, type("Bare", (Nonlinearity,), {})())
    with pytest.raises(ValueError, match="nonlinearity must be a ReLU"):
        msae.SAE(4, 5, Nonlinearity())


def test_a_kind_whose_fields_no_file_can_hold_is_refused_before_any_work():
    @dataclass(frozen=True)
    class Holding(Nonlinearity):
        weights: object = None

        def __call__(self, pre, threshold=None, training=False):
            return pre.relu()

    for make in (lambda kind: msae.SAE(4, 9, kind), lambda kind: msae.TrainConfig(9, 2.0, 3, nonlinearity=kind)):
        with pytest.raises(ValueError, match="weights of Holding must be a JSON value"):
            make(Holding(torch.ones(2)))
        make(Holding([1, 2]))
