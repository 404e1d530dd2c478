"""`python -m msae train`, `evaluate` and `about`: one SAE."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msae.cli.base import (
    Commands,
    Stopped,
    add_command,
    add_fields,
    add_hook,
    add_places,
    add_source,
    given_by,
    one_line,
    path,
    warn,
    whole,
    words,
)
from msae.cli.reading import FOLDER, Read, check_activations, check_model, read_folder, read_source
from msae.support import arguments

if TYPE_CHECKING:
    from pathlib import Path

    from msae.sae.sae import SAE
    from msae.training.config import TrainConfig

MEASURED_TOKENS = 50_000
"""Held-out tokens that an SAE is measured on, at most."""

RECOMMENDED = {
    "centre": "take the mean of the inputs away while training (default: yes)",
    "fade_prefixes": "share of the run, at its end, over which prefixes fade (default: 0.4; 0 with --prefixes full or --stop-gradient)",
    "exchange_every": "steps between exchanges, 0 for none (default: 5; more below 128 latents)",
    "exchange_moves": "latents that one exchange may move (default: one in 128)",
    "lazy_adam": "leave a latent that did not fire in a batch as it is (default: yes)",
}
"""Options of `train` whose defaults are those of `language_model_recipe`, and their help."""


def add_sae_commands(commands: Commands) -> None:
    """Add `train`, `evaluate` and `about`."""
    what = "train an SAE on a language model's activations; started again it goes on"
    add_command(commands, "train", train_sae, what, _add_train_options)
    add_command(commands, "evaluate", evaluate_sae, "L0 and FVU of an SAE on held-out stories", _add_evaluate_options)
    add_command(commands, "about", about_sae, "tell about an SAE: shape, place, recipe", _add_about_options)


def _add_train_options(train: argparse.ArgumentParser) -> None:
    add_source(train)
    train.add_argument("--hook", required=True, metavar="NAME", help="for example blocks.3.hook_resid_pre")
    add_places(train)
    train.add_argument("--n-tokens", type=whole(1), help="harvest this many activations; all by default")
    train.add_argument("--out", required=True, type=path, help="folder for the SAE; its checkpoint lies there while training runs")
    train.add_argument("--checkpoint-every", type=whole(1), default=500, metavar="STEPS")
    train.add_argument("--data-seed", type=whole(0), default=0, help="of the order of the batches")
    train.add_argument("--device", default="cpu")
    train.add_argument("--prefixes", default="sqrt", help="sqrt, pareto, uniform, full, or fixed widths such as 64,256,1024")
    train.add_argument("--n-prefixes", type=whole(1), default=10, help="prefixes per step of a random law")
    train.add_argument("--nonlinearity", default="relu", choices=["relu", "topk", "batchtopk", "jumprelu"])
    train.add_argument("--loss", type=_no_longer, help=argparse.SUPPRESS)
    add_fields(train, "msae.training", "TrainConfig", leave_out=("prefixes", "nonlinearity"), later=RECOMMENDED)


def _add_evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("sae", type=words, help=FOLDER)
    add_source(evaluate, default=None)
    add_hook(evaluate)
    evaluate.add_argument("--json", action="store_true", help="print JSON")


def _add_about_options(about: argparse.ArgumentParser) -> None:
    about.add_argument("sae", type=words, help=FOLDER)
    about.add_argument("--json", action="store_true", help="print JSON")


def train_sae(options: argparse.Namespace) -> None:
    """`train`: train an SAE unless it is there, measure it unless it was, and say what it is."""
    from msae.lm.sources import source
    from msae.sae.sae import SAE
    from msae.training.loop import train

    config = sae_config(options)
    arguments.device("--device", options.device)
    out = arguments.new_folder("--out", options.out)
    if options.n_tokens is not None and options.n_tokens < config.batch_size:
        raise ValueError(f"--batch-size must be at most --n-tokens, {options.n_tokens:,}, got {config.batch_size:,}")
    made_from = source(options.model, options.stories)
    checkpoint = out / "checkpoint.safetensors"
    if not _is_there(options, config, made_from, checkpoint):
        try:
            places = {"n_ctx": options.n_ctx, "skip_first": options.skip_first}
            what = Read(options.hook, held_out=False, n_tokens=options.n_tokens, **places)
            _, activations = read_source(options.model, options.stories, what)
            how = {name: getattr(options, name) for name in ("data_seed", "checkpoint_every", "device")}
            sae = train(config, activations, checkpoint=checkpoint, **how).sae
            data = {"model": options.model, "stories": options.stories, "content": made_from["content"], **places}
            data |= {"n_tokens": len(activations), "all_tokens": options.n_tokens is None, "data_seed": options.data_seed}
            sae.config |= {"data": data, "command": options.command_line}
            sae.save(out)
        except KeyboardInterrupt:
            if not checkpoint.exists():
                raise
            raise Stopped(f"the checkpoint is {checkpoint}") from None
    sae = SAE.load(out)
    if "held_out" not in sae.config:
        _measure_and_keep(sae, options)
    checkpoint.unlink(missing_ok=True)  # not before all is written: with it nothing is lost
    said = [_sentence(sae.config["held_out"])] if "held_out" in sae.config else []
    print("\n".join([str(sae), *said, f"in {out}"]))


def _no_longer(loss: str) -> str:
    """`--loss` as it was; what says the same today."""
    says = {"plain": "--prefixes full", "sampled": "--sample-prefixes", "all_prefixes": "neither of the two"}
    now = "; ".join(f"{today} for {before}" for before, today in says.items())
    raise argparse.ArgumentTypeError(f"it is no option any more, got {loss!r}: give {says.get(loss, now)}")


def _is_there(options: argparse.Namespace, config: TrainConfig, made_from: Mapping[str, Any], checkpoint: Path) -> bool:
    """Whether this very SAE was trained before.

    Raises:
        ValueError: another one is there.
    """
    from msae.lm.sources import recorded_source, source_differences
    from msae.sae.sae import SAE
    from msae.support.origin import plain
    from msae.training.recipes import recipe_differences

    if not (options.out / "sae.json").is_file():
        return False
    try:
        sae = SAE.load(options.out)
    except (OSError, ValueError):
        if checkpoint.exists():  # a save was cut off: the checkpoint has it all
            return False
        raise
    data = sae.config.get("data") or {}
    if "n_steps" not in sae.config or "n_tokens" not in data:
        raise ValueError(f"{options.out} holds an SAE that this command did not train: give another --out")
    asked = plain(config.record()) | {"hook_name": options.hook, "data_seed": options.data_seed}
    asked |= {"n_ctx": options.n_ctx, "skip_first": options.skip_first}
    asked |= (
        {"n_tokens": data["n_tokens"] if data.get("all_tokens", True) else "all"}
        if options.n_tokens is None
        else {"n_tokens": options.n_tokens}
    )
    found = recipe_differences(sae.config | data | {"hook_name": sae.hook_name}, asked)
    found += source_differences(recorded_source(sae.config), made_from)
    if found:
        raise ValueError(
            f"{options.out} holds an SAE that was trained otherwise ({'; '.join(found)}): give another --out, or delete that one"
        )
    return True


def _measure_and_keep(sae: SAE, options: argparse.Namespace) -> None:
    """Write what is measured beside the weights, which are safe already: a measurement that fails is a warning."""
    try:
        sae.config["held_out"] = _measure(sae, str(options.out), options.model, options.stories)
        sae.save(options.out)
    except KeyboardInterrupt:
        raise Stopped(f"the SAE is in {options.out}, but not measured") from None
    except Exception as error:
        sae.config.pop("held_out", None)
        later = f"`python -m msae evaluate {options.out} --stories FILE` measures it on others"
        warn(f"the SAE is in {options.out}, but cannot be measured on the held-out stories ({one_line(error)}): {later}")


def evaluate_sae(options: argparse.Namespace) -> None:
    """`evaluate`: measure an SAE on stories, those it was made from where none are named."""
    from msae.lm.sources import recorded_source

    sae = read_folder(options.sae, options.hook)
    made_from = {"language_model": "bundled", "stories": "bundled"} | recorded_source(sae.config)
    measured = _measure(sae, options.sae, options.model or made_from["language_model"], options.stories or made_from["stories"])
    print(json.dumps(measured) if options.json else _sentence(measured))


def _measure(sae: SAE, name: str, model: str, stories: str) -> dict[str, Any]:
    """L0 and FVU on the held-out stories of a source, some activations at a time."""
    from msae.lm.sources import recorded_source
    from msae.metrics import reconstruction
    from msae.texts.stories import HELD_OUT

    if sae.hook_name is None:
        raise ValueError("this SAE names no hook of a language model: it cannot be measured on stories; --hook says what it reads")
    check_model({name: sae}, model, stories)
    its = recorded_source(sae.config)
    places = {name: its[name] for name in ("n_ctx", "skip_first") if name in its}
    _, activations = read_source(model, stories, Read(sae.hook_name, held_out=True, at_most=MEASURED_TOKENS, **places))
    check_activations({name: sae}, activations)
    found = reconstruction(sae, activations.x)
    if not math.isfinite(found.fvu.value):
        raise ValueError(f"the FVU is {found.fvu.value}: these {found.n_inputs:,} activations are all alike")
    return {
        "l0": found.l0.value,
        "fvu": found.fvu.value,
        "n_tokens": found.n_inputs,
        "stories": f"every {HELD_OUT}th of {stories}",
    }


def about_sae(options: argparse.Namespace) -> None:
    """`about`: what an SAE's own files say."""
    sae = read_folder(options.sae)
    facts = {
        "d_model": sae.d_model,
        "n_latents": sae.n_latents,
        "nonlinearity": str(sae.nonlinearity),
        "hook_name": sae.hook_name,
        "scale": sae.scale,
        **sae.config,
    }
    if options.json:
        print(json.dumps(facts))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {json.dumps(value) if isinstance(value, (dict, list)) else value}")


def sae_config(options: argparse.Namespace) -> TrainConfig:
    """The recipe that the options name; what they leave out is as `language_model_recipe` has it."""
    from msae.sae import nonlinearities, prefixes
    from msae.training.config import TrainConfig
    from msae.training.recommended import language_model_recipe

    laws = {"sqrt": prefixes.SquareRootPrefixes, "pareto": prefixes.ParetoPrefixes, "uniform": prefixes.UniformPrefixes}
    if options.prefixes in laws:
        law: Any = laws[options.prefixes](n=options.n_prefixes)
    elif options.prefixes == "full":
        law = prefixes.FullPrefix()
    elif re.fullmatch(r"[0-9]+(,[0-9]+)*", options.prefixes):
        law = prefixes.FixedPrefixes([int(width) for width in options.prefixes.split(",")])
    else:
        raise ValueError(f"--prefixes must be {', '.join(laws)}, full, or widths such as 64,256,1024, got {options.prefixes!r}")
    if options.nonlinearity in ("topk", "batchtopk"):
        if not options.target_l0.is_integer():
            raise ValueError(f"--target-l0 is the k of {options.nonlinearity}, a whole number, got {options.target_l0}")
        kind = nonlinearities.TopK if options.nonlinearity == "topk" else nonlinearities.BatchTopK
        nonlinearity: Any = kind(int(options.target_l0))
    else:
        nonlinearity = nonlinearities.ReLU() if options.nonlinearity == "relu" else nonlinearities.JumpReLU()
    return language_model_recipe(**given_by(options, TrainConfig) | {"prefixes": law, "nonlinearity": nonlinearity})


def _sentence(measured: Mapping[str, Any]) -> str:
    return f"L0 {measured['l0']:.2f}, FVU {measured['fvu']:.4f} on {measured['n_tokens']:,} tokens ({measured['stories']} stories)"
