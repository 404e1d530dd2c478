"""An SAE spliced into a running model, its error kept: what its latents add is replaced, and all else in the stream stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msae.activations.checks import check_language_model
from msae.firings.reading import checked_sae
from msae.interventions.changes import Change
from msae.metrics.spliced import hook_of
from msae.sae.sae import SAE
from msae.support.arguments import shown, whole
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def spliced(lm: TransformerBridge, sae: SAE, change: Change) -> AbstractContextManager[None]:
    """While it lasts, latents of an SAE are changed in the running model, at every token but the first, [BEGIN].

    The stream x is what the SAE explains and its error, x = x̂(z) + e. With the error kept, x becomes x̂(z') + e = x + Σ (z'ᵢ − zᵢ) dᵢ:
    a change that changes nothing leaves the model as it is. The SAE reads each place before anything is changed there; a second
    `spliced` inside, at the same hook, reads what the first has left.

    Args:
        lm: the language model, any that TransformerLens runs.
        sae: read and changed at its own `hook_name`.
        change: of `ablate`, `clamp`, `add_noise` or `steer`, or one of your own.

    Returns:
        a context for `with`.

    Raises:
        ValueError: a latent that the SAE does not have, an SAE without `hook_name` or of another width than the stream, or no change.

    Source: the error term kept as in Marks et al. 2024, "Sparse Feature Circuits" (arXiv:2403.19647).

    Example:
        >>> import msae
        >>> from msae.interventions import continued, spliced, steer
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> with spliced(lm, sae, steer([66], 2.0)):  # doctest: +SKIP
        ...     continued(lm, "Tom took", 5)
    """
    hook_name = checked_splice(lm, sae, change)
    return replaced(lm, sae, change, hook_name)


def checked_splice(lm: TransformerBridge, sae: SAE, change: Change) -> str:
    """The hook that a change is made at; a ValueError where it cannot be."""
    check_language_model(lm)
    hook_name = hook_of(lm, checked_sae(sae, "sae"), "sae")
    if not isinstance(change, Change) or not change.latents or not callable(change.of):
        raise ValueError(f"change must be one of ablate, clamp, add_noise or steer, got {shown(change)}")
    for latent in change.latents:
        whole("each of latents", latent, 0, sae.n_latents - 1)
    return hook_name


@contextmanager
def replaced(lm: TransformerBridge, sae: SAE, change: Change, hook_name: str, rows: Tensor | None = None) -> Iterator[None]:
    """The hook behind `spliced` and `without`, its arguments checked; `rows` (n, d_model) stand in for the latents' decoder rows."""
    chosen = torch.tensor(change.latents, device=sae.W_enc.device)
    added = sae.W_dec[chosen] if rows is None else rows
    first = sae.prefix(max(change.latents) + 1)  # reads the chosen ones as the whole does, in a part of the time

    def replace(x: Tensor, hook: object) -> Tensor:
        acts = first.encode(wide(x.to(first.W_enc.device)))[..., chosen]
        more = change.of(acts).to(acts) - acts
        if x.shape[1] > 1:  # a whole text: it opens with [BEGIN], which the SAE never saw
            more[:, 0] = 0
        return x + (more @ added.to(more)).to(x)

    with torch.no_grad(), lm.hooks(fwd_hooks=[(hook_name, replace)]):
        yield
