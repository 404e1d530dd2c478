"""Stories that a language model tells, none of them copied from its training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from msae.lm.bridge import plain_transformer
from msae.lm.transformer import KeyValueCache, Transformer
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

    The model also learnt from rows that start in the middle of a story, so the first token is drawn among those that can open one, a
    capital letter or a quotation mark. A story may outgrow the context: then the window starts anew with [BEGIN] and the later half of
    what it held, as in training. Keys and values are cached, so a token costs one position's work.

    Args:
        lm: a model of `load_language_model("bundled" | folder)`, or what `load_transformer` returns.
        n: how many stories to return.
        seed: the same seed, batch size and model give the same stories.
        temperature: 1 samples from the model's own probabilities, less is more cautious.
        batch_size: stories told side by side.
        max_tokens: a story that has not ended by then is dropped, and another told.
        training: where given, stories that share 100 or more characters with one of these are dropped, and others told.
        progress: show a progress bar.

    Returns:
        the stories, and how many were dropped because they did not end, or were copied.

    Raises:
        ValueError: an impossible n, temperature, batch_size or max_tokens, or a model that is not of `msae.lm.transformer`.
        RuntimeError: almost no story ends or is original, so that n is out of reach.

    Example:
        >>> told = msae.sample_stories(msae.lm.load_transformer("bundled"), 1, seed=0, batch_size=1, progress=False)
        >>> len(told.stories), told.n_copied
        (1, 0)
    """
    from tqdm.auto import tqdm

    n, batch_size, max_tokens = _sizes(n=n, batch_size=batch_size, max_tokens=max_tokens)
    seed, progress = arguments.whole("seed", seed, 0, 2**63 - 1), arguments.yes_or_no("progress", progress)
    temperature = arguments.number("temperature", temperature, above=0, hint="0.8 is usual")
    model, tokenizer = _model_and_tokenizer(lm)
    index = None if training is None else CopyIndex(training)
    teller = _Teller(model, _can_open_a_story(tokenizer, model.config.d_vocab), temperature, seed)
    kept: list[str] = []
    counts: Counter[str] = Counter()
    with tqdm(total=n, unit="story", desc="telling stories", disable=not progress) as bar:
        while len(kept) < n:
            told, unfinished = teller.tell(min(batch_size, 2 * (n - len(kept)) + 2), max_tokens)
            texts = [text for text in (tokenizer.decode(ids).strip() for ids in told) if text]
            fresh = texts if index is None else [text for text, is_copy in zip(texts, index.copied(texts), strict=True) if not is_copy]
            counts.update(told=len(told) + unfinished, unfinished=unfinished, copied=len(texts) - len(fresh))
            bar.update(min(len(fresh), n - len(kept)))
            kept += fresh
            if counts["told"] >= 10 * batch_size and len(kept) < counts["told"] / 50:
                raise RuntimeError(_lost(counts))
    return Samples(kept[:n], counts["copied"], counts["unfinished"])


def _lost(counts: Mapping[str, int]) -> str:
    lost = f"of {counts['told']} stories {counts['unfinished']} did not end and {counts['copied']} were copies"
    return f"{lost}: raise max_tokens, or train the model for longer"


def _sizes(**given: int) -> tuple[int, ...]:
    return tuple(arguments.whole(name, value, 1) for name, value in given.items())


def _model_and_tokenizer(lm: TransformerBridge | tuple[Transformer, Tokenizer]) -> tuple[Transformer, Any]:
    if not isinstance(lm, tuple):
        return plain_transformer(lm), lm.tokenizer
    if not (len(lm) == 2 and isinstance(lm[0], Transformer) and hasattr(lm[1], "decode")):
        raise ValueError(f"lm must be a model of load_language_model, or a module and its tokenizer, got {arguments.shown(lm)}")
    return lm


def _can_open_a_story(tokenizer: Any, d_vocab: int) -> Tensor:
    """(d_vocab,) bool: the token's text starts with a capital letter or a quotation mark, and is not [BEGIN]."""
    texts = [""] + [tokenizer.decode([i]) for i in range(1, d_vocab)]
    return torch.tensor([text[:1].isupper() or text[:1] in set('"“‘') for text in texts])


class _Teller:
    """Draws stories, several side by side; one run of random numbers serves all that it tells."""

    def __init__(self, model: Transformer, opening: Tensor, temperature: float, seed: int):
        device = model.tok_embed.weight.device
        self.model, self.temperature = model, temperature
        self.opening = opening.to(device)
        """(d_vocab,) bool: the tokens that may be a story's first."""

        self.generator = torch.Generator(device=device).manual_seed(seed)

    @torch.inference_mode()
    def tell(self, n: int, max_tokens: int) -> tuple[list[list[int]], int]:
        """n stories side by side, as token ids without [BEGIN], and how many did not end."""
        n_ctx, device = self.model.config.n_ctx, self.opening.device
        cache = KeyValueCache(self.model.config, n, device)
        history = torch.zeros(n, 1, dtype=torch.long, device=device)  # [BEGIN], then every token told
        new = history
        alive = torch.ones(n, dtype=torch.bool, device=device)
        told: list[list[int]] = []
        for i in range(max_tokens):
            if cache.length + new.shape[1] > n_ctx:
                new = torch.cat([torch.zeros_like(history[:, :1]), history[:, -(n_ctx // 2) :]], dim=1)
                cache.clear()
            logits = self.model.next_logits(new, cache)
            if i == 0:
                logits = logits.masked_fill(~self.opening, -torch.inf)
            new = torch.multinomial((logits / self.temperature).softmax(-1), 1, generator=self.generator)
            ended = alive & (new[:, 0] == 0)
            told += [story.tolist() for story in history[ended][:, 1:]]
            alive &= ~ended
            n_alive = int(alive.sum())
            if n_alive == 0:
                break
            if n_alive < 0.7 * len(alive):  # to leave out the ended ones means to copy the cache, so not for each
                cache.pick(alive)
                history, new, alive = history[alive], new[alive], alive[alive]
            history = torch.cat([history, new], dim=1)
        return told, int(alive.sum())
