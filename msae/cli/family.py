"""`python -m msae family`: train, measure and pack the SAEs of part 2, and make any row of their table again."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from msae.cli.base import Stopped, add_command, in_place, path, whole, words
from msae.support import arguments


def add_family_commands(commands: Any) -> None:
    family = commands.add_parser("family", help="train and measure the SAEs of part 2: references, large plain and Matryoshka SAEs")
    family_commands = family.add_subparsers(required=True, metavar="command")

    train_all = add_command(family_commands, "train", train_saes, "train what is missing; started again it goes on")
    _add_common(train_all)
    _add_length(train_all, "of the steps and tokens: 0.001 tries everything out")
    train_all.add_argument("--device", default="cpu")
    train_all.add_argument("--checkpoint-every", type=whole(1), default=250, metavar="STEPS")
    train_all.epilog = "Several processes may work on one folder: each takes the next hook and seed that no other is at."

    measure = add_command(family_commands, "measure", measure_saes, "measure what is trained, and write one table")
    _add_common(measure)
    _add_length(measure, "as it was trained with")
    measure.add_argument("--valid", type=words, help="more stories to measure on, beside every 20th of the family's own: a name or a file")
    measure.add_argument("--n-tokens", type=whole(2), default=50_000, help="of each set of stories, at most")
    measure.add_argument("--n-spliced", type=whole(1), default=128, metavar="TEXTS", help="for loss recovered, at most")
    measure.add_argument("--device", default="cpu")
    measure.add_argument("--table", type=path, metavar="FILE.json", help="write all rows")

    pack_some = add_command(family_commands, "pack", pack, "copy trained SAEs of one hook and seed into a folder that load_saes reads")
    _add_common(pack_some)
    _add_length(pack_some, "as it was trained with")
    pack_some.add_argument("--to", required=True, type=path, metavar="FOLDER")

    reproduce = add_command(family_commands, "reproduce", reproduce_row, "train one SAE of the shipped table again and compare")
    reproduce.add_argument("id", help="such as blocks.3.hook_resid_pre/matryoshka-30-seed0")
    reproduce.add_argument("--out", required=True, type=path, help="folder of the SAEs")
    reproduce.add_argument("--device", default="cpu")


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--family", type=words, default="bundled", help="'bundled', 'article' (full scale), or a JSON file of your own")
    command.add_argument("--out", required=True, type=path, help="folder of the SAEs")
    command.add_argument(
        "--only", nargs="+", default=["*"], metavar="PATTERN", help="of ids such as blocks.3.hook_resid_pre/matryoshka-30-seed0"
    )


def _add_length(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--length", type=float, default=1.0, metavar="SHARE", help=what)


def train_saes(options: argparse.Namespace) -> None:
    from msae.family.members import load_family
    from msae.family.training import train_family

    family = load_family(options.family)
    try:
        how = {name: getattr(options, name) for name in ("only", "length", "device", "checkpoint_every")}
        done = train_family(family, options.out, **how)
    except KeyboardInterrupt:
        raise Stopped(f"what is done lies in {options.out}") from None
    n = len(family.members(options.only, options.length))
    print(f"{len(done)} of {n} SAEs are trained, in {options.out}")


def measure_saes(options: argparse.Namespace) -> None:
    from msae.family.measuring import measure_family
    from msae.family.members import load_family
    from msae.family.results import save_results

    in_place("--table", options.table)
    how = {name: getattr(options, name) for name in ("valid", "only", "length", "n_tokens", "n_spliced", "device")}
    try:
        rows = measure_family(load_family(options.family), options.out, **how)
    except KeyboardInterrupt:
        raise Stopped(f"the rows measured so far lie beside their SAEs, in {options.out}") from None
    if options.table:
        save_results(rows, options.table)
    for row in rows:
        print(f"{row['id']}: {_row_sentence(row)}")


def pack(options: argparse.Namespace) -> None:
    from msae.family.members import load_family
    from msae.family.shipped import pack_saes

    names = pack_saes(load_family(options.family), options.out, options.only, options.to, options.command_line, options.length)
    print(f"{', '.join(names)} are in {options.to}")


def reproduce_row(options: argparse.Namespace) -> None:
    from msae.family.measuring import measure_family
    from msae.family.members import load_family
    from msae.family.results import load_results
    from msae.family.training import train_family

    arguments.device("--device", options.device)
    arguments.new_folder("--out", options.out)
    family = load_family("bundled")
    known = {row["id"]: row for row in load_results(family=family)}
    if options.id not in known:
        raise ValueError(f"the table has no {options.id!r}; it has {len(known)} rows, such as {next(iter(known))!r}")
    row = known[options.id]
    print(f"{row['n_together']} SAEs, this one among them, took {row['seconds']:.0f} s on {row['hardware']}", file=sys.stderr)
    try:
        train_family(family, options.out, only=options.id, device=options.device)
        (again,) = measure_family(family, options.out, only=options.id, device=options.device)
    except KeyboardInterrupt:
        raise Stopped(f"what is done lies in {options.out}") from None
    print(f"recorded  {_row_sentence(row)}\nyours     {_row_sentence(again)}")


def _row_sentence(row: dict[str, Any]) -> str:
    found = row["measured"]["held_out"]
    return (
        f"L0 {found['l0'][0]:.2f}, FVU {found['fvu'][0]:.4f}, dead {found['dead']:.3f}, loss recovered {found['loss_recovered'][0]:.4f} "
        f"on {found['n_tokens']:,} held-out tokens"
    )
