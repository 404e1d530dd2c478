"""Stories that a language model tells, none of them copied from its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from msae.lm.bridge import plain_transformer
from msae.lm.transformer import Transformer, rotate
from msae.support import arguments
from msae.texts.copies import CopyIndex

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformer_lens.model_bridge import TransformerBridge


class Samples(NamedTuple):
    """Stories sampled from a language model."""

    stories: list[str]
    """Complete stories, in the order in which they ended."""

    n_copied: int
    """How many were dropped because they repeat a passage of a training story."""

    n_unfinished: int
    """How many were dropped because they had not ended after max_tokens."""


def sample_stories(
    lm: TransformerBridge | tuple[Transformer, Tokenizer],
    n: int,
    *,
    seed: int = 0,
    temperature: float = 0.8,
    batch_size: int = 64,
    max_tokens: int = 512,
    training: Sequence[str] | None = None,
    progress: bool = True,
) -> Samples:
    """Let a language model tell n stories, each from [BEGIN] to the next [BEGIN].

    The model also learnt from rows that start in the middle of a story, so [BEGIN] alone would often be followed by half a sentence: the
    first token is drawn among those that can open a story, a capital letter or a quotation mark.

    A story may outgrow the context: then the window starts anew with [BEGIN] and the later half of what it held, as in training.
    Keys and values are cached, so a token costs one position's work.

    Args:
        lm: a model of `load_language_model("bundled" | folder)`, or what `load_transformer` returns.
        n: how many stories to return.
        seed: the same seed, batch size and model give the same stories.
        temperature: 1 samples from the model's own probabilities, less is more cautious.
        batch_size: stories told side by side.
        max_tokens: a story that has not ended by then is dropped, and another told.
        training: where given, stories that share 100 or more characters with one of these are dropped, and others told.

    Raises:
        ValueError: an impossible n, temperature, batch_size or max_tokens, or a model that is not of `msae.transformer`.
        RuntimeError: almost no story ends or is original, so that n is out of reach.
    """
    from tqdm.auto import tqdm

    n, batch_size, max_tokens = (
        arguments.whole(name, value, 1) for name, value in {"n": n, "batch_size": batch_size, "max_tokens": max_tokens}.items()
    )
    seed, progress = arguments.whole("seed", seed, 0, 2**63 - 1), arguments.yes_or_no("progress", progress)
    temperature = arguments.number("temperature", temperature, above=0, hint="0.8 is usual")
    if isinstance(lm, tuple) and not (len(lm) == 2 and isinstance(lm[0], Transformer) and hasattr(lm[1], "decode")):
        raise ValueError(f"lm must be a model of load_language_model, or a module and its tokenizer, got {arguments.shown(lm)}")
    model, tokenizer = lm if isinstance(lm, tuple) else (plain_transformer(lm), lm.tokenizer)
    index = None if training is None else CopyIndex(training)
    opening = _can_open_a_story(tokenizer, model.config.d_vocab).to(model.tok_embed.weight.device)
    generator = torch.Generator(device=model.tok_embed.weight.device).manual_seed(seed)
    kept: list[str] = []
    n_copied = n_unfinished = n_told = 0
    with tqdm(total=n, unit="story", desc="telling stories", disable=not progress) as bar:
        while len(kept) < n:
            told, unfinished = _tell(model, min(batch_size, 2 * (n - len(kept)) + 2), max_tokens, temperature, generator, opening)
            n_unfinished += unfinished
            n_told += len(told) + unfinished
            texts = [text for text in (tokenizer.decode(ids).strip() for ids in told) if text]
            copied = [False] * len(texts) if index is None else index.copied(texts)
            n_copied += sum(copied)
            fresh = [text for text, is_copy in zip(texts, copied, strict=True) if not is_copy]
            bar.update(min(len(fresh), n - len(kept)))
            kept += fresh
            if n_told >= 10 * batch_size and len(kept) < n_told / 50:
                counts = f"of {n_told} stories {n_unfinished} did not end and {n_copied} were copies"
                raise RuntimeError(f"{counts}: raise max_tokens, or train the model for longer")
    return Samples(kept[:n], n_copied, n_unfinished)


@torch.inference_mode()
def _tell(
    model: Transformer, n: int, max_tokens: int, temperature: float, generator: torch.Generator, opening: Tensor | None = None
) -> tuple[list[list[int]], int]:
    """n stories side by side, as token ids without [BEGIN], and how many did not end. `opening` (d_vocab,): tokens that may be first."""
    config, device = model.config, model.tok_embed.weight.device
    cache_shape = (2, config.n_layers, n, config.n_heads, config.n_ctx, config.d_head)
    cache = torch.zeros(cache_shape, device=device)  # [keys or values, layer, story, head, position, coordinate]
    history = torch.zeros(n, 1, dtype=torch.long, device=device)  # [BEGIN], then every token told
    new, position = history, 0
    alive = torch.ones(n, dtype=torch.bool, device=device)
    told: list[list[int]] = []
    for _ in range(max_tokens):
        if position + new.shape[1] > config.n_ctx:
            new = torch.cat([torch.zeros_like(history[:, :1]), history[:, -(config.n_ctx // 2) :]], dim=1)
            position = 0
        logits = _next_logits(model, new, cache, position)
        position += new.shape[1]
        if opening is not None:
            logits, opening = logits.masked_fill(~opening, -torch.inf), None
        new = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)
        ended = alive & (new[:, 0] == 0)
        told += [story.tolist() for story in history[ended][:, 1:]]
        alive &= ~ended
        n_alive = int(alive.sum())
        if n_alive == 0:
            break
        if n_alive < 0.7 * len(alive):  # to leave out the ended ones means to copy the cache, so not for each
            history, new, cache, alive = history[alive], new[alive], cache[:, :, alive], alive[alive]
        history = torch.cat([history, new], dim=1)
    return told, int(alive.sum())


def _can_open_a_story(tokenizer: Any, d_vocab: int) -> Tensor:
    """(d_vocab,) bool: the token's text starts with a capital letter or a quotation mark, and is not [BEGIN]."""
    texts = [""] + [tokenizer.decode([i]) for i in range(1, d_vocab)]
    return torch.tensor([text[:1].isupper() or text[:1] in set('"“‘') for text in texts])


def _next_logits(model: Any, tokens_BT: Tensor, cache: Tensor, position: int) -> Tensor:
    """Logits (story, d_vocab) after the last of some new tokens, which stand at `position` and after; keys and values go into the cache."""
    end = position + tokens_BT.shape[1]
    turn = model.rotation[position:end]
    x_BTD = model.tok_embed(tokens_BT)
    for layer, block in enumerate(model.layers):
        attn, normed = block.attn, block.ln1(x_BTD)
        q, k, v = (project(normed).unflatten(-1, (attn.n_heads, attn.d_head)).transpose(1, 2) for project in (attn.q, attn.k, attn.v))
        cache[0, layer, :, :, position:end], cache[1, layer, :, :, position:end] = rotate(k, turn), v
        keys, values = cache[:, layer, :, :, :end]
        mixed = F.scaled_dot_product_attention(rotate(q, turn), keys, values, is_causal=position == 0)
        x_BTD = x_BTD + attn.o(mixed.transpose(1, 2).flatten(-2))
        x_BTD = x_BTD + block.mlp(block.ln2(x_BTD))
    return model.head(model.ln_out(x_BTD[:, -1]))
