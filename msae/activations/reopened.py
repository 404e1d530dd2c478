"""Activations that are on disk already, as a stream for training: without the language model, which takes longer to load than they do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msae.activations.harvesting import array_on_disk, bounds_of
from msae.activations.kept import Activations
from msae.activations.shuffling import Shuffled, ranges
from msae.support.files import as_json, write_file
from msae.support.origin import Origin, sha256_of_json


class Reopened:
    """A stream for `msae.train` of the same batches as the `Activations` that were noted (`note`)."""

    def __init__(self, x: Tensor, counts: np.ndarray, origin: Origin):
        """
        Args:
            x: (n_tokens, d_model), where the batches are to arrive.
            counts: (n_texts,) activations of each text.
            origin: of the `Activations`.
        """
        self.x, self.counts, self.origin = x, counts, origin
        self.hook_name, self.scale, self.d_model = str(origin["hook_name"]), float(origin["scale"]), int(origin["d_model"])

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """Those of `Activations.batches`, bit for bit."""
        starts = self.counts.cumsum() - self.counts

        def load(texts: np.ndarray) -> tuple[Tensor, np.ndarray]:
            return self.x, ranges(starts[texts], self.counts[texts])

        return Shuffled(self.counts, self.origin["buffer"], self.scale, load).batches(batch_size, seed, skip)


def note(activations: Activations, cache: str | os.PathLike[str], asked: Mapping[str, Any]) -> None:
    """Write down which activations in a cache are the answer to a question, so that `reopened` finds them.

    Args:
        activations: that lie in the cache, in half precision.
        cache: the folder.
        asked: what they were harvested for, as JSON values, `hook_name` among them.
    """
    counts = activations.mask.sum(1).tolist()
    write_file(_place(cache, asked), as_json({"origin": activations.origin, "counts": counts}, "the note", indent=None))


def reopened(cache: str | os.PathLike[str], asked: Mapping[str, Any], device: torch.device | str = "cpu") -> Reopened | None:
    """The activations that were noted, read from a cache and checked against their hashes; None where they are not all there.

    Args:
        cache: the folder.
        asked: as it was noted.
        device: where the batches are to arrive: all activations are put there, if they take no more than a quarter of what is free.
    """
    try:
        about = json.loads(_place(cache, asked).read_text(encoding="utf-8"))
        origin, counts = dict(about["origin"]), torch.tensor(about["counts"])
        if origin["hook_name"] != asked["hook_name"]:
            return None
        of_array = {name: value for name, value in origin.items() if name != "scale"}
        x = array_on_disk(cache, of_array, bounds_of(counts), torch.float16, make=False).open()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):  # none, or damaged: they are harvested again
        return None
    return Reopened(_moved(x, torch.device(device)), counts.numpy(), origin)


def _place(cache: str | os.PathLike[str], asked: Mapping[str, Any]) -> Path:
    return Path(cache) / f"{asked['hook_name']}-{sha256_of_json(asked)[:12]}.json"


def _moved(x: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda" or x.nbytes > torch.cuda.mem_get_info(device)[0] / 4:
        return x
    return x.to(device)
