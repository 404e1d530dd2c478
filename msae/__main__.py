"""The command line: what a person does without a notebook. `python -m msae --help` says more."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from msae.cli.base import Ended, Parser, Stopped, one_line, warn
from msae.cli.bench import add_bench_command
from msae.cli.explore import add_explore_command
from msae.cli.family import add_family_commands
from msae.cli.language_model import add_language_model_commands
from msae.cli.push import add_push_command
from msae.cli.sae import add_sae_commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 wrong input (one line on stderr), 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        for argument in arguments:
            if any("\ud800" <= letter <= "\udfff" for letter in argument):
                raise ValueError(f"an argument must be text in UTF-8, got {argument!r}: it is kept with what is made")
        options = parser().parse_args(arguments)
        options.command_line = "python -m msae " + shlex.join(arguments)
        options.run(options)
        sys.stdout.flush()
    except Stopped as stopped:
        go_on = "" if isinstance(stopped, Ended) else f". To go on: {options.command_line}"
        print(f"\nstopped; {stopped}{go_on}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `… | head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python would complain at its end
        return 0
    except KeyboardInterrupt:
        print("\nstopped before anything was written", file=sys.stderr)
        return 130
    except Exception as error:  # a person at a terminal has no use for a traceback
        warn(one_line(error))
        return 2
    return 0


def parser() -> Parser:
    """All commands; each learns its options when it is asked for."""
    top = Parser(prog="python -m msae", description="Matryoshka sparse autoencoders and the language model they read.")
    commands = top.add_subparsers(required=True, metavar="command")
    for add in (
        add_language_model_commands,
        add_sae_commands,
        add_push_command,
        add_family_commands,
        add_explore_command,
        add_bench_command,
    ):
        add(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
