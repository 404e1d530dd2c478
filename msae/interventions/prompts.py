"""Pairs of prompts that differ in one thing and ask for different answers: a counterfactual task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from msae.activations.checks import check_language_model
from msae.activations.rows import begin_of
from msae.support.arguments import items, shown, whole, written
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Pairs(NamedTuple):
    """Prompts and their counterfactuals, token by token; shorter ones are filled up with [BEGIN] behind the place that is read.

    Example:
        >>> import msae
        >>> lm = msae.load_language_model()  # doctest: +SKIP
        >>> pairs = msae.interventions.prompt_pairs(lm, ["Lily lost"], ["Tim lost"], answers=[(" her", " his")])  # doctest: +SKIP
        >>> pairs.clean.shape == pairs.other.shape  # doctest: +SKIP
        True
    """

    clean: Tensor
    """(n_pairs, length) int64: the prompts."""

    other: Tensor
    """(n_pairs, length) int64: their counterfactuals."""

    answers: Tensor
    """(n_pairs, 2) int64: the token that is right after the prompt, and the one that is right after its counterfactual."""

    at: Tensor
    """(n_pairs,) int64: the place of the last token, where the answer is read."""


def prompt_pairs(lm: TransformerBridge, clean: Sequence[str], other: Sequence[str], *, answers: Sequence[tuple[str, str]]) -> Pairs:
    """Tokenize prompts and their counterfactuals, [BEGIN] in front.

    Args:
        lm: the language model whose tokenizer is asked.
        clean: the prompts.
        other: for each its counterfactual, of as many tokens.
        answers: for each the two continuations, one token each: the one that is right after `clean`, the one that is right after `other`.

    Returns:
        the pairs.

    Raises:
        ValueError: no prompt, lists of different lengths, a pair of different numbers of tokens or of the same, an answer that is not one
            token, the same answer twice, or a prompt that is longer than the model's context.

    Example:
        >>> import msae
        >>> lm = msae.load_language_model()  # doctest: +SKIP
        >>> msae.interventions.prompt_pairs(lm, ["Lily lost"], ["Tim lost"], answers=[(" her", " his")]).answers  # doctest: +SKIP
    """
    check_language_model(lm)
    begin = begin_of(lm.tokenizer, lm.cfg.d_vocab)
    prompts = {"clean": items("clean", clean), "other": items("other", other), "answers": items("answers", answers)}
    if len({len(each) for each in prompts.values()}) != 1 or not prompts["clean"]:
        counts = ", ".join(f"{len(each)} {name}" for name, each in prompts.items())
        raise ValueError(f"clean, other and answers must have one item for each pair, at least one, got {counts}")
    ids = {name: [_ids(lm, name, text) for text in prompts[name]] for name in ("clean", "other")}
    for a, b, *texts in zip(ids["clean"], ids["other"], prompts["clean"], prompts["other"], strict=True):
        if len(a) != len(b):
            raise ValueError(f"other must have as many tokens as clean, {shown(texts[0])} has {len(a)}, {shown(texts[1])} has {len(b)}")
        if a == b:
            raise ValueError(f"other must differ from clean, got {shown(texts[0])} in both")
    right = [_answers(lm, pair) for pair in prompts["answers"]]
    length = 1 + max(len(row) for row in ids["clean"])
    whole("the tokens of the longest prompt", length, 1, lm.cfg.n_ctx)
    filled = {name: torch.tensor([[begin, *row, *[begin] * (length - 1 - len(row))] for row in rows]) for name, rows in ids.items()}
    return Pairs(filled["clean"], filled["other"], torch.tensor(right), torch.tensor([len(row) for row in ids["clean"]]))


@torch.no_grad()
def logit_differences(lm: TransformerBridge, pairs: Pairs, *, batch_size: int = 64) -> Tensor:
    """By how much the model prefers the answer that is right after the prompt, after the prompt and after its counterfactual.

    Args:
        lm: the language model.
        pairs: of `prompt_pairs`.
        batch_size: prompts at a time.

    Returns:
        (n_pairs, 2) float32, logit of the first answer less logit of the second: after `clean`, where it should be above 0, and after
        `other`, where it should be below 0.

    Raises:
        ValueError: `lm` or `pairs` are none.

    Example:
        >>> import msae
        >>> lm = msae.load_language_model()  # doctest: +SKIP
        >>> pairs = msae.interventions.prompt_pairs(lm, ["Lily lost"], ["Tim lost"], answers=[(" her", " his")])  # doctest: +SKIP
        >>> msae.interventions.logit_differences(lm, pairs)  # doctest: +SKIP
    """
    checked_pairs(lm, pairs)
    whole("batch_size", batch_size, 1)
    found = torch.zeros(len(pairs.at), 2)
    for rows, part in batches(pairs, batch_size):
        for column, tokens in enumerate((part.clean, part.other)):
            found[rows, column] = preferred(lm(tokens.to(lm.cfg.device), return_type="logits"), part).float().cpu()
    return found


def preferred(logits: Tensor, pairs: Pairs) -> Tensor:
    """(n_pairs,): of logits (n_pairs, length, d_vocab) the first answer's less the second's, where the answer is read."""
    last = wide(logits[torch.arange(len(pairs.at)), pairs.at])
    both = last.gather(1, pairs.answers.to(last.device))
    return both[:, 0] - both[:, 1]


def batches(pairs: Pairs, batch_size: int) -> Iterator[tuple[Tensor, Pairs]]:
    """Which pairs, and these pairs: those of like length together, so that little of the work is on what fills them up."""
    for rows in pairs.at.argsort(stable=True).split(batch_size):
        width = int(pairs.at[rows].max()) + 1
        yield rows, Pairs(pairs.clean[rows, :width], pairs.other[rows, :width], pairs.answers[rows], pairs.at[rows])


def checked_pairs(lm: TransformerBridge, pairs: Pairs) -> Pairs:
    """A ValueError where the model is none, or the pairs are not of `prompt_pairs`."""
    check_language_model(lm)
    if not isinstance(pairs, Pairs):
        raise ValueError(f"pairs must be Pairs of prompt_pairs, got {shown(pairs)}")
    return pairs


def _ids(lm: TransformerBridge, name: str, text: object) -> list[int]:
    found = [int(token) for token in lm.tokenizer.encode(written(f"each of {name}", text), add_special_tokens=False)]
    if not found:
        raise ValueError(f"each of {name} must hold at least one token, got {shown(text)}")
    return found


def _answers(lm: TransformerBridge, pair: object) -> list[int]:
    texts = items("each of answers", pair)
    if len(texts) != 2:
        raise ValueError(f"each of answers must be two texts, got {shown(pair)}")
    ids = [_ids(lm, "answers", text) for text in texts]
    for text, found in zip(texts, ids, strict=True):
        if len(found) != 1:
            raise ValueError(f"each of answers must be one token, {shown(text)} is {len(found)}: look at lm.tokenizer.tokenize")
    if ids[0] == ids[1]:
        raise ValueError(f"each of answers must be two different tokens, got {shown(pair)}")
    return [found[0] for found in ids]
