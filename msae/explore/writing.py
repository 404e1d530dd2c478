"""Writing a bundle into its folder: the manifest, the blocks of firings, and each file whole or not at all."""

from __future__ import annotations

import base64
import gzip
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from msae.explore.bundle import N_TOP, SCHEMA, Bundle, as_ascii, bar, sha256, varints
from msae.explore.terms import search_terms
from msae.support.arguments import new_folder, shown, whole, yes_or_no
from msae.support.files import Content, write_files
from msae.support.renamed import by_name


@by_name()
def write_bundle(bundle: Bundle, folder: str | os.PathLike[str], latents_per_shard: int = 64, *, progress: bool = False) -> dict[str, Any]:
    """Write a bundle into a folder.

    Args:
        bundle: what is written, as of `Explorer.bundle`.
        folder: where; it is made if it is not there.
        latents_per_shard: latents whose firings share a file; 0 puts everything into payload.bin.
        progress: show a bar when it takes more than a few seconds.

    Returns:
        The manifest, as JSON values.

    Raises:
        ValueError: NaN or infinity in the bundle.
        OSError: a place that cannot be written, a full disk. Whatever bundle stood there before stands there still, whole.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from msae.explore import Explorer
        >>> from msae.firings import Firings
        >>> acts = Firings.of_dense(np.array([[[2.0], [0.0], [1.0]]]))  # one text of three tokens, one latent
        >>> bundle = Explorer({"S": acts}, np.array([[0, 1, 0]]), ["Lily", " sat"]).bundle()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bundle(bundle, folder)["latents"]["id"]
        ['S/0']
    """
    check_latents_per_shard(latents_per_shard)
    folder = new_folder("folder", folder)
    if not isinstance(bundle, Bundle):
        raise ValueError(f"bundle must be a Bundle, of Explorer.bundle or read_bundle, got {shown(bundle)}")
    described, files = bundle_files(bundle, latents_per_shard, yes_or_no("progress", progress))
    write_folder(folder, files)
    return described


def check_latents_per_shard(n: Any) -> None:
    """Refuse what is no number of latents in a file."""
    if isinstance(n, int) and n < 0:
        raise ValueError(f"latents_per_shard must be 0 (no shards) or positive, got {n}")
    whole("latents_per_shard", n)


def bundle_files(bundle: Bundle, latents_per_shard: int, progress: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest, and name → content of each file, that of the manifest last."""
    described, blocks = manifest(bundle, latents_per_shard)
    files: dict[str, Any] = {}
    for k, (name, block) in enumerate(zip(bar(described["shards"], "file", progress), blocks)):
        files[name] = packed = gzip.compress(block, 6, mtime=0)
        files[name.removesuffix(".bin") + ".js"] = partial(_write_script, k, packed)
    files["payload.bin"] = payload(bundle, [] if latents_per_shard else blocks)
    hashes = {name: sha256(content) for name, content in files.items() if isinstance(content, bytes)}
    described["sha256"] = hashes | {"manifest.json": sha256(as_ascii(described, "the manifest"))}
    return described, files | {"manifest.json": as_ascii(described, "the manifest")}


def _write_script(k: int, packed: bytes, path: Path) -> None:
    # A page opened from a disk may load nothing but scripts; this one hands its block to the page.
    path.write_text(f'msaeShard({k}, "{base64.b64encode(packed).decode()}");\n', encoding="ascii")


def manifest(bundle: Bundle, latents_per_shard: int = 0) -> tuple[dict[str, Any], list[bytes]]:
    """The manifest as JSON values, and the blocks: one per shard, or one for all if latents_per_shard is 0."""
    per_block = latents_per_shard or max(1, len(bundle.id))
    blocks, offsets = [], []
    for low in range(0, len(bundle.id), per_block):
        block, begins = _block(bundle, low, min(low + per_block, len(bundle.id)))
        blocks.append(block)
        offsets += begins
    lengths = np.diff(bundle.starts)
    n_texts = len(lengths)
    same_length = n_texts > 0 and (lengths == lengths[0]).all()
    out = {
        "schema": SCHEMA,
        "vocab": bundle.vocab,
        "vocab_ids": bundle.vocab_ids.tolist(),
        **({"vocab_parts": [list(part) for part in bundle.parts]} if bundle.parts else {}),
        "n_tokens": len(bundle.tokens),
        **({"text_length": int(lengths[0])} if same_length else {"text_starts": bundle.starts.tolist()}),
        "n_sample": bundle.n_sample,
        **({} if (bundle.number == np.arange(n_texts)).all() else {"text_number": bundle.number.tolist()}),
        **({"text_first": bundle.first.tolist()} if bundle.first.any() else {}),
        "saes": bundle.saes,
        "latents": {
            "id": bundle.id,
            "label": bundle.label,
            "max": [float(f"{x:.9g}") for x in bundle.max.tolist()],
            "n": np.diff(bundle.start).tolist(),
            "off": offsets,
            "top": [[token[0] for token in each["tokens"][:N_TOP]] for each in bundle.details],
        },
        "edges": [[parent, child, score] for parent, child, score in bundle.edges],
        "search": search_terms(),
        "latents_per_shard": latents_per_shard,
        "shards": [f"acts/{k:03d}.bin" for k in range(len(blocks))] if latents_per_shard else [],
        **bundle.about,
    }
    scanned = [each.get("n", n) for each, n in zip(bundle.details, out["latents"]["n"])]
    if scanned != out["latents"]["n"]:
        out["latents"]["n_scanned"] = scanned
    return out, blocks


def _block(bundle: Bundle, low: int, high: int) -> tuple[bytes, list[int]]:
    part = slice(bundle.start[low], bundle.start[high])
    positions, q = bundle.positions[part].astype(np.int64), bundle.q[part]
    begins = bundle.start[low : high + 1] - bundle.start[low]
    steps = np.diff(positions, prepend=0)
    firsts = begins[:-1][np.diff(begins) > 0]
    steps[firsts] = positions[firsts]
    raw, length = varints(steps)
    at = np.concatenate([[0], np.cumsum(length)])[begins]
    pieces: list[bytes] = []
    offsets, size = [], 0
    for k in range(high - low):
        piece = raw[at[k] : at[k + 1]].tobytes() + q[begins[k] : begins[k + 1]].tobytes()
        pieces.append(piece)
        offsets.append(size)
        size += len(piece)
    details = as_ascii(bundle.details[low:high], "details")
    return len(details).to_bytes(4, "little") + details + b"".join(pieces), offsets


def payload(bundle: Bundle, blocks: Sequence[bytes]) -> bytes:
    """The tokens and, where they are not sharded, all firings; gzipped."""
    size = 2 if len(bundle.vocab) <= 65_536 else 4
    return gzip.compress(bundle.tokens.astype(f"<u{size}").tobytes() + b"".join(blocks), 6, mtime=0)


def write_folder(folder: Path, files: Mapping[str, Content]) -> None:
    """Write all files of a bundle, then take away what another one has left here: more files, and a page of it."""
    write_files({folder / name: content for name, content in files.items()})
    page = folder / "index.html"
    if "index.html" not in files and page.is_file() and b'class="msae-explorer"' in page.read_bytes():
        page.unlink()  # it holds the other bundle's manifest
    for old in (folder / "acts").glob("*"):
        if re.fullmatch(r"[0-9]{3,}\.(bin|js)", old.name) and f"acts/{old.name}" not in files:
            old.unlink()
