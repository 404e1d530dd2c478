"""What the commands share."""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from msae.sae.sae import SAE

MEASURED_TOKENS = 50_000
"""Held-out tokens that an SAE is measured on, at most."""


class Stopped(Exception):
    """Interrupted by hand, after something was kept: what that is. The same command goes on from there."""


class Ended(Stopped):
    """The same, of a command that would begin anew."""


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
        "--model",
        type=words,
        default=default,
        help=f"'bundled', 'tinymodel' (the article's), a packed folder, or a TransformerLens name{own}",
    )
    command.add_argument(
        "--stories",
        type=words,
        default=default,
        help=f"'bundled', 'tinystories', 'tinystories-v2', or a file; every 20th story is held out{own}",
    )


def words(text: str) -> str:
    """An option that must not be empty: "" would mean that it was left out, or the folder that one is in."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"it must not be empty, got {text!r}")
    return text


def path(text: str) -> Path:
    return Path(words(text))


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


def read_source(
    model: str, stories: str, hook: str, n_ctx: int, n_tokens: int | None, *, held_out: bool, at_most: int | None = None
) -> tuple[Any, Any]:
    """The language model, and its activations on the stories to train on or on the held-out ones: `n_tokens`, all, or all up to a limit."""
    from msae.activations.kept import Activations
    from msae.activations.rows import read_texts
    from msae.lm.loading import load_language_model
    from msae.texts.stories import load_stories, split_stories

    texts = split_stories(load_stories(stories))[int(held_out)]
    lm = load_language_model(model)
    if at_most is not None:
        texts = texts[:at_most]  # each has a token at least
        n_tokens = min(at_most, int(read_texts(lm, texts, n_ctx).mask.sum()))
    return lm, Activations(lm, texts, hook_name=hook, n_ctx=n_ctx, n_tokens=n_tokens)


def check_model(saes: Mapping[str, SAE], model: str, stories: str) -> None:
    """Refuse SAEs that were made from another language model than the one that they are to be looked at with."""
    from msae.lm.sources import recorded_source, source, source_differences

    for name, sae in saes.items():
        found = [
            text for text in source_differences(recorded_source(sae.config), source(model, stories)) if text.startswith("language_model")
        ]
        if found:
            raise ValueError(f"{name} was made from another language model ({found[0]}): give the one it was made from as --model")


def check_activations(saes: Mapping[str, SAE], activations: Any) -> None:
    """The same, once the model is there: by its weights and settings."""
    from msae.support.origin import check_origin

    now = getattr(activations, "origin", None) or {}
    for name, sae in saes.items():
        asked = {key: now[key] for key in ("language_model", "d_model") if key in now}
        check_origin(sae.config.get("made_from") or {}, asked, name, "give the language model that it was made from as --model")


def add_fields(
    command: argparse.ArgumentParser, module: str, name: str, defaults: dict[str, Any] | None = None, leave_out: Sequence[str] = ()
) -> None:
    """One option per field of a configuration class, with its type and default."""
    for field in fields(getattr(import_module(module), name)):
        if field.name in leave_out:
            continue
        default = (defaults or {}).get(field.name, field.default)
        option = "--" + field.name.replace("_", "-")
        if field.type == "bool":
            command.add_argument(option, action="store_true")
        elif field.type == "tuple[float, float]":
            command.add_argument(option, type=float, nargs=2, default=default)
        else:
            required = default is MISSING
            command.add_argument(
                option,
                type=_TYPES.get(str(field.type), str),
                choices=_CHOICES.get(field.name),
                required=required,
                default=None if required else default,
            )


def config_from(options: argparse.Namespace, kind: Any, **given: Any) -> Any:
    """A configuration from the options that `add_fields` made, and what was made from others."""
    values = {field.name: getattr(options, field.name) for field in fields(kind) if field.name not in given}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in (values | given).items()})


def integer(text: str) -> int:
    """A whole number that a computer can count with; its bounds are judged by what it configures."""
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text):
        raise argparse.ArgumentTypeError(f"it must be a whole number of at most 18 digits, got {text!r}")
    return int(text)


_CHOICES = {"penalty": ["l1", "log", "sqrt", "tanh"]}
_TYPES: dict[str, Callable[[str], Any]] = {
    "int": integer,
    "float": float,
    "str": str,
    "int | tuple[int, ...]": integer,
    "float | None": float,
}


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
