"""The quadratic form that the error over all prefixes is, and its derivatives, from the active latents alone.

Write the input itself as one more row: r0 = x - b_dec, with coefficient -1 and a member of every prefix (inclusion 1). With D_i the rows,
v_i the coefficients and M_ij = min(s_i, s_j), the expected error of one input is a single quadratic form, and everything follows from u:

    u_i = Σ_j M_ij v_j D_j,     E ‖Σ_{i in prefix} v_i D_i‖² = Σ_ij M_ij v_i v_j ⟨D_i, D_j⟩ = Σ_i v_i ⟨D_i, u_i⟩,
    ∂/∂v_i = 2 ⟨D_i, u_i⟩,     ∂/∂D_i = 2 v_i u_i.

Each input costs one (w × w) @ (w × D) product with w slots: one for itself and one for each active latent (chapter "All prefixes at once").
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from msae.training.buffers import Buffers
from msae.training.layout import Pairs


class Terms(NamedTuple):
    """The sum Σ v_i D_i over each input's active latents."""

    pairs: Pairs

    values_P: Tensor
    """v, the coefficient of each pair's decoder row."""

    diagonal_P: Tensor | None = None
    """Added to u_i as diagonal · D_i: the gradient of a penalty on v_i ‖D_i‖ has this shape."""


class Quadratic(NamedTuple):
    """Half the derivatives of a batch's summed error, and that error."""

    error: Tensor
    """Scalar: Σ v_i ⟨D_i, u_i⟩ over all inputs and their slots."""

    d_values_P: Tensor
    """⟨D_i, u_i⟩ of every pair."""

    d_W_dec: Tensor
    """(N, D): Σ v_i u_i over the inputs."""

    d_b_dec_BD: Tensor
    """u of each input's own slot, the weighted reconstruction minus r0; its sum over inputs is the half derivative by b_dec."""


def quadratic_form(
    r0_BD: Tensor, W_dec: Tensor, inclusion_N: Tensor, terms: Terms, *, out: Tensor | None = None, buffers: Buffers | None = None
) -> Quadratic:
    """The error and its derivatives, group by group, so that rows, u and their products stay in the cache.

    Args:
        r0_BD: inputs minus b_dec.
        W_dec: (N, D).
        inclusion_N: each latent's s.
        terms: what is summed.
        out: where to write d_W_dec.
        buffers: scratch memory that is kept from step to step.
    """
    buffers, (pairs, values_P, diagonal_P) = buffers or Buffers(), terms
    layout, d_model = pairs.layout, W_dec.shape[1]
    zeros = r0_BD.new_zeros(layout.n_slots)
    latent_T = zeros.long().scatter_(0, pairs.slot_P, pairs.latent_P)
    factor_T = zeros.scatter(0, pairs.slot_P, values_P)
    value_T = factor_T.index_fill(0, layout.own_B, -1)
    s_T = zeros.scatter(0, pairs.slot_P, inclusion_N[pairs.latent_P]).index_fill_(0, layout.own_B, 1)
    diagonal_T = None if diagonal_P is None else zeros.scatter(0, pairs.slot_P, diagonal_P)
    onto_T, own_BD = torch.empty_like(zeros), torch.empty_like(r0_BD)
    d_W_dec = torch.zeros_like(W_dec) if out is None else out.zero_()
    slot = 0
    for first, n, width in layout.groups:
        these, inputs = slice(slot, slot + n * width), layout.order_B[first : first + n]
        rows = buffers.get("rows", (n * width, d_model), W_dec)
        rows = torch.index_select(W_dec, 0, latent_T[these], out=rows).view(n, width, d_model)
        rows[:, 0] = r0_BD[inputs]
        s = s_T[these].view(n, width)
        mixing = torch.minimum(s[:, :, None], s[:, None, :]).mul_(value_T[these].view(n, 1, width))
        if diagonal_T is not None:
            mixing.diagonal(dim1=1, dim2=2).add_(diagonal_T[these].view(n, width))
        u = torch.bmm(mixing, rows, out=buffers.get("u", (n, width, d_model), W_dec))
        torch.sum(rows.mul_(u), dim=2, out=onto_T[these].view(n, width))
        own_BD[inputs] = u[:, 0]
        d_W_dec.index_add_(0, latent_T[these], u.mul_(factor_T[these].view(n, width, 1)).view(n * width, d_model))
        slot += n * width
    return Quadratic((value_T * onto_T).sum(), onto_T[pairs.slot_P], d_W_dec, own_BD)
