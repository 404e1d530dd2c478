"""What a change does: to the next token, to the latents of an SAE that reads the stream behind it, and latent by latent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from msae.activations.hooks import forward, run_to_hook
from msae.activations.rows import Texts
from msae.firings.reading import checked_sae
from msae.interventions.changes import Change, ablate
from msae.interventions.splicing import checked_splice, spliced
from msae.metrics.spliced import HasTexts, checked_texts, divergence, hook_of
from msae.sae.sae import SAE
from msae.support.arguments import items, shown, tensor, whole
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Effect(NamedTuple):
    """What a change does to the model's predictions; NaN at the first place and where `texts.mask` is False.

    Example:
        >>> import msae
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> texts = msae.activations.read_texts(lm, ["Lily took her hat."])  # doctest: +SKIP
        >>> found = msae.interventions.effect(lm, sae, msae.interventions.ablate([66]), texts=texts)  # doctest: +SKIP
        >>> found.kl.shape == texts.tokens.shape  # doctest: +SKIP
        True
    """

    kl: Tensor
    """(n_texts, n_ctx) float32, in nats: at place t KL(before ‖ after) of the predictions of token t."""

    logits: Tensor
    """(n_texts, n_ctx, n_chosen) float32: at place t the logit of each chosen token as token t, after less before."""


@torch.no_grad()
def effect(lm: TransformerBridge, sae: SAE, change: Change, *, texts: HasTexts, tokens: Sequence[int] = (), batch_size: int = 16) -> Effect:
    """What a change does to the prediction of the next token, at every place of some texts.

    Args:
        lm: the language model.
        sae: read and changed at its own `hook_name`.
        change: of `ablate`, `clamp`, `add_noise` or `steer`.
        texts: what the model reads: `msae.Activations`, or the `Texts` of `msae.activations.rows.read_texts`.
        tokens: ids of the tokens whose logits are wanted, such as those of "she" and "he".
        batch_size: texts at a time.

    Returns:
        the KL and the change of the chosen logits, place by place, so that `texts.mask` and `texts.story` pick from them.

    Raises:
        ValueError: what `spliced` refuses, no texts, or a token that the model does not know.

    Example:
        >>> import msae
        >>> from msae.interventions import ablate, effect
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> texts = msae.activations.read_texts(lm, ["Lily took her hat."])  # doctest: +SKIP
        >>> effect(lm, sae, ablate([66]), texts=texts).kl.nanmean()  # doctest: +SKIP
    """
    checked_splice(lm, sae, change)
    read = checked_texts(texts)
    chosen = torch.tensor([whole("each of tokens", token, 0, lm.cfg.d_vocab - 1) for token in items("tokens", tokens)], dtype=torch.long)
    whole("batch_size", batch_size, 1)
    kl = torch.full(read.tokens.shape, torch.nan)
    logits = torch.full((*read.tokens.shape, len(chosen)), torch.nan)
    for rows in torch.arange(len(read.tokens)).split(batch_size):
        ids = read.tokens[rows].to(lm.cfg.device)
        before = wide(lm(ids, return_type="logits"))[:, :-1]
        with spliced(lm, sae, change):
            after = wide(lm(ids, return_type="logits"))[:, :-1]
        kl[rows, 1:] = _kl(before, after).float().cpu()
        logits[rows, 1:] = (after - before)[..., chosen.to(after.device)].float().cpu()
    out = ~read.mask
    return Effect(kl.masked_fill(out, torch.nan), logits.masked_fill(out[..., None], torch.nan))


class Responses(NamedTuple):
    """Mean activations of the latents of an SAE that reads behind a change.

    Example:
        >>> import msae
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> texts = msae.activations.read_texts(lm, ["Lily took her hat."])  # doctest: +SKIP
        >>> found = msae.interventions.responses(lm, sae, msae.interventions.ablate([66]), texts=texts)  # doctest: +SKIP
        >>> found.before[66] > found.after[66]  # doctest: +SKIP
    """

    before: Tensor
    """(n_latents,) float64: with the model as it is, over the places of the texts that count."""

    after: Tensor
    """(n_latents,) float64: with the change."""


@torch.no_grad()
def responses(
    lm: TransformerBridge, sae: SAE, change: Change, *, texts: HasTexts, reader: SAE | None = None, batch_size: int = 16
) -> Responses:
    """What a change does to latents: to the other ones of the same SAE, reading the changed stream, or to those of an SAE further down.

    Args:
        lm: the language model.
        sae: read and changed at its own `hook_name`.
        change: of `ablate`, `clamp`, `add_noise` or `steer`.
        texts: what the model reads.
        reader: the SAE whose latents are read, at the same hook or one that comes later in the forward pass; `sae` where it is left out.
        batch_size: texts at a time.

    Returns:
        the mean activation of every latent of `reader`, before and after.

    Raises:
        ValueError: what `spliced` refuses, no texts, or a `reader` that does not fit the model.

    Example:
        >>> import msae
        >>> from msae.interventions import ablate, responses
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> texts = msae.activations.read_texts(lm, ["Lily took her hat."])  # doctest: +SKIP
        >>> found = responses(lm, sae, ablate([66]), texts=texts)  # doctest: +SKIP
        >>> (found.after - found.before).abs().topk(5).indices  # doctest: +SKIP
    """
    checked_splice(lm, sae, change)
    reader = sae if reader is None else checked_sae(reader, "reader")
    hook_of(lm, reader, "reader")
    read = checked_texts(texts)
    whole("batch_size", batch_size, 1)
    before = _means(lm, reader, read, batch_size)
    with spliced(lm, sae, change):
        return Responses(before, _means(lm, reader, read, batch_size))


class Alone(NamedTuple):
    """The latents that fire at the last token of a text, and what each does there; the strongest first.

    Example:
        >>> import msae
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> one = msae.interventions.each_alone(lm, sae, lm.to_tokens("Lily took")[0])  # doctest: +SKIP
        >>> one.latents[one.kl.argmax()]  # doctest: +SKIP
    """

    latents: Tensor
    """(n,) int64."""

    acts: Tensor
    """(n,) float32: how strongly each fires."""

    kl: Tensor
    """(n,) float32, in nats: KL(before ‖ after) of the next token where this one alone is switched off at the last token."""

    log_p: Tensor
    """(n,) float32, in nats: of the token that was the likeliest to come next, its log probability then, less before."""


@torch.no_grad()
def each_alone(lm: TransformerBridge, sae: SAE, tokens: Tensor, *, batch_size: int = 64) -> Alone:
    """Each latent that fires at the last token, switched off alone and there alone: ablation effect beside activation.

    Args:
        lm: the language model.
        sae: read and changed at its own `hook_name`.
        tokens: (length,) int64, one text: [BEGIN] and at least one token.
        batch_size: latents at a time.

    Returns:
        the firing latents, their activations and effects; empty where none fires.

    Raises:
        ValueError: an SAE that does not fit the model, or tokens that are not the model's.

    Example:
        >>> import msae
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> msae.interventions.each_alone(lm, sae, lm.to_tokens("Lily took")[0]).kl  # doctest: +SKIP
    """
    hook_name = checked_splice(lm, sae, ablate([0]))
    row = tensor("tokens", tokens, ("length",), numbers="whole").to(lm.cfg.device)
    if len(row) < 2:
        raise ValueError(f"tokens must be [BEGIN] and at least one token, got {shown(tokens)}")
    whole("batch_size", batch_size, 1)
    acts = sae.encode(wide(run_to_hook(lm, row[None], hook_name)[0, -1].to(sae.W_enc.device)))
    latents = acts.argsort(descending=True)[: int((acts > 0).sum())]
    before = wide(lm(row[None], return_type="logits"))[:, -1].log_softmax(-1)
    likeliest = int(before.argmax())
    found = [torch.zeros(2, 0, device=before.device)]
    for part in latents.split(batch_size) if len(latents) else ():
        taken = acts[part, None] * sae.W_dec[part]

        def take_out(x: Tensor, hook: object, taken: Tensor = taken) -> Tensor:
            return torch.cat([x[:, :-1], x[:, -1:] - taken[:, None].to(x)], dim=1)

        logits = lm.run_with_hooks(row.expand(len(part), -1), return_type="logits", fwd_hooks=[(hook_name, take_out)])
        after = wide(logits)[:, -1].log_softmax(-1)
        found.append(torch.stack([_kl(before, after), after[:, likeliest] - before[0, likeliest]]))
    kl, log_p = torch.cat(found, dim=1).float().cpu()
    return Alone(latents.cpu(), acts[latents].float().cpu(), kl, log_p)


def _kl(before: Tensor, after: Tensor) -> Tensor:
    """KL(before ‖ after) of logits (..., d_vocab), never below 0 by rounding."""
    return divergence(before.log_softmax(-1), after.log_softmax(-1)).clamp(min=0)


def _means(lm: TransformerBridge, reader: SAE, texts: Texts, batch_size: int) -> Tensor:
    hook_name, device = str(reader.hook_name), reader.W_enc.device
    sums = torch.zeros(reader.n_latents, dtype=torch.float64)
    for _, values in forward(lm, texts, [hook_name], batch_size):
        sums += reader.encode(wide(values[hook_name].to(device))).double().sum(0).cpu()
    return sums / int(texts.mask.sum())
