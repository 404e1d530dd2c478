"""What the commands share."""

from __future__ import annotations

import argparse
from typing import Any


class Stopped(Exception):
    """Interrupted by hand, after a checkpoint was written."""


def add_command(commands: Any, name: str, run: Any, what: str) -> argparse.ArgumentParser:
    """One command, whose help shows its defaults."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.set_defaults(run=run)
    return command


def add_source(command: argparse.ArgumentParser, default: str | None = "bundled") -> None:
    """Where activations come from: a language model and stories."""
    command.add_argument(
        "--model", default=default, help="'bundled', 'tinymodel' (the article's), a packed folder, or a TransformerLens name"
    )
    command.add_argument(
        "--stories", default=default, help="'bundled', 'tinystories', 'tinystories-v2', or a file; every 20th story is held out"
    )


def read_source(model: str, stories: str, hook: str, n_ctx: int, n_tokens: int | None, *, held_out: bool) -> tuple[Any, Any]:
    """The language model, and its activations on the stories to train on or on the held-out ones."""
    from msae.activations import Activations
    from msae.language_model import load_language_model
    from msae.stories import load_stories, split_stories

    texts = split_stories(load_stories(stories))[int(held_out)]
    lm = load_language_model(model)
    return lm, Activations(lm, texts, hook_name=hook, n_ctx=n_ctx, n_tokens=n_tokens)
