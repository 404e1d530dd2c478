"""Stories: from the bundle, from a file, from the TinyStories data set, or sampled from a language model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import Any

from msae.support import arguments
from msae.support.manifests import ASSETS, check_manifest, write_with_manifest
from msae.texts.files import KINDS, lines, read_rows, write_lines
from msae.texts.given import check_stories
from msae.texts.tinystories import SOURCES, load_tinystories

STORIES_FILE = "stories.jsonl.zst"
HELD_OUT = 20
"""Every 20th story is for measuring only."""


def load_stories(source: str | os.PathLike[str] = "bundled", n: int | None = None, *, split: str = "train") -> list[str]:
    """Texts, one string per story.

    The two data sets of the hub are cleaned as the article's author did (`clean_story`). With n, the first n stories are streamed, and
    kept: the next call for as many or fewer needs no network. Without n, the whole split is downloaded once (about 1 GB and 2 GB), each
    file checked by its hash.

    Args:
        source: "bundled" for the stories that ship with the library (sampled from its language model); "tinystories" for the
            data set of Eldan and Li 2023 (`roneneldan/TinyStories`, 2.1 million stories by GPT-3.5 and GPT-4); "tinystories-v2" for the
            one that the article's model was trained on (`noanabeshima/TinyStoriesV2`, 2.7 million by GPT-4 alone); or a file: `.jsonl`
            or `.jsonl.zst` (one object with "text", or one string, per line), `.parquet` (a column "text"), `.txt` (stories apart by
            `<|endoftext|>`, or else by blank lines). A file's stories are taken as they are.
        n: the first n stories only; all of them if left out.
        split: "train" or "validation", of a data set of the hub.

    Returns:
        the texts, one string per story.

    Raises:
        FileNotFoundError: no such file, or the bundled one is missing.
        ValueError: n is not positive, the split is unknown, the file's kind is unknown, it has no stories, or a file was altered.
        ConnectionError: the data set could not be fetched.

    Example:
        >>> stories = msae.load_stories("bundled", n=2)
        >>> stories[0][:13]
        'The dog saw t'
    """
    n = None if n is None else arguments.whole("n", n, 1, hint="leave it out for all stories")
    path = arguments.path("source", source)
    if source in SOURCES:
        return load_tinystories(str(source), n, split)
    if split != "train":
        raise ValueError(f"only the hub's data sets have splits, got split={split!r}: give {' or '.join(SOURCES)}, or leave it out")
    if source == "bundled":
        check_manifest(ASSETS / "stories", (STORIES_FILE,))
        path = ASSETS / "stories" / STORIES_FILE
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: give 'bundled', {', '.join(map(repr, SOURCES))}, or a file that ends in {KINDS}")
    stories = list(islice(filter(None, map(str.strip, read_rows(path))), n))
    if not stories:
        raise ValueError(f"{path} holds no stories")
    return stories


def split_stories(stories: Sequence[str]) -> tuple[list[str], list[str]]:
    """Stories to train on, and every 20th (`HELD_OUT`) to measure on; of fewer than 20 the last.

    Args:
        stories: texts.

    Returns:
        both lists, in the order of the stories.

    Raises:
        ValueError: fewer than two stories, or one that is no text.

    Example:
        >>> msae.split_stories(["Lily ran.", "Sue ran.", "Tom ran."])
        (['Lily ran.', 'Sue ran.'], ['Tom ran.'])
    """
    stories = check_stories(stories)
    if len(stories) < 2:
        raise ValueError(f"expected at least two stories, one of them to measure on, got {len(stories)}")
    if len(stories) < HELD_OUT:
        return list(stories[:-1]), list(stories[-1:])
    return [story for i, story in enumerate(stories) if i % HELD_OUT != HELD_OUT - 1], list(stories[HELD_OUT - 1 :: HELD_OUT])


def save_stories(stories: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Write stories as `.jsonl` or, compressed, `.jsonl.zst`: one object `{"text": …}` per line.

    Args:
        stories: texts.
        path: the file. One that is there is replaced.

    Raises:
        ValueError: a story that is no text, or another ending.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/two.jsonl"
        >>> msae.texts.save_stories(["Lily ran.", "Sue ran."], path)
        >>> msae.load_stories(path)
        ['Lily ran.', 'Sue ran.']
    """
    place = arguments.path("path", path)
    if not place.name.lower().endswith((".jsonl", ".jsonl.zst")):
        raise ValueError(f"path must end in .jsonl or .jsonl.zst, got {place}")
    write_lines(place, ({"text": story} for story in check_stories(stories)))


def pack_stories(folder: str | os.PathLike[str], stories: Sequence[str], *, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write a folder such as `load_stories("bundled")` reads: the stories, and a manifest with their hash.

    Args:
        folder: made if it is missing; files of the same names are replaced.
        stories: texts.
        manifest: what is known of them, as JSON values: the command, the seed.

    Returns:
        the manifest that was written: what was given, the counts of stories and characters, versions, hardware and hash.

    Raises:
        ValueError: a story that is no text, a manifest that JSON has no form for, or a folder with other packed files.

    Example:
        >>> import tempfile
        >>> manifest = msae.texts.pack_stories(tempfile.mkdtemp(), ["Lily ran."], manifest={"seed": 0})
        >>> manifest["n_stories"], manifest["n_characters"], manifest["seed"]
        (1, 9, 0)
    """
    path, stories = arguments.path("folder", folder), check_stories(stories)
    if not isinstance(manifest, dict):
        raise ValueError(f"manifest must be a dict, got {arguments.shown(manifest)}")
    content = lines(({"text": story} for story in stories), compressed=True)
    counts = {"n_stories": len(stories), "n_characters": sum(map(len, stories))}
    about = {"what": "stories sampled from the bundled language model"} | manifest | counts
    return write_with_manifest(path, {STORIES_FILE: content}, about)
