"""Stories: from the bundle, from a file, from the TinyStories data set, or sampled from a language model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from msae.harvesting import check_stories
from msae.language_model import ASSETS, check_manifest, plain_transformer, write_with_manifest
from msae.support import arguments
from msae.textfiles import KINDS, lines, read_rows, write_lines
from msae.tinystories import SOURCES, load_tinystories
from msae.transformer import Transformer, rotate

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformer_lens.model_bridge import TransformerBridge

STORIES_FILE = "stories.jsonl.zst"

HELD_OUT = 20
"""Every 20th story is for measuring only."""


def load_stories(source: str | os.PathLike = "bundled", n: int | None = None, *, split: str = "train") -> list[str]:
    """Texts, one string per story.

    The two data sets of the hub are cleaned as the article's author did (`clean_story`). With n, the first n stories are streamed, and
    kept: the next call for as many or fewer needs no network. Without n, the whole split is downloaded once (about 1 GB and 2 GB), each
    file checked by its hash.

    Args:
        source: "bundled" for the stories that ship with the library (sampled from its language model); "tinystories" for the
            data set of Eldan and Li 2023 (`roneneldan/TinyStories`, 2.1 million stories by GPT-3.5 and GPT-4); "tinystories-v2" for the
            one that the article's model was trained on (`noanabeshima/TinyStoriesV2`, 2.7 million by GPT-4 alone); or a file: `.jsonl`
            or `.jsonl.zst` (one object with "text", or one string, per line), `.parquet` (a column "text"), `.txt` (stories apart by
            `<|endoftext|>`, or else by blank lines). A file's stories are taken as they are.
        n: the first n stories only; all of them if left out.
        split: "train" or "validation", of a data set of the hub.

    Raises:
        FileNotFoundError: no such file, or the bundled one is missing.
        ValueError: n is not positive, the split is unknown, the file's kind is unknown, it has no stories, or a file was altered.
        ConnectionError: the data set could not be fetched.
    """
    n = None if n is None else arguments.whole("n", n, 1, hint="leave it out for all stories")
    path = arguments.path("source", source)
    if source in SOURCES:
        return load_tinystories(str(source), n, split)
    if split != "train":
        raise ValueError(f"only the hub's data sets have splits, got split={split!r}: give {' or '.join(SOURCES)}, or leave it out")
    if source == "bundled":
        check_manifest(ASSETS / "stories", (STORIES_FILE,))
        path = ASSETS / "stories" / STORIES_FILE
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: give 'bundled', {', '.join(map(repr, SOURCES))}, or a file that ends in {KINDS}")
    stories = list(islice(filter(None, map(str.strip, read_rows(path))), n))
    if not stories:
        raise ValueError(f"{path} holds no stories")
    return stories


def split_stories(stories: Sequence[str]) -> tuple[list[str], list[str]]:
    """Stories to train on, and every 20th (`HELD_OUT`) to measure on; of fewer than 20 the last.

    Raises:
        ValueError: fewer than two stories, or one that is no text.
    """
    stories = check_stories(stories)
    if len(stories) < 2:
        raise ValueError(f"expected at least two stories, one of them to measure on, got {len(stories)}")
    if len(stories) < HELD_OUT:
        return list(stories[:-1]), list(stories[-1:])
    return [story for i, story in enumerate(stories) if i % HELD_OUT != HELD_OUT - 1], list(stories[HELD_OUT - 1 :: HELD_OUT])


def save_stories(stories: Sequence[str], path: str | os.PathLike) -> None:
    """Write stories as `.jsonl` or, compressed, `.jsonl.zst`: one object `{"text": …}` per line.

    Raises:
        ValueError: a story that is no text, or another ending.
    """
    place = arguments.path("path", path)
    if not place.name.lower().endswith((".jsonl", ".jsonl.zst")):
        raise ValueError(f"path must end in .jsonl or .jsonl.zst, got {place}")
    write_lines(place, ({"text": story} for story in check_stories(stories)))


def pack_stories(folder: str | os.PathLike, stories: Sequence[str], *, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the folder that `load_stories("bundled")` reads: the stories and their manifest, with its hash."""
    path, stories = arguments.path("folder", folder), check_stories(stories)
    if not isinstance(manifest, dict):
        raise ValueError(f"manifest must be a dict, got {arguments.shown(manifest)}")
    content = lines(({"text": story} for story in stories), compressed=True)
    counts = {"n_stories": len(stories), "n_characters": sum(map(len, stories))}
    about = {"what": "stories sampled from the bundled language model"} | manifest | counts
    return write_with_manifest(path, {STORIES_FILE: content}, about)


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


def copied_stories(samples: Sequence[str], training: Sequence[str], length: int = 100) -> list[bool]:
    """Which samples share a passage of `length` or more characters with any training story.

    Exact: characters are compared as they are, and a passage never runs across the border of two stories.

    Args:
        samples: texts to look at.
        training: texts they may have been copied from.
        length: the shortest passage that counts, in characters.

    Returns:
        one bool per sample.
    """
    return CopyIndex(training, length).copied(samples)


class CopyIndex:
    """All passages of `length` characters of the training stories, as 64-bit polynomial hashes; a hit is checked letter by letter."""

    def __init__(self, training: Sequence[str], length: int = 100):
        length, training = arguments.whole("length", length, 1), check_stories(training, "training")
        self.length, self.training = length, "\0".join(training)
        hashes = [_passage_hashes(story, length) for story in training]
        self.hashes = np.unique(np.concatenate(hashes)) if hashes else np.empty(0, np.uint64)

    def copied(self, samples: Sequence[str]) -> list[bool]:
        """One bool per sample: does it share a passage with a training story?"""
        return [self._is_copied(sample) for sample in check_stories(samples, "samples")]

    def _is_copied(self, sample: str) -> bool:
        hashes = _passage_hashes(sample, self.length)
        if not len(hashes) or not len(self.hashes):
            return False
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        hits = np.flatnonzero(self.hashes[place] == hashes)
        return any(sample[i : i + self.length] in self.training for i in hits)


def _passage_hashes(text: str, length: int) -> np.ndarray:
    """A number for each passage of `length` characters, equal for equal passages (Rabin and Karp 1987, modulo 2^64)."""
    if len(text) < length:
        return np.empty(0, np.uint64)
    base, inverse = 0x9E3779B97F4A7C15, pow(0x9E3779B97F4A7C15, -1, 2**64)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64) + np.uint64(1)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(len(codes), base, np.uint64))
        unpowers = np.cumprod(np.full(len(codes), inverse, np.uint64))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers)])
        return (sums[length:] - sums[:-length]) * unpowers[: len(codes) - length + 1]
