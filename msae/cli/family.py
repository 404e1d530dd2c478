"""`python -m msae family`: train, measure and pack the SAEs of part 2, and make any row of their table again."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msae.cli.base import Commands, Stopped, add_command, in_place, one_line, path, warn, whole, words
from msae.support import arguments

if TYPE_CHECKING:
    from msae.family.members import Family, Member


def add_family_commands(commands: Commands) -> None:
    """Add `family` with `plan`, `train`, `measure`, `collect`, `pack` and `reproduce`."""
    family = commands.add_parser("family", help="train and measure the SAEs of part 2: references, large plain and Matryoshka SAEs")
    its = family.add_subparsers(required=True, metavar="command")
    add_command(its, "plan", plan, "say how long it takes on this machine, and in what order; a few steps are timed", _add_plan_options)
    add_command(its, "train", train_saes, "train what is missing; started again it goes on", _add_train_options)
    add_command(its, "measure", measure_saes, "measure what is trained, and write one table", _add_measure_options)
    what = "put what was measured into one file, to bring it to another machine"
    add_command(its, "collect", collect, what, _add_collect_options)
    what = "copy trained SAEs of one hook and seed into a folder that load_saes reads"
    add_command(its, "pack", pack, what, _add_pack_options)
    add_command(its, "reproduce", reproduce_row, "train SAEs of a table again and compare", _add_reproduce_options)


def _add_plan_options(plan: argparse.ArgumentParser) -> None:
    _add_choice(plan, "of the steps and tokens")
    plan.add_argument("--out", type=path, help="folder of the SAEs: what is done there is told")
    _add_work(plan)


def _add_work(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu")
    command.add_argument(
        "--processes", type=whole(1), default=1, metavar="N", help="how many will share the work, for the time that is told"
    )


def _add_train_options(train: argparse.ArgumentParser) -> None:
    _add_choice(train, "of the steps and tokens: 0.001 tries everything out")
    train.add_argument("--out", required=True, type=path, help="folder of the SAEs")
    _add_work(train)
    train.add_argument("--checkpoint-every", type=whole(1), default=250, metavar="STEPS")
    train.add_argument("--for", type=float, metavar="MINUTES", dest="minutes", help="stop after so long, with a checkpoint")
    train.add_argument("--measure", action="store_true", help="measure each SAE as soon as it is trained")
    _add_measures(train)
    train.epilog = "Several processes may work on one folder: each takes the first run that no other is at."


def _add_measures(command: argparse.ArgumentParser) -> None:
    command.add_argument("--valid", type=words, help="more stories to measure on, beside every 20th of the family's own: a name or a file")
    command.add_argument("--n-tokens", type=whole(2), default=50_000, help="of each set of stories to measure on, at most")
    command.add_argument("--n-spliced", type=whole(1), default=128, metavar="TEXTS", help="for loss recovered, at most")


def _add_measure_options(measure: argparse.ArgumentParser) -> None:
    _add_choice(measure, "as it was trained with")
    measure.add_argument("--out", required=True, type=path, help="folder of the SAEs; a row is kept beside each")
    _add_measures(measure)
    measure.add_argument("--device", default="cpu")
    measure.add_argument("--wait", action="store_true", help="measure what others train, until all is trained and measured")
    measure.add_argument("--table", type=path, metavar="FILE.json", help="write all rows")


def _add_collect_options(collect: argparse.ArgumentParser) -> None:
    _add_choice(collect, "as it was trained with")
    collect.add_argument("--out", required=True, type=path, help="folder of the SAEs")
    collect.add_argument("--weights", nargs="*", default=[], metavar="PATTERN", help="of ids whose weights go along")
    collect.add_argument(
        "--to", required=True, type=path, metavar="FILE.tar", help="unpacked into another --out, its SAEs count as done there"
    )


def _add_pack_options(pack: argparse.ArgumentParser) -> None:
    _add_choice(pack, "as it was trained with")
    pack.add_argument("--run", type=path, metavar="FOLDER", dest="trained", help="the --out folder of family train")
    pack.add_argument("--out", required=True, type=path, metavar="FOLDER", help="folder to write")
    pack.add_argument("--to", type=path, help=argparse.SUPPRESS)  # in 0.1 --out was what is now --run, and --to what is now --out


def _add_reproduce_options(reproduce: argparse.ArgumentParser) -> None:
    reproduce.add_argument("id", nargs="?", help="such as blocks.3.hook_resid_pre/matryoshka-30-seed0")
    reproduce.add_argument("--draw", type=whole(1), metavar="N", help="in place of an id: so many rows, drawn at random")
    reproduce.add_argument("--seed", type=whole(0), default=0, help="of the draw")
    reproduce.add_argument("--table", type=path, metavar="FILE.json", help="the table; the one that ships where none is given")
    _add_family(reproduce)
    reproduce.add_argument("--out", required=True, type=path, help="folder of the SAEs")
    reproduce.add_argument("--device", default="cpu")


def _add_choice(command: argparse.ArgumentParser, of_length: str) -> None:
    """Which SAEs of which family, and for what share of their steps they were trained."""
    _add_family(command)
    command.add_argument(
        "--only", nargs="+", default=["*"], metavar="PATTERN", help="of ids such as blocks.3.hook_resid_pre/matryoshka-30-seed0"
    )
    command.add_argument("--length", type=float, default=1.0, metavar="SHARE", help=of_length)


def _add_family(command: argparse.ArgumentParser) -> None:
    known = (
        "'bundled', 'first' (as it was), 'article' (full scale), 'settle' (behind the verdicts), 'architectures', 'uncentred', 'places', "
        "'longer', or a JSON file"
    )
    command.add_argument("--family", type=words, default="bundled", help=known)
    command.add_argument("--stories", type=words, help="train on these in place of the family's own: 'bundled', or a file")


def plan(options: argparse.Namespace) -> None:
    """`family plan`: what is done, what is left, in which order, and how long it takes."""
    from msae.family.planning import plan_family

    how = {name: getattr(options, name) for name in ("only", "length", "device")}
    print(plan_family(_family(options), options.out, n_processes=options.processes, **how).table())


def _family(options: argparse.Namespace) -> Family:
    from msae.family.members import load_family

    return load_family(options.family, options.stories)


def train_saes(options: argparse.Namespace) -> None:
    """`family train`: train what is missing, and measure it where that is asked for."""
    from filelock import Timeout  # comes with torch

    from msae.family.measuring import Measuring
    from msae.family.planning import plan_family
    from msae.family.training import train_family

    family = _family(options)
    how = {name: getattr(options, name) for name in ("only", "length", "device")}
    arguments.new_folder("--out", options.out)
    if options.minutes is not None:
        arguments.number("--for", options.minutes, above=0)
    members = family.members(options.only, options.length)
    family.check_stories()
    measures = {name: getattr(options, name) for name in ("length", "n_tokens", "n_spliced", "device")}
    measuring = Measuring(family, options.out, options.valid, progress=False, **measures) if options.measure else None

    def tell() -> None:
        with suppress(Timeout):  # another process is timing the steps, and will tell
            plan = plan_family(family, options.out, n_processes=options.processes, patient=False, **how)
            print(plan.summary(), file=sys.stderr, flush=True)

    def then(run: Sequence[Member]) -> None:
        for name, why in (measuring.measure(run) if measuring else {}).items():
            warn(f"{name} cannot be measured: {one_line(why)}")
        tell()

    try:
        tell()
        done = train_family(family, options.out, checkpoint_every=options.checkpoint_every, minutes=options.minutes, then=then, **how)
        if measuring and len(done) == len(members):
            measuring.measure(done)
    except KeyboardInterrupt:
        raise Stopped(f"what is done lies in {options.out}") from None
    print(f"{len(done)} of {len(members)} SAEs are trained, in {options.out}")


def measure_saes(options: argparse.Namespace) -> None:
    """`family measure`: measure what is trained and say each row in a sentence."""
    from msae.family.measuring import measure_family, wait
    from msae.family.results import save_results
    from msae.family.together import together

    in_place("--table", options.table)
    family = _family(options)
    how = {name: getattr(options, name) for name in ("valid", "only", "length", "n_tokens", "n_spliced", "device")}
    try:
        if options.wait:
            wait(family, options.out, **how)
        rows = measure_family(family, options.out, **how)
    except KeyboardInterrupt:
        raise Stopped(f"the rows measured so far lie beside their SAEs, in {options.out}") from None
    if options.table:
        members = family.members(options.only, options.length)
        save_results(rows, options.table, together=together(options.out, members) if family.independent else ())
    for row in rows:
        print(f"{row['id']}: {_row_sentence(row)}")


def collect(options: argparse.Namespace) -> None:
    """`family collect`: rows, replicates and some weights in one file."""
    from msae.family.bundles import bundle

    in_place("--to", options.to)
    names = bundle(_family(options), options.out, options.to, weights=options.weights, length=options.length)
    print(f"{len(names)} SAEs are in {options.to}, {options.to.stat().st_size / 1e6:.1f} MB")


def pack(options: argparse.Namespace) -> None:
    """`family pack`: copy trained SAEs into a folder of their own."""
    from msae.family.shipped import pack_saes

    if options.to is not None and options.trained is not None:
        raise ValueError("--to is what --out was called before there was --run: give --run and --out alone")
    trained, out = (options.trained, options.out) if options.to is None else (options.out, options.to)
    if trained is None:
        raise ValueError("the following arguments are required: --run; `python -m msae family pack --help` lists what can be given")
    names = pack_saes(_family(options), trained, options.only, folder=out, command=options.command_line, length=options.length)
    print(f"{', '.join(names)} are in {out}")


def reproduce_row(options: argparse.Namespace) -> None:
    """`family reproduce`: rows of a table, made again and set beside it."""
    from msae.family.measuring import measure_family
    from msae.family.results import load_results
    from msae.family.training import train_family

    arguments.device("--device", options.device)
    arguments.new_folder("--out", options.out)
    family = _family(options)
    known = {row["id"]: row for row in load_results(options.table, family)}
    if (options.id is None) == (options.draw is None):
        raise ValueError("give the id of a row, or --draw with a number of rows")
    if options.id is not None and options.id not in known:
        raise ValueError(f"the table has no {options.id!r}; it has {len(known)} rows, such as {next(iter(known))!r}")
    if options.draw is not None and options.draw > len(known):
        raise ValueError(f"--draw must be at most {len(known)}, the rows of the table, got {options.draw}")
    for name in [options.id] if options.draw is None else random.Random(options.seed).sample(list(known), options.draw):
        row = known[name]
        its = f"{row['n_together']} SAEs, this one among them," if row["n_together"] > 1 else "it"
        print(f"{name}: {its} took {row['seconds']:.0f} s on {row['hardware']}", file=sys.stderr)
        measures = {each: row["asked"][each] for each in ("n_tokens", "n_spliced") if each in row.get("asked", {})}
        try:
            train_family(family, options.out, only=name, device=options.device)
            (again,) = measure_family(family, options.out, only=name, device=options.device, **measures)
        except KeyboardInterrupt:
            raise Stopped(f"what is done lies in {options.out}") from None
        print(f"{name}\nrecorded  {_row_sentence(row)}\nyours     {_row_sentence(again)}")


def _row_sentence(row: Mapping[str, Any]) -> str:
    found = row["measured"]["held_out"]
    return (
        f"L0 {found['l0'][0]:.2f}, FVU {found['fvu'][0]:.4f}, dead {found['dead']:.3f}, loss recovered {found['loss_recovered'][0]:.4f} "
        f"on {found['n_tokens']:,} held-out tokens"
    )
