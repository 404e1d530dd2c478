"""What docstrings, comments and pages name is there: a module, a name in it, a file. A thing that moves takes its mentions along."""

import re
from functools import cache
from importlib import import_module

from places import ROOT

NOT_NAMES = {"msae.X": "how `msae/_sphinx.py` stands for every name", "msae.nothing": "of no room, in a test"}
NOT_KEPT = {"row.json": "beside a measured SAE", "conf.py": "of anybody's book"}
NOT_KEPT |= {"cfg.json": "of SAELens", "activation_scaler.json": "of SAELens", "config.json": "of dictionary_learning"}
"""Files that are written elsewhere, and never part of this repository."""

PAGES = [*ROOT.glob("[!C]*.md"), ROOT / "CONTRIBUTING.md", *ROOT.glob("book/**/*.md"), *ROOT.glob("book/*/*.ipynb")]
SOURCES = [path for folder in ("msae", "tools", "book") for path in ROOT.glob(f"{folder}/**/*.py")]
TESTS = [path for path in ROOT.glob("tests/**/*.py") if path.name != "test_what_is_said.py"]
FOLDERS = "msae|tests|book|tools"


def named(text):
    """(line, name) of each `msae.X.Y` of a text."""
    return [(text.count("\n", 0, found.start()) + 1, found[0]) for found in re.finditer(r"\bmsae(\.[A-Za-z_]\w*)+", text)]


def paths(text):
    """(line, path) of each path from the root of the repository, and each name of a file in backticks."""
    inside = rf"(?<![\w/.~-])(?:{FOLDERS})/[\w./-]*\w|(?<=`)[\w-]+\.(?:py|json|md|yml|toml|ipynb|txt|css|js)(?=`)"
    return [(text.count("\n", 0, found.start()) + 1, found[0]) for found in re.finditer(inside, text)]


@cache
def is_there(name):
    """Whether a dotted name is a module, or what a module or a class in it holds."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            holder = import_module(".".join(parts[:n]))
        except ImportError:
            continue
        for part in parts[n:]:
            if not hasattr(holder, part):
                return part in getattr(holder, "__annotations__", {})
            holder = getattr(holder, part)
        return True
    return False


@cache
def file_names():
    return {path.name for folder in (*FOLDERS.split("|"), ".ci") for path in ROOT.glob(f"{folder}/**/*")} | {p.name for p in ROOT.iterdir()}


def is_file(path):
    if "/" not in path:
        return path in file_names()
    return any((ROOT / f"{path}{suffix}").exists() for suffix in ("", ".md", ".ipynb")) or path.endswith(".html")


def missing(find, there, but, files):
    """What some files name and is not there, and where."""
    found = [(path, line, name) for path in files for line, name in find(path.read_text(encoding="utf-8"))]
    return [f"{path.relative_to(ROOT)}:{line} names {name}" for path, line, name in found if name not in but and not there(name)]


def test_names_are_there():
    assert missing(named, is_there, NOT_NAMES, [*PAGES, *SOURCES]) == [], "write the name that it has now"


def test_files_are_there():
    assert missing(paths, is_file, NOT_KEPT, [*PAGES, *SOURCES, *TESTS]) == [], "write where the file is now"


def test_what_is_not_there_is_found():
    """The two tests above can fail."""
    said = "`msae.SAE.prefix`, `msae.sae.prefixes`,\n`msae.exchange`, `msae/sae/prefixes.py`, `msae/prefixes.py`, `house.py`, `flat.py`"
    assert [name for _, name in named(said) if not is_there(name)] == ["msae.exchange"]
    assert [name for _, name in paths(said) if not is_file(name)] == ["msae/prefixes.py", "flat.py"]
