"""What the language model loses when it reads an SAE's reconstruction in place of its own activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

import torch
from torch import Tensor

from msae.activations.checks import check_hook_names
from msae.activations.hooks import forward, widths
from msae.activations.rows import Texts
from msae.firings.reading import checked_sae
from msae.metrics.costs import Splice
from msae.sae.sae import SAE
from msae.support.arguments import shown, whole, yes_or_no
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class HasTexts(Protocol):
    """`msae.Activations`, or the `Texts` of `msae.activations.rows.read_texts`."""

    @property
    def tokens(self) -> Tensor: ...
    @property
    def mask(self) -> Tensor: ...
    @property
    def story(self) -> Tensor: ...


@overload
def splice(
    lm: TransformerBridge, saes: SAE, texts: HasTexts, *, n_texts: int | None = None, batch_size: int = 16, progress: bool = False
) -> Splice: ...
@overload
def splice(
    lm: TransformerBridge,
    saes: Mapping[str, SAE],
    texts: HasTexts,
    *,
    n_texts: int | None = None,
    batch_size: int = 16,
    progress: bool = False,
) -> dict[str, Splice]: ...
@torch.no_grad()
def splice(
    lm: TransformerBridge,
    saes: SAE | Mapping[str, SAE],
    texts: HasTexts,
    *,
    n_texts: int | None = None,
    batch_size: int = 16,
    progress: bool = False,
) -> Splice | dict[str, Splice]:
    """Loss recovered and KL, with intervals over stories.

    Only the places of `texts.mask` are replaced: an SAE that never saw [BEGIN] does not stand in for it. Predictions made at these places
    are counted where the story goes on.

    Args:
        lm: the language model.
        saes: one SAE, or a name for each of several; those share the passes without an SAE. Each is spliced in alone, at its hook_name.
        texts: what the model reads.
        n_texts: read so many of them, drawn at random, always the same; all if left out, or if there are not so many. The first ones of a
            book are no sample of it.
        batch_size: texts at a time.
        progress: whether a bar is shown.

    Returns:
        a Splice, or a dict of them under the names given.

    Raises:
        ValueError: an SAE without hook_name, or with one that the model does not have or that is of another width; no two neighbouring
            places to predict from; a weight that is not finite, or a reconstruction that the model cannot hold.

    Source: loss recovered against zero ablation as in Bricken et al. 2023, "Towards Monosemanticity".

    Example:
        >>> import msae
        >>> lm = msae.load_language_model()  # doctest: +SKIP
        >>> acts = msae.Activations(lm, msae.load_stories(), "blocks.3.hook_resid_pre", n_tokens=2000)  # doctest: +SKIP
        >>> print(msae.metrics.splice(lm, msae.load_saes(["S/2"])["S/2"], acts).loss_recovered)  # doctest: +SKIP
    """
    from tqdm.auto import tqdm

    several = saes if isinstance(saes, Mapping) else {"sae": saes}
    whole("batch_size", batch_size, 1)
    yes_or_no("progress", progress)
    _check(lm, several, texts, "each of saes" if isinstance(saes, Mapping) else "saes")
    read = _drawn(texts, n_texts)
    counted = read.mask[:, :-1] & read.mask[:, 1:]
    if not counted.any():
        raise ValueError("no place of these texts is followed by another: there is no prediction to measure")
    has_any = counted.any(1)
    story = torch.zeros_like(read.story)  # numbers of the stories with a prediction: the others are no units
    story[has_any] = torch.unique(read.story[has_any], return_inverse=True)[1]
    sums = {name: torch.zeros(int(story.max()) + 1, 6, dtype=torch.float64) for name in several}
    spliced = _Spliced(lm, several, _means(lm, several, read, batch_size))
    for rows in tqdm(torch.arange(len(read.tokens)).split(batch_size), unit="batch", desc="splice", disable=not progress):
        if counted[rows].any():
            of = story[rows][counted[rows].nonzero()[:, 0]]
            for name, columns in spliced.losses(read.pick(rows), counted[rows]).items():
                sums[name].index_add_(0, of, columns)
    results = {name: _result(name, table) for name, table in sums.items()}
    return results if isinstance(saes, Mapping) else results["sae"]


def _result(name: str, sums: Tensor) -> Splice:
    if not torch.isfinite(sums).all():
        raise ValueError(f"the loss with {name!r} in the stream is not finite: load the model in float32, or look at its weights")
    return Splice.of_sums(sums.numpy())


def _drawn(texts: HasTexts, n_texts: int | None) -> Texts:
    """Some texts at random, in their order, on the CPU."""
    read = checked_texts(texts)
    n = len(read.tokens)
    if n_texts is None or whole("n_texts", n_texts, 1) >= n:
        return read
    return read.pick(torch.randperm(n, generator=torch.Generator().manual_seed(0))[:n_texts].sort().values)


def _means(lm: TransformerBridge, saes: Mapping[str, SAE], texts: Texts, batch_size: int) -> dict[str, Tensor]:
    """(width,) for each hook: the mean of the activations at the places that count."""
    hook_names = list(dict.fromkeys(str(sae.hook_name) for sae in saes.values()))
    parts: dict[str, list[Tensor]] = {name: [] for name in hook_names}
    for _, found in forward(lm, texts, hook_names, batch_size):
        for name, values in found.items():
            parts[name].append(values.double().sum(0))
    return {name: torch.stack(sums).sum(0) / int(texts.mask.sum()) for name, sums in parts.items()}


def _check(lm: TransformerBridge, saes: Mapping[str, SAE], texts: HasTexts, what: str) -> None:
    if not saes:
        raise ValueError("saes must name at least one SAE, got none")
    if not hasattr(lm, "run_with_hooks"):
        raise ValueError(f"lm must be a language model of msae.load_language_model, got {shown(lm)}")
    checked_texts(texts)
    for name, sae in saes.items():
        hook_of(lm, checked_sae(sae, what), repr(name))


def checked_texts(texts: HasTexts) -> Texts:
    """Texts on the CPU; a ValueError where they are none."""
    if not all(isinstance(getattr(texts, name, None), Tensor) for name in ("tokens", "mask", "story")):
        raise ValueError(f"texts must be msae.Activations, or Texts of msae.activations.rows.read_texts, got {shown(texts)}")
    return Texts(texts.tokens.cpu(), texts.mask.cpu(), texts.story.cpu())


def hook_of(lm: TransformerBridge, sae: SAE, name: str) -> str:
    """The hook in whose stream an SAE stands; a ValueError that calls it by `name` where it names none, or one that does not fit it."""
    if sae.hook_name is None:
        raise ValueError(f"{name} names no hook: it cannot be spliced into a language model")
    check_hook_names(lm, [sae.hook_name])
    width = widths(lm, [sae.hook_name])[sae.hook_name]
    if width != sae.d_model:
        raise ValueError(f"{name} reads vectors of width {sae.d_model}, but those at {sae.hook_name} have width {width}")
    return sae.hook_name


class _Spliced(NamedTuple):
    """A language model, what is put into its stream, and the mean of what is there at each hook."""

    lm: TransformerBridge
    saes: Mapping[str, SAE]
    means: Mapping[str, Tensor]

    def losses(self, texts: Texts, counted: Tensor) -> dict[str, Tensor]:
        """Of some texts, for each SAE: (n_predictions, 6) float64, the columns of `Splice.sums`."""
        width, device = int(texts.mask.any(0).nonzero().max()) + 1, self.lm.cfg.device
        tokens, mask = texts.tokens[:, :width].to(device), texts.mask[:, :width].to(device)
        at = counted[:, : width - 1].to(device)
        target = tokens[:, 1:][at]
        clean = _log_probabilities(self.lm, tokens, at)
        ablated: dict[str, list[Tensor]] = {}
        columns = {}
        for name, sae in self.saes.items():
            hook_name = str(sae.hook_name)
            if hook_name not in ablated:
                nothings = (torch.zeros_like, partial(_mean_like, self.means[hook_name]))
                changes = [_Change(hook_name, nothing, mask) for nothing in nothings]
                ablated[hook_name] = [_loss(_log_probabilities(self.lm, tokens, at, change), target) for change in changes]
            spliced = _log_probabilities(self.lm, tokens, at, _Change(hook_name, partial(_reconstruct, sae), mask))
            kl = divergence(clean, spliced)
            losses = [_loss(clean, target), _loss(spliced, target), *ablated[hook_name], kl]
            columns[name] = torch.stack([torch.ones_like(kl), *losses], dim=1).double().cpu()
        return columns


def _mean_like(mean: Tensor, x: Tensor) -> Tensor:
    return mean.to(x).expand_as(x)


def _reconstruct(sae: SAE, x: Tensor) -> Tensor:
    return sae(wide(x.to(sae.W_enc.device))).to(x)


def divergence(before: Tensor, after: Tensor) -> Tensor:
    """KL(before ‖ after) of log probabilities (..., d_vocab), in nats."""
    return torch.where(before > -torch.inf, before.exp() * (before - after), 0).sum(-1)  # 0 log 0 = 0


def _loss(log_probabilities: Tensor, target: Tensor) -> Tensor:
    return -log_probabilities.gather(-1, target[:, None]).squeeze(-1)


class _Change(NamedTuple):
    """What is put in place of an activation."""

    hook_name: str
    of: Callable[[Tensor], Tensor]
    """From the activation to what stands in for it."""

    mask: Tensor
    """(n_texts, n_ctx) bool: the places where it does."""


def _log_probabilities(lm: TransformerBridge, tokens: Tensor, at: Tensor, change: _Change | None = None) -> Tensor:
    """(n, d_vocab): the model's predictions at some places, as it is or with a change."""
    hooks = []
    if change is not None:
        of, mask = change.of, change.mask[..., None]

        def replace(value: Tensor, hook: object) -> Tensor:
            return torch.where(mask, of(value), value)

        hooks = [(change.hook_name, replace)]
    logits = lm.run_with_hooks(tokens, return_type="logits", fwd_hooks=hooks)
    return wide(logits[:, :-1][at]).log_softmax(-1)
