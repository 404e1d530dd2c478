"""Which tests each token passes: its *signature*. A corpus has few different ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import regex

from msae.patterns.corpus import Corpus
from msae.patterns.errors import PatternError
from msae.patterns.nodes import All, AnyOf, Condition, Not, TokenTest
from msae.patterns.token_regex import fold

MAX_SIGNATURES = 0xD7FE
"""Different signatures: each takes a character below the surrogates, and one more is the separator."""

_COMPARE: dict[str, Callable[..., np.ndarray]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "=": np.equal,
}


class Signatures(NamedTuple):
    """The signatures that occur in a corpus."""

    bits: np.ndarray
    """(n_signatures,) uint32: bit k is set where test k is passed."""

    of_token: np.ndarray
    """(n,) int64: which of them each token has."""

    k: dict[TokenTest, int]
    """The number of each test."""

    def passing(self, condition: Condition) -> np.ndarray:
        """(n_signatures,) bool: the signatures of tokens that pass a condition."""
        match condition:
            case Not(part):
                return ~self.passing(part)
            case All(parts):
                return np.logical_and.reduce([np.ones(len(self.bits), bool), *map(self.passing, parts)])
            case AnyOf(parts):
                return np.logical_or.reduce([np.zeros(len(self.bits), bool), *map(self.passing, parts)])
            case TokenTest():
                return (self.bits >> self.k[condition] & 1).astype(bool)


def signatures_of(tests: list[TokenTest], corpus: Corpus, pattern: str, timeout: float) -> Signatures:
    """The signature of each token.

    Raises:
        PatternError: there are too many, or a test asks for a latent that is not there.
        TimeoutError: a regular expression for single tokens takes longer than `timeout` seconds.
    """
    of_kind = np.zeros(len(corpus.kinds), dtype=np.uint32)
    of_place = np.zeros(len(corpus.tokens), dtype=np.uint32)
    for k, test in enumerate(tests):
        if test.kind in ("text", "regex", "id"):
            of_kind |= _passes_by_itself(test, corpus, timeout).astype(np.uint32) << k
        else:
            of_place |= _passes_in_place(test, corpus, pattern).astype(np.uint32) << k
    if of_place.any():
        bits, of_token = np.unique(of_kind[corpus.tokens] | of_place, return_inverse=True)
    else:
        bits, code = np.unique(of_kind, return_inverse=True)
        of_token = code[corpus.tokens]
    if len(bits) > MAX_SIGNATURES:
        raise PatternError(f"more than {MAX_SIGNATURES:,} groups of tokens to keep apart; use fewer tests", pattern, 0)
    return Signatures(bits, of_token, {test: k for k, test in enumerate(tests)})


def _passes_by_itself(test: TokenTest, corpus: Corpus, timeout: float) -> np.ndarray:
    """(n_kinds,) bool."""
    if test.kind == "id":
        return corpus.kinds == test.args[0]
    if test.kind == "text":
        return np.array([text == test.args[0] for text in corpus.texts], dtype=bool)
    body, ignore_case = test.args
    whole = regex.compile(body, regex.DOTALL)
    # the clock costs six times the match itself: only for expressions that can try very many ways
    steep = regex.search(r"\)[*+{]", body) or len(regex.findall(r"[*+]|\{[0-9]", body)) > 3
    clock = {"timeout": timeout} if steep else {}
    texts = (fold(text) if ignore_case else text for text in corpus.texts)
    return np.array([whole.fullmatch(text, **clock) is not None for text in texts], dtype=bool)


def _passes_in_place(test: TokenTest, corpus: Corpus, pattern: str) -> np.ndarray:
    """(n,) bool."""
    match test.kind, test.args:
        case "quoted", _:
            return corpus.quoted
        case "seen", _:
            return corpus.seen
        case "first", _:
            return corpus.place == 0
        case "pos", (comparison, place):
            return _COMPARE[comparison](corpus.place, place)
        case "literal", (text, n_tokens):
            begins = np.zeros(len(corpus.tokens), dtype=bool)
            begins[corpus.occurrences(text)[n_tokens]] = True
            return begins
    latent, comparison, value, percent = test.args
    name, _, number = latent.rpartition("/")
    if name not in corpus.acts or int(number) not in corpus.acts[name].latents:
        hint = "" if corpus.acts else '; say where latents fire: acts={"name": Firings}'
        raise PatternError(f"there is no latent {latent} here{hint}", pattern, test.at)
    positions, values = corpus.acts[name].of(int(number))
    threshold = value / 100 * float(values.max(initial=0)) if percent else value
    compare = _COMPARE[comparison]
    silent = comparison not in (">", ">=") and compare(0.0, threshold)  # silence is above nothing, not even a latent that never fires
    fires = np.full(corpus.shape, silent).reshape(-1)
    fires[positions] = compare(values.astype(np.float64), threshold)
    return fires[corpus.where]
