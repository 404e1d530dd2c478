"""The one way in which files are written: all of a set or none, never half of one, with the permissions that the umask gives.

A file is written beside its place under another name and moved there when it is whole. Of several files that belong together each is
written first; then they are moved, and Ctrl-C waits until they are. Where a move fails, those before it are taken back.
"""

from __future__ import annotations

import glob
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

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
            for folder in reversed([folder for folder in path.parents if not folder.exists()]):
                stack.callback(_remove_if_empty, folder)
            check_writable(path)
            _sweep(path)
            part = parts[path] = _beside(path)
            stack.callback(part.unlink, missing_ok=True)
            part.touch()
            mode = part.stat().st_mode
            if callable(content):
                try:
                    content(part)
                except SafetensorError as error:  # a full disk, which is no OSError there
                    raise OSError(f"{path} cannot be written: {error}") from error
            else:
                part.write_bytes(content.encode() if isinstance(content, str) else content)
            part.chmod(mode)  # safetensors leaves its files to the owner alone
            with part.open("rb") as file:
                os.fsync(file.fileno())
        with uninterrupted():
            _move(parts, stack)


def _move(parts: Mapping[Path, Path], stack: ExitStack) -> None:
    before: dict[Path, Path | None] = {}
    for path in parts if len(parts) > 1 else ():  # one move alone is whole or not at all
        before[path] = None
        if path.exists():
            before[path] = kept = _beside(path, "before")
            stack.callback(kept.unlink, missing_ok=True)
            try:
                os.link(path, kept)
            except OSError:  # a disk without links
                shutil.copy2(path, kept)
    moved: list[Path] = []
    try:
        for path, part in parts.items():
            os.replace(part, path)
            moved.append(path)
    except BaseException:
        for path in moved:
            old = before[path]
            if old is None:
                path.unlink()
            else:
                os.replace(old, path)
        raise


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def write_file(path: Path, content: Content) -> None:
    """Write one file."""
    write_files({path: content})


def check_writable(path: Path) -> None:
    """See that a file can be written here, before the work that will fill it. Its folder is made where it is missing.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: a file is to be written there")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{path.parent} is no folder: {path.name} cannot be written there") from error
    part = _beside(path)
    part.touch()
    part.unlink()


def as_json(value: Any, what: str, *, indent: int | None = 2) -> str:
    """JSON that any reader takes, and a newline.

    Args:
        value: strings, numbers, True, False, None, lists and dicts.
        what: how an error calls the value, such as "config".
        indent: spaces of a level; None for all on one line.

    Raises:
        ValueError: naming the first entry that JSON has no form for: NaN, infinity, an object, a key that is no string.
    """
    _check(value, what)
    return json.dumps(value, indent=indent, ensure_ascii=False) + "\n"


def _beside(path: Path, kind: str = "part") -> Path:
    """Where this process writes what is to be moved to `path`, or keeps what was there before."""
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


def _sweep(path: Path) -> None:
    """Remove what processes that were killed while they wrote this file have left."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.*"):
        process = part.name.split(".")[-2]
        if part.suffix in (".part", ".before") and process.isdecimal() and not _runs(int(process)):
            part.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


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
            raise ValueError(f"{place} is {value!r}: half of a surrogate pair is no text")
    elif value is not None and not isinstance(value, int) and not (isinstance(value, float) and math.isfinite(value)):
        raise ValueError(f"{place} is {value!r}: JSON keeps strings, finite numbers, True, False, None, lists and dicts of these")
