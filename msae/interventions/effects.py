"""What a language model predicts, and how it goes on: asked before, and again while something is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msae.activations.checks import check_language_model
from msae.activations.rows import read_texts
from msae.metrics.spliced import HasTexts
from msae.support.arguments import number, shown, whole, written
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


@torch.no_grad()
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
    check_language_model(lm)
    whole("n_tokens", n_tokens, 1)
    number("temperature", temperature, above=0)
    generator = None if seed is None else torch.Generator().manual_seed(whole("seed", seed, 0))
    if not written("start", start).strip():
        raise ValueError(f"start must be how a text begins, got {shown(start)}")
    read = read_texts(lm, [start], n_ctx=lm.cfg.n_ctx)
    length = int(read.mask.any(0).nonzero().max()) + 1
    tokens = read.tokens[:1, :length]
    begin = int(tokens[0, 0])
    for _ in range(min(n_tokens, lm.cfg.n_ctx - length)):
        logits = wide(lm(tokens.to(lm.cfg.device), return_type="logits"))[0, -1].cpu()
        if generator is None:
            drawn = int(logits.argmax())
        else:  # the noise of one seed is the same whatever the logits are: the two differ only where the model does
            drawn = int((logits / temperature - torch.empty_like(logits).exponential_(generator=generator).log()).argmax())
        if drawn == begin:
            break
        tokens = torch.cat([tokens, torch.tensor([[drawn]])], dim=1)
    return str(lm.tokenizer.decode(tokens[0, 1:].tolist()))
