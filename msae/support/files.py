"""The one way in which files are written: all of a set or none, never half of one, with the permissions that the umask gives.

A file is written beside its place under another name and moved there when it is whole. Of several files that belong together each is
written first; then they are moved, and Ctrl-C waits until they are.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from msae.support.interrupts import uninterrupted

Content = str | bytes | Callable[[Path], Any]
"""Text, bytes, or a function that writes a file of the name that it is given."""


def write_files(contents: Mapping[Path, Content]) -> None:
    """Write files that belong together, the last one last. Their folders are made where they are missing.

    Raises:
        OSError: a place that cannot be written, a full disk; whatever stood at these places before stands there still.
    """
    parts: dict[Path, Path] = {}
    with ExitStack() as stack:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(f"{path} is a folder: a file is to be written there")
            part = parts[path] = path.with_name(f".{path.name}.{os.getpid()}.part")
            stack.callback(part.unlink, missing_ok=True)
            part.touch()
            mode = part.stat().st_mode
            if callable(content):
                content(part)
            else:
                part.write_bytes(content.encode() if isinstance(content, str) else content)
            part.chmod(mode)  # safetensors leaves its files to the owner alone
            with part.open("rb") as file:
                os.fsync(file.fileno())
        with uninterrupted():
            for path, part in parts.items():
                os.replace(part, path)


def write_file(path: Path, content: Content) -> None:
    """Write one file."""
    write_files({path: content})


def as_json(value: Any, what: str, *, indent: int | None = 2) -> str:
    """JSON that any reader takes, and a newline.

    Args:
        what: how an error calls the value, such as "config".

    Raises:
        ValueError: naming the first entry that JSON has no form for: NaN, infinity, an object, a key that is no string.
    """
    _check(value, what)
    return json.dumps(value, indent=indent, ensure_ascii=False) + "\n"


def _check(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{place} has the key {key!r}: expected strings, since it is kept as JSON")
            _check(key, f"a key of {place}")
            _check(item, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check(item, f"{place}[{i}]")
    elif isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"{place} is {value!r}: half of a surrogate pair is no text that UTF-8 can hold")
    elif value is not None and not isinstance(value, int) and not (isinstance(value, float) and math.isfinite(value)):
        raise ValueError(f"{place} is {value!r}: JSON keeps strings, finite numbers, True, False, None, lists and dicts of these")
