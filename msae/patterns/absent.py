"""Why a pattern marks nothing: a word of it may be no token of the vocabulary, because the tokenizer cuts it into pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import regex

from msae.patterns.nodes import tests_of
from msae.patterns.reading import parse
from msae.support.letters import check_vocabulary

_PART = regex.compile(r"\"(\\[^\n]|[^\"\\])*\"|/(\\[^\n]|[^/\\])*/i?|\p{L}[\p{L}\p{M}'’-]*")
"""How a test of one token's text is written: a string, a regular expression, a word."""


def no_token(pattern: str, str_tokens: Sequence[str | bytes]) -> list[str]:
    """The words of a pattern that are no token of a vocabulary, so that they can mark nothing, whatever the text.

    Args:
        pattern: in the language of `grammar.lark`.
        str_tokens: the text of each id, as `Activations.str_tokens`.

    Returns:
        each as it is written in the pattern, in order. A text of several tokens, such as `"Once upon a"`, is not asked for.

    Raises:
        PatternError: the pattern cannot be read.
        ValueError: str_tokens are no texts.

    Example:
        >>> from msae.patterns import no_token
        >>> no_token("Lily|Zerbina|/S.e/", ["Once", " Lily", "Sue", " Zer", "bina"])
        ['Zerbina']
    """
    from msae.patterns.matching import match

    check_vocabulary(str_tokens, np.arange(0))
    written: dict[str, None] = {}
    for test in tests_of(parse(pattern)):
        part = _PART.match(pattern, test.at) if test.kind in ("text", "regex") else None
        is_flag = part and part[0][0].isalpha() and not test.args[-1]  # a word ignores case, a flag such as `cap` does not
        if part and not is_flag:
            written[part[0]] = None
    vocabulary = np.arange(len(str_tokens))[:, None]  # each token a text of its own
    return [part for part in written if not match(f"[{part}]" if part[0] == '"' else part, vocabulary, str_tokens).any()]


def nowhere(pattern: str, str_tokens: Sequence[str | bytes], n_tokens: int) -> str:
    """A sentence for a pattern that marks none of n tokens: what to change."""
    absent = no_token(pattern, str_tokens)
    if not absent:
        return f"the pattern {pattern!r} marks none of the {n_tokens:,} tokens: give more stories, or another pattern"
    are = "is no token" if len(absent) == 1 else "are no tokens"
    word = next((part for part in absent if part[0] not in '"/'), "word")
    return (
        f"the pattern {pattern!r} marks none of the {n_tokens:,} tokens: {', '.join(absent)} {are} of this model, which reads "
        f'them in pieces; a text of several tokens stands in quotes, with the space before it: " {word}"'
    )
