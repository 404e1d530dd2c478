"""Folders of packed files: a manifest names the hash of each, and what the files were made with."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from msae.support import arguments
from msae.support.files import as_json, write_files
from msae.support.hardware import hardware
from msae.support.version import version_of

ASSETS = Path(__file__).parent.parent / "assets"
MANIFEST = "msae-manifest/1"


def write_with_manifest(folder: Path, files: dict[str, bytes], about: dict[str, Any]) -> dict[str, Any]:
    """Write files and the `manifest.json` that names the hash of each, all of them or none; returns the manifest.

    Raises:
        ValueError: as `check_packed`.
    """
    check_packed(folder, files)
    versions = {"python": platform.python_version()} | {name: version_of(name) for name in ("msae", "torch", "tokenizers")}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = about | {"format": MANIFEST, "versions": versions, "hardware": hardware(device), "sha256": sha256}
    text = as_json(manifest, "the manifest")
    write_files({folder / name: content for name, content in files.items()} | {folder / "manifest.json": text})
    return manifest


def check_packed(folder: Path, files: Collection[str]) -> None:
    """Refuse a folder whose manifest names files that are not among these: nothing would know them any more.

    Raises:
        ValueError: naming the first of them.
    """
    if not (folder / "manifest.json").is_file():
        return
    try:
        others = [name for name in read_manifest(folder).get("sha256", {}) if name not in files]
    except ValueError:  # a damaged manifest is to be written again
        return
    if others:
        raise ValueError(f"{folder} is packed with other files already, such as {others[0]}: give another folder")


def check_manifest(folder: Path, files: tuple[str, ...]) -> dict[str, Any]:
    """Read `manifest.json` and compare the hash of each file.

    Raises:
        FileNotFoundError: the manifest or a file is missing.
        ValueError: a file differs from the one the manifest names, or the manifest is none, or is of a later format.
    """
    folder = arguments.path("folder", folder)
    fix = "install msae again" if ASSETS in folder.parents else "write the folder again"
    manifest = read_manifest(folder)
    for name in files:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} lacks {name}: {fix}")
        found, expected = sha256_of(folder / name), manifest.get("sha256", {}).get(name)
        if found != expected:
            raise ValueError(f"{folder / name} was altered: expected the SHA-256 {expected}, got {found}; {fix}")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no manifest.json: expected a folder that `language-model pack` wrote")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, not JSON
        raise ValueError(f"{path} is not JSON ({error}): write the folder again") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256", {}), dict):
        raise ValueError(f"{path} is no manifest: expected the hash of each file, got {arguments.shown(manifest)}; write the folder again")
    if manifest.get("format", MANIFEST) != MANIFEST:
        raise ValueError(f"{path} has the format {manifest['format']!r}, and this msae reads {MANIFEST!r}: install a newer msae")
    return manifest


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
