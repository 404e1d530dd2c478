"""What a language model predicts, and how it goes on: asked before, and again while something is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msae.activations.checks import check_language_model
from msae.activations.rows import read_texts
from msae.metrics.spliced import HasTexts
from msae.support.arguments import items, number, shown, whole, written
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@torch.no_grad()
def next_token(lm: TransformerBridge, texts: HasTexts, *, batch_size: int = 16) -> Tensor:
    """How likely the model holds the token that comes next, at every place of some texts.

    Args:
        lm: the language model, as it is or inside `without`.
        texts: what it reads: `msae.Activations`, or the `Texts` of `msae.activations.rows.read_texts`.
        batch_size: texts at a time.

    Returns:
        (n_texts, n_ctx) float32, in nats: at place t log p(token t | tokens before t). NaN at the first place and where `texts.mask` is
        False, so `texts.mask`, `tokens` and `story` pick from it as from everything else.

    Raises:
        ValueError: `texts` or `lm` are none.

    Example:
        >>> import msae
        >>> lm = msae.load_language_model()  # doctest: +SKIP
        >>> acts = msae.Activations(lm, msae.load_stories(), "blocks.3.hook_resid_pre", n_tokens=2000)  # doctest: +SKIP
        >>> msae.interventions.next_token(lm, acts).nanmean()  # doctest: +SKIP
    """
    check_language_model(lm)
    if not all(isinstance(getattr(texts, name, None), Tensor) for name in ("tokens", "mask")):
        raise ValueError(f"texts must be msae.Activations, or Texts of msae.activations.rows.read_texts, got {shown(texts)}")
    whole("batch_size", batch_size, 1)
    found = torch.full(texts.tokens.shape, torch.nan)
    for rows in torch.arange(len(texts.tokens)).split(batch_size):
        tokens = texts.tokens[rows].to(lm.cfg.device)
        logits = wide(lm(tokens, return_type="logits"))[:, :-1]
        log_p = logits.gather(-1, tokens[:, 1:, None]).squeeze(-1) - logits.logsumexp(-1)
        found[rows, 1:] = log_p.float().cpu()
    return found.masked_fill(~texts.mask.cpu(), torch.nan)


def continued(lm: TransformerBridge, start: str, n_tokens: int, *, seed: int | None = None, temperature: float = 0.8) -> str:
    """How the model goes on with a text.

    Args:
        lm: the language model, as it is or inside `without`.
        start: how the text begins.
        n_tokens: so many tokens more, fewer where the context ends.
        seed: draws each token; the likeliest each time where it is left out. With one seed, two models that think alike write alike.
        temperature: 1 draws from the model's own probabilities, less is more cautious.

    Returns:
        the text with its continuation; up to the end of the story, where that comes first.

    Raises:
        ValueError: a start that is empty or leaves no room.

    Example:
        >>> import msae
        >>> msae.interventions.continued(msae.load_language_model(), "Lily took", 5)  # doctest: +SKIP
    """
    row = _continued(lm, start, n_tokens, [seed], temperature)[0].tolist()
    told = row[1:].index(row[0]) if row[0] in row[1:] else len(row) - 1
    return str(lm.tokenizer.decode(row[1 : 1 + told]))


def continuations(lm: TransformerBridge, start: str, n_tokens: int, *, seeds: Sequence[int], temperature: float = 0.8) -> Tensor:
    """Several stories from one beginning, in one batch: row i is what `continued` tells with the seed `seeds[i]`.

    Args:
        lm: the language model, as it is or while it is changed.
        start: how all of them begin.
        n_tokens: so many tokens more, fewer where the context ends.
        seeds: one story each.
        temperature: 1 draws from the model's own probabilities, less is more cautious.

    Returns:
        (len(seeds), length) int64 ids of tokens, [BEGIN] first. Where a story ends before the others, [BEGIN] fills its row.

    Raises:
        ValueError: a start that is empty or leaves no room, or no seed.

    Example:
        >>> import msae
        >>> lm = msae.load_language_model()  # doctest: +SKIP
        >>> told = msae.interventions.continuations(lm, "Lily took", 5, seeds=range(20))  # doctest: +SKIP
        >>> lm.tokenizer.decode(told[0, 1:].tolist())  # doctest: +SKIP
    """
    numbers = [whole("each of seeds", seed, 0) for seed in items("seeds", seeds)]
    if not numbers:
        raise ValueError("seeds must name at least one seed, got none")
    return _continued(lm, start, n_tokens, numbers, temperature)


@torch.no_grad()
def _continued(lm: TransformerBridge, start: str, n_tokens: int, seeds: Sequence[int | None], temperature: float) -> Tensor:
    """One row for each seed; None takes the likeliest token each time."""
    check_language_model(lm)
    whole("n_tokens", n_tokens, 1)
    number("temperature", temperature, above=0)
    draws = [None if seed is None else torch.Generator().manual_seed(whole("seed", seed, 0)) for seed in seeds]
    if not written("start", start).strip():
        raise ValueError(f"start must be how a text begins, got {shown(start)}")
    read = read_texts(lm, [start], n_ctx=lm.cfg.n_ctx)
    length = int(read.mask.any(0).nonzero().max()) + 1
    tokens = read.tokens[:1, :length].repeat(len(seeds), 1)
    begin = int(tokens[0, 0])
    over = torch.zeros(len(seeds), dtype=torch.bool)
    for _ in range(min(n_tokens, lm.cfg.n_ctx - length)):
        logits = wide(lm(tokens.to(lm.cfg.device), return_type="logits"))[:, -1].cpu()
        drawn = torch.tensor([_drawn(row, generator, temperature) for row, generator in zip(logits, draws, strict=True)])
        drawn[over] = begin
        over |= drawn == begin
        if over.all():
            break
        tokens = torch.cat([tokens, drawn[:, None]], dim=1)
    return tokens


def _drawn(logits: Tensor, generator: torch.Generator | None, temperature: float) -> int:
    if generator is None:
        return int(logits.argmax())
    # the noise of one seed is the same whatever the logits are: two models tell apart only where they differ
    return int((logits / temperature - torch.empty_like(logits).exponential_(generator=generator).log()).argmax())
