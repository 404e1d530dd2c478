"""Token patterns: the shared cases, two thousand random patterns against a naive matcher, and latents ranked by hand.

The naive matcher never sees a pattern's text: a random pattern is made together with the function that says what it means.
"""

from __future__ import annotations

import ast
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from pattern_cases import CASES, CORPORA, JAVASCRIPT_CORPORA, MODULES, RUN_IN_JAVASCRIPT, Corpus, corpus_of, differing, for_javascript

from msae import patterns
from msae.explore import LatentActivations
from msae.patterns import PatternError, parse, rank_latents
from msae.patterns.matching import match

# Texts, as Python and as JavaScript take them


def answer(corpus: Corpus, pattern: str) -> dict[str, Any]:
    try:
        marked = match(pattern, corpus.tokens, corpus.vocab, acts=corpus.acts, mask=corpus.mask)
    except PatternError as error:
        return {"error": {"reason": error.reason, "line": error.line, "column": error.column}}
    assert marked.shape == corpus.tokens.shape
    assert not marked[~corpus.mask].any()
    return {"marked": [np.flatnonzero(row[counts]).tolist() for row, counts in zip(marked, corpus.mask)]}


def node(corpora: dict[str, Any], cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same in Node."""
    if shutil.which("node") is None:
        pytest.skip("no Node here; the browser's test runs the same cases")
    imports = {"corpus": "corpus.mjs", "match": "matching.mjs"}
    script = "".join(f"import {{ {name} }} from {json.dumps((MODULES / file).as_uri())};" for name, file in imports.items())
    script += RUN_IN_JAVASCRIPT
    script += "let text = ''; for await (const part of process.stdin.setEncoding('utf8')) text += part;"
    script += "const { corpora, cases } = JSON.parse(text); console.log(JSON.stringify(run(corpora, cases)));"
    given = json.dumps({"corpora": corpora, "cases": cases})
    done = subprocess.run(["node", "--input-type=module", "-e", script], input=given, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


# The shared cases


def test_cases_in_python() -> None:
    assert len(CASES) > 200
    assert differing(CASES, [answer(CORPORA[case["corpus"]], case["pattern"]) for case in CASES]) == []


def test_cases_in_node() -> None:
    assert differing(CASES, node(JAVASCRIPT_CORPORA, CASES)) == []


def test_broken_patterns_are_broken_alike_in_node() -> None:
    """Patterns with a character cut out, doubled or swapped: the two readers give the same marks, or the same error at the same place."""
    rng = random.Random(0)
    cases = []
    for case in CASES:
        text = case["pattern"]
        for _ in range(6):
            at = rng.randrange(len(text) + 1)
            insert = rng.choice([*'()[]{}|&!@$/"^.*+?;=<>-,0 i', "", "", "", "let ", "\\z"])
            cases.append({"corpus": case["corpus"], "pattern": text[:at] + insert + text[at + rng.randrange(3) :]})
    for case in cases:
        case |= answer(CORPORA[case["corpus"]], case["pattern"])
    assert 0.3 < np.mean(["error" in case for case in cases]) < 0.9
    assert differing(cases, node(JAVASCRIPT_CORPORA, cases)) == []


# Random patterns and the naive matcher


class Text(NamedTuple):
    words: list[str]
    fires: list[float]


VOCAB = ["a", "b", " c", "D", ".", "\n", '"', " a"]
Ask = Callable[[Text, int], bool]
Ends = Callable[[Text, int], set[int]]


def by_word(ask: Callable[[str], bool]) -> Ask:
    return lambda text, i: ask(text.words[i])


def is_quoted(text: Text, i: int) -> bool:
    line = "".join(text.words[:i]).rpartition("\n")[2]
    return text.words[i] not in ('"', "\n") and line.count('"') % 2 == 1


BASIC: list[tuple[str, Ask]] = [
    ("cap", by_word(lambda w: w.strip().istitle())),
    ("alpha", by_word(lambda w: w.strip().isalpha())),
    ("space", by_word(lambda w: w.startswith(" "))),
    ("punct", by_word(lambda w: w in '."')),
    ("newline", by_word(lambda w: w == "\n")),
    ("quoted", is_quoted),
    ("seen", lambda text, i: text.words[i] in text.words[:i]),
    ("first", lambda text, i: i == 0),
    ("pos >= 2", lambda text, i: i >= 2),
    ("id=1", by_word(lambda w: w == VOCAB[1])),
    ('" c"', by_word(lambda w: w == " c")),
    ('text != "a"', by_word(lambda w: w != "a")),
    ("/ ?[a-c]/", by_word(lambda w: w.strip() in ("a", "b", "c"))),
    ("/d|A/i", by_word(lambda w: w in ("D", "a"))),
    ("S/0", lambda text, i: text.fires[i] > 0),
    ("S/0 > 50%", lambda text, i: text.fires[i] > 1.5),
    ("S/0 <= 1", lambda text, i: text.fires[i] <= 1),
]


def condition(rng: random.Random, depth: int) -> tuple[str, Ask]:
    if depth == 0 or rng.random() < 0.5:
        return rng.choice(BASIC)
    (a, f), (b, g) = condition(rng, depth - 1), condition(rng, depth - 1)
    return rng.choice(
        [
            (f"!({a})", lambda t, i: not f(t, i)),
            (f"({a}) & {b}" if "|" not in b else f"({a}) & ({b})", lambda t, i: f(t, i) and g(t, i)),
            (f"{a} | {b}", lambda t, i: f(t, i) or g(t, i)),
        ]
    )


def token(rng: random.Random) -> tuple[str, Ask]:
    kind = rng.random()
    if kind < 0.35:
        word = rng.choice("abcd")
        return word, by_word(lambda w: w.strip().lower() == word)
    if kind < 0.5:
        return rng.choice([".", "[]"]), by_word(lambda w: True)
    text, ask = condition(rng, 2)
    return f"[{text}]", ask


def spells(literal: str) -> Ends:
    return lambda text, i: {e for e in range(i + 1, len(text.words) + 1) if "".join(text.words[i:e]) == literal}


def one(ask: Ask) -> Ends:
    return lambda text, i: {i + 1} if i < len(text.words) and ask(text, i) else set()


def then(f: Ends, g: Ends) -> Ends:
    return lambda text, i: {e for j in f(text, i) for e in g(text, j)}


def repeated(f: Ends, low: int, high: int | None) -> Ends:
    def ends(text: Text, i: int) -> set[int]:
        now, out = {i}, {i} if low == 0 else set()
        for count in range(1, (low + len(text.words) + 1 if high is None else high) + 1):
            now = {e for j in now for e in f(text, j)}
            out |= now if count >= low else set()
        return out

    return ends


def looking(opening: str, f: Ends) -> Ends:
    def ends(text: Text, i: int) -> set[int]:
        found = any(i in f(text, s) for s in range(i + 1)) if "<" in opening else bool(f(text, i))
        return {i} if found == (opening[-1] == "=") else set()

    return ends


QUANTIFIERS = [("?", 0, 1), ("*", 0, None), ("+", 1, None), ("{2}", 2, 2), ("{1,2}", 1, 2), ("{2,}", 2, None), ("{0,3}", 0, 3)]


def stretch(rng: random.Random, depth: int) -> tuple[str, Ends]:
    kind = rng.random()
    if depth == 0 or kind < 0.35:
        if rng.random() < 0.1:
            literal = rng.choice(["a", "ab", "aba", "b c", '."', "a a"])
            return f'"{literal}"'.replace('.""', '.\\""'), spells(literal)
        if rng.random() < 0.08:
            return rng.choice(
                [("^", lambda text, i: {i} if i == 0 else set()), ("\\z", lambda text, i: {i} if i == len(text.words) else set())]
            )
        text, ask = token(rng)
        return text, one(ask)
    if kind < 0.6:
        (a, f), (b, g) = stretch(rng, depth - 1), stretch(rng, depth - 1)
        return (f"({a}) {b}" if " | " in a else f"{a} {b if ' | ' not in b else f'({b})'}"), then(f, g)
    a, f = stretch(rng, depth - 1)
    if kind < 0.75:
        b, g = stretch(rng, depth - 1)
        return f"({a} | {b})", lambda text, i: f(text, i) | g(text, i)
    if kind < 0.9:
        sign, low, high = rng.choice(QUANTIFIERS)
        return f"({a}){sign}", repeated(f, low, high)
    opening = rng.choice(["(?=", "(?!", "(?<=", "(?<!"])
    b, g = token(rng)
    return f"{opening}{a}) {b}", then(looking(opening, f), one(g))


def last_tokens(f: Ends) -> Callable[[Text], list[int]]:
    return lambda text: sorted({e - 1 for i in range(len(text.words)) for e in f(text, i) if e > i})


def at_focus(before: Ends, ask: Ask, run: bool, behind: Ends) -> Callable[[Text], list[int]]:
    def marked(text: Text) -> list[int]:
        out: set[int] = set()
        for first in {e for i in range(len(text.words) + 1) for e in before(text, i)}:
            end = first
            while end < len(text.words) and ask(text, end) and (run or end == first):
                end += 1
                if behind(text, end):
                    out |= set(range(first, end))
        return sorted(out)

    return marked


def pattern(rng: random.Random) -> tuple[str, Callable[[Text], list[int]]]:
    if rng.random() < 0.6:
        text, f = stretch(rng, 3)
        return text, last_tokens(f)
    nothing: tuple[str, Ends] = ("", lambda text, i: {i})
    (a, f), (b, g) = (stretch(rng, 2) if rng.random() < 0.7 else nothing for _ in range(2))
    word, ask = token(rng)
    if rng.random() < 0.2:
        a = f"let x_1 = {word}; {f'({a})' if a else ''} "
        word, run = "@$x_1", False
    else:
        sign = rng.choice(["", "", "+", "*"])
        a, word, run = f"({a})" if a else a, f"@{word}{sign}", sign != ""
    return f"{a} {word} {f'({b})' if b else ''}", at_focus(f, ask, run, g)


def random_cases(n: int) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    rng = random.Random(1)
    corpora, cases = {}, []
    for number in range(n):
        if number % 50 == 0:
            name = f"random {number}"
            texts = [VOCAB, *([rng.choice(VOCAB) for _ in range(rng.randint(1, 9))] for _ in range(3))]
            fires = [[rng.choice([0, 0, 0.5, 1.0, 2.0]) for _ in text] for text in texts]
            fires[0][0] = 3.0
            flat = [value for text in fires for value in text]
            positions = [i for i, value in enumerate(flat) if value]
            latents = {"S/0": {"positions": positions, "values": [flat[i] for i in positions]}}
            corpora[name] = {"texts": texts, "latents": latents}
        text, naive = pattern(rng)
        cases.append({"corpus": name, "pattern": text, "marked": [naive(Text(words, values)) for words, values in zip(texts, fires)]})
    return corpora, cases


REFUSED = ("can match without any token", "repetitions without an upper end", "repetition without an end inside another", "different tests")


def test_random_patterns_agree_with_the_naive_matcher_and_with_node() -> None:
    corpora, cases = random_cases(2500)
    given = {name: corpus_of(**each) for name, each in corpora.items()}
    accepted, answers = [], []
    for case in cases:
        got = answer(given[case["corpus"]], case["pattern"])
        if "error" in got:
            assert any(reason in got["error"]["reason"] for reason in REFUSED), (case["pattern"], got)
        else:
            accepted.append(case)
            answers.append(got)
    assert len(accepted) >= 2000
    assert differing(accepted, answers) == []
    some = [bool(sum(map(len, case["marked"]))) for case in accepted]
    assert 0.2 < np.mean(some) < 0.95, "patterns that find nothing, or everything, test nothing"
    javascript = {name: for_javascript(**each) for name, each in corpora.items()}
    assert differing(accepted, node(javascript, accepted)) == []


# Letters that are split over several tokens


def cut_texts(rng: random.Random) -> tuple[list[list[bytes]], list[list[tuple[str, int]]]]:
    """Texts cut into tokens at random bytes, and (text, place of the last token) of each token or group that shares letters."""
    tokens, groups = [], []
    for _ in range(4):
        read = "".join(rng.choice("aé中😀 ") for _ in range(rng.randint(1, 12)))
        raw = read.encode()
        letter_ends = {len(read[:k].encode()) for k in range(len(read) + 1)}
        cuts = sorted({0, len(raw), *(k for k in range(1, len(raw)) if rng.random() < 0.5)})
        tokens.append([raw[a:b] for a, b in itertools.pairwise(cuts)])
        borders = [cut for cut in cuts if cut in letter_ends]
        groups.append([(raw[a:b].decode(), cuts.index(b) - 1) for a, b in itertools.pairwise(borders)])
    return tokens, groups


def spelled(words: list[tuple[str, int]], tokens: list[bytes], literal: str) -> list[int]:
    """Where groups have this text together; behind a space too where a letter among them is split."""
    found = set()
    for i in range(len(words)):
        for e in range(i + 1, len(words) + 1):
            whole = "".join(text for text, _ in words[i:e])
            first, last = words[i - 1][1] + 1 if i else 0, words[e - 1][1]
            split = last - first + 1 > e - i
            inside = words[i][0].lstrip() and split and whole.lstrip() == literal
            if words[i][0] and (whole == literal or inside):
                found.add(last)
    return sorted(found)


def test_letters_cut_at_any_byte_are_matched_as_letters_in_python_and_node() -> None:
    rng = random.Random(2)
    corpora, cases = {}, []
    for number in range(60):
        tokens, groups = cut_texts(rng)
        name = f"cut {number}"
        corpora[name] = {"texts": tokens, "latents": {}}
        for literal in ("é", " é", "aé", "中", "中😀", "😀", "a", "éa中"):
            marked = [spelled(words, each, literal) for words, each in zip(groups, tokens)]
            cases.append({"corpus": name, "pattern": f'"{literal}"', "marked": marked})
        for pattern, passes in (
            ("é", lambda text: text.strip() == "é"),
            ("[alpha]", lambda text: text.strip().isalpha()),
            ("/.?中/", None),
        ):
            ask = passes or (lambda text: text.endswith("中") and len(text) <= 2)
            cases.append({"corpus": name, "pattern": pattern, "marked": [[p for text, p in words if ask(text)] for words in groups]})
        pairs = [[q for (a, _), (b, q) in itertools.pairwise(words) if a.strip() == "é" and b.strip() == "中"] for words in groups]
        cases.append({"corpus": name, "pattern": "é 中", "marked": pairs})
        cases.append({"corpus": name, "pattern": "[]", "marked": [[*range(len(each))] for each in tokens]})
    given = {name: corpus_of(**each) for name, each in corpora.items()}
    assert differing(cases, [answer(given[case["corpus"]], case["pattern"]) for case in cases]) == []
    assert sum(len(text) for case in cases[::13] for text in case["marked"]) > 20
    assert differing(cases, node({name: for_javascript(**each) for name, each in corpora.items()}, cases)) == []


# Limits, and what is wrong around a pattern


def test_an_error_shows_the_place() -> None:
    with pytest.raises(PatternError) as caught:
        parse("she\n  | [cap & $who]")
    assert str(caught.value).split("\n")[1:] == ["    | [cap & $who]", "             ^"]
    assert (caught.value.line, caught.value.column) == (2, 12)
    with pytest.raises(TypeError, match="a pattern is a string, got NoneType"):
        parse(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", ["@. .* .* [pos=0]", "@. (. .?){1,1000} [pos=0]", r"/(\w|\w\w)*\d/"])
def test_a_pattern_that_blows_up_is_stopped(query: str) -> None:
    tokens = np.zeros((1, 5_000), dtype=np.int64)
    began = time.process_time()
    with pytest.raises(TimeoutError, match=r"stopped after 0\.5 s: .* give its repetitions an upper end"):
        match(query, tokens, ["a" * 60], timeout=0.5)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("deep", ["(" * 5000 + "a" + ")" * 5000, "[" + "!" * 20000 + "cap]"])
def test_a_pattern_that_is_nested_too_deeply_says_so(deep: str) -> None:
    with pytest.raises(PatternError, match="nested too deeply"):
        match(deep, np.zeros((1, 1), int), ["a"])
    assert node({"story": JAVASCRIPT_CORPORA["story"]}, [{"corpus": "story", "pattern": deep}])[0]["error"] == {
        "reason": "this pattern is nested too deeply", "line": 1, "column": 1,
    }  # fmt: skip


def test_one_text_of_many_tokens() -> None:
    tokens = np.zeros((1, 300_000), dtype=np.int64)
    assert match("a a", tokens, ["a"]).sum() == 299_999
    corpora = {"long": {"vocab": ["a"], "tokens": [0] * 300_000, "start": [0, 300_000], "latents": {}}}
    assert len(node(corpora, [{"corpus": "long", "pattern": "a a"}])[0]["marked"][0]) == 299_999


def test_without_a_mask_everything_counts() -> None:
    tokens = np.array([[0, 1], [1, 1]])
    assert match("^ b", tokens, ["a", "b"]).tolist() == [[False, False], [True, False]]
    assert match("^ b", tokens, ["a", "b"], mask=tokens == 1).tolist() == [[False, True], [True, False]]
    acts = LatentActivations.from_dense(np.ones((2, 2, 1)), mask=tokens == 1)
    assert match("^ b", tokens, ["a", "b"], acts={"S": acts}).tolist() == [[False, True], [True, False]]
    assert match(".", tokens, ["a", "b"], mask=tokens > 5).sum() == 0
    assert match('b "a"', tokens[:0], ["a", "b"]).shape == (0, 2)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"tokens": np.zeros(3, int)}, r"expected|one text is tokens\[None\]"),
        ({"tokens": np.zeros((2, 3))}, "whole numbers"),
        ({"tokens": np.full((2, 3), 7)}, "token ids run from 7 to 7"),
        ({"tokens": np.full((2, 3), -1)}, "token ids run from -1"),
        ({"mask": np.ones((3, 2), bool)}, r"a mask of shape \(2, 3\)"),
        ({"acts": LatentActivations.from_dense(np.ones((2, 3, 1)))}, 'for one SAE that is {"S": acts}'),
        ({"acts": {"S": LatentActivations.from_dense(np.ones((3, 2, 1)))}}, r"texts of shape \(3, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        match("a", **{"tokens": np.zeros((2, 3), int), "str_tokens": ["a"], **given})


def test_a_latent_without_activations_says_what_to_give() -> None:
    with pytest.raises(PatternError, match="there is no latent S/7 here; say where latents fire: acts="):
        match("[S/7]", np.zeros((2, 3), int), ["a"])


def test_import_of_msae_loads_neither_lark_nor_regex() -> None:
    code = "import sys, msae, msae.explore; sys.exit(' '.join({'torch', 'lark', 'regex'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    import msae

    assert msae.patterns.matching.match is match


@pytest.mark.parametrize(
    ("use", "loaded"), [("match('a b', [[0, 1]], ['a', 'b'])", "lark regex"), ("rank_latents", ""), ("hole_examples", "")]
)
def test_patterns_load_what_is_used(use: str, loaded: str) -> None:
    code = f"import sys; from msae import patterns; patterns.{use}; print(*sorted({{'torch', 'lark', 'regex'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loaded


# Latents


def planted() -> tuple[np.ndarray, LatentActivations]:
    """Ten marked places of twenty. Latent 0 is the concept and faint noise, 1 and 2 are halves of it, 3 fires everywhere, 4 never."""
    marked = np.zeros((4, 5), dtype=bool)
    marked[:2] = True
    acts = np.zeros((4, 5, 6), dtype=np.float32)
    acts[:2, :, 0], acts[2:, :, 0] = 8.0, 1.0
    acts[0, :, 1], acts[1, :, 2] = 2.0, 3.0
    acts[..., 3] = 1.0
    acts[3, :, 5] = 1.0
    return marked, LatentActivations.from_dense(acts)


def test_latents_are_ranked() -> None:
    marked, acts = planted()
    best = rank_latents(acts, marked)
    assert [score.latent for score in best] == [0, 1, 2, 3]
    assert best[0]._replace(cosine=0) == (0, 1.0, 1.0, 1.0, 0.25, 0)
    assert best[0].cosine == pytest.approx(80 / np.sqrt(10 * (640 + 10)))
    assert (best[1].precision, best[1].recall, best[1].level) == (1.0, 0.5, 0.0)
    assert best[3][1:4] == (pytest.approx(2 / 3), 0.5, 1.0)
    assert [score.latent for score in rank_latents(acts, marked, by="precision")] == [0, 1, 2, 3]
    assert [score.latent for score in rank_latents(acts, marked, by="recall", min_precision=0)] == [0, 3, 1, 2]
    assert [score.latent for score in rank_latents(acts, marked, by="recall", min_precision=0.6)] == [0, 1, 2]
    assert [score.latent for score in rank_latents(acts, marked, by="cosine", k=2)] == [0, 1]


def test_scores_agree_with_counting() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.gamma(2, 1, (30, 20, 50)) * (rng.random((30, 20, 50)) < 0.2)).astype(np.float32)
    dense[..., 7] = 0
    mask, marked = rng.random((30, 20)) < 0.9, rng.random((30, 20)) < 0.3
    acts = LatentActivations.from_dense(dense, mask)
    by_hand = {}
    for latent in range(50):
        values = np.where(mask, dense[..., latent], 0)
        scores = []
        for level in (0.0, 0.1, 0.25, 0.5, 0.75):
            fires = values > level * values.max()
            both = (fires & marked).sum()
            scores.append(
                (2 * both / (fires.sum() + (marked & mask).sum()), both / max(1, fires.sum()), both / (marked & mask).sum(), level)
            )
        by_hand[latent] = max(scores, key=lambda score: score[0])
    ranked = rank_latents(acts, marked, k=50)
    assert len(ranked) == 49
    assert [score.f1 for score in ranked] == sorted((score[0] for score in by_hand.values() if score[0]), reverse=True)
    for score in ranked:
        assert score[1:5] == pytest.approx(by_hand[score.latent])


def test_marks_have_to_fit() -> None:
    marked, acts = planted()
    with pytest.raises(ValueError, match=r"one truth value per input, \(4, 5\), got a mask of shape \(5, 4\)"):
        rank_latents(acts, marked.T)
    with pytest.raises(ValueError, match="on none of the 20 inputs"):
        rank_latents(acts, marked & False)
    with pytest.raises(ValueError, match="by must be"):
        rank_latents(acts, marked, by="luck")


def test_a_type_checker_sees_the_names_of_patterns() -> None:
    tree = ast.parse(Path(patterns.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(alias.asname, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {(name, f"msae.patterns.{place}") for name, place in patterns._PLACE_OF.items()}
    assert all(getattr(patterns, name) is not None for name in patterns.__all__)
    assert patterns.THRESHOLDS is patterns.LEVELS, "the former name, for one release"


VOCABULARY = ["Once", " upon", " a", " Lily", "Sue", " Zer", "bina", "\n", b"\xc3", b"\xa9"]


@pytest.mark.parametrize(
    ("pattern", "absent"),
    [
        ("Lily|sue", []),
        ("Lily|Zerbina|Zer", ["Zerbina"]),
        ('" Zerbina"|"Once upon"', []),  # a text of several tokens needs none of its own
        ('[text="Lily" | "Sue"]', ['"Lily"']),  # with the space that is before it
        ("/ ?wh.*/i | /.*y/", ["/ ?wh.*/i"]),
        ("let it = Nobody|Lily; @$it .", ["Nobody"]),
        ("[cap & !quoted] (?<=Lily)", []),
        ("Qux Qux", ["Qux"]),
    ],
)
def test_words_that_are_no_token_are_found(pattern: str, absent: list[str]) -> None:
    assert patterns.no_token(pattern, VOCABULARY) == absent
