"""The command line: what a person does without a notebook. `python -m msae --help` says more."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msae._cli import Stopped, add_command, add_source, read_source
from msae._explore_command import add_explore_command
from msae._family_commands import add_family_commands

if TYPE_CHECKING:
    from msae.sae import SAE
    from msae.training import TrainConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 wrong input (one line on stderr), 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = parser().parse_args(arguments)
    options.command_line = "python -m msae " + shlex.join(arguments)
    try:
        options.run(options)
    except Stopped as stopped:
        print(f"\nstopped; the checkpoint is {stopped}. To go on: {options.command_line}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nstopped before anything was written", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"msae: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="python -m msae", description="Matryoshka sparse autoencoders and the language model they read.")
    commands = top.add_subparsers(required=True, metavar="command")

    lm = commands.add_parser("language-model", help="train, measure, sample or pack a small language model")
    lm_commands = lm.add_subparsers(required=True, metavar="command")

    train_lm = add_command(lm_commands, "train", language_model_train, "train on stories; started again it goes on from its checkpoint")
    train_lm.add_argument("--stories", required=True, help="'tinystories', 'tinystories-v2', or a file: .jsonl, .jsonl.zst, .parquet, .txt")
    train_lm.add_argument("--valid", help="stories to measure on; without it every 20th story is held out for that")
    train_lm.add_argument("--out", required=True, type=Path, help="folder for the checkpoint and, at the end, the packed model")
    _add_fields(train_lm, "msae.transformer", "TransformerConfig", {"d_vocab": 4096})
    _add_fields(train_lm, "msae.pretraining", "PretrainConfig")

    evaluate_lm = add_command(lm_commands, "evaluate", language_model_evaluate, "bits per character on stories it was not trained on")
    evaluate_lm.add_argument("--model", default="bundled", help="'bundled' or a packed folder")
    evaluate_lm.add_argument("--stories", required=True)
    evaluate_lm.add_argument("-n", type=int, help="the first n stories only")

    sample = add_command(lm_commands, "sample", language_model_sample, "let it tell stories")
    sample.add_argument("--model", default="bundled", help="'bundled' or a packed folder")
    sample.add_argument("-n", type=int, default=1)
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--temperature", type=float, default=0.8)
    sample.add_argument("--batch-size", type=int, default=64)
    sample.add_argument("--max-tokens", type=int, default=512, help="drop a story that has not ended by then")
    sample.add_argument("--min-characters", type=int, default=0, help="of the n told, leave out those shorter than this")
    sample.add_argument("--not-in", metavar="STORIES", help="drop stories that share 100 characters with one of these")
    sample.add_argument("--out", type=Path, help="a .jsonl or .jsonl.zst file, or a folder for the stories and their manifest")

    pack = add_command(lm_commands, "pack", language_model_pack, "make a folder that load_language_model reads from a training checkpoint")
    pack.add_argument("--run", required=True, type=Path, dest="folder", help="the --out folder of language-model train")
    pack.add_argument("--valid", required=True, help="stories to measure on")
    pack.add_argument("--out", required=True, type=Path)
    pack.add_argument("--trained-by", help="the command that trained it, for the manifest")

    train = add_command(commands, "train", train_sae, "train an SAE on a language model's activations; started again it goes on")
    add_source(train)
    train.add_argument("--hook", required=True, metavar="NAME", help="for example blocks.3.hook_resid_pre")
    train.add_argument("--n-ctx", type=int, default=128, help="tokens in a text, [BEGIN] included")
    train.add_argument("--n-tokens", type=int, help="harvest this many activations; all by default")
    train.add_argument("--out", required=True, type=Path, help="folder for the SAE; its checkpoint lies there while training runs")
    train.add_argument("--checkpoint-every", type=int, default=500, metavar="STEPS")
    train.add_argument("--data-seed", type=int, default=0, help="of the order of the batches")
    train.add_argument("--device", default="cpu")
    train.add_argument("--prefixes", default="sqrt", help="sqrt, pareto, uniform, full, or fixed widths such as 64,256,1024")
    train.add_argument("--n-prefixes", type=int, default=10, help="prefixes per step of a random law")
    train.add_argument("--nonlinearity", default="relu", choices=["relu", "topk", "batchtopk", "jumprelu"])
    _add_fields(train, "msae.training", "TrainConfig", {}, leave_out=("prefixes", "nonlinearity"))

    evaluate = add_command(commands, "evaluate", evaluate_sae, "L0 and FVU of an SAE on held-out stories")
    evaluate.add_argument("sae", help="folder of the SAE")
    add_source(evaluate, default=None)
    evaluate.add_argument("--json", action="store_true", help="print JSON")

    add_family_commands(commands)
    add_explore_command(commands)

    about = add_command(commands, "about", about_sae, "tell about an SAE: shape, place, recipe")
    about.add_argument("sae", help="folder of the SAE")
    about.add_argument("--json", action="store_true", help="print JSON")

    bench = add_command(
        commands, "bench", bench_steps, "time a training step on this machine, beside five dense products and other libraries"
    )
    bench.add_argument("--setting", choices=["toy", "mid", "large", "all"], help="all where none is given; large takes 8 GB of memory")
    for name, kind, what in (("d-model", int, "width"), ("n-latents", int, "latents"), ("batch", int, "inputs"), ("l0", float, "mean L0")):
        bench.add_argument(f"--{name}", type=kind, help=f"{what} of a setting of your own; needs the other three too")
    bench.add_argument("--loss", nargs="+", choices=["plain", "sampled", "all_prefixes"], default=["plain", "sampled", "all_prefixes"])
    bench.add_argument("--nonlinearity", nargs="+", choices=["relu", "topk"], default=["relu", "topk"], help="relu has the log penalty")
    bench.add_argument("--rounds", type=int, default=7, help="turns of every step; ratios are medians over rounds")
    bench.add_argument("--threads", type=int, help="of each process; where none is given 1 for the toy, else PyTorch's choice")
    bench.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    bench.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"], help="of the products")
    bench.add_argument("--counts", action="store_true", help="also count operations and host reads of one step")
    bench.add_argument("--peer", action="append", metavar="NAME=PYTHON", default=[], help="sae-lens or dictionary-learning; see below")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write all numbers, raw block times included")
    bench.add_argument("--figure", type=Path, metavar="FILE.html", help="write a figure that opens in a browser")
    bench.epilog = (
        "A peer takes its turns in an environment of its own, about 2 GB: python -m venv sae-lens && sae-lens/bin/pip install sae-lens; "
        "then --peer sae-lens=sae-lens/bin/python. The same goes for dictionary-learning."
    )
    return top


def language_model_train(options: argparse.Namespace) -> None:
    from msae.language_model import save_language_model
    from msae.pretraining import PretrainConfig, pretrain
    from msae.stories import load_stories, split_stories
    from msae.transformer import TransformerConfig

    shape, config = _config_from(options, TransformerConfig), _config_from(options, PretrainConfig)
    stories = load_stories(options.stories)
    if options.valid:
        valid = load_stories(options.valid)
    else:
        stories, valid = split_stories(stories)
    try:
        model, tokenizer, report = pretrain(stories, valid, options.out, shape, config, log=lambda line: print(line, file=sys.stderr))
    except KeyboardInterrupt:
        _stopped(options.out / "checkpoint.safetensors")
    save_language_model(options.out, model, tokenizer, report=report, command=options.command_line)
    print(f"{report['bits_per_character_valid']:.4f} bits per character on {len(valid):,} held-out stories; the model is in {options.out}")


def language_model_evaluate(options: argparse.Namespace) -> None:
    from msae.language_model import load_transformer
    from msae.pretraining import bits_per_character
    from msae.stories import load_stories

    stories = load_stories(options.stories, options.n)
    model, tokenizer = load_transformer(options.model)
    bits = bits_per_character(model, stories, tokenizer, model.config.n_ctx)
    print(f"{bits:.4f} bits per character on {len(stories):,} stories of {options.stories}")


def language_model_sample(options: argparse.Namespace) -> None:
    from msae.language_model import load_transformer
    from msae.stories import load_stories, pack_stories, sample_stories, save_stories

    if options.out is not None and options.out.suffix and not options.out.name.endswith((".jsonl", ".jsonl.zst")):
        raise ValueError(f"--out must be a folder, or a name that ends in .jsonl or .jsonl.zst, got {options.out}")
    training = load_stories(options.not_in) if options.not_in else None
    how = {name: getattr(options, name) for name in ("seed", "temperature", "batch_size", "max_tokens")}
    samples = sample_stories(load_transformer(options.model), options.n, training=training, **how)
    stories = [story for story in samples.stories if len(story) >= options.min_characters]
    n_short = len(samples.stories) - len(stories)
    dropped = {"n_copied": samples.n_copied, "n_unfinished": samples.n_unfinished, "n_short": n_short}
    if options.out is None:
        print("\n\n".join(stories))
    elif options.out.suffix:
        save_stories(stories, options.out)
    else:
        about = {"command": options.command_line, **how, "copies_checked_against": options.not_in and f"{len(training or []):,} stories"}
        pack_stories(options.out, stories, manifest=about | {"min_characters": options.min_characters, "dropped": dropped})
    left_out = f"{samples.n_copied} copies, {samples.n_unfinished} without an end, {n_short} too short"
    print(f"{len(stories)} stories; dropped: {left_out}", file=sys.stderr)


def language_model_pack(options: argparse.Namespace) -> None:
    from tokenizers import Tokenizer

    from msae.checkpoints import load_checkpoint
    from msae.language_model import save_language_model
    from msae.pretraining import bits_per_character
    from msae.stories import load_stories
    from msae.transformer import Transformer, TransformerConfig

    for name in ("checkpoint.safetensors", "tokenizer.json"):
        if not (options.folder / name).is_file():
            raise FileNotFoundError(f"{options.folder} holds no {name}: expected the --out folder of language-model train")
    valid = load_stories(options.valid)
    state = load_checkpoint(options.folder / "checkpoint.safetensors")
    model = Transformer(TransformerConfig(**state["settings"]["shape"]))
    model.load_state_dict(state["model"])
    model.eval()
    for parameter in model.parameters():  # measure what is written
        parameter.data = parameter.data.half().float()
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    config = state["settings"]["config"]
    report = state["settings"] | {
        "step": state["step"],
        "finished": state["step"] == config["n_steps"],
        "seconds": state["seconds"],
        "train_tokens_seen": state["step"] * config["batch_size"] * model.config.n_ctx,
        "valid_stories": len(valid),
        "bits_per_character_valid": bits_per_character(model, valid, tokenizer, model.config.n_ctx),
    }
    save_language_model(options.out, model, tokenizer, report=report, command=options.trained_by or options.command_line)
    print(f"{report['bits_per_character_valid']:.4f} bits per character on {len(valid):,} stories; the model is in {options.out}")


def train_sae(options: argparse.Namespace) -> None:
    from msae.sae import SAE
    from msae.training import train

    config = _sae_config(options)
    _, activations = read_source(options.model, options.stories, options.hook, options.n_ctx, options.n_tokens, held_out=False)
    checkpoint = options.out / "checkpoint.safetensors"
    try:
        result = train(
            config,
            activations,
            data_seed=options.data_seed,
            checkpoint=checkpoint,
            checkpoint_every=options.checkpoint_every,
            device=options.device,
        )
    except KeyboardInterrupt:
        _stopped(checkpoint)
    sae = result.sae
    data = {"model": options.model, "stories": options.stories, "n_ctx": options.n_ctx, "n_tokens": len(activations)}
    sae.config |= {"data": data, "command": options.command_line}
    measured = _measure(sae, options.model, options.stories)
    sae.config["held_out"] = measured
    sae.save(options.out)
    checkpoint.unlink(missing_ok=True)
    loaded = SAE.load(options.out)
    print(f"{loaded}\n{_sentence(measured)}\nin {options.out}")


def evaluate_sae(options: argparse.Namespace) -> None:
    from msae.sae import SAE

    sae = SAE.load(options.sae)
    data = sae.config.get("data", {})
    measured = _measure(sae, options.model or data.get("model", "bundled"), options.stories or data.get("stories", "bundled"))
    print(json.dumps(measured) if options.json else _sentence(measured))


def about_sae(options: argparse.Namespace) -> None:
    from msae.sae import SAE

    sae = SAE.load(options.sae)
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


def bench_steps(options: argparse.Namespace) -> None:
    from msae.bench import SETTINGS, Setting, bench, figure, table

    own = {name: getattr(options, name) for name in ("d_model", "n_latents", "batch", "l0")}
    missing = [f"--{name.replace('_', '-')}" for name, value in own.items() if value is None]
    if 0 < len(missing) < len(own):
        raise ValueError(f"a setting of your own needs --d-model, --n-latents, --batch and --l0: {', '.join(missing)} is missing")
    if not missing and options.setting:
        raise ValueError(f"give --setting {options.setting} or sizes of your own, not both")
    for path in filter(None, (options.json, options.figure)):
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}: make it first")
    if options.figure and find_spec("plotly") is None:
        raise ImportError("--figure needs plotly: pip install 'msae[explore]'")
    peers = dict(peer.partition("=")[::2] for peer in options.peer)
    chosen = {"own": Setting(**own)} if not missing else SETTINGS
    if options.setting not in (None, "all"):
        chosen = {options.setting: SETTINGS[options.setting]}
    result = bench(
        chosen,
        rounds=options.rounds,
        losses=options.loss,
        nonlinearities=options.nonlinearity,
        peers=peers,
        threads=options.threads,
        device=options.device,
        dtype=options.dtype,
        counts=options.counts,
        log=lambda line: print(line, file=sys.stderr),
    )
    result["command"] = options.command_line
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.figure:
        figure(result).write_html(options.figure, include_plotlyjs=True)


def _measure(sae: SAE, model: str, stories: str) -> dict[str, Any]:
    """L0 and FVU on the held-out stories of a source."""
    import torch

    from msae.metrics import fvu, l0
    from msae.stories import HELD_OUT

    data = sae.config.get("data", {})
    if sae.hook_name is None:
        raise ValueError("this SAE names no hook of a language model: it cannot be measured on stories")
    _, activations = read_source(model, stories, sae.hook_name, data.get("n_ctx", 128), None, held_out=True)
    x = activations.x[:50_000].float()
    with torch.no_grad():
        parts = [sae.encode(part) for part in x.split(4096)]
        reconstructed = torch.cat([sae.decode(part) for part in parts])
    total = sum(l0(part) * len(part) for part in parts)
    return {"l0": total / len(x), "fvu": fvu(x, reconstructed), "n_tokens": len(x), "stories": f"every {HELD_OUT}th of {stories}"}


def _sae_config(options: argparse.Namespace) -> TrainConfig:
    from msae import nonlinearities, prefixes
    from msae.training import TrainConfig

    laws = {"sqrt": prefixes.SquareRootPrefixes, "pareto": prefixes.ParetoPrefixes, "uniform": prefixes.UniformPrefixes}
    if options.prefixes in laws:
        law: Any = laws[options.prefixes](n=options.n_prefixes)
    elif options.prefixes == "full":
        law = prefixes.FullPrefix()
    elif options.prefixes.replace(",", "").isdigit():
        law = prefixes.FixedPrefixes([int(width) for width in options.prefixes.split(",")])
    else:
        raise ValueError(f"--prefixes must be {', '.join(laws)}, full, or widths such as 64,256,1024, got {options.prefixes!r}")
    if options.nonlinearity in ("topk", "batchtopk"):
        if options.target_l0 != int(options.target_l0):
            raise ValueError(f"--target-l0 is the k of {options.nonlinearity}, a whole number, got {options.target_l0}")
        kind = nonlinearities.TopK if options.nonlinearity == "topk" else nonlinearities.BatchTopK
        nonlinearity: Any = kind(int(options.target_l0))
    else:
        nonlinearity = nonlinearities.ReLU() if options.nonlinearity == "relu" else nonlinearities.JumpReLU()
    return _config_from(options, TrainConfig, prefixes=law, nonlinearity=nonlinearity)


def _sentence(measured: dict[str, Any]) -> str:
    return f"L0 {measured['l0']:.2f}, FVU {measured['fvu']:.4f} on {measured['n_tokens']:,} tokens ({measured['stories']} stories)"


def _stopped(checkpoint: Path) -> None:
    if not checkpoint.exists():
        raise KeyboardInterrupt
    raise Stopped(checkpoint) from None


_CHOICES = {"loss": ["all_prefixes", "sampled", "plain"], "penalty": ["l1", "log", "sqrt", "tanh"]}
_TYPES = {"int": int, "float": float, "str": str, "int | tuple[int, ...]": int, "float | None": float}


def _add_fields(
    command: argparse.ArgumentParser, module: str, name: str, defaults: dict[str, Any] | None = None, leave_out: Sequence[str] = ()
) -> None:
    """One option per field of a configuration class, with its type and default."""
    from importlib import import_module

    kind = getattr(import_module(module), name)
    for field in fields(kind):
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


def _config_from(options: argparse.Namespace, kind: Any, **given: Any) -> Any:
    """A configuration from the options that `_add_fields` made, and what was made from others."""
    values = {field.name: getattr(options, field.name) for field in fields(kind) if field.name not in given}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in (values | given).items()})


if __name__ == "__main__":
    sys.exit(main())
