"""Switching latents off: what they add to the stream is taken out, and all else in it, the SAE's error too, stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msae.activations.checks import check_language_model
from msae.firings.reading import checked_sae
from msae.metrics.spliced import hook_of
from msae.sae.sae import SAE
from msae.support.arguments import items, shown, whole
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def without(lm: TransformerBridge, sae: SAE, latents: Sequence[int], *, rows: Tensor | None = None) -> AbstractContextManager[None]:
    """While it lasts, the model runs without some latents: x becomes x − Σ zᵢ dᵢ over them, at every token but the first, [BEGIN].

    What the SAE does not explain stays in the stream, so without latents that are silent nothing changes at all. Passes that change nothing
    but one latent compare like with like; a reconstruction in place of x would not.

    Args:
        lm: the language model.
        sae: read at its own `hook_name`.
        latents: numbers of latents.
        rows: (len(latents), d_model) directions to take out in place of the latents' own decoder rows, as strongly as the latents fire:
            a control, where they are random. Of the norm that they have.

    Returns:
        a context for `with`.

    Raises:
        ValueError: a latent that the SAE does not have, an SAE without `hook_name` or of another width than the stream, or `rows` of
            another shape.

    Source: x − z_i d_i with the error term kept, as in Marks et al. 2024, "Sparse Feature Circuits" (arXiv:2403.19647).

    Example:
        >>> import msae
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> with msae.interventions.without(lm, sae, [66]):  # doctest: +SKIP
        ...     msae.interventions.continued(lm, "Lily took", 5)
    """
    hook_name, chosen = _checked(lm, sae, latents)
    taken = sae.W_dec[chosen] if rows is None else _checked_rows(rows, len(chosen), sae)

    first = sae.prefix(int(chosen.max()) + 1)  # reads the chosen ones as the whole does, in a part of the time
    return _taken_out(lm, first, chosen, taken, hook_name)


@contextmanager
def _taken_out(lm: TransformerBridge, sae: SAE, chosen: Tensor, taken: Tensor, hook_name: str) -> Iterator[None]:
    def take_out(x: Tensor, hook: object) -> Tensor:
        acts = sae.encode(wide(x.to(sae.W_enc.device)))[..., chosen]
        if x.shape[1] > 1:  # a whole text: it opens with [BEGIN], which the SAE never saw
            acts[:, 0] = 0
        return x - (acts @ taken.to(acts)).to(x)

    with torch.no_grad(), lm.hooks(fwd_hooks=[(hook_name, take_out)]):
        yield


def _checked(lm: TransformerBridge, sae: SAE, latents: Sequence[int]) -> tuple[str, Tensor]:
    check_language_model(lm)
    hook_name = hook_of(lm, checked_sae(sae, "sae"), "sae")
    numbers = [whole("each of latents", latent, 0, sae.n_latents - 1) for latent in items("latents", latents)]
    if not numbers:
        raise ValueError("latents must name at least one latent, got none")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"latents must name each latent once, got {shown(latents)}")
    return hook_name, torch.tensor(numbers, device=sae.W_enc.device)


def _checked_rows(rows: Tensor, n: int, sae: SAE) -> Tensor:
    if not isinstance(rows, Tensor) or rows.shape != (n, sae.d_model) or not torch.isfinite(rows).all():
        raise ValueError(f"rows must be a finite tensor of shape ({n}, {sae.d_model}), got {shown(rows)}")
    return rows
