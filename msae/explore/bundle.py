"""The bundle format `msae-explorer/1`: the texts once, and every firing of every latent on them.

A bundle is a folder:

    manifest.json   what there is: vocabulary, lengths, SAEs, latents (as columns), edges; described by msae-explorer-1.schema.json
    payload.bin     gzip of the token ids (uint16; uint32 above 65,536 kinds of token), and of the one block if there are no shards
    acts/000.bin    gzip of the block of the first `latents_per_shard` latents, and so on; 000.js is the same as a script, for `file:`

A block is a uint32 length, that many bytes of JSON (one object of details per latent), then the latents' firings one after another.
The n firings of a latent are n varints, the steps from one position to the next (the first from 0), then n bytes q of 1 … 255; the
activation is q / 255 · max. Positions count tokens over all texts. All integers are little-endian and unsigned.

Where a tokenizer splits a letter over several tokens, the first of them shows the letter and the others nothing; `vocab_parts` tells which
kinds of token these are. The manifest is written last, with the SHA-256 of the other files and of itself.

The first `n_sample` texts are an unbiased sample, on which statistics may be computed. Those after them were added because a latent is
strong there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from msae.firings.tops import TopToken

T = TypeVar("T")

SCHEMA = "msae-explorer/1"
ABOUT = ("title", "window", "n_examples", "edge_metric", "cosine_of", "provenance", "made_from")
"""What a manifest may say that the firings do not need."""

N_TOP = 3
"""Tokens of each latent that the manifest names, for the list of latents."""


class Altered(ValueError):
    """Files that are not as they were written."""


class Bundle(NamedTuple):
    """A bundle in memory. Made by `Explorer.bundle` and `read_bundle`.

    Example:
        >>> import numpy as np
        >>> from msae.explore import Explorer
        >>> from msae.firings import Firings
        >>> acts = Firings.of_dense(np.array([[[2.0], [0.0], [1.0]]]))  # one text of three tokens, one latent
        >>> bundle = Explorer({"S": acts}, np.array([[0, 1, 0]]), ["Lily", " sat"]).bundle()
        >>> positions, activations = bundle.of("S/0")
        >>> positions.tolist(), activations.round(1).tolist()
        ([0, 2], [2.0, 1.0])
    """

    vocab: list[str]
    """The kinds of token, those that occur first."""

    vocab_ids: np.ndarray
    """(n_vocab,) the tokenizer's number of each."""

    tokens: np.ndarray
    """(n_tokens,) indices into vocab, text after text."""

    starts: np.ndarray
    """(n_texts + 1,) where each text begins; the last is n_tokens."""

    n_sample: int
    """The first n_sample texts are the unbiased sample."""

    number: np.ndarray
    """(n_texts,) the number of each text in the corpus it was taken from."""

    first: np.ndarray
    """(n_texts,) place in that text of the first token that is here."""

    saes: list[dict[str, Any]]
    """One object per SAE: "id", "n_latents", "n_tokens" (scanned for statistics), and what else is known."""

    id: list[str]
    """(n_latents,) "name/number", the name being that of an SAE."""

    label: list[str]
    """(n_latents,) empty where there is none."""

    max: np.ndarray
    """(n_latents,) float32: largest activation over all that was scanned, which may be more than is in the bundle; 0 for a dead latent."""

    start: np.ndarray
    """(n_latents + 1,) where each latent's firings begin in `positions` and `q`."""

    positions: np.ndarray
    """(n_firings,) uint32, ascending within a latent."""

    q: np.ndarray
    """(n_firings,) uint8, 1 … 255."""

    details: list[dict[str, Any]]
    """(n_latents,) "n": firings scanned; "tokens": [token, firings, occurrences, mean, max]; optionally "cofiring" and "cosine":
    [latent, share or cosine], "logits": [token, effect]; strongest first."""

    edges: list[tuple[int, int, float]]
    """(parent, child, score), indices of latents; the best parent of a child first."""

    about: dict[str, Any]
    """What is known of ABOUT."""

    parts: Sequence[tuple[int, int, int, str]] = ()
    """(kind of token, which part it is from 1, of how many, what they make together) of each kind that is part of a letter."""

    def of(self, latent: str) -> tuple[np.ndarray, np.ndarray]:
        """(positions, activations) of a latent's firings, within max/510 of the true ones; those below max/510 become max/255.

        Args:
            latent: "name/number".
        """
        k = self.id.index(latent)
        part = slice(self.start[k], self.start[k + 1])
        return self.positions[part], self.q[part] / np.float32(255) * self.max[k]

    def top_tokens(self, latent: str) -> list[TopToken]:
        """The tokens with the largest sum of a latent's activations over all that was scanned, as `Firings.top_tokens` gives them.

        Args:
            latent: "name/number".
        """
        rows = self.details[self.id.index(latent)]["tokens"]
        return [TopToken(int(self.vocab_ids[kind]), *rest) for kind, *rest in rows]

    def neighbours(self, latent: str, by: Literal["cofiring", "cosine"] = "cosine") -> list[tuple[str, float]]:
        """The latents nearest to one, and how near they are; none where they were not looked for.

        Args:
            latent: "name/number".
            by: "cofiring", the share of the tokens on which either fires where both do; "cosine", of what `about["cosine_of"]` says.
        """
        return [(self.id[other], near) for other, near in self.details[self.id.index(latent)].get(by, [])]

    def effects(self, latent: str) -> list[tuple[str, float]]:
        """The tokens whose logits a latent's direction raises most, then those it lowers most, with the effect of one unit of activation;
        none where the unembedding is not known.

        Args:
            latent: "name/number".
        """
        return [(self.vocab[kind], effect) for kind, effect in self.details[self.id.index(latent)].get("logits", [])]


def quantise(values: np.ndarray, largest: np.ndarray | float) -> np.ndarray:
    """(n,) uint8 of positive activations: 255 stands for the latent's largest, and nothing that fires becomes 0."""
    return np.clip(np.rint(values / largest * 255), 1, 255).astype(np.uint8)


def varints(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seven bits to a byte, the lowest first, the eighth bit set on all bytes of a number but its last.

    Args:
        numbers: (n,) below 2^32.

    Returns:
        the bytes, and (n,) how many each number takes.
    """
    numbers = numbers.astype(np.uint64)
    length = 1 + np.sum([numbers >= 1 << 7 * k for k in range(1, 5)], axis=0, dtype=np.int64)
    begin = np.cumsum(length) - length
    out = np.zeros(int(length.sum()), dtype=np.uint8)
    for k in range(5):
        has = length > k
        more = np.where(length[has] > k + 1, 128, 0)
        out[begin[has] + k] = (numbers[has] >> np.uint64(7 * k)).astype(np.uint8) & 127 | more.astype(np.uint8)
    return out, length


def from_varints(raw: np.ndarray, n: int) -> tuple[np.ndarray, int]:
    """The first n numbers of these bytes, and how many bytes they took."""
    ends = np.flatnonzero(raw < 128)[:n]
    if len(ends) < n:
        raise Altered(f"expected {n} varints, found {len(ends)}: the file is cut short")
    begins = np.concatenate([[0], ends[:-1] + 1]) if n else ends
    out = np.zeros(n, dtype=np.uint64)
    for k in range(5):
        has = begins + k <= ends
        out[has] |= (raw[begins[has] + k] & 127).astype(np.uint64) << np.uint64(7 * k)
    return out, int(ends[-1]) + 1 if n else 0


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def bar(steps: Sequence[T], unit: str, progress: bool) -> Iterable[T]:
    """A progress bar, seen only if it takes a while; tqdm comes with the extras."""
    if not progress:
        return steps
    from tqdm.auto import tqdm

    return tqdm(steps, unit=unit, desc="explorer", delay=3)


def schema() -> dict[str, Any]:
    """The JSON Schema of manifest.json."""
    return json.loads(files("msae.explore").joinpath("msae-explorer-1.schema.json").read_text(encoding="utf-8"))


def as_ascii(values: Any, what: str) -> bytes:
    # ASCII, so that lone surrogates and line separators stay what they are wherever the file goes
    try:
        return json.dumps(values, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")
    except ValueError as error:
        raise ValueError(f"{what} of the explorer holds NaN or infinity, which JSON has no form for: look at what was given") from error
