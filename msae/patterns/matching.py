"""Search text by token pattern, and find the latents that answer to what a pattern marks.

    female = match("let female = Lily|Sue|she|her; $female", activations.tokens, activations.str_tokens, mask=activations.mask)
    for score in rank_latents(acts, female)[:5]:
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

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import regex

from msae.patterns.corpus import Corpus
from msae.patterns.errors import PatternError
from msae.patterns.expressions import character_class, expression
from msae.patterns.nodes import (
    FALSE,
    TRUE,
    Chain,
    Either,
    Focus,
    Literal,
    Look,
    Node,
    One,
    Repeat,
    TokenTest,
    as_condition,
    inside,
    tests_of,
)
from msae.patterns.reading import parse
from msae.patterns.signatures import signatures_of
from msae.support.arguments import number
from msae.support.renamed import by_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from msae.firings.firings import Firings

MAX_TESTS = 24
"""Different tests in one pattern."""


@by_name()
def match(
    pattern: str,
    tokens: Tensor | ArrayLike,
    str_tokens: Sequence[str | bytes],
    *,
    acts: Mapping[str, Firings] | None = None,
    mask: Tensor | ArrayLike | None = None,
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

    Example:
        >>> from msae.patterns import match
        >>> match("Lily|Sue", [[0, 1, 2, 3]], ["Once", " Lily", " saw", " Sue"]).tolist()
        [[False, True, False, True]]
    """
    node = parse(pattern)
    number("timeout", timeout, above=0)
    try:
        corpus = Corpus(tokens, str_tokens, acts=acts, mask=mask, whole_letters=_asks_for_text(node))
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
    return condition is None or any(test.kind not in ("latent", "id") for test in tests_of(condition))


def _marked(tree: Node, corpus: Corpus, pattern: str, timeout: float) -> np.ndarray:
    """(n,) bool: the tokens that a tree marks."""
    node = _placed(tree, corpus, pattern)
    tests = list(dict.fromkeys(tests_of(node)))
    if len(tests) > MAX_TESTS:
        raise PatternError(
            f"more than {MAX_TESTS} different tests; one /regular expression/ can stand for many", pattern, tests[MAX_TESTS].at
        )
    signatures = signatures_of(tests, corpus, pattern, timeout)
    if (condition := as_condition(node)) is not None:  # a single token needs no search
        return signatures.passing(condition)[signatures.of_token]
    n = len(signatures.of_token)
    text = np.zeros(n + len(corpus.start), dtype="<u2")  # the separator is character 0
    at = np.arange(n) + corpus.text_of + 1
    text[at] = signatures.of_token + 1
    written = expression(node, lambda condition: character_class(signatures.passing(condition)))
    runs = regex.finditer(written, text.tobytes().decode("utf-16-le", "surrogatepass"), timeout=timeout)
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
