"""Where latents fire: the same from any source, and as loops over the dense activations count it."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import sample

import msae
from msae import metrics
from msae.firings import Firings, LatentActivations, as_firings

TOKENS, ACTS, MASK = sample()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_firings_counts_and_maxima_are_those_of_the_dense_array(seed):
    tokens, acts, mask = sample(seed)
    sparse = Firings.of_dense(acts, mask)
    seen = acts * mask[..., None]
    assert sparse.n_tokens == mask.sum()
    for latent in range(acts.shape[2]):
        assert np.array_equal(sparse.dense(latent), seen[..., latent])
        assert sparse.counts[latent] == (seen[..., latent] > 0).sum()
        assert sparse.max[latent] == seen[..., latent].max()
        assert sparse.total[latent] == pytest.approx(seen[..., latent].sum(), rel=1e-5)
        expected = []
        for token in np.unique(tokens[mask]):
            here = mask & (tokens == token)
            values = seen[..., latent][here]
            if (values > 0).any():
                fired = values[values > 0].astype(float)
                expected.append((-fired.sum(), int(token), len(fired), int(here.sum()), fired.mean(), fired.max()))
        expected = sorted(expected)[:10]
        found = sparse.top_tokens(latent, tokens)
        assert [(t.token, t.n_firing, t.n) for t in found] == [e[1:4] for e in expected]
        assert np.allclose([x for t in found for x in (t.mean, t.max)], [x for e in expected for x in e[4:]])
        peaks = sorted((-seen[i, :, latent].max(), i) for i in range(len(tokens)) if seen[i, :, latent].any())
        assert [t for t, _ in sparse.top_texts(latent)] == [i for _, i in peaks][:10]
    assert np.array_equal(sparse.density, sparse.counts / mask.sum())


@given(st.integers(0, 10_000), st.lists(st.floats(0, 0.9), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_what_exceeds_a_level_is_what_the_dense_array_says(seed, levels):
    _, acts, mask = sample(seed)
    seen = (acts * mask[..., None]).reshape(-1, acts.shape[2])
    sparse, present = Firings.of_dense(acts, mask), np.arange(mask.size) % 3 == 0
    fired, both = sparse.counts_above(levels, present)
    for i, level in enumerate(levels):
        exceeds = seen > level * seen.max(0).astype(np.float64)
        assert np.array_equal(sparse.above(level).matrix.toarray(), seen * exceeds)
        assert fired[i].tolist() == exceeds.sum(0).tolist()
        assert both[i].tolist() == exceeds[present].sum(0).tolist()
        assert np.array_equal(np.stack([sparse.where(k, level) for k in sparse.latents], 1), exceeds)
    some = sparse.take([5, 1])
    assert some.latents.tolist() == [5, 1]
    assert np.array_equal(some.dense(1), sparse.dense(1))


def test_firings_are_the_same_from_anything():
    rng = np.random.default_rng(0)
    acts = (rng.gamma(2, 1, (60, 7)) * (rng.random((60, 7)) < 0.2)).astype(np.float32).reshape(6, 10, 7)
    mask = rng.random((6, 10)) < 0.8
    expected = np.where(mask[..., None], acts, 0).reshape(60, 7)
    latents = Firings.of_dense(acts, mask)
    others = (expected.astype(">f4"), -torch.tensor(-expected), torch.complex(torch.zeros(60, 7), torch.tensor(-expected)).conj().imag)
    for source in (expected, torch.tensor(expected), scipy.sparse.csr_array(expected), latents, as_firings(latents), *others):
        assert np.array_equal(as_firings(source).matrix.toarray(), expected)
        firings = as_firings(source)
        assert np.array_equal(firings.above(0.25).matrix.toarray(), np.where(expected > 0.25 * expected.max(0), expected, 0))
    assert as_firings(latents).present.sum() == mask.sum()
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        as_firings(np.ones(3))
    with pytest.raises(ValueError, match=r"acts must be of one SAE, got a dict of A, B: give acts\['A'\]"):
        as_firings({"A": latents, "B": latents})


def test_what_is_given_is_not_changed():
    given = scipy.sparse.csc_array(ACTS.reshape(-1, ACTS.shape[2]))
    before = given.copy()
    firings = as_firings(given)
    firings.above(0.5)
    firings.where(2, 0.5)
    assert np.array_equal(given.toarray(), before.toarray())
    assert as_firings(firings) is firings


def test_a_sparse_array_is_read_by_what_it_says_however_it_is_stored():
    stored = (np.array([4.0, 0.0, 3.0, 1.0, -2.0]), np.array([2, 0, 1, 1, 0]), np.array([0, 2, 5]))
    given = scipy.sparse.csc_array(stored, shape=(3, 2))
    firings = as_firings(given)
    assert firings.counts.tolist() == [1, 1] == (given.toarray() > 0).sum(0).tolist()
    assert firings.max.tolist() == [4, 4]
    assert firings.of(1)[0].tolist() == [0, 1]
    assert firings.of(1)[1].tolist() == [-2, 4]
    assert given.indices.tolist() == [2, 0, 1, 1, 0]


def test_where_an_input_does_not_count_anything_may_stand():
    padded = np.where(MASK[..., None], ACTS, np.nan)
    assert np.array_equal(Firings.of_dense(padded, MASK).matrix.toarray(), Firings.of_dense(ACTS, MASK).matrix.toarray())


def test_levels_and_marks_may_come_from_torch_or_a_list():
    made, present = Firings.of_dense(ACTS, MASK), np.arange(MASK.size) % 2 == 0
    levels = np.linspace(0, 0.5, ACTS.shape[2])
    assert np.array_equal(made.above(torch.tensor(levels)).counts, made.above(levels).counts)
    assert np.array_equal(made.where(1, torch.tensor(0.5)), made.where(1, 0.5))
    for marks in (present.tolist(), torch.tensor(present), present.astype(int)):
        assert np.array_equal(made.counts_above([0.5], marks), made.counts_above([0.5], present))
    with pytest.raises(ValueError, match="no latent 0 here; there are 0"):
        made.take([]).column(0)


def test_its_parts_make_it_again_with_and_without_texts():
    made = Firings.of_dense(ACTS, MASK)
    for mask in (MASK, MASK.reshape(-1)):
        again = Firings(made.latents, made.start, made.positions, made.values, mask)
        assert again.places == mask.shape
        assert np.array_equal(again.dense(3), made.dense(3).reshape(mask.shape))
        assert np.array_equal(again.matrix.toarray(), made.matrix.toarray())


def test_the_names_that_it_had():
    assert LatentActivations is Firings
    assert msae.explore.LatentActivations is metrics.Firings is Firings
    made = LatentActivations.from_dense(ACTS, MASK)
    assert made.row(4) == made.column(torch.tensor(4)) == 4


def test_encoding_in_chunks_gives_what_encoding_at_once_gives():
    _, _, mask = sample()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(int(mask.sum()), 6, generator=generator)
    W = torch.randn(6, 11, generator=generator)
    sae = SimpleNamespace(d_model=6, n_latents=11, hook_name="here", W_enc=W, encode=lambda x: torch.relu(x @ W - 1))
    activations = SimpleNamespace(x=x.half(), mask=torch.from_numpy(mask), hook_name="here")
    dense = np.zeros((*mask.shape, 11), dtype=np.float32)
    dense[mask] = torch.relu(x.half().float() @ W - 1).numpy()
    for latents in (None, [2, 7]):
        found = Firings.of_sae(sae, activations, latents=latents, chunk=17)
        assert found.latents.tolist() == (latents or list(range(11)))
        for latent in found.latents:
            assert np.allclose(found.dense(latent), dense[..., latent], atol=1e-6)
    sae.hook_name = "there"
    with pytest.raises(ValueError, match="trained at there, but these activations come from here"):
        Firings.of_sae(sae, activations)
    with pytest.raises(ValueError, match="latents 0 … 10"):
        Firings.of_sae(SimpleNamespace(**{**vars(sae), "hook_name": None}), activations, latents=[11])


def test_what_float32_cannot_tell_from_silence_is_silent_and_what_it_cannot_hold_is_refused():
    assert Firings.of_dense(np.full((1, 1, 1), 1e-60)).counts.tolist() == [0]
    with pytest.raises(ValueError, match="finite.*at text 0, place 0, latent 0"):
        Firings.of_dense(np.full((1, 1, 1), 1e60))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Firings.of_dense(ACTS[0]), r"\(n_texts, n_ctx, n_latents\), got shape \(30, 9\)"),
        (lambda: Firings.of_dense(ACTS, MASK[:3]), r"mask of shape \(12, 30\).*got \(3, 30\)"),
        (lambda: Firings.of_dense(-np.ones((1, 1, 1))), r"got -1.0 at text 0, place 0, latent 0"),
        (lambda: Firings.of_dense(np.full((1, 1, 1), np.nan)), r"got nan at text 0"),
        (lambda: Firings.of_dense(ACTS, MASK).dense(9), r"no latent 9 here; there are 9, from 0 to 8"),
    ],
)
def test_bad_input_gets_one_error_that_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_sae_is_run_in_parts():
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(1)) * 3 + 50
    sae = msae.SAE(6, 20, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(metrics.encode(sae, x, chunk=33).toarray(), sae.encode(x).detach().numpy())


@pytest.mark.parametrize("room", ["firings", "latents", "patterns", "explore"])
def test_looking_needs_no_torch(room):
    code = f"import sys, msae.{room}; print([m for m in ('torch', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
