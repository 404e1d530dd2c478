"""Prefix laws sample what they are named for, and their inclusion is the mean of what they sample."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import msae
from msae.sae.prefixes import inclusion_of, inclusion_probability
from msae.training.losses import dense_all_prefix_loss

LAWS = [msae.SquareRootPrefixes(10), msae.ParetoPrefixes(10, 0.5), msae.UniformPrefixes(10), msae.FullPrefix()]


def test_every_law_of_msae_is_tried():
    laws = {value for name, value in vars(msae.sae).items() if name.endswith(("Prefix", "Prefixes"))}
    assert {type(law) for law in LAWS} == laws - {msae.FixedPrefixes, msae.WeightedPrefixes}, "add it to LAWS; these two draw nothing"


def test_square_root_law_has_the_quantiles_of_its_name():
    """P(length ≤ L) = √(L/n), so the q-quantile is n q²."""
    n = 4096
    law = msae.SquareRootPrefixes(200_001)
    drawn = law.sample(n, torch.Generator().manual_seed(0))[:-1].double()
    for q in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert_close(drawn.quantile(q).item(), n * q**2, rtol=0.03, atol=3)


def test_pareto_law_has_the_quantiles_of_its_name():
    """The article's words: half of the draws are at most 3 latents long, whatever n."""
    drawn = msae.ParetoPrefixes(200_001, 0.5).sample(4096, torch.Generator().manual_seed(0))[:-1].double()
    survival = lambda length: ((length + 1) ** -0.5 - 4097**-0.5) / (1 - 4097**-0.5)  # noqa: E731  P(length > L), from the Pareto law itself
    for length in (1, 3, 15, 77, 1000):
        assert_close((drawn > length).double().mean().item(), survival(length), rtol=0.03, atol=0.003)


@pytest.mark.parametrize("law", LAWS)
def test_inclusion_is_the_mean_of_the_samples(law):
    n = 50
    generator = torch.Generator().manual_seed(1)
    mean = torch.stack([inclusion_of(law.sample(n, generator), n) for _ in range(4000)]).mean(0)
    assert_close(mean, law.inclusion(n), atol=0.01, rtol=0)


@pytest.mark.parametrize("law", LAWS)
@settings(deadline=None)
@given(n_latents=st.integers(1, 300))
def test_inclusion_starts_at_one_and_never_rises(law, n_latents):
    s = law.inclusion(n_latents)
    assert s.shape == (n_latents,)
    assert_close(s[0], torch.tensor(1.0, dtype=torch.float64))
    assert (s.diff() <= 1e-12).all()
    assert (s > 0).all()


def test_weights_weigh_the_losses_of_the_prefixes():
    """The exact loss under the law is the weighted mean of what each prefix leaves, written out."""
    generator = torch.Generator().manual_seed(2)
    x, b_dec, W_dec = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((6, 5), (5,), (9, 5)))
    acts = torch.randn(6, 9, generator=generator, dtype=torch.float64).relu()
    widths, weights = [2, 3, 9], [5.0, 0.5, 2.0]
    losses = [((x - b_dec - acts[:, :m] @ W_dec[:m]) ** 2).sum(1).mean() for m in widths]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    loss = dense_all_prefix_loss(x, b_dec, acts, W_dec, msae.WeightedPrefixes(widths, weights).inclusion(9))
    assert_close(loss, expected)


def test_equal_weights_are_none():
    widths = [1, 4, 9]
    assert_close(msae.WeightedPrefixes(widths, [2, 2, 2]).inclusion(9), msae.FixedPrefixes(widths).inclusion(9))


def test_weights_are_refused_where_prefixes_are_sampled():
    law = msae.WeightedPrefixes([5, 20], [1, 2])
    assert msae.TrainConfig(20, 2.0, 5, prefixes=law).record()["prefixes"]["weights"] == [1.0, 2.0]
    with pytest.raises(ValueError, match="sample_prefixes must be False"):
        msae.TrainConfig(20, 2.0, 5, prefixes=law, sample_prefixes=True)


def test_laws_have_their_own_generator():
    law = msae.SquareRootPrefixes(10)
    torch.manual_seed(0)
    first = law.sample(1000, torch.Generator().manual_seed(5))
    torch.manual_seed(1)
    assert law.sample(1000, torch.Generator().manual_seed(5)).equal(first)
    assert len(first) == 10
    assert first[-1] == 1000


def test_inclusion_probability_against_its_definition():
    p = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    assert_close(inclusion_probability(p), torch.tensor([1.0, 0.5, 0.3], dtype=torch.float64))


def test_more_prefixes_than_latents_is_fine():
    assert msae.SquareRootPrefixes(10).sample(3).max() == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: msae.SquareRootPrefixes(0), "n must be at least 1, got 0"),
        (lambda: msae.ParetoPrefixes(10, alpha=-1), "alpha must be positive"),
        (lambda: msae.FixedPrefixes([4, 2]), "increasing"),
        (lambda: msae.FixedPrefixes([2, 4]).sample(5), "last width must be the number of latents, 5"),
    ],
)
def test_impossible_laws_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def _own(name="Own", inclusion=lambda self, n: torch.ones(n), sample=lambda self, n, generator=None: torch.tensor([n])):
    return dataclass(frozen=True)(type(name, (), {"inclusion": inclusion, "sample": sample}))()


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (_own(inclusion=lambda self, n: torch.ones(3)), r"inclusion of Own must have the shape \(8,\)"),
        (_own(inclusion=lambda self, n: torch.full((n,), torch.nan)), "inclusion of Own must be finite"),
        (_own(inclusion=lambda self, n: [1.0] * n), "inclusion of Own must be a tensor"),
        (_own(inclusion=lambda self, n: -torch.ones(n)), "be 1 for the first latent"),
        (_own(inclusion=lambda self, n: torch.linspace(1, 0, n)), "stay above 0"),
        (_own(inclusion=lambda self, n: 1.5 - torch.linspace(0.5, 0, n)), "never rise"),
        (_own(sample=lambda self, n, generator=None: torch.tensor([3])), r"the last 8, got \[3\]"),
        (_own(sample=lambda self, n, generator=None: torch.tensor([5, 3, n])), "increasing"),
        (_own(sample=lambda self, n, generator=None: torch.tensor([0, n])), "from 1"),
        (_own(sample=lambda self, n, generator=None: [n]), "sample of Own must be a tensor"),
        (_own("FullPrefix"), "as one of msae's own laws is"),
    ],
)
@pytest.mark.parametrize("sample_prefixes", [False, True])
def test_a_law_of_ones_own_that_is_none_is_refused_before_training(law, message, sample_prefixes):
    with pytest.raises(ValueError, match=message):
        msae.TrainConfig(8, 2.0, 3, prefixes=law, sample_prefixes=sample_prefixes)
    msae.TrainConfig(8, 2.0, 3, prefixes=_own(), sample_prefixes=sample_prefixes)
