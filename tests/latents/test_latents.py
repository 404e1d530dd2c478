"""SAEs on stories, asked by name: every answer against loops over the dense activations, and against the measures it is made of."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from samples import sample

import msae
from msae import metrics
from msae.explore import Explorer
from msae.firings import Firings
from msae.latents import Latents, best_parents, children, latent_tree
from msae.patterns import match

TOKENS, _, MASK = sample(3, n_texts=30, n_vocab=6)
VOCAB = ["she", " he", "\n", " Lily", " cat", " "]
WIDTH = 8


def an_sae(n_latents: int, seed: int, hook_name: str | None = "here", d_model: int = WIDTH) -> msae.SAE:
    made = msae.SAE(d_model, n_latents, hook_name=hook_name, generator=torch.Generator().manual_seed(seed))
    made.b_enc.data -= 0.5
    return made


def read(**changes) -> SimpleNamespace:
    """What a language model read: each token a direction of its own, and noise."""
    generator = torch.Generator().manual_seed(0)
    tokens, mask = torch.from_numpy(TOKENS), torch.from_numpy(MASK)
    x = (torch.randn(6, WIDTH, generator=generator) * 2)[tokens[mask]] + torch.randn(int(mask.sum()), WIDTH, generator=generator) / 2
    given = {"x": x, "tokens": tokens, "mask": mask, "str_tokens": VOCAB, "story": torch.arange(30) // 2, "hook_name": "here"}
    return SimpleNamespace(**{**given, **changes})


SAES = {"S/0": an_sae(5, 0), "S/1": an_sae(9, 1), "L": an_sae(20, 2)}
LATENTS = Latents(SAES, read())
DENSE = {name: np.zeros((*MASK.shape, sae.n_latents), dtype=np.float32) for name, sae in SAES.items()}
for _name, _sae in SAES.items():
    DENSE[_name][MASK] = _sae.encode(read().x).detach().numpy()
CONCEPT = MASK & np.isin(TOKENS, (0, 3))  # she, Lily


def of(latent: str) -> np.ndarray:
    name, number = latent.rsplit("/", 1)
    return DENSE[name][..., int(number)]


def every(name: str) -> list[str]:
    return [f"{name}/{k}" for k in range(SAES[name].n_latents)]


def f1(latent: str, level: float) -> float:
    fires = of(latent) > level * of(latent).max()
    return 2 * (fires & CONCEPT).sum() / (fires.sum() + CONCEPT.sum())


def test_a_concept_is_a_mask_a_pattern_or_where_a_latent_fires():
    pattern = 'she|" Lily"'
    assert np.array_equal(LATENTS.concept(pattern), match(pattern, TOKENS, VOCAB, mask=MASK))
    assert np.array_equal(LATENTS.concept(CONCEPT), CONCEPT)
    assert np.array_equal(LATENTS.concept(np.ones_like(MASK)), MASK)
    assert np.array_equal(LATENTS.concept("S/1/4"), of("S/1/4") > 0)
    assert np.array_equal(LATENTS.concept("[S/1/4 & L/2]"), (of("S/1/4") > 0) & (of("L/2") > 0))


@pytest.mark.parametrize("level", [0.0, 0.25])
@pytest.mark.parametrize("sae", SAES)
def test_the_best_latent_is_the_one_that_counting_finds(sae, level):
    best = LATENTS.best(CONCEPT, sae, level=level)
    scores = [f1(latent, level) for latent in every(sae)]
    assert best.latent == f"{sae}/{np.argmax(scores)}"
    assert best.score.f1.value == pytest.approx(max(scores))
    number = int(np.argmax(scores))
    assert best.score == metrics.concept_score(DENSE[sae], number, CONCEPT, story=np.arange(30) // 2, level=level)
    assert best.score.f1.low < best.score.f1.value < best.score.f1.high
    assert LATENTS.score(best.latent, CONCEPT, level=level) == best.score


def test_what_is_dense_and_strongest():
    for latent in (*every("S/0"), *every("L")):
        assert np.allclose(LATENTS.dense(latent), of(latent), atol=1e-6)
        sums = {token: of(latent)[token == TOKENS].sum() for token in range(6) if of(latent)[token == TOKENS].any()}
        words = [VOCAB[token].strip() or "↵" for token in sorted(sums, key=lambda token: -sums[token])]
        assert LATENTS.strongest(latent, 2) == " ".join(words[:2])


@pytest.mark.parametrize("latent", ["S/0/1", "S/1/4"])
def test_the_look_alike_correlates_most(latent):
    a = of(latent)[MASK]
    with np.errstate(invalid="ignore"):
        each = [np.nan_to_num(np.corrcoef(a, of(other)[MASK])[0, 1]) for other in every("L")]
    found = LATENTS.look_alike(latent, "L", n_resamples=50)
    assert found.latent == f"L/{np.argmax(each)}"
    assert found.correlation.value == pytest.approx(max(each), abs=1e-5)
    assert found.correlation.low <= found.correlation.value <= found.correlation.high
    number = int(latent[-1])
    both = (Firings.of_dense(DENSE[name], MASK) for name in (latent[:3], "L"))
    whole = metrics.mean_max_correlation(*both, story=np.arange(30) // 2, n_resamples=50)
    assert found.correlation.low == pytest.approx(whole.low[number], abs=1e-5)
    assert LATENTS.look_alike(latent, latent[:3]).latent == latent


def test_holes_are_where_it_is_silent():
    child, parent = LATENTS.best(CONCEPT, "L").latent, "S/0/1"
    for concept in (CONCEPT, parent):
        there = of(parent) > 0 if concept is parent else CONCEPT
        found = LATENTS.holes(child, concept, parts={"he": (TOKENS == 1) | there})
        assert found.rate.value == pytest.approx((of(child)[there] == 0).mean())
        assert found.n_concept == there.sum()
    clear = of(child) > 0.25 * of(child).max()
    assert LATENTS.holes(child, CONCEPT, level=0.25).rate.value == pytest.approx(1 - clear[CONCEPT].mean())


def test_children_hang_from_their_best_parent():
    edges = latent_tree(LATENTS.acts)
    assert LATENTS.edges == edges != []
    for parent in (*every("S/0"), *every("S/1")):
        mine = []
        for child in (*every("S/1"), *every("L")):
            to = [edge for edge in edges if edge.child == child]
            if to and max(to, key=lambda edge: edge.score).parent == parent:
                mine.append((-max(edge.score for edge in to), child))
        assert [LATENTS.parents[child].score for child in LATENTS.children(parent)] == [-score for score, _ in sorted(mine)]
        assert set(LATENTS.children(parent)) == {child for _, child in mine} == set(children(parent, best_parents(edges)))


def test_some_of_the_saes_share_what_is_computed():
    latents = Latents(SAES, read())
    assert len(latents.edges) > 0
    fewer = latents.only("S/0", "L")
    assert list(fewer.acts) == ["S/0", "L"]
    assert fewer.acts["L"] is latents.acts["L"]
    assert {edge.parent.rsplit("/", 1)[0] for edge in fewer.edges} == {"S/0"} != {edge.parent.rsplit("/", 1)[0] for edge in latents.edges}
    with pytest.raises(ValueError, match="no SAE 'S/1' here, but S/0, L"):
        fewer.best(CONCEPT, "S/1")


def test_firings_are_computed_once_and_only_where_asked(monkeypatch):
    asked = []
    encode = msae.SAE.encode
    monkeypatch.setattr(msae.SAE, "encode", lambda sae, x: asked.append(sae) or encode(sae, x))
    latents = Latents(SAES, read())
    assert asked == []
    latents.strongest("S/1/4")
    latents.strongest("S/1/3")
    assert [sae is SAES["S/1"] for sae in asked] == [True]


def test_an_explorer_of_them_is_that_of_their_parts():
    options = {"labels": {"L/3": "three"}, "latents": ["L/3", "S/0/1"]}
    made, by_hand = Explorer.of(LATENTS, **options), Explorer(LATENTS.acts, TOKENS, VOCAB, **options)
    assert made._repr_html_() == by_hand._repr_html_()


@pytest.mark.parametrize(
    ("latent", "nearest"),
    [
        ("S/0/5", "S/0/4"),
        ("S/2/3", "S/[01]/3"),
        ("S0/2", "S/0/2"),
        ("L/x", "L/0"),
        ("L", "L/0"),
        ("L/-1", "L/0"),
        (7, ".*/0"),
        (None, ".*/0"),
    ],
)
def test_a_latent_that_is_not_there_is_told_with_the_nearest(latent, nearest):
    with pytest.raises(ValueError, match=re.escape(f"there is none called {latent!r}; is ") + nearest + r" meant\? .* has .*/0 to "):
        LATENTS.dense(latent)


def test_a_number_with_zeros_before_it_is_the_same_latent():
    parent = LATENTS.edges[0].parent
    name, number = LATENTS.split(parent)
    assert LATENTS.children(parent)
    assert LATENTS.children(f"{name}/00{number}") == LATENTS.children(parent)


def test_what_is_meant_as_a_latent_is_not_told_about_patterns():
    with pytest.raises(ValueError, match=re.escape("latent: there is none called 'S/7/3'; is S/")):
        LATENTS.concept("S/7/3")
    with pytest.raises(ValueError, match=re.escape("latent: there is none called 'S/0/3'")):
        LATENTS.only("S/1", "L").best("S/0/3", "L")
    with pytest.raises(ValueError, match=re.escape("latent: there is none called 'S/0'; is S/0/0 meant?")):
        LATENTS.dense("S/0")


def test_names_instead_of_saes_are_told_so():
    for given in (["S/0", "S/1"], "S/0", {}):
        with pytest.raises(ValueError, match=re.escape('saes must be {"name": SAE}, as of load_saes')):
            Latents.on(given, None, ["Lily sat."])
    with pytest.raises(ValueError, match=re.escape("saes['S/0'] must be an SAE, got 3")):
        Latents.on({"S/0": 3}, None, ["Lily sat."])


def test_of_many_saes_an_error_names_some():
    many = Latents({f"n{k}": SAES["S/0"] for k in range(100)}, read())
    with pytest.raises(ValueError, match="n9 and 90 more; is n3 meant?"):
        many.best("she", "m3")
    with pytest.raises(ValueError, match="n9 and 90 more, got none"):
        many.only()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("Zerbina", 'Zerbina is no token of this model, which reads them in pieces; .*: " Zerbina"'),
        ("cat cat cat cat", "give more stories"),
    ],
)
def test_a_pattern_that_marks_nothing_says_why(pattern, words):
    silent = LATENTS.mask & False
    nowhere = Latents(SAES, read()) if pattern == "Zerbina" else Latents(SAES, read(tokens=torch.zeros_like(torch.from_numpy(TOKENS))))
    for ask in (lambda: nowhere.best(pattern, "S/0"), lambda: nowhere.score("S/0/1", pattern), lambda: nowhere.holes("S/0/1", pattern)):
        with pytest.raises(ValueError, match=f"the pattern '{pattern}' marks none of the {MASK.sum()} tokens: .*{words}"):
            ask()
    assert (nowhere.concept(pattern) == silent).all(), "asked for its tokens, it has none"
