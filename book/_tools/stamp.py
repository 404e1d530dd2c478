"""Write the repository's address, which stands in `_config.yml`, into everything that needs it.

    python book/_tools/stamp.py            write the setup cell of every chapter and the README's line on how to get the book
    python book/_tools/stamp.py --check    change nothing; say what differs and exit with 1

A chapter without a setup cell gets one, behind its first cell.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "lm,explore"
SETUP_TAGS = ["hide-input"]

COLAB_WITH_ADDRESS = """\
# Run this cell first. On Google Colab it installs msae; everywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install -q "msae[{extras}] @ git+{url}@{branch}"
    from google.colab import output

    output.enable_custom_widget_manager()"""

COLAB_WITHOUT_ADDRESS = """\
# Run this cell first. On Google Colab it checks that msae is there; everywhere else it does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("msae") is None:
    raise RuntimeError(
        "This copy of the book has no public address. Upload its folder, then run: "
        "%pip install './FOLDER[{extras}]'"
    )"""

GET_WITH_ADDRESS = "Get the book first: `git clone {url} && cd {name}`."
GET_WITHOUT_ADDRESS = "Run the commands in the folder that holds this file."
GET_MARKS = ("<!-- stamp: get -->", "<!-- end of stamp -->")


class Address(NamedTuple):
    """Where readers get the book."""

    url: str
    """Address of the repository without a closing slash; empty while there is none."""

    branch: str
    """Branch or tag that Colab opens and installs."""


def address(config: Path = ROOT / "_config.yml") -> Address:
    """The address that the configuration names; SystemExit with one sentence where it cannot be read or names none that fits."""
    try:
        settings = yaml.safe_load(config.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise SystemExit(f"{config.name} cannot be read: {said}") from error
    repository = (settings if isinstance(settings, dict) else {}).get("repository")
    repository = {} if repository is None else repository
    if not isinstance(repository, dict):
        raise SystemExit(f"{config.name}: repository is {repository!r}; expected url and branch")
    url, branch = repository.get("url") or "", repository.get("branch") or "main"
    for name, value in (("url", url), ("branch", branch)):
        if not isinstance(value, str):
            raise SystemExit(f"{config.name}: repository.{name} is {value!r}; expected text, in quotes where YAML reads a number")
    url = url.strip().rstrip("/").removesuffix(".git")
    if url and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise SystemExit(f"{config.name}: repository.url is {url!r}; expected https://github.com/OWNER/REPO, or nothing")
    if not re.fullmatch(r"[\w./-]+", branch):
        raise SystemExit(f"{config.name}: repository.branch is {branch!r}; expected the name of a branch or a tag")
    return Address(url, branch)


def setup_cell(where: Address) -> str:
    """Source of the setup cell, the same in every chapter. It leaves Colab's own packages as they are."""
    text = COLAB_WITH_ADDRESS if where.url else COLAB_WITHOUT_ADDRESS
    return text.format(extras=EXTRAS, url=where.url, branch=where.branch)


def get_line(where: Address) -> str:
    """The README's line on how to get the book."""
    text = GET_WITH_ADDRESS if where.url else GET_WITHOUT_ADDRESS
    return text.format(url=where.url, name=where.url.rsplit("/", 1)[-1])


def is_setup(cell: dict[str, Any]) -> bool:
    """Whether a cell of a notebook is the setup cell."""
    return cell["cell_type"] == "code" and "google.colab" in "".join(cell["source"])


def stamp_notebook(text: str, where: Address) -> str:
    """The notebook with its setup cell written, put behind the first cell where there is none yet."""
    notebook = json.loads(text)
    cells = notebook["cells"]
    if not any(is_setup(cell) for cell in cells):
        empty: dict[str, Any] = {
            "cell_type": "code",
            "execution_count": None,
            "id": "setup",
            "metadata": {},
            "outputs": [],
            "source": "google.colab",
        }
        cells.insert(1, empty)
    for cell in filter(is_setup, cells):
        cell["metadata"]["tags"] = SETUP_TAGS
        cell["source"] = setup_cell(where).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def stamp_readme(text: str, where: Address) -> str:
    """The README with its line on how to get the book; SystemExit where its marks are gone."""
    before, after = GET_MARKS
    pattern = re.compile(f"{re.escape(before)}.*?{re.escape(after)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"README.md lost its marks {before} … {after}; put them back around the line that says how to get the book")
    return pattern.sub(lambda _: f"{before}\n{get_line(where)}\n{after}", text)


def stamped(root: Path, where: Address) -> dict[Path, tuple[str, str]]:
    """Every stamped file with its text now and as it should be."""
    files = {}
    for path in sorted(root.glob("book/*/*.ipynb")):
        try:
            text = path.read_text(encoding="utf8")
            files[path] = (text, stamp_notebook(text, where))
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path.relative_to(root)} is no notebook: {type(error).__name__}: {error}") from error
    readme = root / "README.md"
    text = readme.read_text(encoding="utf8")
    files[readme] = (text, stamp_readme(text, where))
    return files


def main(arguments: list[str] | None = None) -> int:
    """Write, or with --check compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check",
        action="store_true",
        help="change nothing; exit with 1 where something differs",
    )
    options = parser.parse_args(arguments)
    where = address()
    differing = [(path, new) for path, (old, new) in stamped(ROOT, where).items() if old != new]
    for path, new in differing:
        if not options.check:
            path.write_text(new, encoding="utf8")
        print(("differs: " if options.check else "stamped: ") + str(path.relative_to(ROOT)))
    print(f"address: {where.url or 'none yet'}; {len(differing)} file(s) {'differ' if options.check else 'changed'}")
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
