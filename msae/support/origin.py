"""What a result was made from: one flat description that checkpoints, caches, families, shipped files and explorer folders carry.

An origin is a dict of JSON values: `{"hook_name": "blocks.3.hook_resid_pre", "language_model": "sha256…", "stories": "sha256…", …}`.
Whatever goes on from a result, or takes it for its own, holds the recorded origin against the one that is asked for.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Origin = dict[str, Any]

MEASURED = ("scale",)
"""Entries that are measured: made again on another machine they differ in their last digits, and may."""


def plain(value: Any) -> Any:
    """A setting as the JSON values that it is kept as: what is written and read again equals it.

    A dataclass becomes its fields and its `name`, a tuple a list, a tensor or array its shape, kind and hash.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {"name": type(value).__name__} | {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (Tensor, np.ndarray)):
        return sha256_of_array(value)
    if isinstance(value, np.generic):
        return value.item()
    return value


def sha256_of_array(values: Tensor | np.ndarray) -> str:
    """Of the numbers, their shape and their kind, in hexadecimal."""
    x = torch.as_tensor(values).detach().cpu().contiguous()
    digest = hashlib.sha256(f"{x.dtype} {tuple(x.shape)}".encode())
    digest.update(x.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Of the value as JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def differences(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Of the entries that both have, those that differ, in words: "hook_name is 'a', and 'b' is asked for"."""
    found = []
    for name in (name for name in asked if name in recorded):
        old, new = recorded[name], asked[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{name}.{text}" for text in differences(old, new)]
        elif old != new and not (name in MEASURED and math.isclose(old, new, rel_tol=1e-3)):
            found.append(f"{name} is {_short(old)}, and {_short(new)} is asked for")
    return found


def check_origin(recorded: Mapping[str, Any], asked: Mapping[str, Any], what: str, fix: str) -> None:
    """Hold what a result was made from against what is asked for.

    Args:
        recorded: what the result was made from.
        asked: what is asked for; entries that only one of them has are not compared.
        what: the result, as the error calls it.
        fix: what to do, after a colon.

    Raises:
        ValueError: naming everything that differs.
    """
    found = differences(plain(recorded), plain(asked))
    if found:
        raise ValueError(f"{what} was made otherwise ({'; '.join(found)}): {fix}")


def _short(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, (dict, list)) else repr(value)
    return text if len(text) <= 60 else f"{text[:24]} … {text[-24:]}"
