"""What a stream is taken apart into: the latents of an SAE, or directions at right angles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from msae.firings.reading import checked_sae
from msae.sae.sae import SAE
from msae.support.arguments import tensor, text
from msae.support.sums import wide


class Decomposition(NamedTuple):
    """Parts of a stream x: part i adds its reading aᵢ(x) times its row, and what the parts leave is the error, x − Σ aᵢ(x) rowᵢ.

    Example:
        >>> import msae, torch
        >>> halves = msae.interventions.into_directions(torch.eye(2), "blocks.3.hook_resid_pre")
        >>> halves.read(torch.tensor([3.0, 4.0])).tolist()
        [3.0, 4.0]
    """

    hook_name: str
    """Where in the model the stream is read."""

    read: Callable[[Tensor], Tensor]
    """From x (..., d_model) to (..., n_parts): how much of each part is in it."""

    rows: Tensor
    """(n_parts, d_model): what one unit of each part adds to the stream."""


def into_latents(sae: SAE) -> Decomposition:
    """The latents of an SAE, and its error; the decoder's bias drops out wherever two streams are compared.

    Args:
        sae: with a `hook_name`.

    Returns:
        the decomposition: activations, and decoder rows.

    Raises:
        ValueError: no SAE, or one without `hook_name`.

    Example:
        >>> import msae, torch
        >>> sae = msae.SAE(4, 8, hook_name="blocks.3.hook_resid_pre")
        >>> msae.interventions.into_latents(sae).rows.shape
        torch.Size([8, 4])
    """
    sae = checked_sae(sae, "sae")
    if sae.hook_name is None:
        raise ValueError("sae names no hook: set sae.hook_name to the place in the model that it reads")

    def read(x: Tensor) -> Tensor:
        return sae.encode(wide(x.to(sae.W_enc.device))).detach()

    return Decomposition(sae.hook_name, read, sae.W_dec.detach())


def into_directions(rows: Tensor, hook_name: str) -> Decomposition:
    """Directions of length 1 at right angles to each other: principal components, single coordinates, random ones.

    With as many directions as the stream is wide nothing is left over; with fewer, the rest is the error.

    Args:
        rows: (n_parts, d_model), orthonormal. `torch.eye(d_model)` are the single coordinates, and
            `torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh` the principal components of activations x (n, d_model).
        hook_name: where in the model the stream is read.

    Returns:
        the decomposition: lengths along the directions, and the directions.

    Raises:
        ValueError: rows that are not orthonormal, to 1e-3, or no name.

    Example:
        >>> import msae, torch
        >>> msae.interventions.into_directions(torch.eye(4)[:1], "blocks.3.hook_resid_pre").read(torch.ones(4))
        tensor([1.])
    """
    rows = wide(tensor("rows", rows, ("n_parts", "d_model"), numbers="real", finite=True).detach())
    off = float((rows @ rows.T - torch.eye(len(rows), device=rows.device)).abs().max()) if len(rows) else float("inf")
    if off > 1e-3:
        raise ValueError(f"rows must be orthonormal, at least one, got products that are off by {off:.3g}: torch.linalg.qr makes them so")
    return Decomposition(text("hook_name", hook_name), lambda x: wide(x.to(rows.device)).to(rows) @ rows.T, rows)
