"""What the commands share."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

MEASURED_TOKENS = 50_000
"""Held-out tokens that an SAE is measured on, at most."""


class Stopped(Exception):
    """Interrupted by hand, after something was written: what that is."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the options as everything else that is wrong is said: in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; `{self.prog} --help` lists what can be given")


def add_command(commands: Any, name: str, run: Any, what: str) -> argparse.ArgumentParser:
    """One command, whose help shows its defaults."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.set_defaults(run=run)
    return command


def add_source(command: argparse.ArgumentParser, default: str | None = "bundled") -> None:
    """Where activations come from: a language model and stories."""
    own = "" if default else "; what the SAE was made from where none is given"
    command.add_argument(
        "--model", default=default, help=f"'bundled', 'tinymodel' (the article's), a packed folder, or a TransformerLens name{own}"
    )
    command.add_argument(
        "--stories", default=default, help=f"'bundled', 'tinystories', 'tinystories-v2', or a file; every 20th story is held out{own}"
    )


def whole(least: int) -> Callable[[str], int]:
    """What turns an option into a whole number of at least so much, and of no more than 63 bits."""
    from msae.support import arguments

    def read(text: str) -> int:
        try:
            value: Any = int(text)
        except ValueError:
            value = text
        try:
            return arguments.whole("it", value, least, 2**63 - 1 if isinstance(value, int) and value >= 2**63 else None)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def split_texts(stories: str) -> tuple[list[str], list[str]]:
    """The stories to train on, and the held-out ones."""
    from msae.stories import load_stories, split_stories

    return split_stories(load_stories(stories))


def read_source(model: str, stories: str, hook: str, n_ctx: int, n_tokens: int | None, *, held_out: bool) -> tuple[Any, Any]:
    """The language model, and its activations on the stories to train on or on the held-out ones."""
    from msae.activations import Activations
    from msae.language_model import load_language_model

    texts = split_texts(stories)[int(held_out)]
    lm = load_language_model(model)
    return lm, Activations(lm, texts, hook_name=hook, n_ctx=n_ctx, n_tokens=n_tokens)


def in_place(name: str, path: Path | None) -> None:
    """Refuse a file that cannot be written, or whose folder is missing, before the work that is to fill it."""
    from msae.support import arguments

    if path is None:
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}: make it first")
    arguments.new_file(name, path)


def one_line(error: BaseException) -> str:
    """What an error says, on one line; of a kind that nobody meant to raise also what it is and where it came from."""
    said = " ".join(str(error).split())
    if said and isinstance(error, (ValueError, OSError, ImportError, RuntimeError, ArithmeticError)):
        return said
    place = traceback.extract_tb(error.__traceback__)[-1:]
    return f"{type(error).__name__}: {said}".removesuffix(": ") + "".join(f" ({Path(at.filename).name}, line {at.lineno})" for at in place)


def warn(text: str) -> None:
    print(f"msae: {text}", file=sys.stderr)
