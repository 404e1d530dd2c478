"""Training state on disk: tensors as safetensors, everything else as JSON in the header. No pickle, so a file cannot run code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from msae.support.files import as_json, write_file


def save_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and JSON values; the old file stays whole until the new one is complete."""
    tensors: dict[str, Tensor] = {}
    skeleton = _take_tensors(state, "", tensors)
    write_file(Path(path), lambda part: save_file(tensors, part, metadata={"state": as_json(skeleton, "the state", indent=None)}))


@contextmanager
def of_this_version(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """While the content of a checkpoint is taken over: what it lacks, or holds in another form, is told as such.

    Raises:
        ValueError: the checkpoint is of another version of msae.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        fix = "choose another, delete it to start again, or go on with the msae that wrote it"
        raise ValueError(f"{path} is not a checkpoint that this version of msae goes on from ({why}): {fix}") from error


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Integer keys of dicts come back as integers.

    Raises:
        ValueError: the file is damaged or no checkpoint.
        OSError: it cannot be read.
    """
    Path(path).open("rb").close()  # safetensors says of a file that it may not read that there is none
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if "state" not in metadata:
                raise ValueError(f"{path} is a safetensors file but not a checkpoint of msae: its header holds no 'state'")
            return dict(_put_tensors(json.loads(metadata["state"]), file))
    except (SafetensorError, json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}): delete it to start again") from error


def _take_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _take_tensors(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [_take_tensors(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def _put_tensors(node: dict[str, Any], file: Any) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        return file.get_tensor(content)
    if kind == "dict":
        return {key: _put_tensors(item, file) for key, item in content}
    if kind == "list":
        return [_put_tensors(item, file) for item in content]
    return content
