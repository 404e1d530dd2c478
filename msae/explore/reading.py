"""Reading a bundle back from its folder, whoever wrote it: it is whole and as it was written, or refused."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from msae.explore.bundle import ABOUT, SCHEMA, Altered, Bundle, as_ascii, from_varints, sha256
from msae.support.arguments import path as path_of

BROKEN = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError, EOFError, zlib.error, gzip.BadGzipFile)
"""What reading files raises that are not what they should be."""


def read_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Read a bundle that `write_bundle` or another program wrote.

    Args:
        folder: where it lies, as of `Explorer.save`.

    Returns:
        the bundle, as it was written.

    Raises:
        FileNotFoundError: no manifest.json there, or a file that it names is missing.
        ValueError: another or a newer format; a file that was altered, cut short or belongs to another save.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from msae.explore import Explorer, write_bundle
        >>> from msae.firings import Firings
        >>> acts = Firings.of_dense(np.array([[[2.0], [0.0], [1.0]]]))  # one text of three tokens, one latent
        >>> bundle = Explorer({"S": acts}, np.array([[0, 1, 0]]), ["Lily", " sat"]).bundle()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = write_bundle(bundle, folder)
        ...     read_bundle(folder).vocab
        ['Lily', ' sat']
    """
    folder = path_of("folder", folder)
    if not (folder / "manifest.json").exists():
        raise FileNotFoundError(f"there is no manifest.json in {folder}: expected a folder made by Explorer.save")
    try:
        m = json.loads((folder / "manifest.json").read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"manifest.json in {folder} is no JSON: it was altered or cut short, save the explorer again") from error
    form = m.get("schema") if isinstance(m, dict) else None
    if form != SCHEMA:
        newer = isinstance(form, str) and re.fullmatch(r"msae-explorer/[0-9]+", form)
        fix = ": it was written by another version of msae, read it with that one or save it again" if newer else ""
        raise ValueError(f"expected a bundle of the form {SCHEMA!r}, got {form!r} in {folder}{fix}")
    try:
        return _read(m, folder)
    except Altered:
        raise
    except BROKEN as error:
        raise ValueError(f"the files in {folder} do not fit each other ({error!r}): they were altered, save the explorer again") from error


def _read(m: dict[str, Any], folder: Path) -> Bundle:
    hashes = dict(m.get("sha256", {}))

    def content(name: str) -> np.ndarray:
        packed = _packed(folder, name)
        if name in hashes and sha256(packed) != hashes[name]:
            raise Altered(f"{name} in {folder} is not the file that its manifest names: it was altered, save the explorer again")
        return np.frombuffer(gzip.decompress(packed), dtype=np.uint8)

    raw = content("payload.bin")
    size = 2 if len(m["vocab"]) <= 65_536 else 4
    n_bytes = m["n_tokens"] * size
    if len(raw) < n_bytes:
        raise Altered(f"payload.bin holds {len(raw)} bytes, but {m['n_tokens']} tokens take {n_bytes}: the file is cut short")
    if "manifest.json" in hashes and sha256(as_ascii(_without_own_hash(m), "the manifest")) != hashes["manifest.json"]:
        raise Altered(f"manifest.json in {folder} is not as it was written: it was altered, save the explorer again")
    tokens = raw[:n_bytes].view(f"<u{size}")
    if "text_starts" in m:
        starts = np.array(m["text_starts"], dtype=np.int64)
    else:
        starts = np.arange(0, m["n_tokens"] + 1, m["text_length"], dtype=np.int64)
    details, positions, q = _firings(m, _blocks(m, content, raw[n_bytes:]))
    table, n_texts = m["latents"], len(starts) - 1
    bundle = Bundle(
        vocab=m["vocab"],
        vocab_ids=np.array(m["vocab_ids"], dtype=np.int64),
        tokens=tokens.astype(np.int64),
        starts=starts,
        n_sample=m["n_sample"],
        number=np.array(m.get("text_number", range(n_texts)), dtype=np.int64),
        first=np.array(m.get("text_first", [0] * n_texts), dtype=np.int64),
        saes=m["saes"],
        id=table["id"],
        label=table["label"],
        max=np.array(table["max"], dtype=np.float32),
        start=np.concatenate([[0], np.cumsum(table["n"])]).astype(np.int64),
        positions=np.concatenate(positions) if positions else np.zeros(0, np.uint32),
        q=np.concatenate(q) if q else np.zeros(0, np.uint8),
        details=details,
        edges=[(parent, child, score) for parent, child, score in m["edges"]],
        about={key: value for key, value in m.items() if key in ABOUT},
        parts=[(kind, part, of, text) for kind, part, of, text in m.get("vocab_parts", [])],
    )
    if not _fits(bundle):
        raise Altered(f"the files in {folder} do not fit each other: they were altered or are of two saves, save the explorer again")
    return bundle


def _firings(m: dict[str, Any], blocks: Iterable[tuple[int, int, np.ndarray]]) -> tuple[list[Any], list[np.ndarray], list[np.ndarray]]:
    """For each latent its details, its positions, and its quantised activations."""
    table, details, positions, q = m["latents"], [], [], []
    for low, high, block in blocks:
        n_details = int.from_bytes(block[:4].tobytes(), "little")
        details += json.loads(block[4 : 4 + n_details].tobytes())
        firings = block[4 + n_details :]
        for k in range(low, high):
            n, here = table["n"][k], firings[table["off"][k] :]
            steps, used = from_varints(here[: 5 * n], n)
            positions.append(np.cumsum(steps).astype(np.uint32))
            q.append(here[used : used + n])
    return details, positions, q


def _fits(bundle: Bundle) -> bool:
    """Whether the parts of a bundle have the sizes, and the numbers the ranges, that they must have together."""
    n_texts, n_latents, n_vocab, starts = len(bundle.starts) - 1, len(bundle.id), len(bundle.vocab), bundle.starts
    firsts = bundle.start[:-1][np.diff(bundle.start) > 0]
    within = np.ones(len(bundle.positions), dtype=bool)
    within[firsts] = False
    return bool(
        len(bundle.vocab_ids) == n_vocab
        and len(bundle.number) == len(bundle.first) == n_texts >= bundle.n_sample >= 0
        and starts[0] == 0
        and starts[-1] == len(bundle.tokens)
        and (np.diff(starts) >= 0).all()
        and bundle.tokens.max(initial=-1) < n_vocab
        and len(bundle.label) == len(bundle.max) == len(bundle.details) == n_latents
        and np.isfinite(bundle.max).all()
        and len(bundle.q) == len(bundle.positions) == bundle.start[-1]
        and bundle.q.min(initial=1) > 0
        and bundle.positions.max(initial=0) < max(1, len(bundle.tokens))
        and (np.diff(bundle.positions.astype(np.int64), prepend=-1)[within] > 0).all()
        and all(0 <= end < n_latents for parent, child, _ in bundle.edges for end in (parent, child))
        and all(isinstance(text, str) for text in [*bundle.vocab, *bundle.id, *bundle.label])
        and all(0 <= kind < n_vocab and 1 <= part <= of for kind, part, of, _ in bundle.parts)
    )


def _packed(folder: Path, name: str) -> bytes:
    if not (folder / name).is_file():
        raise FileNotFoundError(f"there is no {name} in {folder}, which its manifest names: save the explorer again")
    return (folder / name).read_bytes()


def _without_own_hash(m: dict[str, Any]) -> dict[str, Any]:
    """The manifest as it was when its own hash was taken."""
    return {key: value for key, value in m.items() if key != "sha256"}


def _blocks(m: dict[str, Any], content: Callable[[str], np.ndarray], rest: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """(first latent, the one behind the last, their block) of each block, which is a shard's or the `rest` of the payload."""
    n_latents, per_shard = len(m["latents"]["id"]), m["latents_per_shard"]
    if not m["shards"]:
        yield 0, n_latents, rest
    for k, name in enumerate(m["shards"]):
        yield k * per_shard, min((k + 1) * per_shard, n_latents), content(name)
