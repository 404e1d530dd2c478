"""Activations on disk: one raw array per hook, and a manifest of what it holds and of the hash of every block written so far.

A block enters the manifest after it has reached the disk, and is hashed again before it is used. So a run that was cut off goes on where
it stopped, and a file that was torn or altered is never served: its bad blocks are harvested again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msae.support.files import as_json, write_file

FORMAT = "msae-activations/2"

DTYPES: dict[torch.dtype, np.dtype[Any]] = {torch.float16: np.dtype("float16"), torch.float32: np.dtype("float32")}


class CachedArray:
    """(n_tokens, d_model) numbers in `folder/x.npy`, written block by block, each with the sum of its norms.

    Args:
        folder: made where it is missing; whatever in it does not fit is replaced.
        identity: the format, and what the numbers depend on, as JSON values; only an array of the very same is gone on with.
        dtype: float16 or float32.
        bounds: block b holds the rows bounds[b] to bounds[b + 1].
        d_model: numbers in a row.

    Raises:
        FileNotFoundError: there is none, and none is to be made.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], dtype: torch.dtype, bounds: list[int], d_model: int, *, make: bool = True):
        self.folder, self.identity, self.bounds, self.shape = folder, identity, bounds, (bounds[-1], d_model)
        self.dtype = DTYPES[dtype]
        self.blocks: list[dict[str, Any] | None] = [None] * (len(bounds) - 1)
        if not self._read():
            if not make:
                raise FileNotFoundError(f"{folder} holds no such activations: harvest them")
            # Only the header and the length are written here, the rest is a hole in the file. Another process may still read the old one.
            with _writing(folder):
                write_file(folder / "x.npy", self._reserve)
                self._write_manifest()
        self.offset = np.lib.format.open_memmap(folder / "x.npy", mode="r").offset

    @property
    def missing(self) -> list[int]:
        """The blocks that are still to be harvested."""
        return [i for i, block in enumerate(self.blocks) if block is None]

    @property
    def norms(self) -> float:
        """Sum of the norms of all rows."""
        return float(sum(block["norms"] for block in self.blocks if block is not None))

    def write(self, block: int, values: Tensor, norms: float) -> None:
        """Keep one block; it is on the disk when this returns.

        Raises:
            OSError: the disk is full, say. What was written before stays good.
        """
        data = values.cpu().numpy().astype(self.dtype, copy=False).tobytes()
        with _writing(self.folder), open(self.folder / "x.npy", "r+b") as file:
            file.seek(self.offset + self.bounds[block] * self._row)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.blocks[block] = {"sha256": hashlib.sha256(data).hexdigest(), "norms": norms}
        self._write_manifest()

    def open(self) -> Tensor:
        """The whole array, memory-mapped: pages are read when they are looked at, and writing to it does not reach the file."""
        if self.missing:
            raise ValueError(f"{self.folder} lacks {len(self.missing)} of {len(self.blocks)} blocks")
        return torch.from_numpy(np.lib.format.open_memmap(self.folder / "x.npy", mode="c"))

    @property
    def _row(self) -> int:
        return self.shape[1] * self.dtype.itemsize

    def _reserve(self, path: Path) -> None:
        with path.open("wb") as file:  # by an open file: NumPy would add .npy to the name
            np.lib.format.write_array_header_1_0(file, {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape})
            file.truncate(file.tell() + self.shape[0] * self._row)

    def _read(self) -> bool:
        """Take over the good blocks of an array of the same identity; False where there is none."""
        try:
            manifest = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
            x = np.load(self.folder / "x.npy", mmap_mode="r", allow_pickle=False)
            listed = manifest["blocks"]
            if manifest["identity"] != self.identity or len(listed) != len(self.blocks):
                return False
            if x.shape != self.shape or x.dtype != self.dtype:
                return False
            for i, block in enumerate(listed):
                if block is not None and hashlib.sha256(x[self.bounds[i] : self.bounds[i + 1]].data).hexdigest() == block["sha256"]:
                    self.blocks[i] = {"sha256": str(block["sha256"]), "norms": float(block["norms"])}
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):  # missing, cut short, not JSON, not an array
            return False
        n_bad = sum(block is not None for block in listed) - sum(block is not None for block in self.blocks)
        if n_bad:
            what = f"{n_bad} of {len(listed)} blocks were altered since they were written"
            warnings.warn(f"{self.folder}: {what}; they are harvested again", stacklevel=2)
        return True

    def _write_manifest(self) -> None:
        content = as_json({"identity": self.identity, "blocks": self.blocks}, "the manifest", indent=1)
        write_file(self.folder / "manifest.json", content)


def cache_folder(root: str | os.PathLike[str], identity: dict[str, Any]) -> Path:
    """Where the array of an identity lies: its hook name, and a digest of all of it, so that one root serves any model and stories."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Path(root) / f"{identity['hook_name']}-{digest[:12]}"


def cache_lock(root: str | os.PathLike[str]) -> AbstractContextManager[Any]:
    """Two processes that want the same cache take turns: the second finds it complete. A process that dies lets go.

    A cache that is to be read alone, another user's say, needs no turns.
    """
    from filelock import FileLock  # comes with torch

    place = Path(root) / ".lock"
    with _writing(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(place) if os.access(place if place.exists() else place.parent, os.W_OK) else nullcontext()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise PermissionError(
            error.errno, "the cache lacks some of these activations and cannot be written to, give another folder", str(folder)
        ) from error
