"""Search text by token pattern, and find the latents that answer to what a pattern marks.

    marked = match("let female = Lily|Sue|she|her; $female", activations.tokens, activations.str_tokens, mask=activations.mask)
    for score in rank_latents(marked, acts)[:5]:
        print(score)

The language is `grammar.lark`; the book's chapter on it says what each part means. A pattern stands for stretches of whole tokens inside
one text. It marks the *last token* of every stretch, since a latent can only know what came before; with @ it marks the tokens at the @.

How it works. Number the different tests of a pattern ("is *Lily*", "is capitalised", "S/7 fires"). Which of them a token passes is its
*signature*, and a corpus has few different ones. Give each a character and put a separator between texts: a test becomes a character class,
a pattern one ordinary regular expression. Its lookarounds ask at every token whether *some* stretch ends there: greediness cannot matter.
A million tokens take 0.1 to 0.7 s.

explore/static/patterns/ is the same language in the browser; one file of cases holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from msae.patterns.corpus import Corpus
from msae.patterns.syntax import (
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
from msae.patterns.token_regex import fold
from msae.support.arguments import number

if TYPE_CHECKING:
    from msae.firings import LatentActivations

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
        pattern: in the language of `grammar.lark`.
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


def _asks_for_text(node: Node) -> bool:
    """Whether a pattern asks for more than what is known of each token by itself: which latents fire on it, and its id."""
    condition = as_condition(node)
    return condition is None or any(test.kind not in ("latent", "id") for test in _tests(condition))


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
