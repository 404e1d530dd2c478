"""The exact loss over all prefixes and its gradient, from the active latents alone; no dense product but the encoder's.

Write the input itself as one more row: r0 = x - b_dec, with coefficient -1 and a member of every prefix (inclusion 1). With D_i the rows,
v_i the coefficients and M_ij = min(s_i, s_j), the expected error of one input is a single quadratic form, and everything follows from u:

    u_i = Σ_j M_ij v_j D_j,     E ‖Σ_{i in prefix} v_i D_i‖² = Σ_ij M_ij v_i v_j ⟨D_i, D_j⟩ = Σ_i v_i ⟨D_i, u_i⟩,
    ∂/∂v_i = 2 ⟨D_i, u_i⟩,     ∂/∂D_i = 2 v_i u_i.

Each input costs one (w × w) @ (w × D) product with w slots: one for itself and one for each active latent (chapter "All prefixes at once").
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from msae.sae.nonlinearities import JumpReLU, Nonlinearity
from msae.sae.penalties import Penalty
from msae.training.active import Pairs, find_active
from msae.training.buffers import Buffers

BLOCK = 2048
"""Latents whose gradient rows are summed at a time on a CPU: a few megabytes, so that the allocator reuses them."""


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
    r0_BD: Tensor,
    W_dec: Tensor,
    pairs: Pairs,
    values_P: Tensor,
    inclusion_N: Tensor,
    diagonal_P: Tensor | None = None,
    *,
    out: Tensor | None = None,
    buffers: Buffers | None = None,
) -> Quadratic:
    """The error and its derivatives, group by group, so that rows, u and their products stay in the cache.

    Args:
        r0_BD: inputs minus b_dec; W_dec: (N, D).
        values_P: coefficient of each pair's decoder row; inclusion_N: each latent's s.
        diagonal_P: added to u_i as diagonal · D_i: the gradient of a penalty on v_i ‖D_i‖ has this shape.
        out: where to write d_W_dec.
    """
    buffers = buffers or Buffers()
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


def slots_worth(n_latents: int) -> float:
    """Slots per input up to which this form costs less than `msae.dense`, as measured on two CPU cores with 512 to 24,576 latents."""
    return min(n_latents / 16, 180)


class Observed(NamedTuple):
    """What a step saw; with a leading axis of seeds where several SAEs are trained at once."""

    error: Tensor
    """Mean expected ‖x - x̂‖²."""

    l0: Tensor
    power_N: Tensor
    """Mean squared activation of each latent: what ranks them."""

    smallest: Tensor
    """The smallest activation that is not 0, infinity where there is none; only for a nonlinearity with one threshold (BatchTopK)."""


def sum_inputs(x_BD: Tensor, pairs: Pairs, weight_P: Tensor, out: Tensor) -> Tensor:
    """out[i] = Σ weight · x over the pairs of latent i, the gradient of the encoder; every row of out (N, D) is written."""
    by_latent = pairs.latent_P.argsort()
    latent_P, input_P, weight_P = pairs.latent_P[by_latent], pairs.input_P[by_latent], weight_P[by_latent]
    start_N = torch.searchsorted(latent_P, torch.arange(len(out), device=latent_P.device))
    block = BLOCK if out.device.type == "cpu" else len(out)
    edges = [*(start_N[block::block].tolist() if block < len(out) else []), len(latent_P)]  # a GPU's one block asks nothing of the host
    begin = 0
    for low, end in zip(range(0, len(out), block), edges, strict=True):
        part = slice(low, low + block)
        if begin < end:
            out[part] = F.embedding_bag(input_P[begin:end], x_BD, start_N[part] - begin, mode="sum", per_sample_weights=weight_P[begin:end])
        else:
            out[part] = 0
        begin = end
    return out


def sparse_step(
    x_BD: Tensor,
    params: dict[str, Tensor],
    grads: dict[str, Tensor],
    inclusion_N: Tensor,
    penalty: Penalty | None,
    weight: Tensor,
    nonlinearity: Nonlinearity,
    *,
    max_mean: float,
    dtype: torch.dtype | None = None,
    buffers: Buffers | None = None,
) -> Observed | None:
    """Write the gradients of mean expected error + weight · Σ s · penalty into `grads`; None, and nothing written, where too many fire.

    Args:
        params: W_encT (N, D), b_enc (N,), W_dec (N, D) rows of any norm, b_dec (D,), threshold (N,) or None; grads: the same shapes.
        penalty, weight: None for a nonlinearity that fixes L0; weight is a scalar tensor.
        max_mean, dtype: as in `msae.training.active.find_active`.

    An activation is a = v ‖D‖ with v = pre where the latent is active, so D appears in the error through v D and in the penalty through a.
    """
    batch, W_dec, threshold_N = len(x_BD), params["W_dec"], params.get("threshold")
    norm_N = torch.linalg.vector_norm(W_dec, dim=1)
    found = find_active(
        x_BD, params["W_encT"], params["b_enc"], norm_N, threshold_N, nonlinearity, max_mean=max_mean, dtype=dtype, buffers=buffers
    )
    if found is None:
        return None
    pairs, acts_P = found
    norm_P, s_P = norm_N[pairs.latent_P], inclusion_N[pairs.latent_P]
    jump = nonlinearity if isinstance(nonlinearity, JumpReLU) else None
    threshold_P = torch.zeros_like(norm_P) if jump is None or threshold_N is None else threshold_N.relu()[pairs.latent_P]
    level_P, active_P = acts_P, acts_P > threshold_P
    acts_P = acts_P * active_P
    slope_P = torch.zeros_like(acts_P) if penalty is None else weight * s_P * penalty.slope(acts_P)
    values_P = acts_P / norm_P
    form = quadratic_form(
        x_BD - params["b_dec"], W_dec, pairs, values_P, inclusion_N, slope_P / (2 * norm_P), out=grads["W_dec"], buffers=buffers
    )
    d_values_P = 2 / batch * form.d_values_P
    d_pre_P = d_values_P * active_P
    grads["W_dec"].mul_(2 / batch)
    sum_inputs(x_BD, pairs, d_pre_P, out=grads["W_encT"])
    grads["b_enc"].zero_().index_add_(0, pairs.latent_P, d_pre_P)
    torch.sum(form.d_b_dec_BD, 0, out=grads["b_dec"]).mul_(2 / batch)
    if jump is not None:
        d_threshold_P = jump.threshold_slope(level_P, threshold_P) * d_values_P / norm_P
        grads["threshold"].zero_().index_add_(0, pairs.latent_P, d_threshold_P * (threshold_P > 0))

    error = (form.error - 0.5 * (acts_P * slope_P).sum()) / batch  # without the penalty's share
    power_N = torch.zeros_like(norm_N).index_add_(0, pairs.latent_P, acts_P.square()) / batch
    asked = nonlinearity.threshold_shape == "one" and len(acts_P) > 0
    smallest = torch.where(active_P, acts_P, torch.inf).amin() if asked else torch.full_like(error, torch.inf)
    return Observed(error, active_P.sum() / batch, power_N, smallest)
