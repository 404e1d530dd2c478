"""Search text by token pattern, and find the latents that answer to what a pattern marks.

    marked = match("let female = Lily|Sue|she|her; $female", activations.tokens, activations.str_tokens, mask=activations.mask)
    for score in rank_latents(marked, acts)[:5]:
        print(score)

The language is `patterns.lark`; the book's chapter on it says what each part means. A pattern stands for stretches of whole tokens inside
one text. It marks the *last token* of every stretch, since a latent can only know what came before; with @ it marks the tokens at the @.

How it works. Number the different tests of a pattern ("is *Lily*", "is capitalised", "S/7 fires"). Which of them a token passes is its
*signature*, and a corpus has few different ones. Give each a character and put a separator between texts: a test becomes a character class,
a pattern one ordinary regular expression. Its lookarounds ask at every token whether *some* stretch ends there: greediness cannot matter.
A million tokens take 0.1 to 0.7 s.

explore/static/patterns.mjs is the same language in the browser; one file of cases holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from msae._pattern_examples import EXAMPLES, hole_examples
from msae._pattern_scores import THRESHOLDS, LatentScore, rank_latents
from msae._pattern_syntax import (
    All,
    AnyOf,
    Chain,
    Condition,
    Edge,
    Either,
    Focus,
    Literal,
    Look,
    Node,
    Not,
    One,
    PatternError,
    Repeat,
    TokenTest,
    as_condition,
    inside,
    parse,
    split,
)
from msae._token_regex import fold
from msae.support.arguments import array, number, shown
from msae.support.letters import as_token, check_vocabulary, join

if TYPE_CHECKING:
    from msae.explore import LatentActivations

__all__ = ["EXAMPLES", "THRESHOLDS", "LatentScore", "PatternError", "hole_examples", "match", "parse", "rank_latents"]

MAX_TESTS = 24
"""Different tests in one pattern."""

MAX_SIGNATURES = 0xD7FE
"""Different signatures: each takes a character below the surrogates, and one more is the separator."""

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "=": np.equal,
}
SPACE = regex.compile(r"\p{White_Space}*")
ANY = "[^\\x00]"
TRUE, FALSE = All(()), AnyOf(())


def match(
    pattern: str,
    tokens: Any,
    str_tokens: Sequence[str | bytes],
    acts: Mapping[str, LatentActivations] | None = None,
    mask: Any = None,
    timeout: float = 10.0,
) -> np.ndarray:
    """The tokens that a pattern marks.

    Tokens that hold parts of one letter count as one token, at the place of the last of them: there the letter is known. The parts before
    it are marked only by a test of latents or ids alone.

    Args:
        pattern: in the language of `patterns.lark`.
        tokens: (n_texts, n_ctx) token ids, NumPy or torch.
        str_tokens: the text of each id; bytes, or what `Activations.str_tokens` has, where a token is only part of a letter.
        acts: name → where the latents of that SAE fire; the pattern calls them name/number.
        mask: (n_texts, n_ctx) bool, the places that count; the others ([BEGIN], padding) are as though they were not there. If left out,
            the mask of `acts`, or everything.
        timeout: seconds after which matching is given up.

    Returns:
        (n_texts, n_ctx) bool.

    Raises:
        PatternError: the pattern cannot be read or is refused, or asks for a latent that is not there; it shows the place.
        ValueError: shapes that do not fit each other, or a token id without text.
        TimeoutError: the pattern can match in too many ways.
    """
    node = parse(pattern)
    number("timeout", timeout, above=0)
    try:
        corpus = Corpus(tokens, str_tokens, acts, mask, whole_letters=_asks_for_text(node))
        found = _marked(node, corpus, pattern, timeout)
    except RecursionError:
        raise PatternError("this pattern is nested too deeply", pattern, 0) from None
    except TimeoutError:
        advice = "give its repetitions an upper end, such as {0,8} for *, or split it into two patterns"
        raise TimeoutError(f"stopped after {timeout:g} s: this pattern can match in too many ways; {advice}") from None
    out = np.zeros(corpus.shape, dtype=bool)
    out.reshape(-1)[corpus.where] = found
    return out


class Corpus:
    """The tokens that count, text after text, and what can be asked about them."""

    tokens: np.ndarray
    """(n,) int64: for each token its number among the kinds of token that occur."""

    kinds: np.ndarray
    """(n_kinds,) int64: the token id of each. `texts` are their texts; `split` says which are the last part of a letter."""

    start: np.ndarray
    """(n_texts + 1,) int64: where each text begins."""

    where: np.ndarray
    """(n,) int64: text · n_ctx + place in the text."""

    def __init__(
        self,
        tokens: Any,
        str_tokens: Sequence[str | bytes],
        acts: Mapping[str, LatentActivations] | None,
        mask: Any,
        whole_letters: bool = True,
    ):
        ids = array("tokens", tokens)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"tokens must be whole numbers (n_texts, n_ctx), got shape {ids.shape} of {ids.dtype}; one text is tokens[None]"
            )
        if acts is not None and not isinstance(acts, Mapping):
            raise ValueError(f'expected acts={{"name": LatentActivations}}, got {type(acts).__name__}; for one SAE that is {{"S": acts}}')
        self.acts, self.shape = acts or {}, ids.shape
        for name, each in self.acts.items():
            if not hasattr(each, "mask"):
                raise ValueError(f"acts[{name!r}] must be LatentActivations, got {shown(each)}")
            if each.mask.shape != ids.shape:
                raise ValueError(f"acts[{name!r}] is for texts of shape {each.mask.shape}, but the tokens have shape {ids.shape}")
        if mask is None:
            mask = next(iter(self.acts.values())).mask if self.acts else np.ones(ids.shape, dtype=bool)
        counts = array("mask", mask, numbers="marks")
        if counts.shape != ids.shape:
            raise ValueError(f"expected a mask of shape {ids.shape}, one entry per token, got {counts.shape}")
        where = np.flatnonzero(counts)
        flat = ids.reshape(-1)[where]
        check_vocabulary(str_tokens, flat)
        numbers, pieces = join(flat, np.concatenate([[0], np.cumsum(counts.sum(1))]), str_tokens)
        if pieces and whole_letters:  # the parts of a letter before its last are left out
            earlier = len(str_tokens) + np.flatnonzero([piece.part < piece.n_parts for piece in pieces])
            kept = ~np.isin(numbers, earlier)
            where, numbers = where[kept], numbers[kept]
        self.where = where
        self.start = np.searchsorted(where, np.arange(len(ids) + 1) * ids.shape[1])
        occurs = np.bincount(numbers, minlength=len(str_tokens)) > 0
        found = np.flatnonzero(occurs).tolist()
        known = {len(str_tokens) + k: piece for k, piece in enumerate(pieces)}
        self.kinds = np.array([known[kind].token if kind in known else kind for kind in found], dtype=np.int64)
        self.texts = [known[kind].text if kind in known else as_token(str_tokens[kind]) for kind in found]
        self.split = np.array([kind in known for kind in found], dtype=bool)
        self.tokens = (np.cumsum(occurs) - 1)[numbers]

    @cached_property
    def text_of(self) -> np.ndarray:
        """(n,) int64: the text that each token is in."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @cached_property
    def place(self) -> np.ndarray:
        """(n,) int64: each token's place in its text, from 0."""
        return np.arange(len(self.tokens)) - self.start[self.text_of]

    @cached_property
    def seen(self) -> np.ndarray:
        """(n,) bool: the same token stands earlier in the text."""
        seen = np.ones(len(self.tokens), dtype=bool)
        seen[np.unique(self.text_of * len(self.kinds) + self.tokens, return_index=True)[1]] = False
        return seen

    @cached_property
    def quoted(self) -> np.ndarray:
        """(n,) bool: an odd number of quotation marks stands before, counted from the text's start or the last newline; no mark itself."""
        marks = np.array([text.count('"') for text in self.texts], dtype=np.int64)
        since_newline = np.array([text.rpartition("\n")[2].count('"') for text in self.texts], dtype=np.int64)
        newline = np.array(["\n" in text for text in self.texts], dtype=bool)[self.tokens]
        counted = np.where(newline, since_newline[self.tokens], marks[self.tokens])
        up_to = np.cumsum(counted)
        reset = np.maximum.accumulate(np.where(newline | (self.place == 0), np.arange(len(counted)), 0))
        return ((up_to - (up_to - counted)[reset]) % 2 == 1) & (marks[self.tokens] == 0)

    @cached_property
    def _joined(self) -> tuple[str, np.ndarray, np.ndarray]:
        """All texts as one, a character between two of them; and (n,), (n,) where each token begins and ends in it."""
        words = [self.texts[token] for token in self.tokens]
        length = np.array([len(text) for text in self.texts], dtype=np.int64)[self.tokens]
        ends = np.cumsum(length) + self.text_of
        return "\0".join("".join(words[a:b]) for a, b in zip(self.start[:-1], self.start[1:])), ends - length, ends

    def occurrences(self, text: str) -> dict[int, np.ndarray]:
        """Where whole tokens have this text together: number of tokens → the places where such a stretch begins.

        A token without any text can stand inside a stretch, not at its ends. A stretch with a letter that several tokens share may begin
        behind the white space of its first token: nobody sees where the tokens of such a word begin.
        """
        joined, begins, ends = self._joined
        at, found = [], joined.find(text)
        while found >= 0:
            at.append(found)
            found = joined.find(text, found + 1)
        if not at or not len(begins):
            return {}
        begin = np.array(at, dtype=np.int64)
        end = begin + len(text)
        first = (np.searchsorted(begins, begin, side="right") - 1).clip(min=0)
        last = np.searchsorted(ends, end).clip(max=len(ends) - 1)
        space = np.array([len(SPACE.match(text)[0]) for text in self.texts], dtype=np.int64)[self.tokens[first]]
        split = np.concatenate([[0], np.cumsum(self.split[self.tokens])])
        behind_space = (begins[first] + space == begin) & (split[last + 1] > split[first])
        whole = ((begins[first] == begin) | behind_space) & (ends[last] == end) & (self.text_of[first] == self.text_of[last])
        first, n_tokens = first[whole], (last - first)[whole] + 1
        return {int(n): first[n_tokens == n] for n in np.unique(n_tokens)}


def _asks_for_text(node: Node) -> bool:
    """Whether a pattern asks for more than what is known of each token by itself: which latents fire on it, and its id."""
    condition = as_condition(node)
    return condition is None or any(test.kind not in ("latent", "id") for test in _tests(condition))


# From a tree to a regular expression


def _marked(tree: Node, corpus: Corpus, pattern: str, timeout: float) -> np.ndarray:
    """(n,) bool: the tokens that a tree marks."""
    node = _placed(tree, corpus, pattern)
    tests = list(dict.fromkeys(_tests(node)))
    if len(tests) > MAX_TESTS:
        raise PatternError(
            f"more than {MAX_TESTS} different tests; one /regular expression/ can stand for many", pattern, tests[MAX_TESTS].at
        )
    signatures, code = _signatures(tests, corpus, pattern, timeout)
    if len(signatures) > MAX_SIGNATURES:
        raise PatternError(f"more than {MAX_SIGNATURES:,} groups of tokens to keep apart; use fewer tests", pattern, 0)
    bit = {test: k for k, test in enumerate(tests)}

    def pass_(condition: Condition) -> np.ndarray:
        """(n_signatures,) bool: the signatures of tokens that pass."""
        match condition:
            case Not(part):
                return ~pass_(part)
            case All(parts):
                return np.logical_and.reduce([np.ones(len(signatures), bool), *map(pass_, parts)])
            case AnyOf(parts):
                return np.logical_or.reduce([np.zeros(len(signatures), bool), *map(pass_, parts)])
            case TokenTest():
                return (signatures >> bit[condition] & 1).astype(bool)

    if (condition := as_condition(node)) is not None:  # a single token needs no search
        return pass_(condition)[code]
    text = np.zeros(len(code) + len(corpus.start), dtype="<u2")  # the separator is character 0
    at = np.arange(len(code)) + corpus.text_of + 1
    text[at] = code + 1
    expression = _expression(node, lambda condition: _character_class(pass_(condition)))
    runs = regex.finditer(expression, text.tobytes().decode("utf-16-le", "surrogatepass"), timeout=timeout)
    spans = np.array([run.span() for run in runs], dtype=np.int64).reshape(-1, 2)
    change = np.zeros(len(text) + 1, dtype=np.int8)
    change[spans[:, 0]] += 1  # a run ends before the next one begins, so no place is named twice
    change[spans[:, 1]] -= 1
    return np.cumsum(change, dtype=np.int8).astype(bool)[at]


def _placed(node: Node, corpus: Corpus, pattern: str) -> Node:
    """The tree with each literal replaced by the stretches of tokens that have its text in this corpus."""
    match node:
        case Literal(text, at):
            starts = {n: One(TokenTest("literal", (text, n), at)) for n in sorted(corpus.occurrences(text))}
            stretches = tuple(start if n == 1 else Chain((start, Repeat(One(TRUE), n - 1, n - 1))) for n, start in starts.items())
            return Either(stretches) if stretches else One(FALSE)
        case Focus(item):
            for part in (item, *inside(item)):
                if isinstance(part, Literal) and min(corpus.occurrences(part.text), default=1) > 1:
                    raise PatternError("@ marks one token, and here this text is always more", pattern, part.at)
            return replace(node, item=One(as_condition(item) or FALSE))
        case Chain(items):
            return Chain(tuple(_placed(item, corpus, pattern) for item in items))
        case Either(options):
            return Either(tuple(_placed(option, corpus, pattern) for option in options))
        case Repeat(item) | Look(_, item):
            return replace(node, item=_placed(item, corpus, pattern))
    return node


def _tests(part: Node | Condition) -> Iterator[TokenTest]:
    """Every test in a tree, in order."""
    match part:
        case TokenTest():
            yield part
        case One(condition) | Not(condition):
            yield from _tests(condition)
        case All(parts) | AnyOf(parts):
            yield from (test for each in parts for test in _tests(each))
        case _:
            yield from (test for each in inside(part) for test in _tests(each))


def _expression(node: Node, character_class: Callable[[Condition], str]) -> str:
    """Matches the runs of marked tokens."""

    def write(node: Node) -> str:
        match node:
            case One(condition):
                return character_class(condition)
            case Edge(end):
                return "(?=\\x00)" if end else "(?<=\\x00)"
            case Chain(items):
                return "".join(map(write, items))
            case Either(options):
                return f"(?:{'|'.join(map(write, options))})"
            case Repeat(item, low, high):
                return f"(?:{write(item)}){{{low},{'' if high is None else high}}}"
            case Look(opening, item):
                return f"{opening}{write(item)})"
        raise AssertionError(node)

    if (parts := split(node)) is None:
        return f"(?:{ANY}(?<={write(node)}))+"
    before, focus, behind = parts
    one = write(focus.item)
    more = f"{one}*" if focus.run else ""
    return f"(?:(?<={write(before)}{more})(?={one}{more}{write(behind)}){ANY})+"


def _character_class(passing: np.ndarray) -> str:
    """The characters of the signatures that pass, (n_signatures,) bool."""
    if passing.all():
        return ANY
    codes = np.flatnonzero(passing)
    if not len(codes):
        return "(?!)"
    runs = np.split(codes + 1, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "[" + "".join(f"\\u{run[0]:04x}-\\u{run[-1]:04x}" for run in runs) + "]"


# What a token passes


def _signatures(tests: list[TokenTest], corpus: Corpus, pattern: str, timeout: float) -> tuple[np.ndarray, np.ndarray]:
    """(n_signatures,) uint32, bit k for test k; and (n,) int64, which of them each token has."""
    of_kind = np.zeros(len(corpus.kinds), dtype=np.uint32)
    of_place = np.zeros(len(corpus.tokens), dtype=np.uint32)
    for k, test in enumerate(tests):
        if test.kind in ("text", "regex", "id"):
            of_kind |= _passes_by_itself(test, corpus, timeout).astype(np.uint32) << k
        else:
            of_place |= _passes_in_place(test, corpus, pattern).astype(np.uint32) << k
    if not of_place.any():
        signatures, code = np.unique(of_kind, return_inverse=True)
        return signatures, code[corpus.tokens]
    return np.unique(of_kind[corpus.tokens] | of_place, return_inverse=True)


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
            return COMPARE[comparison](corpus.place, place)
        case "literal", (text, n_tokens):
            begins = np.zeros(len(corpus.tokens), dtype=bool)
            begins[corpus.occurrences(text)[n_tokens]] = True
            return begins
    latent, comparison, value, percent = test.args
    name, _, number = latent.rpartition("/")
    if name not in corpus.acts or int(number) not in corpus.acts[name].latents:
        hint = "" if corpus.acts else '; say where latents fire: acts={"name": LatentActivations}'
        raise PatternError(f"there is no latent {latent} here{hint}", pattern, test.at)
    positions, values = corpus.acts[name].of(int(number))
    threshold = value / 100 * float(values.max(initial=0)) if percent else value
    compare = COMPARE[comparison]
    silent = comparison not in (">", ">=") and compare(0.0, threshold)  # silence is above nothing, not even a latent that never fires
    fires = np.full(corpus.shape, silent).reshape(-1)
    fires[positions] = compare(values.astype(np.float64), threshold)
    return fires[corpus.where]
