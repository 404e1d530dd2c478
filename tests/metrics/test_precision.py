"""Every measure, in every precision that activations or an SAE can have, against NumPy in float64: huge, tiny, and mixed."""

import copy

import numpy as np
import pytest
import torch
from tiny_models import tiny_language_model
from tiny_saes import an_sae, firings, vectors
from torch.testing import assert_close

import msae
from msae import metrics
from msae.activations.rows import read_texts
from msae.explore import LatentActivations
from msae.firings import sources as _sources
from msae.support import sums

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SIZES = {torch.float16: [1e-6, 1, 5e3], torch.bfloat16: [1e-25, 1, 1e18], torch.float32: [1e-25, 1, 1e18], torch.float64: [1e-25, 1, 1e80]}
CASES = [(dtype, size) for dtype in DTYPES for size in SIZES[dtype]]
KINDS = [msae.ReLU(), msae.TopK(5), msae.BatchTopK(5), msae.JumpReLU()]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_case = pytest.mark.parametrize(("dtype", "size"), CASES, ids=str)


def numbers(tensor):
    return tensor.detach().double().numpy()


def by_definition(sae, x):
    """(acts, x_hat) in float64, of NumPy alone, for ReLU."""
    p = {name: numbers(value) for name, value in sae.named_parameters()}
    acts = np.maximum(numbers(x) @ p["W_enc"] + p["b_enc"], 0)
    return acts, acts @ p["W_dec"] + p["b_dec"]


def fvu(x, x_hat):
    return np.square(x - x_hat).sum() / np.square(x - x.mean(0)).sum()


# --- the SAE -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x_dtype", DTYPES, ids=str)
@each_dtype
def test_an_sae_reads_every_precision(dtype, x_dtype):
    sae, x = an_sae(dtype=dtype), vectors(x_dtype, n=50)
    acts, x_hat = by_definition(sae, x)
    wider = torch.promote_types(dtype, x_dtype)
    rtol = 10 * torch.finfo(wider).eps
    for found, expected in ((sae.encode(x), acts), (sae(x), x_hat), (sae.decode(torch.from_numpy(acts).to(x_dtype)), x_hat)):
        assert found.dtype == wider
        assert np.abs(numbers(found) - expected).max() < (rtol + 4 * torch.finfo(x_dtype).eps) * np.abs(expected).max()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@each_dtype
def test_a_prefix_is_the_whole_cut_off(dtype, kind):
    sae, x = an_sae(kind, dtype), vectors(dtype, n=200)
    acts = sae.encode(x)
    for m in (1, 3, 4, 11, 20):
        prefix = sae.prefix(m)
        assert (prefix.n_latents, prefix.W_enc.shape, prefix.W_dec.shape) == (m, (8, m), (m, 8))
        assert {p.dtype for p in prefix.parameters()} == {dtype}
        for cut in (prefix, prefix.prefix(max(1, m // 2))):
            expected = acts[:, : cut.n_latents]
            assert_close(cut.encode(x), expected, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)
            if isinstance(kind, msae.TopK):  # else a rounding could choose another latent
                assert cut.encode(x).equal(expected)
    assert dict(sae.prefix(20).named_parameters()).keys() == dict(sae.named_parameters()).keys()


def test_a_prefix_holds_nothing_of_the_whole():
    sae = an_sae(msae.TopK(5))
    x, prefix = vectors(torch.float32, n=9), sae.prefix(7)
    before = prefix.encode(x)
    with torch.no_grad():
        for p in sae.parameters():
            p.zero_()
    assert prefix.encode(x).equal(before)


@pytest.mark.parametrize("kind", [msae.TopK(5), msae.BatchTopK(5)], ids=str)
def test_a_prefix_is_saved_measured_and_shown_like_any_sae(kind, tmp_path):
    sae, x = an_sae(kind), vectors(torch.float32, n=120)
    prefix = sae.prefix(3)  # fewer than k
    prefix.save(tmp_path / "prefix")
    loaded = msae.SAE.load(tmp_path / "prefix")
    assert loaded.encode(x).equal(prefix.encode(x))
    assert loaded.prefix(2).encode(x).equal(sae.prefix(2).encode(x))
    expected = sae.encode(x)[:, :3].detach()
    assert metrics.encode(loaded, x).toarray() == pytest.approx(expected.numpy(), abs=1e-5)
    assert metrics.reconstruction(loaded, x).l0.value == pytest.approx(metrics.l0(expected))
    assert np.isfinite(metrics.absorption(loaded, x, numbers(x)[:, 0] > 3, latents=[0]).fraction.value)
    assert metrics.mean_max_correlation(loaded, sae, x).mean.value == pytest.approx(1)

    class Texts:
        mask, hook_name = torch.ones(6, 20, dtype=torch.bool), None

    Texts.x = x
    shown = LatentActivations.from_sae(loaded, Texts)
    assert shown.counts.tolist() == (expected > 0).sum(0).tolist()
    assert copy.deepcopy(loaded).half().prefix(1).W_enc.dtype == torch.float16


# --- faithful ------------------------------------------------------------------------------------------------------------------------


@each_case
def test_fvu(dtype, size, monkeypatch):
    x = vectors(dtype, size)
    for other in DTYPES:
        near = (x.double() * 1.1).clamp(max=torch.finfo(other).max)
        if size not in SIZES[other]:
            other = dtype
        x_hat = near.to(other)
        expected = fvu(numbers(x), numbers(x_hat))
        assert metrics.fvu(x, x_hat) == pytest.approx(expected, rel=1e-9)
        monkeypatch.setattr(sums, "PART", 8 * 17)
        assert metrics.fvu(x, x_hat) == pytest.approx(expected, rel=1e-9)
        monkeypatch.undo()
    if dtype != torch.bfloat16:
        assert metrics.fvu(numpy(x), numpy(x)) == 0


def numpy(x):
    return x.numpy()


@pytest.mark.parametrize("sae_dtype", DTYPES, ids=str)
@each_dtype
def test_reconstruction(dtype, sae_dtype):
    sae, x = an_sae(dtype=sae_dtype), vectors(dtype, 3)
    acts, x_hat = by_definition(sae, x)
    found = metrics.reconstruction(sae, x, story=torch.arange(len(x)) // 40, chunk=333)
    assert found.fvu.value == pytest.approx(fvu(numbers(x), x_hat), rel=1e-5)
    assert found.l0.value == pytest.approx((acts > 0).sum(1).mean(), rel=1e-4)
    assert found.density.numpy() == pytest.approx((acts > 0).mean(0), abs=1e-3)
    assert found.dead == (acts <= 0).all(0).mean()
    assert np.isfinite(found.fvu).all()


@pytest.mark.parametrize("size", [1e-6, 1, 5e3])
def test_reconstruction_of_huge_and_tiny_activations_in_half_precision(size):
    sae, x = an_sae(dtype=torch.float16), vectors(torch.float16, size)
    with torch.no_grad():
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    acts, x_hat = by_definition(sae, x)
    found = metrics.reconstruction(sae, x)
    assert found.fvu.value == pytest.approx(fvu(numbers(x), x_hat), rel=1e-5)
    assert metrics.encode(sae, x).toarray() == pytest.approx(acts.astype(np.float32), rel=1e-4, abs=1e-5 * acts.max())


@each_case
def test_cosines(dtype, size, monkeypatch):
    rows, columns = vectors(dtype, size, n=7, d=500), vectors(dtype, size, n=5, d=500, seed=1)
    a, b = numbers(rows) / size, numbers(columns) / size
    expected = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    assert metrics.cosines(rows, columns).numpy() == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(sums, "PART", 7 * 33)
    assert metrics.cosines(rows, columns[None]).numpy()[0] == pytest.approx(expected, rel=1e-6)


# --- where latents fire --------------------------------------------------------------------------------------------------------------


@each_case
def test_firings_and_what_counts_them(dtype, size, monkeypatch):
    acts = firings(dtype, size)
    exact = numbers(acts)
    concept = exact[:, 0] > 0.3 * exact[:, 0].max()
    story = np.arange(len(exact)) // 30
    assert metrics.l0(acts) == pytest.approx((exact > 0).sum(1).mean())
    assert metrics.dead(acts).tolist() == (exact <= 0).all(0).tolist()
    monkeypatch.setattr(_sources, "PART", 9 * 1000)
    for given in (acts, acts if dtype == torch.bfloat16 else acts.numpy(), acts.reshape(30, 100, 9)):
        assert np.array_equal(metrics.as_firings(given).matrix.toarray(), exact)
    monkeypatch.undo()
    fires = exact > 0.25 * exact.max(0)
    both, fired = (fires & concept[:, None]).sum(0), fires.sum(0)
    scores = metrics.concept_scores(acts, concept, level=0.25)
    assert scores.recall == pytest.approx(both / concept.sum())
    assert scores.f1 == pytest.approx(2 * both / (fired + concept.sum()))
    one = metrics.concept_score(acts, 0, torch.from_numpy(concept), story=story, level=0.25)
    assert (one.recall.value, one.precision.value) == pytest.approx((both[0] / concept.sum(), both[0] / fired[0]))
    holes = metrics.hole_rate(acts, 1, concept, parts={"all": concept}, story=story, level=0.25)
    assert holes.rate.value == holes.by_part["all"].value == pytest.approx(1 - both[1] / concept.sum())
    in_float64 = torch.from_numpy(exact)
    for measure in (metrics.fragmentation, metrics.splitting):
        found, expected = measure(acts, concept, story=story), measure(in_float64, concept, story=story)
        assert found == expected


@each_case
def test_mean_max_correlation(dtype, size):
    a, b = firings(dtype, size), firings(dtype, size, n_latents=5, seed=1)
    b[:, 4] = a[:, 2]
    with np.errstate(invalid="ignore"):
        expected = np.nanmax(np.corrcoef(numbers(a), numbers(b), rowvar=False)[[0, 1, 2, 4], 9:], axis=1)
    found = metrics.mean_max_correlation(a, b, story=np.arange(len(a)) // 30, n_resamples=50)
    assert found.best[[0, 1, 2, 4]] == pytest.approx(expected, abs=1e-9)
    assert found.latents[2] == 4
    assert np.isnan(found.best[3])


@each_case
def test_the_toy_measures(dtype, size):
    features = (firings(torch.float64, n_latents=4) > 0).double()
    acts = (size * torch.cat([features[:, [2, 0, 1]], firings(torch.float64, n_latents=3, seed=2)], 1)).to(dtype)
    features[:, 3] = features[:, 0] * features[:, 1]
    for truth in (features, features.half(), features.bool(), features.long()):
        assert metrics.assign(acts, truth[:, :3]).tolist() == [1, 2, 0]
        assert metrics.closest(acts, truth[:, :3]).tolist() == [1, 2, 0]
        found = metrics.holes(acts, truth, 2, parent=0, children=[1, 2])
        present = (features[:, 0] > 0) & (features[:, 1:3] > 0).any(1)
        assert found.rate == (present & (acts[:, 2] <= 0)).sum().item() / present.sum().item()


@each_case
def test_directions_and_absorption(dtype, size):
    x = vectors(dtype, size)
    concept = numbers(x)[:, 0] > 2 * size
    expected = numbers(x)[concept].mean(0) - numbers(x)[~concept].mean(0)
    assert numbers(metrics.mean_difference(x, concept)) / size == pytest.approx(expected / size, abs=1e-6)
    with torch.no_grad():
        sae = an_sae(dtype=dtype)
        sae.b_enc.zero_()
        sae.b_dec.zero_()
        in_float64 = metrics.absorption(copy.deepcopy(sae).double(), x.double(), concept, latents=[2])
        found = metrics.absorption(sae, x, concept, latents=[2], story=np.arange(len(x)) // 40)
    assert found.fraction.value == pytest.approx(in_float64.fraction.value, abs=2e-3)
    assert found.full.value == pytest.approx(in_float64.full.value, abs=2e-3)


@each_dtype
def test_sums_by_story(dtype):
    story, column = torch.arange(5000) // 1000, vectors(dtype, 100, n=5000, d=1)[:, 0]
    assert metrics.sum_by_story(story, column)[:, 0] == pytest.approx(numbers(column).reshape(5, 1000).sum(1))
    interval = metrics.bootstrap(lambda s: s[..., 0], column[:50, None])
    assert interval.value == pytest.approx(numbers(column)[:50].sum())


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return tiny_language_model(tmp_path_factory.mktemp("lm"), ["Lily has a cat.", "Sue sees Lily."], d_model=8, n_layers=2)


@each_dtype
def test_splicing(dtype, lm):
    texts = read_texts(lm, ["Lily has a cat.", "Sue sees Lily."], n_ctx=9)
    sae = an_sae(dtype=dtype)
    found, expected = metrics.splice(lm, sae, texts, batch_size=1), metrics.splice(lm, copy.deepcopy(sae).double(), texts)
    assert found.loss_spliced == pytest.approx(expected.loss_spliced, rel=1e-5)
    assert found.kl == pytest.approx(expected.kl, rel=1e-4)
