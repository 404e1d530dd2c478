"""The language model and the stories that a result was made from: by name, and by content where that can be had without reading them.

    about = source("my-model", "my-stories.jsonl")      # {"language_model": "my-model", "stories": "my-stories.jsonl", "content": {…}}

Content counts where both sides know it: a file that was moved is the same, one that was changed is not, whatever it is called.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from msae.lm.loading import FILES
from msae.support.manifests import ASSETS, sha256_of
from msae.support.origin import Origin
from msae.texts.stories import STORIES_FILE

SOURCES = ("language_model", "stories")


def source(language_model: str, stories: str) -> Origin:
    """Both names, and under "content" the SHA-256 of what lies on this disk; of what comes from the hub the name has to do."""
    names = {"language_model": str(language_model), "stories": str(stories)}
    return names | {"content": {name: digest for name in SOURCES if (digest := content_of(name, names[name]))}}


def content_of(kind: str, name: str) -> str | None:
    """SHA-256 of a language model's files or of a file of stories; None where there is no such file."""
    if kind == "stories":
        paths = [ASSETS / "stories" / STORIES_FILE if name == "bundled" else Path(name)]
    else:
        folder = ASSETS / "language_model" if name == "bundled" else Path(name)
        paths = [folder / file for file in FILES]
    if not all(path.is_file() for path in paths):
        return None
    digests = [sha256_of_file(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def source_differences(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Which of the two is another one, in the words of `msae.support.origin.differences`; what is not recorded differs in nothing."""
    found = []
    for name in (name for name in SOURCES if name in recorded and name in asked):
        old, new = recorded[name], asked[name]
        old_content, new_content = (side.get("content", {}).get(name) for side in (recorded, asked))
        if old_content is None or new_content is None:
            old_content, new_content = old, new
        if old_content != new_content:
            changed = old == new
            found.append(f"{name} is {old!r}{changed * ' as it was then'}, and {new!r}{changed * ' as it is now'} is asked for")
    return found


def recorded_source(config: Mapping[str, Any]) -> Origin:
    """What an SAE's `config` says of its source: its names, "n_ctx", "skip_first" and "content"; empty where it says nothing."""
    about: Mapping[str, Any] = next((config[name] for name in ("family", "data") if isinstance(config.get(name), Mapping)), {})
    renamed = {"model": "language_model"}  # what `python -m msae train` calls it
    told = (*SOURCES, "n_ctx", "skip_first", "content")
    return {renamed.get(name, name): value for name, value in about.items() if renamed.get(name, name) in told}


def sha256_of_file(path: Path) -> str:
    """In hexadecimal; a file that is as it was is not read again."""
    stat = path.stat()
    if time.time() - stat.st_mtime < 5:  # it may change again within the same tick of the clock that files are dated by
        return _sha256.__wrapped__(str(path), 0, 0)
    return _sha256(str(path.resolve()), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    return sha256_of(Path(path))
