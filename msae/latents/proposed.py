"""Token patterns that may explain a latent: of each of some forms the one that fits best, found without trying them all.

A form says what a pattern looks like: up to eight tokens, or tokens after others, or tokens in quotes. Which tokens is then no search: of
all sets of tokens, the one with the largest F1 is found in a few steps (`best_set`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from msae.patterns.corpus import Corpus

MOST = (1, 2, 4, 8, 16)
"""Tokens that a set may hold."""

FLAGS = ("", "quoted", "!quoted", "seen", "!seen")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def best_set(hits: np.ndarray, counts: np.ndarray, n_fires: int, *, most: int) -> np.ndarray:
    """Which tokens, at most so many, have the largest F1 together for where a latent fires.

    A set of tokens S has F1 = 2 Σ hits / (Σ counts + n_fires), sums over S. It reaches a value F where Σ (2 hits − F counts) ≥ F · n_fires:
    so for each F the best set is that of the `most` largest 2 hits − F counts that are positive. Its own F1 is the next F, until
    none is larger (Dinkelbach 1967, for ratios of sums).

    Args:
        hits: (n_kinds,) how often the latent fires on each kind of token.
        counts: (n_kinds,) how often each occurs.
        n_fires: how often the latent fires, on these tokens and all others.
        most: tokens in the set.

    Returns:
        their numbers, the one first that adds most; none where the latent fires on none of them.
    """
    chosen, f1 = np.empty(0, dtype=np.int64), 0.0
    possible = np.flatnonzero(hits > 0)
    while len(possible):
        gain = 2 * hits[possible] - f1 * counts[possible]
        best = possible[np.argsort(-gain, kind="stable")[: min(most, int((gain > 0).sum()))]]
        found = 2 * hits[best].sum() / (counts[best].sum() + n_fires)
        if found <= f1 * (1 + 1e-12):
            break
        chosen, f1 = best, found
    return chosen


class Form(NamedTuple):
    """What a pattern looks like."""

    as_words: bool
    """Spelled as words, whatever their case and the space before them; else as exact tokens."""

    most: int
    """Tokens in each of its sets."""

    flag: str = ""
    """What else the marked token has to pass."""

    back: int = 0
    """How many tokens before the marked one the set lies that stands before it; 0 for none."""

    pair: bool = False
    """Whether the marked token has a set of its own although one stands before it."""


class Pattern(NamedTuple):
    """A form with its tokens."""

    form: Form
    here: np.ndarray | None
    """Kinds of the marked token; None for any."""

    before: np.ndarray | None
    """Kinds of the token that stands `form.back` before it; None for any."""

    @property
    def n_tokens(self) -> int:
        """How much it takes to write down."""
        return sum(len(kinds) for kinds in (self.here, self.before) if kinds is not None)


class _Spelling(NamedTuple):
    """One way to tell tokens apart."""

    kind: np.ndarray
    """(n,) int64: the kind of each token of the corpus."""

    tests: list[str]
    """How a pattern asks for each kind; one more, that no token has, for what lies before a text."""


def forms() -> Iterator[Form]:
    """All forms, the plainer first."""
    for most, as_words in itertools.product(MOST, (True, False)):
        yield from (Form(as_words, most, flag) for flag in FLAGS)
        for back in (1, 2):
            yield Form(as_words, most, back=back)
            if most in (2, 8):
                yield Form(as_words, most, back=back, pair=True)


class Proposals:
    """Fits patterns to where a latent fires, on some of the tokens of a corpus.

    Args:
        corpus: the texts.
    """

    def __init__(self, corpus: Corpus):
        self.corpus = corpus
        self._spellings = {as_words: _spelling(corpus, as_words) for as_words in (False, True)}
        n = len(corpus.tokens)
        true = np.ones(n, dtype=bool)
        self._passes = {"": true, "quoted": corpus.quoted, "!quoted": ~corpus.quoted, "seen": corpus.seen, "!seen": ~corpus.seen}
        self._before = {key: self._at_distance(*key) for key in itertools.product((False, True), (1, 2))}
        self._counts: dict[tuple[int, bool, str, int], np.ndarray] = {}

    def fit(self, form: Form, fires: np.ndarray, part: tuple[int, np.ndarray]) -> Pattern | None:
        """The best pattern of a form; None where it has none.

        Args:
            form: what it looks like.
            fires: (n,) bool, tokens of the corpus.
            part: a number for it and the (n_part,) places of the tokens that are looked at.
        """
        number, at = part
        fired = at[fires[at]]
        if form.pair:
            return self._fit_pair(form, fired, at)
        kinds, counts = self._kinds(form), self._counted(number, at, form)
        hits = np.bincount(kinds[fired[self._passes[form.flag][fired]]], minlength=len(counts))
        found = best_set(hits[:-1], counts[:-1], len(fired), most=form.most)
        if not len(found):
            return None
        return Pattern(form, None, found) if form.back else Pattern(form, found, None)

    def _fit_pair(self, form: Form, fired: np.ndarray, at: np.ndarray) -> Pattern | None:
        """Two sets, each the best beside the other, from the tokens on which the latent fires most often."""
        here, before, n_kinds = self._spellings[form.as_words].kind, self._before[form.as_words, form.back], self._n_kinds(form)
        often = np.argsort(-np.bincount(here[fired], minlength=n_kinds), kind="stable")
        sets = {"here": often[: form.most]}
        for fixed, free in (("here", "before"), ("before", "here")) * 2:
            kinds, others = (before, here) if free == "before" else (here, before)
            allowed = np.isin(np.arange(n_kinds), sets[fixed])
            counts = np.bincount(kinds[at[allowed[others[at]]]], minlength=n_kinds)
            hits = np.bincount(kinds[fired[allowed[others[fired]]]], minlength=n_kinds)
            sets[free] = best_set(hits[:-1], counts[:-1], len(fired), most=form.most)
            if not len(sets[free]):
                return None
        return Pattern(form, sets["here"], sets["before"])

    def marks(self, pattern: Pattern, at: np.ndarray | None = None) -> np.ndarray:
        """(n,) bool, or (n_part,) at some places: the tokens that a pattern marks."""
        form, every = pattern.form, slice(None) if at is None else at
        marked = self._passes[form.flag][every].copy()
        its_own, earlier = self._spellings[form.as_words].kind, self._before.get((form.as_words, form.back))
        for kinds, of in ((pattern.here, its_own), (pattern.before, earlier)):
            if kinds is not None and of is not None:
                marked &= np.isin(np.arange(self._n_kinds(form)), kinds)[of[every]]
        return marked

    def text(self, pattern: Pattern) -> str:
        """The pattern as it is written."""
        form, here = pattern.form, self._written(pattern.form, pattern.here)
        if form.flag:
            alone = here.startswith("[")  # exact tokens, which may stand in brackets as they are; words may not
            return f"[{form.flag} & ({here[1:-1]})]" if alone else f"let word = {here}; [{form.flag} & $word]"
        if pattern.before is None:
            return here
        parts = [self._written(form, pattern.before), *"." * (form.back - 1), here]
        return " ".join(part if part.startswith("[") or " | " not in part else f"({part})" for part in parts)

    def _n_kinds(self, form: Form) -> int:
        return len(self._spellings[form.as_words].tests)

    def _written(self, form: Form, kinds: np.ndarray | None) -> str:
        if kinds is None:
            return "."
        tests = [self._spellings[form.as_words].tests[kind] for kind in kinds.tolist()]
        words, exact = [each for each in tests if each[0] != '"'], [each for each in tests if each[0] == '"']
        return " | ".join(words + [f"[{' | '.join(exact)}]"] * bool(exact))

    def _kinds(self, form: Form) -> np.ndarray:
        return self._before[form.as_words, form.back] if form.back else self._spellings[form.as_words].kind

    def _counted(self, number: int, at: np.ndarray, form: Form) -> np.ndarray:
        key = (number, form.as_words, form.flag, form.back)
        if key not in self._counts:
            passing = at[self._passes[form.flag][at]]
            self._counts[key] = np.bincount(self._kinds(form)[passing], minlength=self._n_kinds(form))
        return self._counts[key]

    def _at_distance(self, as_words: bool, back: int) -> np.ndarray:
        spelling = self._spellings[as_words]
        found = np.full(len(spelling.kind), len(spelling.tests) - 1)
        found[back:] = spelling.kind[:-back]
        found[self.corpus.place < back] = len(spelling.tests) - 1
        return found


def _spelling(corpus: Corpus, as_words: bool) -> _Spelling:
    """Kinds of token, by their exact text or as words; those without a text are of the last kind, which no pattern asks for."""
    tests = [_test(text, as_words) for text in corpus.texts]
    numbers = {test: k for k, test in enumerate(dict.fromkeys(test for test in tests if test))}
    kinds = np.array([numbers.get(test, len(numbers)) for test in tests], dtype=np.int64)
    return _Spelling(kinds[corpus.tokens], [*numbers, ""])


def _test(text: str, as_words: bool) -> str:
    if as_words and _WORD.fullmatch(text.strip(" ")):
        return text.strip(" ").lower()
    return text and f'"{text.translate(_ESCAPES)}"'
