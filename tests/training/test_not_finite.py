"""Weights, vectors and activations that are not finite are named by every measure; so is what there is no variance in."""

import numpy as np
import pytest
import torch
from tiny_models import tiny_language_model
from tiny_saes import an_sae, firings, vectors

from msae import metrics
from msae.activations.rows import read_texts
from msae.firings import reading as _reading


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return tiny_language_model(tmp_path_factory.mktemp("lm"), ["Lily has a cat.", "Sue sees Lily."], d_model=8, n_layers=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(value, lm, monkeypatch):
    x, acts, concept, sae = vectors(torch.float16, n=50), firings(torch.float16, n=50), np.arange(50) < 20, an_sae()
    bad_x, bad_acts = x.clone(), acts.clone()
    bad_x[11, 2], bad_acts[11, 2] = value, value
    bad = an_sae()
    bad.b_enc.data[3] = value
    texts = read_texts(lm, ["Lily has a cat."], n_ctx=9)
    monkeypatch.setattr(_reading, "PART", 52 * 5)
    for call, where in [
        (lambda: metrics.fvu(bad_x, x), r"x must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.fvu(x, bad_x), r"x_hat must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.reconstruction(sae, bad_x), r"x must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.encode(sae, bad_x), r"x must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.mean_max_correlation(sae, sae, bad_x), r"x must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.absorption(sae, bad_x, concept, latents=[0]), r"x must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.mean_difference(bad_x, concept), r"x must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.cosines(x, bad_x), r"columns must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.l0(bad_acts), r"acts must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.dead(bad_acts), r"acts must be finite, got (nan|inf) at input 11, latent 2"),
        (lambda: metrics.assign(bad_acts, acts), r"acts must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.holes(bad_acts, acts, 0, parent=0, children=[1]), r"acts must be finite, got (nan|inf) at \[11, 2\]"),
        (lambda: metrics.concept_score(bad_acts, 0, concept), "input 11, latent 2"),
        (lambda: metrics.fragmentation(bad_acts, concept), "input 11, latent 2"),
        (lambda: metrics.splitting(bad_acts, concept), "input 11, latent 2"),
        (lambda: metrics.reconstruction(bad, x), r"b_enc must be finite, got (nan|inf) at \[3\]"),
        (lambda: metrics.encode(bad, x), r"b_enc must be finite, got (nan|inf) at \[3\]"),
        (lambda: metrics.mean_max_correlation(sae, bad, x), r"b_enc must be finite, got (nan|inf) at \[3\]"),
        (lambda: metrics.absorption(bad, x, concept, latents=[0]), r"b_enc must be finite, got (nan|inf) at \[3\]"),
        (lambda: metrics.splice(lm, bad, texts), r"b_enc must be finite, got (nan|inf) at \[3\]"),
        (lambda: metrics.bootstrap(lambda s: s[..., 0], np.array([[1.0], [value]])), "sums must hold finite numbers"),
        (lambda: metrics.sum_by_story(np.arange(2), np.array([1.0, value])), "columns must hold finite numbers"),
        (lambda: metrics.concept_score(acts, 0, concept, story=np.full(50, value)), "story must hold"),
        (lambda: metrics.concept_score(acts, 0, np.full(50, value)), "concept must hold True and False"),
    ]:
        with pytest.raises(ValueError, match=where):
            call()


def test_rows_that_are_all_equal_have_no_variance_to_explain():
    x = torch.ones(9, 8)
    for call in (lambda: metrics.fvu(x, x), lambda: metrics.reconstruction(an_sae(), x)):
        with pytest.raises(ValueError, match="all equal"):
            call()


def test_squares_that_leave_float64_are_named():
    x, sae = vectors(torch.float64, 1e200, n=50), an_sae(dtype=torch.float64)
    acts = firings(torch.float64, 1e200, n=50)
    for call in (lambda: metrics.fvu(x, 2 * x), lambda: metrics.reconstruction(sae, x), lambda: metrics.mean_max_correlation(acts, acts)):
        with pytest.raises(ValueError, match="leave float64"):
            call()
    assert metrics.cosines(x[:1], 3 * x[:1]).item() == pytest.approx(1)


def test_activations_that_leave_their_precision_are_named():
    with pytest.raises(ValueError, match=r"leave torch.float32: x reaches 3e\+38"):
        metrics.encode(an_sae(), torch.full((4, 8), 3e38) * torch.sign(an_sae().W_enc[:, 0]))
