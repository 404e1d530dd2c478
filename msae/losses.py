"""The Matryoshka loss, exact over all prefixes, and the sparsity penalties.

Nested prefixes make the expectation over prefix lengths a closed form. With s_i the probability that latent i lies in the prefix
(its inclusion), r0 = x - b_dec and D_i the decoder rows,

    E ‖r0 - Σ_{i in prefix} z_i D_i‖² = ‖r0‖² - 2 Σ_i s_i z_i ⟨r0, D_i⟩ + Σ_ij min(s_i, s_j) z_i z_j ⟨D_i, D_j⟩

because i and j are both in the prefix exactly when the later of them is. s = 1 is the plain SAE; the mean over a step's sampled lengths is
the same formula with s_i the share of them that hold latent i. So plain, sampled and exact training are one path and differ in `inclusion`.
The prefix idea is Nabeshima's (2024, "Method"); the closed form is ours (chapter "The Matryoshka loss").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def all_prefix_loss(x: Tensor, b_dec: Tensor, values: Tensor, indices: Tensor, W_dec: Tensor, inclusion: Tensor) -> Tensor:
    """The expected squared error over random prefixes, from the active latents alone.

    Args:
        x: (batch, d_model) inputs.
        b_dec: (d_model,) decoder bias; every prefix has it.
        values: (batch, k) activations of k latents per input; 0 where fewer are active.
        indices: (batch, k) which latents, all different within an input unless their value is 0.
        W_dec: (n_latents, d_model) decoder rows.
        inclusion: (n_latents,) probability, 0 to 1, that each latent lies in the prefix.

    Returns:
        scalar: mean over the batch of E‖x - x̂‖², in squared units of x.

    Raises:
        ValueError: where shapes do not fit, before any work.
    """
    _check_shapes(x, b_dec, W_dec, inclusion)
    if values.shape != indices.shape or values.ndim != 2 or len(values) != len(x):
        raise ValueError(
            f"values and indices must both be (batch, k) with batch {len(x)}, got {tuple(values.shape)} and {tuple(indices.shape)}"
        )
    loss: Tensor = _AllPrefixLoss.apply(x, b_dec, values, indices, W_dec, inclusion.to(x.dtype))
    return loss


class _AllPrefixLoss(torch.autograd.Function):
    """The closed form with its gradient written out; shapes: B batch, K active latents, D d_model."""

    @staticmethod
    def forward(ctx, x_BD, b_dec, values_BK, indices_BK, W_dec, inclusion):  # type: ignore[no-untyped-def]
        r0_BD = x_BD - b_dec
        rows_BKD = W_dec[indices_BK]
        s_BK = inclusion[indices_BK]
        both_BKK = torch.minimum(s_BK[:, :, None], s_BK[:, None, :])
        onto_rows_BK = torch.einsum("bkd,bd->bk", rows_BKD, r0_BD)
        gram_BKK = rows_BKD @ rows_BKD.transpose(1, 2)
        overlap_BK = torch.einsum("bij,bj->bi", gram_BKK * both_BKK, values_BK)
        ctx.save_for_backward(r0_BD, values_BK, indices_BK, rows_BKD, s_BK, both_BKK, onto_rows_BK, overlap_BK)
        ctx.n_latents = len(W_dec)
        return (r0_BD.square().sum(1) - 2 * (s_BK * values_BK * onto_rows_BK).sum(1) + (values_BK * overlap_BK).sum(1)).mean()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        r0_BD, values_BK, indices_BK, rows_BKD, s_BK, both_BKK, onto_rows_BK, overlap_BK = ctx.saved_tensors
        scale = 2 * grad / len(values_BK)
        need_x, need_b, need_values, _, need_W, _ = ctx.needs_input_grad
        d_x = d_b = d_values = d_W = None
        if need_values:
            d_values = scale * (overlap_BK - s_BK * onto_rows_BK)
        if need_W:
            reconstruction_BKD = (both_BKK * values_BK[:, None, :]) @ rows_BKD
            d_rows_BKD = scale * values_BK[..., None] * (reconstruction_BKD - s_BK[..., None] * r0_BD[:, None, :])
            d_W = rows_BKD.new_zeros(ctx.n_latents, rows_BKD.shape[2])
            d_W.index_add_(0, indices_BK.flatten(), d_rows_BKD.flatten(0, 1))
        if need_x or need_b:
            residual_BD = r0_BD - torch.einsum("bk,bkd->bd", s_BK * values_BK, rows_BKD)
            d_x, d_b = scale * residual_BD, -scale * residual_BD.sum(0)
        return d_x, d_b, d_values, None, d_W, None


def dense_all_prefix_loss(x: Tensor, b_dec: Tensor, acts: Tensor, W_dec: Tensor, inclusion: Tensor) -> Tensor:
    """The same loss from all activations, with one Gram matrix of the decoder; right where latents are few or most are active.

    Args:
        x: (…, batch, d_model); b_dec: (…, d_model); acts: (…, batch, n_latents); W_dec: (…, n_latents, d_model);
        inclusion: (…, n_latents). Leading axes, for instance one per seed, are independent SAEs.

    Returns:
        (…) mean over each batch of E‖x - x̂‖².
    """
    _check_shapes(x, b_dec, W_dec, inclusion)
    s = inclusion.to(x.dtype)
    r0 = x - b_dec.unsqueeze(-2)
    weighted_gram = (W_dec @ W_dec.mT) * torch.minimum(s.unsqueeze(-1), s.unsqueeze(-2))
    error = r0.square().sum(-1) + (acts * (acts @ weighted_gram - 2 * s.unsqueeze(-2) * (r0 @ W_dec.mT))).sum(-1)
    return error.mean(-1)


def plain_loss(x: Tensor, b_dec: Tensor, acts: Tensor, W_dec: Tensor) -> Tensor:
    """Mean over each batch of ‖x - x̂‖² with all latents; shapes as in `dense_all_prefix_loss`."""
    return (x - acts @ W_dec - b_dec.unsqueeze(-2)).square().sum(-1).mean(-1)


def prefix_loss(x: Tensor, b_dec: Tensor, acts: Tensor, W_dec: Tensor, rank: Tensor, lengths: Tensor) -> Tensor:
    """The mean of the plain losses of the given prefixes, one after the other: slow, obvious, the definition (Nabeshima 2024).

    Args:
        x, b_dec, acts, W_dec: as in `dense_all_prefix_loss`, without leading axes.
        rank: (n_latents,) 0 for the most important latent.
        lengths: (n_prefixes,) prefix lengths; a prefix of length m holds the latents with rank < m.
    """
    return torch.stack([plain_loss(x, b_dec, acts * (rank < m), W_dec) for m in lengths]).mean()


def _check_shapes(x: Tensor, b_dec: Tensor, W_dec: Tensor, inclusion: Tensor) -> None:
    if x.shape[-1] != W_dec.shape[-1] or b_dec.shape[-1] != W_dec.shape[-1]:
        raise ValueError(f"x, b_dec and W_dec must share d_model, got {x.shape[-1]}, {b_dec.shape[-1]} and {W_dec.shape[-1]}")
    if inclusion.shape[-1] != W_dec.shape[-2]:
        raise ValueError(f"expected one inclusion probability for each of {W_dec.shape[-2]} latents, got {inclusion.shape[-1]}")


def l1(acts: Tensor) -> Tensor:
    """a: the classic penalty; it also shrinks activations."""
    return acts


def log(acts: Tensor, scale: float = 0.1) -> Tensor:
    """log(1 + a / scale), the article's penalty: it presses on weak activations and hardly on strong ones."""
    return torch.log1p(acts / scale)


def sqrt(acts: Tensor, floor: float = 1e-3) -> Tensor:
    """√(a + floor) - √floor; the floor keeps the gradient finite at 0."""
    return (acts + floor).sqrt() - floor**0.5


def tanh(acts: Tensor, scale: float = 1.0) -> Tensor:
    """tanh(a / scale): bounded, so that strong activations are not shrunk at all (Jermyn et al. 2024)."""
    return (acts / scale).tanh()


PENALTIES: dict[str, Callable[[Tensor], Tensor]] = {"l1": l1, "log": log, "sqrt": sqrt, "tanh": tanh}
"""Sparsity penalties of one activation a ≥ 0 (in units of unit-norm decoder rows); all are 0 at 0 and rise."""
