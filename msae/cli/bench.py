"""`python -m msae bench`: how fast a training step is on this machine."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from msae.cli.base import Commands, Ended, add_command, in_place, integer, one_line, path, warn
from msae.support.files import as_json, write_file

if TYPE_CHECKING:
    from msae.bench.settings import Setting


def add_bench_command(commands: Commands) -> None:
    """Add `bench`."""
    what = "time a training step on this machine, beside five dense products and other libraries"
    add_command(commands, "bench", bench_steps, what, _add_options)


def _add_options(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--setting", choices=["toy", "mid", "large", "all"], help="all where none is given; large takes 8 GB of memory")
    for name, kind, what in (
        ("d-model", integer, "width"),
        ("n-latents", integer, "latents"),
        ("batch", integer, "inputs"),
        ("l0", float, "mean L0"),
    ):
        bench.add_argument(f"--{name}", type=kind, help=f"{what} of a setting of your own; needs the other three too")
    bench.add_argument("--loss", nargs="+", choices=["plain", "sampled", "all_prefixes"], default=["plain", "sampled", "all_prefixes"])
    bench.add_argument("--nonlinearity", nargs="+", choices=["relu", "topk"], default=["relu", "topk"], help="relu has the log penalty")
    bench.add_argument("--rounds", type=integer, default=7, help="turns of every step; ratios are medians over rounds")
    bench.add_argument("--threads", type=integer, help="of each process; where none is given 1 for the toy, else PyTorch's choice")
    bench.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    bench.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"], help="of the products")
    bench.add_argument("--counts", action="store_true", help="also count operations and host reads of one step")
    bench.add_argument("--peer", action="append", metavar="NAME=PYTHON", default=[], help="sae-lens or dictionary-learning; see below")
    bench.add_argument("--json", type=path, metavar="FILE", help="write all numbers, raw block times included")
    bench.add_argument("--figure", type=path, metavar="FILE.html", help="write a figure that opens in a browser")
    bench.epilog = (
        "A peer takes its turns in an environment of its own, about 2 GB: python -m venv sae-lens && sae-lens/bin/pip install sae-lens; "
        "then --peer sae-lens=sae-lens/bin/python. The same goes for dictionary-learning."
    )


def bench_steps(options: argparse.Namespace) -> None:
    """`bench`: time the steps, print a table, write what is asked for."""
    from msae.bench.report import figure, table
    from msae.bench.run import bench

    settings = _settings(options)
    for name in ("json", "figure"):
        in_place(f"--{name}", getattr(options, name))
    if options.figure and find_spec("plotly") is None:
        raise ImportError("--figure needs plotly: pip install 'msae[explore]'")
    peers = dict(peer.partition("=")[::2] for peer in options.peer)
    done: dict[str, Any] = {}
    there = f" and in {options.json}" if options.json else ""

    def keep(result: dict[str, Any]) -> None:
        done.update(result, command=options.command_line)
        if options.json:
            write_file(options.json, as_json(done, "result", indent=1))

    try:
        result = bench(
            settings,
            rounds=options.rounds,
            losses=options.loss,
            nonlinearities=options.nonlinearity,
            peers=peers,
            threads=options.threads,
            device=options.device,
            dtype=options.dtype,
            counts=options.counts,
            keep=keep,
            log=lambda line: print(line, file=sys.stderr),
        )
    except BaseException as error:
        if done:  # what was timed before it stopped is as good as ever
            print(table(done))
            if isinstance(error, KeyboardInterrupt):
                raise Ended(f"the numbers of {', '.join(done['settings'])} are above{there}") from None
        raise
    keep(result)
    print(table(done))
    if options.figure:
        try:
            write_file(options.figure, lambda part: figure(done).write_html(part, include_plotlyjs=True))
        except Exception as error:
            warn(f"the figure cannot be written ({one_line(error)}); the numbers are above{there}")


def _settings(options: argparse.Namespace) -> dict[str, Setting]:
    """The sizes asked for: one that ships, all of those, or the reader's own."""
    from msae.bench.settings import SETTINGS, Setting

    own = {name: getattr(options, name) for name in ("d_model", "n_latents", "batch", "l0")}
    missing = [f"--{name.replace('_', '-')}" for name, value in own.items() if value is None]
    if 0 < len(missing) < len(own):
        raise ValueError(f"a setting of your own needs --d-model, --n-latents, --batch and --l0: {', '.join(missing)} is missing")
    if not missing and options.setting:
        raise ValueError(f"give --setting {options.setting} or sizes of your own, not both")
    if not missing:
        return {"own": Setting(**own)}
    return SETTINGS if options.setting in (None, "all") else {options.setting: SETTINGS[options.setting]}
