"""TinyStories from the Hugging Face hub: the first stories as a stream, or all of them, cleaned as the article's author cleaned them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from msae.support import arguments, hub
from msae.support.reasons import first_line
from msae.texts.files import read_rows, write_lines

INSTEAD = "use load_stories('bundled') or load_stories('your_file.jsonl'), which need no network"


class Source(NamedTuple):
    """A data set of the hub."""

    repo: str
    files: dict[str, str]
    """Split to the pattern of its files."""

    column: str = "text"

    what: str = "the TinyStories data set"
    instead: str = INSTEAD


SOURCES = {
    "tinystories": Source("roneneldan/TinyStories", {split: f"data/{split}-*.parquet" for split in ("train", "validation")}),
    "tinystories-v2": Source(
        "noanabeshima/TinyStoriesV2", {"train": "TinyStoriesV2-GPT4-train.jsonl", "validation": "TinyStoriesV2-GPT4-valid.jsonl"}
    ),
}

BROKEN = "â€»«"
"""Letters that an encoding error left behind; a story with one of them is dropped."""


def load_tinystories(name: str, n: int | None, split: str) -> list[str]:
    """The first n cleaned stories of a split, or all of them where n is None; `msae.load_stories` describes it."""
    return load_rows(SOURCES[arguments.one_of("name", name, SOURCES)], name, n, split, clean_stories)


def clean_stories(texts: Iterable[str]) -> Iterator[str]:
    """Each story cleaned; those that are broken or empty are left out."""
    return filter(None, map(clean_story, texts))


def clean_story(text: str) -> str:
    """A story as the article's model has read it; empty if it is to be dropped.

    1. Stories with â, €, « or » are dropped: mostly these are encoding errors.
    2. Letters outside ASCII become the nearest ones inside (Unidecode): curly quotes would else be several tokens each.
    3. Space at the ends of lines goes, several line ends become one, tabs and several spaces become one space.

    Source: the data card of `noanabeshima/TinyStoriesV2` and `clean_text` in the package `tinymodel`. (The function on the card computes
    step 3 and then returns the text without it; the package, which made the model's tokens, applies it.)
    """
    text = arguments.text("text", text)
    try:
        from unidecode import unidecode
    except ImportError as error:
        raise ImportError("cleaning TinyStories as the article does needs Unidecode: `pip install 'msae[tinystories]'`") from error

    if any(letter in text for letter in BROKEN):
        return ""
    lines = (" ".join(line.split()) for line in unidecode(text).split("\n"))
    return "\n".join(line for line in lines if line)


def load_rows(source: Source, name: str, n: int | None, split: str, prepare: Callable[[Iterable[Any]], Iterable[Any]]) -> list[Any]:
    """Rows of a data set: the first n from the cache or as a stream, or all from the files.

    Args:
        source: the data set.
        name: of the file in the cache.
        n: the first n rows; None for all.
        split: "train" or "validation".
        prepare: turns values of the column into the rows to return.
    """
    if split not in [*source.files]:
        raise ValueError(f"split must be one of {', '.join(source.files)}, got {arguments.shown(split)}")
    n = None if n is None else arguments.whole("n", n, 1, hint="leave it out for all rows")
    if n is None:
        return [row for path in _download(source, split) for row in prepare(_progress(read_rows(path, source.column), None))]
    cache = cache_folder() / f"{name}-{split}.jsonl.zst"
    rows = _cached(cache, source.column, n)
    if len(rows) < n:
        rows = _stream(source, split, n, prepare)
        write_lines(cache, ({source.column: row} for row in rows))
    return rows


def cache_folder() -> Path:
    """Where streamed rows are kept: beside the hub's own cache, `HF_HOME/msae`."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "msae"


def _cached(cache: Path, column: str, n: int) -> list[Any]:
    try:
        return list(islice(read_rows(cache, column), n))
    except (FileNotFoundError, ValueError):  # not there, or damaged: then it is streamed anew
        return []


def _stream(source: Source, split: str, n: int, prepare: Callable[[Iterable[Any]], Iterable[Any]]) -> list[Any]:
    def client() -> list[Any]:
        from datasets import config, load_dataset

        before = config.STREAMING_READ_MAX_RETRIES
        config.STREAMING_READ_MAX_RETRIES = 1  # twenty by default, of which each is half a minute of the hub's own client
        try:
            rows = load_dataset(source.repo, data_files={split: source.files[split]}, split=split, streaming=True)
            values = (value for batch in rows.iter(batch_size=256) for value in batch[source.column])
            return list(islice(_progress(prepare(values), n), n))
        finally:
            config.STREAMING_READ_MAX_RETRIES = before

    try:
        return hub.ask(client, source.what, source.instead)
    except ValueError as error:  # a stream has no hash to check
        raise ConnectionError(f"{source.what} arrived damaged ({first_line(error)}): {source.instead}") from error


def _download(source: Source, split: str) -> list[Path]:
    pattern = source.files[split]

    def client() -> str:
        from huggingface_hub import snapshot_download

        return snapshot_download(source.repo, repo_type="dataset", allow_patterns=[pattern])

    folder = Path(hub.ask(client, source.what, source.instead))
    files = sorted(folder.glob(pattern))
    announced = re.search(r"-of-(\d+)", files[0].name) if files else None
    expected = int(announced[1]) if announced else 1
    if len(files) != expected:  # an earlier download was cut off, and now there is no network
        raise ConnectionError(f"{source.what} is not complete in the cache ({len(files)} of {expected} files): {source.instead}")
    return files


def _progress(rows: Iterable[Any], total: int | None) -> Iterable[Any]:
    from tqdm.auto import tqdm

    shown: Iterable[Any] = tqdm(rows, total=total, unit="row", unit_scale=True, desc="TinyStories", delay=2)
    return shown
