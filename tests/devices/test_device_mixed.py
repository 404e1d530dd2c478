"""Functions of several tensors of which one lies on another device: it is brought along, or refused in one sentence."""

import pytest
import torch
from alike import assert_equal, vars_of
from pretend_device import pretend_device
from tiny_saes import random_sae

import msae
from msae import metrics
from msae.training.controller import L0Controller
from msae.training.exchange import find_moves
from msae.training.losses import dense_all_prefix_loss, plain_loss

G = torch.Generator().manual_seed(0)
X, WIDE, W_DEC, VALUES = (torch.randn(*shape, generator=G) for shape in ((6, 5), (6, 16), (9, 5), (6, 3)))
ACTS, INCLUSION, B_DEC = torch.rand(6, 9, generator=G), torch.rand(9, generator=G), torch.zeros(5)
INDICES, CONCEPT = torch.arange(9).repeat(2).view(6, 3), torch.tensor([True, False, True, True, False, True])


def absorption(x, concept, direction, story):
    return metrics.absorption(random_sae(), x, concept, latents=[3], direction=direction, story=story)


def mean_max_correlation(ours, theirs, story):
    return vars_of(metrics.mean_max_correlation(ours, theirs, story=story))


FUNCTIONS = {
    "all_prefix_loss": (msae.all_prefix_loss, X, B_DEC, VALUES, INDICES, W_DEC, INCLUSION),
    "dense_all_prefix_loss": (dense_all_prefix_loss, X, B_DEC, ACTS, W_DEC, INCLUSION),
    "plain_loss": (plain_loss, X, B_DEC, ACTS, W_DEC),
    "prefix_loss": (msae.prefix_loss, X, B_DEC, ACTS, W_DEC, torch.arange(9), torch.tensor([2, 9])),
    "find_moves": (find_moves, X[None], X[None] + 1, INCLUSION[None]),
    "L0Controller": (lambda l0, target: L0Controller(2).update(l0, target), X[0, :2].exp(), X[1, :2].exp()),
    "JumpReLU": (msae.JumpReLU(), ACTS, INCLUSION),
    "BatchTopK": (msae.BatchTopK(2), ACTS, INCLUSION[:1]),
    "SAE.encode": (lambda x: random_sae(msae.JumpReLU()).encode(x), WIDE),
    "SAE.decode": (lambda acts: random_sae().decode(acts), torch.rand(3, 40, generator=G)),
    "SAE.prefix": (lambda x: random_sae(msae.BatchTopK(3)).prefix(5)(x), WIDE),
    "fvu": (metrics.fvu, X, X + 1),
    "cosines": (metrics.cosines, X, W_DEC),
    "assign": (metrics.assign, ACTS, ACTS[:, 3:5]),
    "closest": (metrics.closest, ACTS, ACTS[:, 3:5]),
    "absorption": (absorption, WIDE, CONCEPT, torch.rand(16, generator=G), torch.arange(6)),
    "mean_difference": (metrics.mean_difference, WIDE, CONCEPT),
    "mean_max_correlation": (mean_max_correlation, ACTS, ACTS[:, :4], torch.arange(6)),
    "concept_score": (lambda acts, concept, story: metrics.concept_score(acts, 3, concept, story=story), ACTS, CONCEPT, torch.arange(6)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_tensor_on_another_device_is_brought_along_or_refused_in_a_sentence(name):
    function, *tensors = FUNCTIONS[name]
    expected = function(*tensors)
    for i in range(len(tensors)):
        with pretend_device() as gpu:
            try:
                found, refused = function(*(tensor.to(gpu.device) if i == j else tensor for j, tensor in enumerate(tensors))), None
            except ValueError as error:
                found, refused = expected, str(error)
        assert_equal(found, expected)
        assert refused is None or ("move one" in refused and "\n" not in refused)
