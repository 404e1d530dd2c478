"""`python -m msae language-model`: train, measure, sample and pack a small language model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msae.cli.base import Commands, Stopped, add_command, add_fields, config_from, one_line, path, warn, whole, words
from msae.support import arguments

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from msae.lm.transformer import Transformer


def add_language_model_commands(commands: Commands) -> None:
    """Add `language-model` with `train`, `evaluate`, `sample` and `pack`."""
    lm = commands.add_parser("language-model", help="train, measure, sample or pack a small language model")
    its = lm.add_subparsers(required=True, metavar="command")
    what = "train on stories; started again it goes on from its checkpoint"
    add_command(its, "train", language_model_train, what, _add_train_options)
    add_command(its, "evaluate", language_model_evaluate, "bits per character on stories it was not trained on", _add_evaluate_options)
    add_command(its, "sample", language_model_sample, "let it tell stories", _add_sample_options)
    what = "make a folder that load_language_model reads from a training checkpoint"
    add_command(its, "pack", language_model_pack, what, _add_pack_options)


def _add_train_options(train: argparse.ArgumentParser) -> None:
    train.add_argument(
        "--stories", type=words, required=True, help="'tinystories', 'tinystories-v2', or a file: .jsonl, .jsonl.zst, .parquet, .txt"
    )
    train.add_argument("--valid", type=words, help="stories to measure on; without it every 20th story is held out for that")
    train.add_argument("--out", required=True, type=path, help="folder for the checkpoint and, at the end, the packed model")
    add_fields(train, "msae.lm.transformer", "TransformerConfig", {"d_vocab": 4096})
    add_fields(train, "msae.lm.pretraining", "PretrainConfig")


def _add_evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("--model", type=words, default="bundled", help="'bundled' or a packed folder")
    evaluate.add_argument("--stories", type=words, required=True)
    evaluate.add_argument("-n", type=whole(1), help="the first n stories only")


def _add_sample_options(sample: argparse.ArgumentParser) -> None:
    sample.add_argument("--model", type=words, default="bundled", help="'bundled' or a packed folder")
    sample.add_argument("-n", type=whole(1), default=1)
    sample.add_argument("--seed", type=whole(0), default=0)
    sample.add_argument("--temperature", type=float, default=0.8)
    sample.add_argument("--batch-size", type=whole(1), default=64)
    sample.add_argument("--max-tokens", type=whole(1), default=512, help="drop a story that has not ended by then")
    sample.add_argument("--min-characters", type=whole(0), default=0, help="of the n told, leave out those shorter than this")
    sample.add_argument("--not-in", type=words, metavar="STORIES", help="drop stories that share 100 characters with one of these")
    sample.add_argument("--device", default="cpu", help="the same seed tells other stories on another device")
    sample.add_argument("--out", type=path, help="a .jsonl or .jsonl.zst file, or a folder for the stories and their manifest")


def _add_pack_options(pack: argparse.ArgumentParser) -> None:
    pack.add_argument("--run", required=True, type=path, dest="trained", help="the --out folder of language-model train")
    pack.add_argument("--valid", type=words, required=True, help="stories to measure on")
    pack.add_argument("--out", required=True, type=path, help="folder for the packed model")
    pack.add_argument("--trained-by", help="the command that trained it, for the manifest")


def language_model_train(options: argparse.Namespace) -> None:
    """`language-model train`: pretrain a transformer on stories and pack it."""
    from msae.lm.loading import save_language_model
    from msae.lm.pretraining import PretrainConfig, pretrain
    from msae.lm.transformer import TransformerConfig
    from msae.texts.stories import load_stories, split_stories

    shape, config = config_from(options, TransformerConfig), config_from(options, PretrainConfig)
    arguments.new_folder("--out", options.out)
    stories = load_stories(options.stories)
    if options.valid:
        valid = load_stories(options.valid)
    else:
        stories, valid = split_stories(stories)
    checkpoint = options.out / "checkpoint.safetensors"
    try:
        model, tokenizer, report = pretrain(stories, valid, options.out, shape, config, log=lambda line: print(line, file=sys.stderr))
        save_language_model(options.out, model, tokenizer, report=report, command=options.command_line)
    except KeyboardInterrupt:
        if not checkpoint.exists():
            raise
        raise Stopped(f"the checkpoint is {checkpoint}") from None
    bits = report.get("bits_per_character_valid")
    said = "" if bits is None else f"{bits:.4f} bits per character on {len(valid):,} held-out stories; "
    print(f"{said}the model is in {options.out}")


def language_model_evaluate(options: argparse.Namespace) -> None:
    """`language-model evaluate`: bits per character of a model on stories."""
    from msae.lm.loading import load_transformer
    from msae.lm.measuring import bits_per_character
    from msae.texts.stories import load_stories

    stories = load_stories(options.stories, options.n)
    model, tokenizer = load_transformer(options.model)
    bits = bits_per_character(model, stories, tokenizer, model.config.n_ctx)
    print(f"{bits:.4f} bits per character on {len(stories):,} stories of {options.stories}")


def language_model_sample(options: argparse.Namespace) -> None:
    """`language-model sample`: stories that a model tells, printed or written."""
    from msae.lm.loading import load_transformer
    from msae.lm.telling import sample_stories
    from msae.support.manifests import check_packed
    from msae.texts.stories import STORIES_FILE, load_stories, pack_stories, save_stories

    if options.out is not None and options.out.suffix and not options.out.name.endswith((".jsonl", ".jsonl.zst")):
        raise ValueError(f"--out must be a folder, or a name that ends in .jsonl or .jsonl.zst, got {options.out}")
    if options.out is not None:
        (arguments.new_file if options.out.suffix else arguments.new_folder)("--out", options.out)
        if not options.out.suffix:
            check_packed(options.out, (STORIES_FILE,))
    arguments.number("--temperature", options.temperature, above=0, hint="0.8 is usual")
    device = arguments.device("--device", options.device)
    training = load_stories(options.not_in) if options.not_in else None
    how = {name: getattr(options, name) for name in ("seed", "temperature", "batch_size", "max_tokens")}
    model, tokenizer = load_transformer(options.model)
    samples = sample_stories((model.to(device), tokenizer), options.n, training=training, **how)
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
    """`language-model pack`: a packed folder from the folder of a training run."""
    from msae.lm.loading import save_language_model
    from msae.lm.measuring import bits_per_character
    from msae.texts.stories import load_stories

    arguments.new_folder("--out", options.out)
    for name in ("checkpoint.safetensors", "tokenizer.json"):
        if not (options.trained / name).is_file():
            raise FileNotFoundError(f"{options.trained} holds no {name}: expected the --out folder of language-model train")
    valid = load_stories(options.valid)
    model, tokenizer, report = _read_run(options.trained)
    command = options.trained_by or options.command_line
    save_language_model(options.out, model, tokenizer, report=report, command=command)
    try:
        for parameter in model.parameters():  # measure what is written
            parameter.data = parameter.data.half().float()
        bits = bits_per_character(model, valid, tokenizer, model.config.n_ctx)
        report |= {"valid_stories": len(valid), "bits_per_character_valid": bits}
        save_language_model(options.out, model, tokenizer, report=report, command=command)
    except KeyboardInterrupt:
        raise Stopped(f"the model is in {options.out}, but not measured") from None
    except Exception as error:
        warn(f"the model is in {options.out}, but measuring it failed: {one_line(error)}")
        return
    print(f"{bits:.4f} bits per character on {len(valid):,} stories; the model is in {options.out}")


def _read_run(folder: Path) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """The model, the tokenizer and what is known about a run, from the folder of `language-model train`.

    Raises:
        ValueError: what lies there is no such run.
    """
    from tokenizers import Tokenizer

    from msae.lm.transformer import Transformer, TransformerConfig
    from msae.support.checkpoints import load_checkpoint

    try:
        state = load_checkpoint(folder / "checkpoint.safetensors")
        model = Transformer(TransformerConfig(**state["settings"]["shape"]))
        model.load_state_dict(state["model"])
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = state["settings"]["config"]
        report = state["settings"] | {
            "step": state["step"],
            "finished": state["step"] == config["n_steps"],
            "seconds": state["seconds"],
            "train_tokens_seen": state["step"] * config["batch_size"] * model.config.n_ctx,
        }
    except Exception as error:  # of safetensors, tokenizers or torch, each with its own kind
        raise ValueError(f"{folder} holds no whole run of language-model train: {one_line(error)}") from error
    return model.eval(), tokenizer, report
