"""The cases that hold the pattern language in Python and in the browser to each other, as each of the two takes them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from places import ROOT

from msae.explore import LatentActivations
from msae.patterns import MAX_TESTS
from msae.support.letters import as_token, join

HERE = ROOT / "tests" / "patterns"


MODULES = ROOT / "msae" / "explore" / "static" / "patterns"


SHARED = json.loads((HERE / "patterns_cases.json").read_text(encoding="utf8"))


CASES = SHARED["cases"]


RUN_IN_JAVASCRIPT = (
    f"const MAX_TESTS = {MAX_TESTS};"
    + """
function run(corpora, cases) {
  return cases.map(({ corpus: name, pattern }) => {
    const { tokens, start, latents, ...more } = corpora[name];
    corpora[name].texts ??= corpus({ tokens: Uint32Array.from(tokens), start, ...more });
    try {
      const marked = match(pattern, corpora[name].texts, latents ?? {}, MAX_TESTS);
      return { marked: start.slice(1).map((end, t) => [...marked.subarray(start[t], end).entries()].filter(([, m]) => m).map(([p]) => p)) };
    } catch ({ name, message, reason, line, column }) {
      return name === "PatternError" ? { error: { reason, line, column } } : { crash: `${name}: ${message}` };
    }
  });
}
"""
)


class Corpus(NamedTuple):
    tokens: np.ndarray
    vocab: list[str | bytes]
    acts: dict[str, LatentActivations]
    mask: np.ndarray


def read_words(texts: list[list[Any]]) -> list[list[str | bytes]]:
    """The words of the shared cases: a text, or bytes in hexadecimal for a token that may be part of a letter."""
    return [[word if isinstance(word, (str, bytes)) else bytes.fromhex(word["bytes"]) for word in text] for text in texts]


def corpus_of(texts: list[list[Any]], latents: dict[str, dict[str, list]]) -> Corpus:
    """Texts padded at both ends, so that places and positions differ."""
    texts = read_words(texts)
    vocab = [*dict.fromkeys(word for text in texts for word in text)]
    longest = max(map(len, texts))
    tokens, mask = np.zeros((len(texts), longest + 2), dtype=np.int64), np.zeros((len(texts), longest + 2), dtype=bool)
    for row, text in enumerate(texts):
        tokens[row, 1 : len(text) + 1] = [vocab.index(word) for word in text]
        mask[row, 1 : len(text) + 1] = True
    where = np.flatnonzero(mask)
    acts = {}
    for name in {latent.rpartition("/")[0] for latent in latents}:
        mine = sorted((int(key.rpartition("/")[2]), part) for key, part in latents.items() if key.rpartition("/")[0] == name)
        dense = np.zeros((*mask.shape, mine[-1][0] + 1), dtype=np.float32)
        for number, part in mine:
            dense.reshape(-1, dense.shape[2])[where[part["positions"]], number] = part["values"]
        all_latents = LatentActivations.from_dense(dense, mask)
        kept = [number for number, _ in mine]
        start = np.concatenate([[0], np.cumsum(all_latents.counts[kept])])
        parts = [all_latents.of(number) for number in kept]
        acts[name] = LatentActivations(
            np.array(kept), start, np.concatenate([p for p, _ in parts]), np.concatenate([v for _, v in parts]), mask
        )
    return Corpus(tokens, vocab, acts, mask)


def for_javascript(texts: list[list[Any]], latents: dict[str, dict[str, list]]) -> dict[str, Any]:
    """As the explorer's pages hold them: which tokens make a letter together is told by number, not by bytes."""
    texts = read_words(texts)
    vocab = [*dict.fromkeys(word for text in texts for word in text)]
    start = np.cumsum([0, *map(len, texts)])
    numbers, pieces = join(np.array([vocab.index(word) for text in texts for word in text]), start, vocab)
    return {
        "vocab": [*map(as_token, vocab), *(piece.shown for piece in pieces)],
        "ids": [*range(len(vocab)), *(piece.token for piece in pieces)],
        "parts": [[len(vocab) + k, piece.part, piece.n_parts, piece.text] for k, piece in enumerate(pieces)],
        "tokens": numbers.tolist(),
        "start": start.tolist(),
        "latents": {key: {**part, "max": max(part["values"], default=0)} for key, part in latents.items()},
    }


JAVASCRIPT_CORPORA = {name: for_javascript(**each) for name, each in SHARED["corpora"].items()}


CORPORA = {name: corpus_of(**each) for name, each in SHARED["corpora"].items()}


def differing(cases: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[tuple]:
    expected = [{key: case[key] for key in ("marked", "error") if key in case} for case in cases]
    return [(case["pattern"], want, got) for case, want, got in zip(cases, expected, answers, strict=True) if want != got]
