"""The command line, as a person calls it: in a process of its own, with tiny sizes, Ctrl-C included."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import msae
from msae.__main__ import main, parser
from msae.cli.sae import RECOMMENDED, sae_config
from msae.explore import read_bundle
from msae.lm.loading import load_manifest
from msae.support.checkpoints import load_checkpoint
from msae.texts.stories import load_stories, save_stories, split_stories

STORIES = [
    f"Once upon a time {name} saw a {thing}. She was {mood}."
    for name in ("Lily", "Sue")
    for thing in ("cat", "dog", "ball", "tree", "bird")
    for mood in ("happy", "sad", "glad", "shy", "kind")
]
SHAPE = "--d-vocab 300 --d-model 16 --n-layers 4 --n-heads 2 --n-ctx 16"
SAE = "--hook blocks.2.hook_resid_pre --n-ctx 16 --n-latents 24 --target-l0 4 --batch-size 64"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


PAUSES = """
import sys
from msae import activations
from msae.lm import pretraining

def pausing(batches):
    def wrapped(*args, **options):
        for i, batch in enumerate(batches(*args, **options)):
            if i == 30:
                print("waiting", file=sys.stderr, flush=True)
                sys.stdin.read()
            yield batch
    return wrapped

activations.Activations.batches, pretraining.batches = pausing(activations.Activations.batches), pausing(pretraining.batches)
from msae.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
"""The command line, which waits at the 31st batch until its input is closed."""


def start(command: str, *, program: Sequence[str] = ("-m", "msae")) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *program, *shlex.split(command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background shell leaves it ignored
    )


def interrupted(command: str) -> str:
    """Ctrl-C at the 31st batch; returns what it says then. Its input is closed after that, should Ctrl-C have been held back."""
    process = start(command, program=("-c", PAUSES))
    said = ""
    while "waiting" not in said and (letter := process.stderr.read(1)):
        said += letter
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=300)
    assert process.returncode == 130, said + rest
    assert "Traceback" not in rest
    return rest


@pytest.fixture(scope="module")
def stories(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stories") / "stories.jsonl"
    save_stories(STORIES, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory, stories) -> Path:
    folder = tmp_path_factory.mktemp("model")
    assert main(shlex.split(f"language-model train --stories {stories} --out {folder} {SHAPE} --n-steps 6 --batch-size 4")) == 0
    return folder


def test_language_model_train_evaluate_sample_pack(model, stories, tmp_path, capsys):
    manifest = load_manifest(model)
    assert manifest["command"].startswith("python -m msae language-model train --stories")
    assert manifest["report"]["valid_stories"] == len(STORIES) // 20
    assert main(["language-model", "evaluate", "--model", str(model), "--stories", str(stories), "-n", "5"]) == 0
    assert "bits per character on 5 stories" in capsys.readouterr().out
    assert main(["language-model", "pack", "--run", str(model), "--valid", str(stories), "--out", str(tmp_path / "packed")]) == 0
    packed = load_manifest(tmp_path / "packed")["report"]
    assert packed["finished"]
    assert packed["step"] == 6
    assert msae.load_language_model(tmp_path / "packed").to_tokens("Lily")[0, 0] == 0
    sampling = f"language-model sample --model {model} -n 2 --max-tokens 3000 --temperature 3 --batch-size 32 --not-in {stories}"
    assert main(shlex.split(f"{sampling} --out {tmp_path / 'told'}")) == 0
    about = json.loads((tmp_path / "told" / "manifest.json").read_text())
    assert about["n_stories"] == len(load_stories(tmp_path / "told" / "stories.jsonl.zst")) == 2
    assert about["dropped"]["n_copied"] == 0


def test_sae_train_evaluate_about(model, stories, tmp_path, capsys):
    command = f"train --model {model} --stories {stories} --out {tmp_path} {SAE} --n-steps 30"
    assert main(shlex.split(command)) == 0
    said = capsys.readouterr().out
    assert "L0" in said
    assert "FVU" in said
    sae = msae.SAE.load(tmp_path)
    assert (sae.n_latents, sae.hook_name) == (24, "blocks.2.hook_resid_pre")
    assert not (tmp_path / "checkpoint.safetensors").exists()
    assert main(["evaluate", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(sae.config["held_out"])
    assert main(["about", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "blocks.2.hook_resid_pre" in said
    assert command.split("--out")[0] in said


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ("", {}),
        ("--prefixes full", {"prefixes": msae.FullPrefix()}),
        ("--no-centre --fade-prefixes 0.2", {"centre": False, "fade_prefixes": 0.2}),
        ("--no-lazy-adam --exchange-every 0 --exchange-moves 3", {"lazy_adam": False, "exchange_every": 0, "exchange_moves": 3}),
        ("--lazy-adam --centre --stop-gradient", {"stop_gradient": True}),
    ],
)
def test_train_uses_the_recommended_recipe_and_what_its_options_change(options, changes):
    line = shlex.split(f"train --hook h --out x --n-latents 300 --target-l0 5 --n-steps 9 {options}")
    assert sae_config(parser().parse_args(line)) == msae.language_model_recipe(300, 5, 9, **changes)


def test_the_help_of_train_tells_the_defaults_of_the_recommended_recipe():
    recipe = msae.language_model_recipe(12_800, 30, 9)
    told = {"centre": "yes", "lazy_adam": "yes", "exchange_moves": f"one in {12_800 // recipe.exchange_moves}"}
    told |= {name: str(getattr(recipe, name)) for name in ("fade_prefixes", "exchange_every")}
    assert all(f"(default: {told[name]}" in said for name, said in RECOMMENDED.items())
    assert recipe.centre
    assert recipe.lazy_adam


def test_an_interrupted_sae_goes_on_to_the_same_end(model, stories, tmp_path, capsys):
    parts = f"train --model {model} --stories {stories} {SAE} --n-steps 100 --checkpoint-every 100000"
    said = interrupted(f"{parts} --out {tmp_path / 'stopped'}")
    assert f"To go on: python -m msae {parts} --out {tmp_path / 'stopped'}" in said
    assert (tmp_path / "stopped" / "checkpoint.safetensors").exists()
    assert load_checkpoint(tmp_path / "stopped" / "checkpoint.safetensors")["runs"]["sae"]["step"] in (30, 31)
    for name in ("stopped", "whole"):
        assert main(shlex.split(f"{parts} --out {tmp_path / name}")) == 0
    stopped, whole = (msae.SAE.load(tmp_path / name) for name in ("stopped", "whole"))
    for a, b in zip(stopped.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_an_interrupted_language_model_goes_on(stories, tmp_path):
    command = f"language-model train --stories {stories} --out {tmp_path} {SHAPE} --batch-size 4 --n-steps 60"
    said = interrupted(command)
    assert f"To go on: python -m msae {command}" in said
    assert main(shlex.split(command)) == 0
    assert load_manifest(tmp_path)["report"]["config"]["n_steps"] == 60


def test_explore_writes_a_folder_of_ones_own_saes(model, stories, tmp_path, capsys):
    saes = {}
    for seed, (name, n) in enumerate({"small": 12, "large": 40}.items()):
        saes[name] = msae.SAE(16, n, hook_name="blocks.2.hook_resid_pre")
        saes[name].W_enc.data = torch.randn(16, n, generator=torch.Generator().manual_seed(seed))
        saes[name].save(tmp_path / name)
    given = " ".join(f"--sae {name}={tmp_path / name}" for name in saes)
    assert main(shlex.split(f"explore --out {tmp_path / 'out'} --model {model} --stories {stories} --n-ctx 16 {given} --back a.html")) == 0
    assert "52 latents" in capsys.readouterr().out
    assert 'href="a.html"' in (tmp_path / "out" / "index.html").read_text()
    bundle = read_bundle(tmp_path / "out")
    held_out = split_stories(load_stories(stories))[1]
    read = msae.Activations(msae.load_language_model(model), held_out, hook_name="blocks.2.hook_resid_pre", n_ctx=16, progress=False)
    assert len(bundle.tokens) == len(read.x)
    for name, sae in saes.items():
        dense = sae.encode(read.x.float()).detach().numpy()
        for latent in range(sae.n_latents):
            positions, values = bundle.of(f"{name}/{latent}")
            assert np.array_equal(positions, np.flatnonzero(dense[:, latent]))
            assert np.allclose(values, dense[positions, latent], atol=dense[:, latent].max() / 509 + 1e-6)
    assert {bundle.id[parent].split("/")[0] for parent, _, _ in bundle.edges} == {"small"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("about nowhere", "sae.json"),
        ("explore --out page.html", "expected a folder to write into, got page.html"),
        ("explore", "the following arguments are required: --out"),
        ("explore out --out there", "there are two folders to write into, there and out"),
        ("family pack --out trained", "the following arguments are required: --run"),
        (
            "family pack --run trained --out packed --to packed",
            "--to is what --out was called before there was --run: give --run and --out alone",
        ),
        ("explore --out out --sae S/2", "--sae must be NAME=FOLDER"),
        ("explore --out out --sae S=a --sae S=b", "two SAEs cannot have one name, got S, S"),
        ("language-model sample --model ./nowhere", "there is no folder nowhere"),
        ("language-model evaluate --stories none.txt", "there is no file none.txt"),
        ("language-model train --stories none.txt --out x --n-steps 0", "n_steps must be at least 1, got 0"),
        ("language-model pack --run . --valid none.txt --out x", "holds no checkpoint.safetensors"),
        ("train --hook h --out x --n-latents 10 --target-l0 20 --n-steps 5", "target_l0 must lie between 0 and n_latents=10"),
        ("train --hook h --out x --n-latents 10 --target-l0 2 --n-steps 5 --prefixes odd", "--prefixes must be"),
        ("train --hook h --out x --n-latents 10 --target-l0 2.5 --n-steps 5 --nonlinearity topk", "a whole number, got 2.5"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(command, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 2
    said = capsys.readouterr().err
    assert said.startswith("msae: ")
    assert said.count("\n") == 1
    assert message in said
    assert not list(tmp_path.iterdir())


def test_an_unknown_hook_is_named_with_its_neighbours(model, stories, tmp_path, capsys):
    sizes = "--n-latents 10 --target-l0 2 --n-steps 5"
    command = f"train --model {model} --stories {stories} --hook blocks.2.resid_pre --out {tmp_path} {sizes}"
    assert main(shlex.split(command)) == 2
    assert "blocks.2.hook_resid_pre" in capsys.readouterr().err


def test_a_missing_option_is_exit_code_2_too():
    process = start("train --n-latents 10")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "the following arguments are required" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", [[], ["family"], ["evaluate"], ["bench"]])
def test_help_loads_no_torch(command):
    code = f"""
import sys
from msae.__main__ import main
try:
    main([*{command}, "--help"])
except SystemExit:
    print({{"torch", "scipy", "plotly"}} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.endswith("\nset()\n")


def test_the_help_names_the_new_words_alone(capsys):
    for command in ("explore", "family pack"):
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), "--help"])
        assert ended.value.code == 0
        said = capsys.readouterr().out
        assert "--out FOLDER" in said
        assert "--to" not in said
        assert "default: None" not in said
