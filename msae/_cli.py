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
