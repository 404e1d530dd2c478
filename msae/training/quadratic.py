"""The quadratic form that the error over all prefixes is, and its derivatives, from the active latents alone.

Write the input itself as one more row: r0 = x - b_dec, with coefficient -1 and a member of every prefix (inclusion 1). With D_i the rows,
v_i the coefficients and M_ij = min(s_i, s_j), the expected error of one input is a single quadratic form, and everything follows from u:

    u_i = Σ_j M_ij v_j D_j,     E ‖Σ_{i in prefix} v_i D_i‖² = Σ_ij M_ij v_i v_j ⟨D_i, D_j⟩ = Σ_i v_i ⟨D_i, u_i⟩,
    ∂/∂v_i = 2 ⟨D_i, u_i⟩,     ∂/∂D_i = 2 v_i u_i.

With the gradient stopped between prefixes a latent sees the shortest prefix that holds it and no more, so that M_ij = s_i where s_j ≥ s_i,
and 0 else; the error is then the one of all latents, which alone moves b_dec.

Each input costs one (w × w) @ (w × D) product with w slots: one for itself and one for each active latent (chapter "All prefixes at once").
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from msae.training.buffers import Buffers
from msae.training.layout import Pairs, sum_rows


class Terms(NamedTuple):
    """The sum Σ v_i D_i over each input's active latents."""

    pairs: Pairs

    values_P: Tensor
    """v, the coefficient of each pair's decoder row."""

    diagonal_P: Tensor | None = None
    """Added to u_i as diagonal · D_i: the gradient of a penalty on v_i ‖D_i‖ has this shape."""

    stop_gradient: bool = False
    """No latent learns from a prefix longer than the shortest that holds it."""


class Quadratic(NamedTuple):
    """Half the derivatives of a batch's summed error, and that error."""

    error: Tensor
    """Scalar, summed over all inputs; a diagonal's share Σ v_i diagonal_i ‖D_i‖² is in it, but where the gradient is stopped."""

    d_values_P: Tensor
    """⟨D_i, u_i⟩ of every pair."""

    d_W_dec: Tensor
    """(N, D): Σ v_i u_i over the inputs."""

    d_b_dec_BD: Tensor
    """u of each input's own slot, the weighted reconstruction minus r0; its sum over inputs is the half derivative by b_dec."""


class Slots(NamedTuple):
    """What stands in each of the T slots; padding has the value 0."""

    latent_T: Tensor
    value_T: Tensor
    """v, -1 for the input's own slot."""

    s_T: Tensor
    diagonal_T: Tensor | None
    stop_gradient: bool

    def mixing(self, these: slice, n: int, width: int) -> Tensor:
        """(n, width, width) M_ij v_j of a group, and the diagonal: what u is made with from the rows."""
        s = self.s_T[these].view(n, width)
        own, other = s[:, :, None], s[:, None, :]
        if self.stop_gradient:
            mixing = own * (other >= own)
            mixing[:, 0] = 1  # the input's own slot sees all latents
        else:
            mixing = torch.minimum(own, other)
        mixing.mul_(self.value_T[these].view(n, 1, width))
        if self.diagonal_T is not None:
            mixing.diagonal(dim1=1, dim2=2).add_(self.diagonal_T[these].view(n, width))
        return mixing


def quadratic_form(
    r0_BD: Tensor, W_dec: Tensor, inclusion_N: Tensor, terms: Terms, *, out: Tensor | None = None, buffers: Buffers | None = None
) -> Quadratic:
    """The error and its derivatives.

    Args:
        r0_BD: inputs minus b_dec.
        W_dec: (N, D).
        inclusion_N: each latent's s.
        terms: what is summed.
        out: where to write d_W_dec.
        buffers: scratch memory that is kept from step to step.
    """
    buffers, (pairs, values_P, diagonal_P, stop) = buffers or Buffers(), terms
    zeros = r0_BD.new_zeros(pairs.layout.n_slots)
    own_B, slot_P = pairs.layout.own_B, pairs.slot_P
    slots = Slots(
        latent_T=zeros.long().scatter_(0, slot_P, pairs.latent_P),
        value_T=zeros.scatter(0, slot_P, values_P).index_fill_(0, own_B, -1),
        s_T=zeros.scatter(0, slot_P, inclusion_N[pairs.latent_P]).index_fill_(0, own_B, 1),
        diagonal_T=None if diagonal_P is None else zeros.scatter(0, slot_P, diagonal_P),
        stop_gradient=stop,
    )
    d_W_dec = torch.empty_like(W_dec) if out is None else out
    by = _in_cache if r0_BD.device.type == "cpu" else _at_once
    onto_T, own_BD = by(r0_BD, W_dec, slots, terms, out=d_W_dec, buffers=buffers)
    error = own_BD.square().sum() if stop else (slots.value_T * onto_T).sum()
    return Quadratic(error, onto_T[slot_P], d_W_dec, own_BD)


def _in_cache(r0_BD: Tensor, W_dec: Tensor, slots: Slots, terms: Terms, *, out: Tensor, buffers: Buffers) -> tuple[Tensor, Tensor]:
    """⟨D, u⟩ of every slot and each input's own u, and d_W_dec into `out`; group by group, so that rows, u and their products stay in a
    processor's cache."""
    layout, d_model = terms.pairs.layout, W_dec.shape[1]
    factor_T = slots.value_T.index_fill(0, layout.own_B, 0)
    onto_T, own_BD, slot = torch.empty_like(factor_T), torch.empty_like(r0_BD), 0
    out.zero_()
    for first, n, width in layout.groups:
        these, inputs = slice(slot, slot + n * width), layout.order_B[first : first + n]
        rows = buffers.get("rows", (n * width, d_model), W_dec)
        rows = torch.index_select(W_dec, 0, slots.latent_T[these], out=rows).view(n, width, d_model)
        rows[:, 0] = r0_BD[inputs]
        u = torch.bmm(slots.mixing(these, n, width), rows, out=buffers.get("u", (n, width, d_model), W_dec))
        torch.sum(rows.mul_(u), dim=2, out=onto_T[these].view(n, width))
        own_BD[inputs] = u[:, 0]
        out.index_add_(0, slots.latent_T[these], u.mul_(factor_T[these].view(n, width, 1)).view(n * width, d_model))
        slot += n * width
    return onto_T, own_BD


def _at_once(r0_BD: Tensor, W_dec: Tensor, slots: Slots, terms: Terms, *, out: Tensor, buffers: Buffers) -> tuple[Tensor, Tensor]:
    """The same on a GPU, where each launch costs: all slots at once but for u, and rows summed latent by latent, in a fixed order."""
    layout, (n_slots, d_model) = terms.pairs.layout, (len(slots.latent_T), W_dec.shape[1])
    rows = torch.index_select(W_dec, 0, slots.latent_T, out=buffers.get("rows", (n_slots, d_model), W_dec))
    rows.index_copy_(0, layout.own_B, r0_BD)
    u, slot = buffers.get("u", (n_slots, d_model), W_dec), 0
    for _, n, width in layout.groups:
        these, shape = slice(slot, slot + n * width), (n, width, d_model)
        torch.bmm(slots.mixing(these, n, width), rows[these].view(shape), out=u[these].view(shape))
        slot += n * width
    by_latent, start_N = terms.pairs.by_latent(len(W_dec))
    sum_rows(u, terms.pairs.slot_P[by_latent], terms.values_P[by_latent], start_N, out)
    return rows.mul_(u).sum(1), u[layout.own_B]
