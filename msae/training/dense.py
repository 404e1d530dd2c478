"""The same loss and gradients where many latents are active or all are few: dense products over blocks of latents in rank order.

Sorted by rank, s never rises, so min(s_i, s_j) is the s of the later latent. With r0 = x - b_dec, P_i the reconstruction of the latents up
to i, and Q_i = Σ_{j after i} s_j v_j D_j, the u of `quadratic` is a running sum (chapter "All prefixes at once"):

    u_i = s_i (P_i - r0) + Q_i.

A block where s does not change (plain training, a sampled or fixed set of prefixes) shares one u: five products in all, like a plain SAE's
step. Where s changes at every latent, P and Q are taken at the block's edges, and the block's own Gram matrix settles what lies within.
Where the gradient is stopped between prefixes there is no Q, and P_i goes on to the last latent with the s of i.

Shapes: S seeds, B inputs, D d_model, N latents, n latents of a block.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from msae.training.step import Observed, StepInputs

BLOCK = 256
"""Latents of a block where s changes within: its Gram matrix costs BLOCK / D of a product more."""

CHUNK, CHUNK_ON_GPU = 1 << 23, 1 << 26
"""Activations held at a time; a larger batch goes in pieces."""


def blocks(inclusion_by_rank_N: Tensor, stop_gradient: bool = False) -> list[tuple[int, int, bool]]:
    """(first rank, end, whether s is the same throughout) of every block; all latents in one where they are few.

    Args:
        inclusion_by_rank_N: s.
        stop_gradient: latents with the same s must lie in one block.
    """
    n = len(inclusion_by_rank_N)
    _, lengths = torch.unique_consecutive(inclusion_by_rank_N, return_counts=True)
    ends = of_levels = lengths.cumsum(0).cpu()
    same = len(lengths) == 1 or (n > BLOCK and len(lengths) <= n // BLOCK)
    if not same:
        ends = torch.tensor([*range(BLOCK, n, BLOCK), n])
        if stop_gradient:
            ends = of_levels[torch.searchsorted(of_levels, ends)].unique()
    return [(start, end, same) for start, end in pairwise([0, *ends.tolist()])]


def dense_step(inputs: StepInputs, grads: dict[str, Tensor], parts: list[tuple[int, int, bool]] | None = None) -> Observed:
    """Write the gradients of mean expected error + weight · Σ s · penalty into `grads`, for every seed on its own.

    Args:
        inputs: of all seeds.
        grads: of the same shapes as the parameters that are learnt.
        parts: `blocks` of the inclusion, which reads it: give them where it is not on the CPU.
    """
    s_N, rank_SN = inputs.inclusion_by_rank.to(inputs.x), inputs.rank
    parts = blocks(inputs.inclusion_by_rank, inputs.stop_gradient) if parts is None else parts
    if len(parts) == 1:  # one block needs no order of the latents
        return _dense_step(inputs, grads, s_N[rank_SN], parts)
    order_SN = rank_SN.argsort()
    ordered = {name: tensor if name == "b_dec" else _take(tensor, order_SN) for name, tensor in inputs.params.items()}
    by_rank = {name: torch.empty_like(ordered[name]) for name in grads}
    seen = _dense_step(inputs._replace(params=ordered), by_rank, s_N.expand_as(rank_SN), parts)
    for name, grad in by_rank.items():
        grads[name].copy_(grad if name == "b_dec" else _take(grad, rank_SN))
    return seen._replace(power_N=_take(seen.power_N, rank_SN))


def _take(tensor: Tensor, index_SN: Tensor) -> Tensor:
    """Latents of (S, N) or (S, N, D) in the order of the index."""
    return tensor.gather(1, index_SN if tensor.ndim == 2 else index_SN[..., None].expand(-1, -1, tensor.shape[2]))


def _dense_step(inputs: StepInputs, grads: dict[str, Tensor], s_SN: Tensor, parts: list[tuple[int, int, bool]]) -> Observed:
    """`dense_step` with latents in an order that the blocks `parts` cut into stretches; s_SN is in that order."""
    params, nonlinearity, penalty = inputs.params, inputs.nonlinearity, inputs.penalty
    W_dec, batch = params["W_dec"], inputs.x.shape[1]
    n_seeds, n_latents, _ = W_dec.shape
    norm_SN = torch.linalg.vector_norm(W_dec, dim=2)
    norm_S1N = norm_SN[:, None]
    for grad in grads.values():
        grad.zero_()
    error_S, count_S, power_SN = inputs.x.new_zeros(n_seeds), inputs.x.new_zeros(n_seeds), torch.zeros_like(s_SN)
    smallest_S = torch.full_like(error_S, torch.inf)
    whole = nonlinearity.fixes_l0 or n_seeds > 1  # BatchTopK must see the batch
    on_cpu, stop = inputs.x.device.type == "cpu", inputs.stop_gradient
    chunk = CHUNK if on_cpu else CHUNK_ON_GPU
    at_once = n_seeds == 1 and not on_cpu and len(parts) > 1 and n_latents == BLOCK * len(parts) and not parts[0][2]  # one launch
    how = _half_derivatives_stopped if stop else _half_derivatives_at_once if at_once else _half_derivatives
    for x in inputs.x.split(batch if whole else max(1, chunk // n_latents), dim=1):  # type: ignore[no-untyped-call]
        r0 = x - params["b_dec"][:, None]
        level, acts = inputs.encode(x, norm_SN)
        active = acts > 0
        values = acts / norm_S1N
        if n_seeds == 1:  # products of matrices are faster than batched products of one matrix
            halves = [half[None] for half in how(r0[0], values[0], W_dec[0], s_SN, parts)]
        else:
            halves = how(r0, values, W_dec, s_SN[:, None], parts)
        d_values, d_W_dec, weighted = halves
        if stop:
            error_S += (weighted - r0).square().sum((1, 2))
        else:
            error_S += r0.square().sum((1, 2)) + (values * d_values).sum((1, 2)) - (r0 * weighted).sum((1, 2))
        d_values *= 2
        grads["W_dec"] += 2 * d_W_dec
        if penalty is not None:
            slope = penalty.slope(acts).mul_(inputs.weight.view(-1, 1, 1) * s_SN[:, None])
            d_values.addcmul_(slope, norm_S1N)
            grads["W_dec"].addcmul_((slope * values).sum(1).div_(norm_SN)[..., None], W_dec)
        d_pre = d_values * active
        grads["W_encT"].baddbmm_(d_pre.mT, x.expand(n_seeds, -1, -1))
        grads["b_enc"] += d_pre.sum(1)
        grads["b_dec"] += 2 * (weighted - r0).sum(1)
        if nonlinearity.learns_threshold:
            lowest_S1N = nonlinearity.lowest(params["threshold"][:, None])
            assert isinstance(lowest_S1N, Tensor)
            by_threshold = nonlinearity.threshold_slope(level, lowest_S1N) * d_values / norm_S1N
            grads["threshold"] += by_threshold.sum(1) * (lowest_S1N[:, 0] > 0)
        count_S += active.sum((1, 2))
        power_SN += acts.square().sum(1)
        if nonlinearity.observes_smallest:  # nobody else asks, and the look costs as much as a product
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


def _half_derivatives_at_once(r0: Tensor, values: Tensor, W_dec: Tensor, s: Tensor, parts: list[tuple[int, int, bool]]) -> list[Tensor]:
    """The same where s changes within all blocks and each has `BLOCK` latents: batched products, with an axis K of blocks."""
    v, rows, s_k = values.unflatten(1, (-1, BLOCK)).transpose(0, 1), W_dec.unflatten(0, (-1, BLOCK)), s.view(len(parts), 1, BLOCK)
    weighted, least = v * s_k, torch.minimum(s_k, s_k.mT)
    part, behind = torch.bmm(v, rows), torch.bmm(weighted, rows)  # (K, B, D)
    outside = part.cumsum(0).sub_(part).sub_(r0)
    q = behind.sum(0)
    behind = behind.cumsum_(0).neg_().add_(q)
    d_values = torch.bmm(outside, rows.mT).mul_(s_k)
    d_values.baddbmm_(v, (rows @ rows.mT).mul_(least)).baddbmm_(behind, rows.mT)
    d_W_dec = torch.bmm(weighted.mT, outside)
    d_W_dec.baddbmm_((v.mT @ v).mul_(least), rows).baddbmm_(v.mT, behind)
    return [d_values.transpose(0, 1).flatten(1), d_W_dec.flatten(0, 1), q]


def _half_derivatives_stopped(r0: Tensor, values: Tensor, W_dec: Tensor, s: Tensor, parts: list[tuple[int, int, bool]]) -> list[Tensor]:
    """The same with the gradient stopped between prefixes; the third is the reconstruction by all latents."""
    d_values, d_W_dec, outside = torch.empty_like(values), torch.empty_like(W_dec), -r0  # up to the block before
    for low, high, same in parts:
        v, rows, s_k = values[..., low:high], W_dec[..., low:high, :], s[..., low:high]
        through = outside + v @ rows
        if same:
            u = s_k[..., :1] * through
            d_values[..., low:high] = u @ rows.mT
            d_W_dec[..., low:high, :] = v.mT @ u
        else:
            sees = s_k.mT * (s_k >= s_k.mT)  # M_ij
            d_values[..., low:high] = (outside @ rows.mT) * s_k + v @ ((rows @ rows.mT) * sees.mT)
            d_W_dec[..., low:high, :] = (v * s_k).mT @ outside + ((v.mT @ v) * sees) @ rows
        outside = through
    return [d_values, d_W_dec, outside + r0]


def _plus(a: Tensor, b: Tensor | None) -> Tensor:
    return a if b is None else a.add_(b)
