"""Paths: a place on disk that can be read or written, found out without writing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from msae.support.arguments.values import shown


def path(name: str, value: object) -> Path:
    """A path, given as a string or a path."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ValueError(f"{name} must be a path, got {shown(value)}")
    found = Path(value)
    try:
        os.fsencode(found)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be a path that the disk can hold, got {shown(value)}") from error
    if "\0" in str(found):
        raise ValueError(f"{name} must be a path, got {shown(value)}: no name has a zero byte")
    return found


def new_file(name: str, value: object) -> Path:
    """A path that a file can be written to, once its folder is made. Nothing is written to find out."""
    found = path(name, value)
    _writable(name, found, found.parent)
    if found.is_dir():
        raise ValueError(f"{name} must be a file, got the folder {found}: give a name in it")
    return found


def new_folder(name: str, value: object) -> Path:
    """A path of a folder that can be written into, or be made. Nothing is written to find out."""
    found = path(name, value)
    _writable(name, found, found)
    return found


def _writable(name: str, given: Path, folder: Path) -> None:
    try:
        there = next(part for part in (folder, *folder.parents) if part.exists())
        if not there.is_dir():
            raise ValueError(f"{name} must lie in a folder, got {given}: {there} is a file")
        tempfile.TemporaryFile(dir=there).close()  # without a name, so that no one sees it
    except OSError as error:
        raise ValueError(f"{name} must be a place that can be written to, got {shown(str(given))}: {error.strerror or error}") from error
