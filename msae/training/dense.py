"""The same loss and gradients where many latents are active or all are few: dense products over blocks of latents in rank order.

Sorted by rank, s never rises, so min(s_i, s_j) is the s of the later latent. With r0 = x - b_dec, P_i the reconstruction of the latents up
to i, and Q_i = Σ_{j after i} s_j v_j D_j, the u of `msae.sparse` is a running sum (chapter "All prefixes at once"):

    u_i = s_i (P_i - r0) + Q_i.

A block where s does not change (plain training, a sampled or fixed set of prefixes) shares one u: five products in all, like a plain SAE's
step. Where s changes at every latent, P and Q are taken at the block's edges, and the block's own Gram matrix settles what lies within.

Shapes: S seeds, B inputs, D d_model, N latents, n latents of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from msae.sae.nonlinearities import JumpReLU, Nonlinearity
from msae.sae.penalties import Penalty
from msae.training.sparse import Observed

BLOCK = 256
"""Latents of a block where s changes within: its Gram matrix costs BLOCK / D of a product more."""

CHUNK = 1 << 23
"""Activations held at a time; a larger batch goes in pieces."""


def blocks(inclusion_by_rank_N: Tensor) -> list[tuple[int, int, bool]]:
    """(first rank, end, whether s is the same throughout) of every block; all latents in one where they are few."""
    n = len(inclusion_by_rank_N)
    _, lengths = torch.unique_consecutive(inclusion_by_rank_N, return_counts=True)
    if len(lengths) > 1 and (n <= BLOCK or len(lengths) > n // BLOCK):
        return [(start, min(start + BLOCK, n), False) for start in range(0, n, BLOCK)]
    ends = lengths.cumsum(0).tolist()
    return [(start, end, True) for start, end in zip([0, *ends], ends, strict=False)]


def dense_step(
    x_SBD: Tensor,
    params: dict[str, Tensor],
    grads: dict[str, Tensor],
    inclusion_by_rank_N: Tensor,
    rank_SN: Tensor,
    penalty: Penalty | None,
    weight_S: Tensor,
    nonlinearity: Nonlinearity,
    parts: list[tuple[int, int, bool]] | None = None,
) -> Observed:
    """Write the gradients of mean expected error + weight · Σ s · penalty into `grads`, for every seed on its own.

    Args:
        x_SBD: (S, B, D), or (1, B, D) shared by all seeds.
        params: W_encT (S, N, D), b_enc (S, N), W_dec (S, N, D) rows of any norm, b_dec (S, D), threshold (S, N) or None; grads: the same.
        inclusion_by_rank_N: s of the latent of each rank; rank_SN: each latent's rank.
        penalty: None for a nonlinearity that fixes L0.
        parts: `blocks` of the inclusion, which reads it: give them where it is not on the CPU.
    """
    s_N = inclusion_by_rank_N.to(x_SBD)
    parts = blocks(inclusion_by_rank_N) if parts is None else parts
    if len(parts) == 1:  # one block needs no order of the latents
        return _dense_step(x_SBD, params, grads, s_N[rank_SN], parts, penalty, weight_S, nonlinearity)
    order_SN = rank_SN.argsort()
    ordered = {name: tensor if name == "b_dec" else _take(tensor, order_SN) for name, tensor in params.items()}
    by_rank = {name: torch.empty_like(ordered[name]) for name in grads}
    seen = _dense_step(x_SBD, ordered, by_rank, s_N.expand_as(rank_SN), parts, penalty, weight_S, nonlinearity)
    for name, grad in by_rank.items():
        grads[name].copy_(grad if name == "b_dec" else _take(grad, rank_SN))
    return seen._replace(power_N=_take(seen.power_N, rank_SN))


def encode(x_SBD: Tensor, params: dict[str, Tensor], norm_S1N: Tensor, nonlinearity: Nonlinearity) -> tuple[Tensor, Tensor]:
    """(S, B, N) pre-activations and activations, both in units of unit-norm decoder rows, as in training."""
    pre = torch.baddbmm(params["b_enc"][:, None], x_SBD.expand(len(norm_S1N), -1, -1), params["W_encT"].mT)
    level = pre * norm_S1N
    return level, nonlinearity(level, params["threshold"][:, None] if "threshold" in params else None, training=True)


def _take(tensor: Tensor, index_SN: Tensor) -> Tensor:
    """Latents of (S, N) or (S, N, D) in the order of the index."""
    return tensor.gather(1, index_SN if tensor.ndim == 2 else index_SN[..., None].expand(-1, -1, tensor.shape[2]))


def _dense_step(
    x_SBD: Tensor,
    params: dict[str, Tensor],
    grads: dict[str, Tensor],
    s_SN: Tensor,
    parts: list[tuple[int, int, bool]],
    penalty: Penalty | None,
    weight_S: Tensor,
    nonlinearity: Nonlinearity,
) -> Observed:
    """`dense_step` with latents in an order that the blocks `parts` cut into stretches."""
    n_seeds, n_latents, _ = params["W_dec"].shape
    batch = x_SBD.shape[1]
    norm_S1N = torch.linalg.vector_norm(params["W_dec"], dim=2)[:, None]
    for grad in grads.values():
        grad.zero_()
    error_S, count_S, power_SN = x_SBD.new_zeros(n_seeds), x_SBD.new_zeros(n_seeds), torch.zeros_like(s_SN)
    smallest_S = torch.full_like(error_S, torch.inf)
    whole = nonlinearity.fixes_l0 or n_seeds > 1  # BatchTopK must see the batch
    for x in x_SBD.split(batch if whole else max(1, CHUNK // n_latents), dim=1):
        r0 = x - params["b_dec"][:, None]
        level, acts = encode(x, params, norm_S1N, nonlinearity)
        active = acts > 0
        values = acts / norm_S1N
        if n_seeds == 1:  # products of matrices are faster than batched products of one matrix
            halves = [half[None] for half in _half_derivatives(r0[0], values[0], params["W_dec"][0], s_SN, parts)]
        else:
            halves = _half_derivatives(r0, values, params["W_dec"], s_SN[:, None], parts)
        d_values, d_W_dec, weighted = halves
        error_S += r0.square().sum((1, 2)) + (values * d_values).sum((1, 2)) - (r0 * weighted).sum((1, 2))
        d_values *= 2
        grads["W_dec"] += 2 * d_W_dec
        if penalty is not None:
            slope = penalty.slope(acts).mul_(weight_S.view(-1, 1, 1) * s_SN[:, None])
            d_values.addcmul_(slope, norm_S1N)
            grads["W_dec"].addcmul_((slope * values).sum(1).div_(norm_S1N[:, 0])[..., None], params["W_dec"])
        d_pre = d_values * active
        grads["W_encT"].baddbmm_(d_pre.mT, x.expand(n_seeds, -1, -1))
        grads["b_enc"] += d_pre.sum(1)
        grads["b_dec"] += 2 * (weighted - r0).sum(1)
        if isinstance(nonlinearity, JumpReLU):
            positive = params["threshold"][:, None].relu()
            grads["threshold"] += (nonlinearity.threshold_slope(level, positive) * d_values / norm_S1N).sum(1) * (positive[:, 0] > 0)
        count_S += active.sum((1, 2))
        power_SN += acts.square().sum(1)
        if nonlinearity.threshold_shape == "one":  # nobody else asks, and the look costs as much as a product
            smallest_S = torch.minimum(smallest_S, torch.where(active, acts, torch.inf).amin((1, 2)))
    for grad in grads.values():
        grad /= batch
    return Observed(error_S / batch, count_S / batch, power_SN / batch, smallest_S)


def _half_derivatives(r0: Tensor, values: Tensor, W_dec: Tensor, s: Tensor, parts: list[tuple[int, int, bool]]) -> list[Tensor]:
    """⟨D_i, u_i⟩ of all values, Σ v_i u_i, and Σ s_i v_i D_i of every input; s is (…, 1, N)."""
    d_values, d_W_dec = torch.empty_like(values), torch.empty_like(W_dec)
    after: list[Tensor] = []  # reconstruction up to the end of each block; nobody asks for the last one unless s is the same within
    for low, high, same in parts:
        if high < values.shape[-1] or same:
            part = values[..., low:high] @ W_dec[..., low:high, :]
            after.append(after[-1] + part if after else part)
    q: Tensor | None = None  # Σ s_j v_j D_j over the blocks behind
    for k in reversed(range(len(parts))):
        low, high, same = parts[k]
        v, rows, s_k = values[..., low:high], W_dec[..., low:high, :], s[..., low:high]
        if same:
            s_k, part = s_k[..., :1], after[k] - after[k - 1] if k else after[k]
            u = _plus(s_k * (after[k] - r0), q)
            d_values[..., low:high] = u @ rows.mT
            d_W_dec[..., low:high, :] = v.mT @ u
            q = _plus(s_k * part, q)
        else:
            least, weighted = torch.minimum(s_k, s_k.mT), v * s_k
            outside = after[k - 1] - r0 if k else -r0
            d_values[..., low:high] = _plus((outside @ rows.mT) * s_k + v @ ((rows @ rows.mT) * least), None if q is None else q @ rows.mT)
            d_W_dec[..., low:high, :] = _plus(weighted.mT @ outside + ((v.mT @ v) * least) @ rows, None if q is None else v.mT @ q)
            q = _plus(weighted @ rows, q)
    assert q is not None
    return [d_values, d_W_dec, q]


def _plus(a: Tensor, b: Tensor | None) -> Tensor:
    return a if b is None else a.add_(b)
