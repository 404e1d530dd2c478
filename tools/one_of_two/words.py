"""The activations that all SAEs of "One of two" are trained and judged on, and which of their tokens are female and male words.

    python tools/one_of_two/words.py [--real valid.jsonl.zst]      (once, 3 minutes on a core; writes runs/one_of_two/words.safetensors)

Three sets: the bundled stories that are trained on, those that are held out (every 20th), and stories of TinyStories where a file of them
is given. The file holds float16 activations and flags, 330 MB. `--tokens` leaves the activations out (3 MB): whoever reads the file then
computes them, by the bundled model as a plain PyTorch module, which needs no more than torch.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

HOOK = "blocks.3.hook_resid_pre"
PAIR = ("female words", "male words")
FOLDER = Path("runs/one_of_two")


class Words(NamedTuple):
    """One set of stories."""

    x: Tensor
    """(n_tokens, d_model) float16 activations, as the model computes them."""

    flags: Tensor
    """(2, n_tokens) bool: the female words, the male words."""

    counts: Tensor
    """(n_texts,) tokens of each text, which the order of batches rests on."""


def read_words(path: Path, device: str = "cpu") -> tuple[dict[str, Words], float]:
    """The sets by name, and what activations are multiplied with before training."""
    held = load_file(path)
    names = sorted({key.split("/")[0] for key in held})
    sets = {}
    for name in names:
        x = held.get(f"{name}/x")
        if x is None:
            x = activations_of(held[f"{name}/tokens"].long(), held[f"{name}/mask"], device)
        sets[name] = Words(x.to(device), held[f"{name}/flags"].to(device), held[f"{name}/mask"].sum(1))
    norms = torch.linalg.vector_norm(sets["train"].x.float(), dim=1).double().sum().item()
    return sets, sets["train"].x.shape[1] ** 0.5 * len(sets["train"].x) / norms


@torch.no_grad()
def activations_of(tokens: Tensor, mask: Tensor, device: str) -> Tensor:
    """(n_tokens, d_model) float16 on the CPU, the same as `msae.Activations` gives but for rounding."""
    from msae.lm.transformer import Transformer, TransformerConfig

    folder = files("msae") / "assets" / "language_model"
    model = Transformer(TransformerConfig(**json.loads((folder / "config.json").read_text("utf8")))).eval()
    state = {name: value.float() for name, value in load_file(str(folder / "model.safetensors")).items()}
    model.load_state_dict(state)
    model, parts = model.to(device), []
    for rows, there in zip(tokens.split(256), mask.split(256)):
        x = model.tok_embed(rows.to(device))
        for block in model.layers[: int(HOOK.split(".")[1])]:
            x = block(x, model.rotation[: rows.shape[1]])
        parts.append(x[there.to(device)].half().cpu())
    return torch.cat(parts)


def write_words(path: Path, real: str | None, with_x: bool) -> None:
    """Read the stories, mark the words, run the model."""
    import msae
    from msae.support.letters import vocabulary

    lm, patterns = msae.load_language_model("bundled"), msae.load_family("bundled").concepts
    train, told = msae.split_stories(msae.load_stories("bundled"))
    stories = {"train": train, "told": told} | ({} if real is None else {"real": msae.load_stories(real)})
    held, strings = {}, vocabulary(lm.tokenizer)
    for name, texts in stories.items():
        read = msae.activations.read_texts(lm, texts, n_tokens=50_000 if name == "real" else None)
        tokens, mask = read.tokens.numpy(), read.mask.numpy()
        flags = np.stack([msae.patterns.match(patterns[which], tokens, strings, mask=mask)[mask] for which in PAIR])
        held |= {f"{name}/tokens": read.tokens.to(torch.int16), f"{name}/mask": read.mask, f"{name}/flags": torch.from_numpy(flags)}
        if with_x:
            held[f"{name}/x"] = activations_of(read.tokens, read.mask, "cpu")
        print(
            f"{name}: {len(texts):,} stories, {flags.shape[1]:,} tokens, female {flags[0].mean():.4f}, male {flags[1].mean():.4f}",
            flush=True,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(held, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", help="a file with stories of TinyStories")
    parser.add_argument("--tokens", action="store_true", help="leave the activations out")
    parser.add_argument("--to", type=Path, default=FOLDER / "words.safetensors")
    asked = parser.parse_args()
    write_words(asked.to, asked.real, not asked.tokens)
