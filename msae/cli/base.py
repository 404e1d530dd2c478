"""What the commands share: how they end, how they are declared, and the kinds of options that they take."""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias, TypeVar

Config = TypeVar("Config")


class Stopped(Exception):
    """Interrupted by hand, after something was kept: what that is. The same command goes on from there."""


class Ended(Stopped):
    """The same, of a command that would begin anew."""


class Parser(argparse.ArgumentParser):
    """A command, or a group of them. It learns its options when it is asked for: they may come from a class that loads torch.

    What is wrong with the options it says as everything else that is wrong is said: in one line, without the usage.
    """

    add_options: Callable[[argparse.ArgumentParser], None] | None = None

    def complete(self) -> None:
        """Add the options, if they are not there yet."""
        add_options, self.add_options = self.add_options, None
        if add_options is not None:
            add_options(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.complete()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; `{self.prog} --help` lists what can be given")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What `add_subparsers` gives: where a command is added."""


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], None],
    what: str,
    add_options: Callable[[argparse.ArgumentParser], None],
) -> None:
    """One command: what it is called and does, the function that does it, and the one that declares its options."""
    command = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".", formatter_class=_Help)
    command.set_defaults(run=run)
    command.add_options = add_options


def add_source(command: argparse.ArgumentParser, default: str | None = "bundled") -> None:
    """Where activations come from: a language model and stories."""
    own = "" if default else "; what the SAE was made from where none is given"
    command.add_argument(
        "--model",
        type=words,
        default=default,
        help=f"'bundled', 'tinymodel' (the article's), a folder, or a TransformerLens name{own}",
    )
    command.add_argument(
        "--stories",
        type=words,
        default=default,
        help=f"'bundled', 'tinystories', 'tinystories-v2', or a file; every 20th story is held out{own}",
    )


def add_hook(command: argparse.ArgumentParser) -> None:
    """What an SAE reads, for files that do not say."""
    command.add_argument("--hook", type=words, metavar="NAME", help="what the SAE reads, where its files name no hook of TransformerLens")


def add_places(command: argparse.ArgumentParser, skip_first: int | None = 1) -> None:
    """Which tokens of the stories count."""
    command.add_argument("--n-ctx", type=whole(2), default=128, help="tokens in a text, [BEGIN] included")
    own = "" if skip_first is not None else "; as the SAE was made where none is given"
    command.add_argument(
        "--skip-first",
        type=whole(0),
        default=skip_first,
        metavar="POSITIONS",
        help=f"leave out so many at the start of a text, [BEGIN] included, where a model has vectors far too long{own}",
    )


def words(text: str) -> str:
    """An option that must not be empty: "" would mean that it was left out, or the folder that one is in."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"it must not be empty, got {text!r}")
    return text


def path(text: str) -> Path:
    """A file or folder, which must not be empty."""
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


def add_fields(
    command: argparse.ArgumentParser,
    module: str,
    name: str,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    leave_out: Sequence[str] = (),
    later: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """One option per field of a configuration class, with its type and default.

    A field named in `later`, with its help, gets its default when the others are known; `given_by` leaves it out where nobody gave it.
    """
    for field in fields(getattr(import_module(module), name)):
        if field.name in leave_out:
            continue
        default = None if field.name in later else defaults.get(field.name, field.default)
        option, said = "--" + field.name.replace("_", "-"), later.get(field.name, f"{name}.{field.name}")
        if field.type == "bool":
            both = argparse.BooleanOptionalAction if default is None else "store_true"  # what may be left out must be told from "no"
            command.add_argument(option, action=both, default=default, help=said)
        elif field.type == "tuple[float, float]":
            command.add_argument(option, type=float, nargs=2, default=default, help=said)
        else:
            required = default is MISSING
            command.add_argument(
                option,
                type=_TYPES.get(str(field.type), str),
                choices=_CHOICES.get(field.name),
                required=required,
                default=None if required else default,
                help=said,
            )


def config_from(options: argparse.Namespace, kind: type[Config], **given: Any) -> Config:
    """A configuration from the options that `add_fields` made, and what was made from others."""
    return kind(**(given_by(options, kind) | given))


def given_by(options: argparse.Namespace, kind: type[Any]) -> dict[str, Any]:
    """Field → value of the options that `add_fields` made, without those that it may leave out and nobody gave."""
    values = {field.name: getattr(options, field.name, None) for field in fields(kind)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if value is not None}


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
    """One line on stderr, as of an error, of what went wrong beside the work that was done."""
    print(f"msae: {text}", file=sys.stderr)
