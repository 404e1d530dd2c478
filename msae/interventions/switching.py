"""Switching latents off: what they add to the stream is taken out, and all else in it, the SAE's error too, stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msae.interventions.changes import ablate
from msae.interventions.splicing import checked_splice, replaced
from msae.sae.sae import SAE
from msae.support.arguments import shown

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def without(lm: TransformerBridge, sae: SAE, latents: Sequence[int], *, rows: Tensor | None = None) -> AbstractContextManager[None]:
    """While it lasts, the model runs without some latents: x becomes x − Σ zᵢ dᵢ over them, at every token but the first, [BEGIN].

    `spliced` with `ablate`, and with other directions for a control.

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
    change = ablate(latents)
    hook_name = checked_splice(lm, sae, change)
    return replaced(lm, sae, change, hook_name, None if rows is None else _checked_rows(rows, len(change.latents), sae))


def _checked_rows(rows: Tensor, n: int, sae: SAE) -> Tensor:
    if not isinstance(rows, Tensor) or rows.shape != (n, sae.d_model) or not torch.isfinite(rows).all():
        raise ValueError(f"rows must be a finite tensor of shape ({n}, {sae.d_model}), got {shown(rows)}")
    return rows
