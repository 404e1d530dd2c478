"""Every command with every option wrong: exit code 2 and one line on stderr, before any work, and nothing written."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import msae
from msae.__main__ import main, parser
from msae.cli.base import Parser

HOOK = "blocks.1.hook_resid_pre"
NOT_A_COUNT = ["0", "-1", "1.5", "nan", "inf", "x", "''", "1e3", "9" * 30]
NOT_A_SHARE = ["-0.1", "1.5", "nan", "inf", "x", "''"]
NO_FOLDER_TO_WRITE = ["s.txt", "s.txt/out", "/dev/null/out", "''"]
NO_FILE_TO_WRITE = ["folder", "nowhere/r.json", "s.txt/r.json", "/dev/null/r.json"]
NO_STORIES = ["nowhere.txt", "folder", "''", "latin.txt", "blank.txt", "broken.jsonl", "numbers.jsonl", "cut.jsonl.zst", "s.csv"]
NO_MODEL = ["./nowhere", "/dev/null", "folder"]
NO_SAE = ["nowhere", "folder", "s.txt", "''", "damaged", "half", "foreign", "hf://you", "hf://", "hf://you/../tiny"]
NO_HOOK = ["''", "blocks.2.hook_resid_pre"]
NO_DEVICE = ["warp", "''", "cuda:99", "cpu:x"]
NO_FAMILY = ["nowhere.json", "folder", "''", "latin.txt", "s.txt", "list.json", "nan.json", "unknown.json", "deep.json"]
NOT_IN_FAMILY = ["typo", "''"]

GOOD = {
    "language-model train": "--stories s.txt --out out --d-vocab 300 --d-model 8 --n-layers 1 --n-heads 1 --n-ctx 16 --n-steps 1",
    "language-model evaluate": "--stories s.txt",
    "language-model sample": "--max-tokens 8",
    "language-model pack": "--run run --valid s.txt --out out",
    "train": f"--stories s.txt --hook {HOOK} --n-ctx 16 --n-tokens 40 --out out --n-latents 8 --target-l0 2 --n-steps 2 --batch-size 8",
    "evaluate": "sae --stories s.txt",
    "family plan": "--family family.json --out out",
    "family train": "--family family.json --out out",
    "family collect": "--family family.json --out trained --to all.tar",
    "family measure": "--family family.json --out trained",
    "family pack": "--family family.json --run trained --out packed",
    "family reproduce": "blocks.3.hook_resid_pre/S0-seed0 --out out",
    "explore": "--out out --sae S=sae --stories s.txt --n-ctx 16",
    "about": "sae",
    "push": "sae you/tiny",
    "bench": "--d-model 8 --n-latents 16 --batch 4 --l0 2 --rounds 1 --threads 1",
}
"""A line for each command that would do something."""

OLD = {"explore folder": GOOD["explore"].removeprefix("--out "), "family pack --to": "--family family.json --out trained --to packed"}
"""The same with words of the release before, which the help no longer names: to go with the next."""

WRONG = {
    "language-model train": {
        "--stories": NO_STORIES,
        "--valid": NO_STORIES,
        "--out": NO_FOLDER_TO_WRITE,
        "--n-steps": NOT_A_COUNT,
        "--batch-size": NOT_A_COUNT,
        "--checkpoint-every": NOT_A_COUNT,
        "--d-vocab": ["x", "1.5", "''"],
        "--d-model": ["x", "1.5", "''"],
        "--n-layers": ["x", "1.5", "''"],
        "--n-heads": ["x", "1.5", "''"],
        "--n-ctx": ["x", "1.5", "''"],
        "--matrix-lr": ["x", "''"],
        "--other-lr": ["x", "''"],
        "--weight-decay": ["x", "''"],
        "--warmup": ["x", "''"],
        "--decay": ["x", "''"],
        "--seed": ["x", "1.5", "''"],
    },
    "language-model evaluate": {"--model": [*NO_MODEL, "gpt2"], "--stories": NO_STORIES, "-n": NOT_A_COUNT},
    "language-model sample": {
        "--model": [*NO_MODEL, "gpt2"],
        "-n": NOT_A_COUNT,
        "--seed": ["-1", "1.5", "x", "9" * 30],
        "--temperature": ["0", "-1", "nan", "inf", "x"],
        "--batch-size": NOT_A_COUNT,
        "--max-tokens": NOT_A_COUNT,
        "--device": NO_DEVICE,
        "--min-characters": ["-1", "1.5", "x"],
        "--not-in": [*NO_STORIES[:2], *NO_STORIES[3:]],
        "--out": ["s.csv", "s.txt", "s.txt/out", "folder.jsonl", "/dev/null/out"],
    },
    "language-model pack": {"--run": ["nowhere", "folder", "s.txt", "run"], "--valid": NO_STORIES, "--out": NO_FOLDER_TO_WRITE},
    "train": {
        "--model": NO_MODEL,
        "--stories": NO_STORIES,
        "--hook": ["nowhere", "''", "blocks.9.hook_resid_pre"],
        "--n-ctx": [*NOT_A_COUNT, "1", "100000"],
        "--skip-first": ["-1", "1.5", "x", "16"],
        "--n-tokens": [*NOT_A_COUNT, "100000000"],
        "--out": [*NO_FOLDER_TO_WRITE, "sae", "damaged"],
        "--checkpoint-every": NOT_A_COUNT,
        "--data-seed": ["-1", "1.5", "x", "9" * 30],
        "--device": NO_DEVICE,
        "--prefixes": ["x", "''", "64,", ",64", "6,4", "0,8", "1.5", "²", "4,4", "-1"],
        "--n-prefixes": NOT_A_COUNT,
        "--nonlinearity": ["x", "''", "topk --target-l0 1.5", "topk --target-l0 nan", "batchtopk --target-l0 inf"],
        "--n-latents": NOT_A_COUNT,
        "--target-l0": ["0", "-1", "8", "nan", "inf", "x"],
        "--n-steps": NOT_A_COUNT,
        "--batch-size": [*NOT_A_COUNT, "1000"],
        "--lr": ["0", "-1", "nan", "inf", "x"],
        "--betas": ["x y", "0.9", "0.9 x"],
        "--loss": ["x", "''", "plain"],
        "--penalty": ["x", "''"],
        "--penalty-weight": ["0", "-1", "nan", "x"],
        "--seed": ["x", "1.5"],
        "--warmup": NOT_A_SHARE,
        "--decay": NOT_A_SHARE,
        "--start-l0": ["0", "-1", "x"],
        "--sparsify": NOT_A_SHARE,
        "--fade-prefixes": NOT_A_SHARE,
        "--fade-penalty": NOT_A_SHARE,
        "--exchange-every": ["-1", "1.5", "x"],
        "--exchange-moves": ["0", "1.5", "x"],
        "--aux-latents": ["-1", "1.5", "x"],
        "--aux-weight": ["0", "-1", "nan", "x"],
        "--dead-after": ["0", "1.5", "x"],
        "--clip-norm": ["x"],
        "--encoder-dtype": ["x", "''"],
    },
    "evaluate": {"sae": NO_SAE, "--model": NO_MODEL, "--stories": NO_STORIES, "--hook": NO_HOOK},
    "family train": {
        "--family": NO_FAMILY,
        "--out": NO_FOLDER_TO_WRITE,
        "--only": NOT_IN_FAMILY,
        "--length": ["0", *NOT_A_SHARE],
        "--device": NO_DEVICE,
        "--checkpoint-every": NOT_A_COUNT,
        "--stories": ["''", "nowhere.jsonl"],
        "--processes": NOT_A_COUNT,
        "--for": ["0", "-1", "x", "nan"],
        "--n-tokens": [*NOT_A_COUNT, "1"],
        "--n-spliced": NOT_A_COUNT,
        "--valid": ["''"],
    },
    "family plan": {
        "--family": NO_FAMILY,
        "--stories": ["''"],
        "--out": ["''"],
        "--only": NOT_IN_FAMILY,
        "--length": ["0", *NOT_A_SHARE],
        "--device": NO_DEVICE,
        "--processes": NOT_A_COUNT,
    },
    "family collect": {
        "--family": NO_FAMILY,
        "--stories": ["''"],
        "--out": ["nowhere", "''", "trained"],
        "--only": NOT_IN_FAMILY,
        "--length": ["0.5", "0", *NOT_A_SHARE],
        "--to": NO_FILE_TO_WRITE,
    },
    "family measure": {
        "--family": [*NO_FAMILY, "bundled"],
        "--stories": ["''", "nowhere.jsonl"],
        "--out": ["nowhere", "s.txt", "folder"],
        "--only": NOT_IN_FAMILY,
        "--length": ["0.5", "0", *NOT_A_SHARE],
        "--valid": [*NO_STORIES[:2], *NO_STORIES[3:]],
        "--n-tokens": [*NOT_A_COUNT, "1"],
        "--n-spliced": NOT_A_COUNT,
        "--device": NO_DEVICE,
        "--table": NO_FILE_TO_WRITE,
    },
    "family pack": {
        "--family": [*NO_FAMILY, "bundled"],
        "--stories": ["''", "nowhere.jsonl"],
        "--run": ["nowhere", "s.txt", "folder", "''"],
        "--out": NO_FOLDER_TO_WRITE,
        "--only": NOT_IN_FAMILY,
        "--length": ["0.5", "0", *NOT_A_SHARE],
        "--to": NO_FOLDER_TO_WRITE,
    },
    "family reproduce": {
        "id": ["typo", "''", "'*'"],
        "--out": NO_FOLDER_TO_WRITE,
        "--device": NO_DEVICE,
        "--draw": [*NOT_A_COUNT, "3"],
        "--seed": ["-1", "1.5", "x"],
        "--table": ["''", "nowhere.json", "s.txt"],
        "--family": [*NO_FAMILY, "article"],
        "--stories": ["''", "s.txt"],
    },
    "explore": {
        "--out": [*NO_FOLDER_TO_WRITE, "page.html"],
        "folder": [*NO_FOLDER_TO_WRITE, "page.html"],
        "--sae": ["S", "S=", "=sae", "S=sae", "S2=nowhere", "S2=folder", "S2=damaged", "S2=hf://you"],
        "--hook": NO_HOOK,
        "--model": NO_MODEL,
        "--stories": NO_STORIES,
        "--n-ctx": [*NOT_A_COUNT, "1", "100000"],
        "--skip-first": ["-1", "1.5", "x", "16"],
        "--n-tokens": [*NOT_A_COUNT, "100000000"],
        "--neuronpedia": ["''", "gpt2-small", "'gpt 2' --creator me", "../x --creator me", "a__b --creator me"],
        "--creator": ["''", "me"],
    },
    "about": {"sae": NO_SAE},
    "push": {
        "sae": NO_SAE,
        "repo": ["''", "tiny", "you/tiny/../x", "you/tiny@main", "hf://you/tiny", "you/tiny"],  # the last is good, and nobody answers
        "--licence": ["''", "'MIT licence'"],
    },
    "bench": {
        "--setting": ["x", "toy"],
        "--d-model": NOT_A_COUNT,
        "--n-latents": NOT_A_COUNT,
        "--batch": NOT_A_COUNT,
        "--l0": ["0", "-1", "16", "nan", "inf", "x"],
        "--loss": ["x", "''"],
        "--nonlinearity": ["x", "''"],
        "--rounds": NOT_A_COUNT,
        "--threads": NOT_A_COUNT,
        "--device": ["x", "''", "mps"],
        "--dtype": ["x", "''"],
        "--peer": ["x", "''", "x=python", "sae-lens=nowhere", "sae-lens=folder"],
        "--json": NO_FILE_TO_WRITE,
        "--figure": NO_FILE_TO_WRITE,
    },
}
FREE = {
    "--help",
    "--json",
    "--sample-prefixes",
    "--no-lazy-adam",
    "--no-centre",
    "--stop-gradient",
    "--layer-norm",
    "--counts",
    "--trained-by",
    "--title",
    "--back",
}
"""Takes no value, or any."""

FREE |= {"--measure", "--wait", "--weights", "--private", "--card"}

ROWS = [(command, option, value) for command, options in WRONG.items() for option, values in options.items() for value in values]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good one and some bad ones of each kind of file."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("folder", "folder.jsonl"):
        (folder / name).mkdir()
    (folder / "s.txt").write_text("\n\n".join(["Once upon a time there was a cat. It saw a dog."] * 21))
    (folder / "s.csv").write_text("text\nOnce upon a time.\n")
    (folder / "latin.txt").write_bytes("Zoë ate a café.\n\nShe was happy.".encode("latin-1"))
    (folder / "blank.txt").write_text("\n\n \n")
    (folder / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (folder / "numbers.jsonl").write_text('{"text": "a"}\n{"text": 3}\n')
    (folder / "cut.jsonl.zst").write_bytes(b"(\xb5/\xfd")
    sae = msae.SAE(256, 8, hook_name=HOOK)
    sae.save(folder / "sae")
    sae.save(folder / "damaged")
    (folder / "damaged" / "sae.safetensors").write_bytes((folder / "sae" / "sae.safetensors").read_bytes()[:-9])
    sae.save(folder / "half")
    (folder / "half" / "sae.json").write_text('{"format": "msae-sae/1"}')
    (folder / "foreign").mkdir()
    (folder / "foreign" / "cfg.json").write_text('{"architecture": "transcoder", "metadata": {"sae_lens_version": "6.0.0"}}')
    (folder / "foreign" / "sae_weights.safetensors").write_bytes((folder / "sae" / "sae.safetensors").read_bytes())
    (folder / "run").mkdir()
    (folder / "run" / "tokenizer.json").write_text("{}")
    (folder / "run" / "checkpoint.safetensors").write_bytes((folder / "sae" / "sae.safetensors").read_bytes())
    group = {"hook_names": [HOOK], "seeds": [0], "n_steps": 2, "references": [[4, 2]]}
    about = {"format": "msae-family/1", "language_model": "bundled", "stories": "s.txt", "n_ctx": 16, "recipe": {"batch_size": 8}}
    about |= {"groups": [group]}
    for name, content in {
        "family": about,
        "list": [about],
        "nan": about | {"n_tokens": float("nan")},
        "unknown": about | {"n_context": 4},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "deep.json").write_text("[" * 100_000)
    (member,) = msae.load_family(folder / "family.json").members()
    made = {"language_model": "bundled", "stories": "s.txt", "n_ctx": 16, "n_tokens": 100}
    msae.SAE(256, 4, hook_name=HOOK, config=member.config.record() | {"family": made}).save(folder / "trained" / member.id)
    return folder


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {path: None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(("command", "option", "value"), ROWS)
def test_a_wrong_option_is_one_line(command, option, value, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before = everything(place)
    good = OLD.get(f"{command} {option}", GOOD[command])
    if option.startswith("-"):
        line = f"{command} {good} {option} {value}" if value != "-1" else f"{command} {good} {option}=-1"
    elif option == "repo":  # the second argument
        line = f"{command} {good.partition(' ')[0]} {value}"
    else:  # the first argument
        line = f"{command} {value} {good.partition(' ')[2]}"
    assert main(shlex.split(line)) == 2
    captured = capsys.readouterr()
    said = "".join(line for line in captured.err.splitlines(keepends=True) if "took" not in line)  # reproduce says first what it will take
    assert said.startswith("msae: ")
    assert said.count("\n") == 1, said
    assert len(said) < 700
    assert captured.out == ""
    assert everything(place) == before


def commands(top: Parser, name: str = "") -> Iterator[tuple[str, Parser]]:
    top.complete()
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, sub in action.choices.items():
                yield from commands(sub, f"{name} {word}".strip())
            return
    yield name, top


def test_the_table_has_every_option_of_every_command():
    for command, its in commands(parser()):
        names = {(action.option_strings or [action.dest])[-1] for action in its._actions}
        assert names - FREE == WRONG[command].keys() - FREE, command


@pytest.mark.parametrize("line", ["", "x", "family", "train", "train --x", "bench --rounds", "about", "about sae more", "about s\udcffe"])
def test_a_line_that_is_no_command_is_one_line(line, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("msae: ")
    assert said.count("\n") == 1
