"""Language models with random weights, and the files they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import msae

STORIES = [
    f"Once upon a time {who} saw {what}. {who} was happy and ran home." for who in ("Lily", "Tom", "Sue") for what in ("a cat", "it")
]
"""Six small ones, for a model that is to have read something."""


def tiny_language_model(folder: Path, stories: list[str], d_model: int, n_layers: int) -> Any:
    """A language model with random weights whose tokenizer was trained on these stories, saved in the folder and loaded from it."""
    import torch

    from msae.lm.loading import save_language_model
    from msae.lm.tokenizer import train_tokenizer
    from msae.lm.transformer import Transformer, TransformerConfig

    torch.manual_seed(0)
    tokenizer = train_tokenizer(stories, 280)
    config = TransformerConfig(tokenizer.get_vocab_size(), d_model=d_model, n_layers=n_layers, n_heads=2, n_ctx=16)
    save_language_model(folder, Transformer(config), tokenizer, report={}, command="")
    return msae.load_language_model(folder)


def tiny_gpt2(folder: Path, stories: list[str], d_model: int = 24, n_layers: int = 3) -> Path:
    """A folder with a GPT-2 of random weights and its tokenizer, written by transformers as `save_pretrained` does."""
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from msae.lm.tokenizer import train_tokenizer

    torch.manual_seed(0)
    tokenizer = train_tokenizer(stories, 400)
    sizes = {"n_positions": 64, "n_embd": d_model, "n_layer": n_layers, "n_head": 4}
    config = GPT2Config(vocab_size=tokenizer.get_vocab_size(), bos_token_id=0, eos_token_id=0, **sizes)
    GPT2LMHeadModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="[BEGIN]", eos_token="[BEGIN]").save_pretrained(folder)
    return folder


def random_weights(d_vocab: int = 30, d_model: int = 16, n_layers: int = 3, n_ctx: int = 12) -> dict[str, Tensor]:
    """A state dict with the names and the shapes that the author's file has, in small."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * shape[-1] ** -0.5

    state = {"embed.weight": normal(d_vocab, d_model), "pos_embed": normal(1, n_ctx, d_model)}
    for layer in range(n_layers):
        block = f"torso.{layer}"
        state |= {f"{block}.attn.{part}.weight": normal(d_model, d_model) for part in "QKVO"}
        state |= {f"{block}.attn.O.bias": normal(d_model)}
        state |= {f"{block}.mlp.read_in.weight": normal(4 * d_model, d_model), f"{block}.mlp.read_in.bias": normal(4 * d_model)}
        state |= {f"{block}.mlp.write_out.weight": normal(d_model, 4 * d_model), f"{block}.mlp.write_out.bias": normal(d_model)}
    return state | {"lm_head.weight": normal(d_vocab, d_model), "lm_head.bias": normal(d_vocab)}


def forward(state: dict[str, Tensor], tokens: list[int], n_heads: int = 4) -> tuple[Tensor, dict[str, Tensor]]:
    """The architecture as the article describes it, one text, one head, one position at a time; and what the hooks should see."""
    seen = {}
    x = state["embed.weight"][tokens] + state["pos_embed"][0, : len(tokens)]
    d_head = x.shape[1] // n_heads
    layer = 0
    while f"torso.{layer}.attn.Q.weight" in state:
        seen[f"blocks.{layer}.hook_resid_pre"] = x
        weights = {name.removeprefix(f"torso.{layer}."): value for name, value in state.items()}
        heads = torch.zeros_like(x)
        for head in range(n_heads):
            part = slice(head * d_head, (head + 1) * d_head)
            q, k, v = (x @ weights[f"attn.{letter}.weight"][part].T for letter in "QKV")
            for place in range(len(tokens)):
                pattern = torch.softmax(k[: place + 1] @ q[place] / d_head**0.5, 0)
                heads[place, part] = pattern @ v[: place + 1]
        attn_out = heads @ weights["attn.O.weight"].T + weights["attn.O.bias"]
        x = x + attn_out
        neurons = torch.clamp(x @ weights["mlp.read_in.weight"].T + weights["mlp.read_in.bias"], min=0)
        mlp_out = neurons @ weights["mlp.write_out.weight"].T + weights["mlp.write_out.bias"]
        x = x + mlp_out
        seen |= {f"blocks.{layer}.hook_attn_out": attn_out, f"blocks.{layer}.hook_mlp_out": mlp_out}
        layer += 1
    return x @ state["lm_head.weight"].T + state["lm_head.bias"], seen


class Dangerous:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
