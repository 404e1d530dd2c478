"""Explanations by pattern: the search against exhaustive search, what is written against `match`, scores against counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from msae import metrics
from msae.firings.firings import Firings
from msae.latents import explain
from msae.latents.proposed import Proposals, best_set, forms
from msae.patterns import match
from msae.patterns.corpus import Corpus

WORDS = [" she", "She", " her", " Lily", " sat", ".", "\n", ' "', '"', " don", "'t", "\\", " can't", " it", ",", "-"]
G = np.random.default_rng(0)
TOKENS = G.integers(len(WORDS), size=(60, 24))
MEASURED = np.arange(60) >= 40


def firings_at(marked, values=None):
    acts = marked * (1.0 if values is None else values)
    return Firings.of_dense(acts[..., None].astype(np.float32))


def f1_of(fires, marks):
    return 2 * (fires & marks).sum() / (fires.sum() + marks.sum())


@pytest.mark.parametrize("most", [1, 2, 3, 6])
@pytest.mark.parametrize("seed", range(12))
def test_the_best_set_is_the_best_of_all_sets(seed, most):
    g = np.random.default_rng(seed)
    counts = g.integers(1, 30, size=6)
    hits = g.binomial(counts, g.random(6) ** 2)
    n_fires = int(hits.sum() + g.integers(0, 20)) or 1

    def f1(kinds):
        return 2 * hits[list(kinds)].sum() / (counts[list(kinds)].sum() + n_fires)

    every = max((f1(kinds) for n in range(1, most + 1) for kinds in itertools.combinations(range(6), n)), default=0)
    found = best_set(hits, counts, n_fires, most=most)
    assert len(found) <= most
    assert (f1(found) if len(found) else 0) == pytest.approx(every)


def test_the_best_single_tokens_of_a_small_vocabulary_are_those_of_exhaustive_search():
    chance = G.random(len(WORDS)) ** 2
    fires = G.random(TOKENS.shape) < chance[TOKENS]
    corpus = Corpus(TOKENS, WORDS)
    proposals = Proposals(corpus)
    part = 0, np.arange(TOKENS.size)
    for most in (1, 2):
        form = next(each for each in forms() if (each.as_words, each.most, each.flag, each.back) == (False, most, "", 0))
        pattern = proposals.fit(form, fires.reshape(-1), part)
        tried = (np.isin(TOKENS, kinds) for n in range(1, most + 1) for kinds in itertools.combinations(range(len(WORDS)), n))
        assert f1_of(fires.reshape(-1), proposals.marks(pattern)) == pytest.approx(max(f1_of(fires, marks) for marks in tried))


def test_what_is_written_marks_what_was_found():
    proposals = Proposals(Corpus(TOKENS, WORDS))
    fires = (G.random(TOKENS.shape) < (G.random(len(WORDS)) ** 2)[TOKENS]).reshape(-1)
    n_written = 0
    for form in forms():
        pattern = proposals.fit(form, fires, (0, np.arange(TOKENS.size)))
        if pattern is not None:
            n_written += 1
            text = proposals.text(pattern)
            np.testing.assert_array_equal(match(text, TOKENS, WORDS).reshape(-1), proposals.marks(pattern), err_msg=text)
    assert n_written > 60


def test_some_places_only_are_marked_alike():
    proposals, at = Proposals(Corpus(TOKENS, WORDS)), np.arange(7, 900, 3)
    for form in list(forms())[::7]:
        pattern = proposals.fit(form, np.isin(TOKENS, [0, 2]).reshape(-1), (0, at))
        np.testing.assert_array_equal(proposals.marks(pattern, at), proposals.marks(pattern)[at])


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("she | her", "her | she"),
        ('[" she"]', '[" she"]'),
        ("(she | her) sat", None),
        ("lily .", "lily ."),
        ("[quoted & $it]", None),
        ("[seen & $it]", None),
    ],
)
def test_a_planted_pattern_is_found(planted, found):
    written = f"let it = it; {planted}" if "$it" in planted else planted
    fires = match(written, TOKENS, WORDS)
    (its,) = explain(firings_at(fires), TOKENS, WORDS, latents=[0], measured=MEASURED)
    assert its.f1 == 1
    assert its.searched_f1 == 1
    np.testing.assert_array_equal(match(its.pattern, TOKENS, WORDS), fires)
    assert found is None or {*its.pattern.split()} == {*found.split()}


def test_scores_are_those_of_counting_on_the_measured_texts():
    mask = G.random(TOKENS.shape) < 0.9
    fires = (G.random(TOKENS.shape) < 0.6) & np.isin(TOKENS, [0, 2, 3]) & mask
    acts = Firings.of_dense((fires * G.uniform(0.5, 1, TOKENS.shape))[..., None].astype(np.float32), mask)
    (its,) = explain(acts, TOKENS, WORDS, latents=[0], measured=MEASURED, level=0.0)
    marks = match(its.pattern, TOKENS, WORDS, mask=mask)
    a, b = fires[MEASURED], marks[MEASURED]
    assert its.f1 == pytest.approx(f1_of(a, b))
    assert its.n_firing == a.sum()
    assert its.precision == pytest.approx((a & b).sum() / b.sum())
    assert its.recall == pytest.approx((a & b).sum() / a.sum())
    assert its.searched_f1 == pytest.approx(f1_of(fires[~MEASURED], marks[~MEASURED]))


def test_detection_and_fuzzing_are_asked_of_the_measured_texts():
    mask = G.random(TOKENS.shape) < 0.9
    fires = np.isin(TOKENS, [0]) & (G.random(TOKENS.shape) < 0.5) & mask & (np.arange(60) % 2 == 0)[:, None]
    (its,) = explain(Firings.of_dense(fires[..., None] * 1.0, mask), TOKENS, WORDS, latents=[0], measured=MEASURED)
    marks = match(its.pattern, TOKENS, WORDS, mask=mask)
    for score in (metrics.detection, metrics.fuzzing):
        expected = score(fires[MEASURED], marks[MEASURED], mask=mask[MEASURED])
        assert 0.4 < expected <= 1
        assert getattr(its, score.__name__) == pytest.approx(expected)


def test_the_measured_texts_have_no_say_in_the_pattern():
    fires = np.isin(TOKENS, [0, 2]) & (G.random(TOKENS.shape) < 0.8)
    other = np.where(MEASURED[:, None], np.isin(TOKENS, [5]), fires)
    (one,), (two,) = (explain(firings_at(each), TOKENS, WORDS, latents=[0], measured=MEASURED) for each in (fires, other))
    assert one.pattern == two.pattern
    assert one.f1 > 0.5
    assert two.f1 < 0.1


def test_the_level_says_what_a_firing_is():
    values = np.where(TOKENS == 0, 4.0, np.where(TOKENS == 4, 0.5, 0.0))
    patterns = [
        explain(firings_at(values > 0, values), TOKENS, WORDS, latents=[0], measured=MEASURED, level=level)[0].pattern
        for level in (0.0, 0.25)
    ]
    assert " sat" in patterns[0]
    assert "sat" not in patterns[1]
    assert "she" in patterns[1].lower()


def test_a_latent_that_fires_only_where_forms_are_chosen_is_explained_all_the_same():
    fires = (TOKENS == 3) & (np.arange(60) >= 30)[:, None]
    (its,) = explain(firings_at(fires), TOKENS, WORDS, latents=[0], measured=MEASURED)
    assert match(its.pattern, TOKENS, WORDS)[MEASURED][fires[MEASURED]].all()


def test_an_explainer_is_shown_the_strongest_contexts_and_writes_the_pattern():
    values = np.where(np.isin(TOKENS, [0, 3]), G.uniform(1, 2, TOKENS.shape), 0.0)
    values[45, 0], TOKENS_45 = 9.0, "".join(WORDS[i] for i in TOKENS[45])  # the strongest of all lies in a measured text
    shown = []

    def stub(contexts):
        shown.extend(contexts)
        return "she"

    (its,) = explain(firings_at(values > 0, values), TOKENS, WORDS, latents=[0], measured=MEASURED, level=0.0, explainer=stub)
    assert its.pattern == "she"
    fires = values > 0
    assert its.f1 == pytest.approx(f1_of(fires[MEASURED], match("she", TOKENS, WORDS)[MEASURED]))
    assert 0 < len(shown) <= 12
    assert all("«" in each for each in shown)
    texts = ["".join(WORDS[i] for i in row) for row in TOKENS]
    plain = [each.replace("«", "").replace("»", "") for each in shown]
    strongest = np.argsort(-np.where(MEASURED, 0, values.max(1)))
    assert all(piece in texts[text] for piece, text in zip(plain, strongest))
    assert not any(TOKENS_45 in each for each in plain)
    whole = "".join(f"«{WORDS[i]}»" if v > 0 else WORDS[i] for i, v in zip(TOKENS[strongest[0]], values[strongest[0]]))
    assert shown[0] in whole


@pytest.mark.parametrize(
    ("answer", "says"), [(None, "it returned None"), (3, "it returned 3"), ("she |", "no token pattern"), ("[S/2/3]", "no token pattern")]
)
def test_an_explainer_that_returns_no_pattern_is_told_so(answer, says):
    with pytest.raises(ValueError, match=r"explainer.*latent 0") as error:
        explain(firings_at(TOKENS == 0), TOKENS, WORDS, latents=[0], measured=MEASURED, explainer=lambda contexts: answer)
    assert says in str(error.value)


def test_an_error_of_the_explainer_itself_is_its_own():
    def broken(contexts):
        raise ConnectionError("no model")

    with pytest.raises(ConnectionError, match="no model"):
        explain(firings_at(TOKENS == 0), TOKENS, WORDS, latents=[0], measured=MEASURED, explainer=broken)
