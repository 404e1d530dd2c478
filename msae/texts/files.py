"""Rows of texts in files: `.jsonl`, `.jsonl.zst`, `.parquet` and `.txt`, read one after the other, and checked."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msae.support import arguments
from msae.support.files import as_json, write_file
from msae.support.reasons import first_line

END_OF_TEXT = "<|endoftext|>"
KINDS = ".txt, .jsonl, .jsonl.zst or .parquet"


def read_rows(path: Path, column: str = "text") -> Iterator[Any]:
    """The values of one column, row after row; of a `.txt` file its texts, apart by `<|endoftext|>`, or else by blank lines.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file's kind is unknown, or it is damaged, cut off, not UTF-8 or without the column; the place is named.
    """
    path, column = arguments.path("path", path), arguments.text("column", column)
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _parquet(path, column)
    if name.endswith((".jsonl", ".jsonl.zst")):
        return _jsonl(path, column)
    if name.endswith(".txt"):
        return _txt(path)
    raise ValueError(f"cannot tell what {path} holds: expected a name that ends in {KINDS}")


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """One JSON value per line, compressed where the name ends in `.zst`. A file of that name is replaced, but only by a whole one.

    Raises:
        ValueError: a row that JSON has no form for.
    """
    path = arguments.path("path", path)
    write_file(path, lines(rows, compressed=path.suffix.lower() == ".zst"))


def lines(rows: Iterable[Any], *, compressed: bool) -> bytes:
    """The content of such a file."""
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise ValueError(f"rows must be a list of values, got {arguments.shown(rows)}")
    content = "".join(as_json(row, f"rows[{i}]", indent=None) for i, row in enumerate(rows)).encode()
    if not compressed:
        return content
    import zstandard

    return zstandard.ZstdCompressor(level=19 if len(content) < 20e6 else 6, write_checksum=True).compress(content)


def _parquet(path: Path, column: str) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if column not in names:
                raise ValueError(f"{path} has no column {column!r}, only {', '.join(names)}")
            row = 0
            for batch in file.iter_batches(batch_size=1024, columns=[column]):
                for value in batch.column(0).to_pylist():
                    row += 1
                    yield _checked(value, column, f"row {row} of {path}")
    except (pyarrow.ArrowInvalid, pyarrow.ArrowIOError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is not a whole Parquet file: {first_line(error)}") from error


def _jsonl(path: Path, column: str) -> Iterator[Any]:
    for number, line in enumerate(_lines(path), start=1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line  # Windows marks its text files
        if not line.strip():
            continue
        place = f"line {number} of {path}"
        try:
            entry = json.loads(line.decode())
        except UnicodeDecodeError as error:
            raise ValueError(f"{place} is not UTF-8: {error}") from error
        except json.JSONDecodeError as error:
            raise ValueError(f"{place} is not JSON: {error}") from error
        yield _checked(entry.get(column) if isinstance(entry, dict) else entry, column, place)


def _lines(path: Path) -> Iterator[bytes]:
    if path.suffix.lower() != ".zst":
        with path.open("rb") as file:
            yield from file
        return
    rest = b""
    for part in _decompressed(path):
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
    yield rest


def _decompressed(path: Path) -> Iterator[bytes]:
    """The content of a Zstandard file of one or more frames. The library's own reader says nothing when a file is cut off."""
    import zstandard

    frame = None
    with path.open("rb") as file:
        try:
            while part := file.read(1 << 20):
                while part:
                    frame = frame or zstandard.ZstdDecompressor().decompressobj()
                    yield frame.decompress(part)
                    part = frame.unused_data if frame.eof else b""
                    frame = None if frame.eof else frame
        except zstandard.ZstdError as error:
            raise ValueError(f"{path} is not a Zstandard file, or is damaged: {error}") from error
    if frame is not None:
        raise ValueError(f"{path} is cut off: fetch or write it again")


def _txt(path: Path) -> Iterator[str]:
    try:
        content = path.read_text(encoding="utf-8-sig")  # Windows marks its text files
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    if END_OF_TEXT in content:
        yield from content.split(END_OF_TEXT)
    else:
        yield from "\n".join(line.rstrip() for line in content.splitlines()).split("\n\n")


def _checked(value: Any, column: str, place: str) -> Any:
    if column == "text" and not isinstance(value, str):
        raise ValueError(f'{place} is no story: expected {{"text": "…"}} or a string, got {json.dumps(value)[:60]}')
    if value is None:
        raise ValueError(f"{place} has no {column!r}")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{place} is no text: it holds half of a surrogate pair") from error
    return value
