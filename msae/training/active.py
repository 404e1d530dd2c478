"""Which latents are active, picked out while the encoder's product is still in the cache, and how their rows are laid out for the loss.

Shapes: B inputs, N latents, D d_model, P active pairs (an input and one of its latents), T slots.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from msae.sae.nonlinearities import BatchTopK, JumpReLU, Nonlinearity, TopK
from msae.training.buffers import Buffers

BLOCK = 1 << 20
"""Activations made at a time on a CPU, all inputs with some latents: 4 MB in float32 stay in its cache until the active ones are found."""

ROWS = 1 << 23
"""The same where an input needs all its activations at once (TopK): some inputs with all latents."""

GROUP = 64
"""Inputs of like width that share one batched product on a CPU."""


class Layout(NamedTuple):
    """Where each input's slots lie: one for the input itself, then its active latents, then padding up to the widest of its group."""

    order_B: Tensor
    """The inputs in the order of their slots, from the fewest active latents to the most."""

    own_B: Tensor
    """(B,) each input's first slot, the one that stands for the input itself."""

    first_B: Tensor
    """(B,) each input's first pair."""

    groups: list[tuple[int, int, int]]
    """(first input of the order, number of inputs, slots of each) of every group."""

    n_slots: int
    n_pairs: int

    def pairs(self, input_P: Tensor, latent_P: Tensor) -> Pairs:
        """Give each pair its slot; the pairs are sorted by input."""
        within_P = torch.arange(len(input_P), device=input_P.device) - self.first_B[input_P]
        return Pairs(input_P, latent_P, self.own_B[input_P] + 1 + within_P, self)


class Pairs(NamedTuple):
    """The active pairs of a batch, sorted by input."""

    input_P: Tensor
    latent_P: Tensor
    slot_P: Tensor
    layout: Layout


def lay_out(count_B: Tensor) -> Layout:
    """Sort inputs by their number of active latents and group neighbours, so that little is padded. The host reads once."""
    batch = len(count_B)
    size = GROUP if count_B.device.type == "cpu" else max(GROUP, -(-batch // 8))
    tail = max(0, batch - size)  # the widest inputs differ most, so their groups are small
    starts = [*range(0, tail, size), *range(tail, batch, max(1, size // 8))]
    sizes = [end - start for start, end in pairwise([*starts, batch])]
    sorted_B, order_B = count_B.sort(stable=True)
    parts = sorted_B.split(sizes)
    slots_B = 1 + torch.cat([part[-1:].expand_as(part) for part in parts])
    *widest, n_pairs = torch.cat([*(part[-1:] for part in parts), count_B.sum()[None]]).tolist()
    groups = [(start, n, 1 + width) for start, n, width in zip(starts, sizes, widest, strict=True)]
    own_B = torch.empty_like(order_B).scatter_(0, order_B, slots_B.cumsum(0) - slots_B)
    return Layout(order_B, own_B, count_B.cumsum(0) - count_B, groups, sum(n * width for _, n, width in groups), n_pairs)


def lay_out_evenly(batch: int, k: int, device: torch.device) -> Layout:
    """The same where every input has k pairs; the host reads nothing."""
    inputs = torch.arange(batch, device=device)
    size = GROUP if device.type == "cpu" else batch
    groups = [(start, min(size, batch - start), 1 + k) for start in range(0, batch, size)]
    return Layout(inputs, inputs * (1 + k), inputs * k, groups, batch * (1 + k), batch * k)


def even_pairs(latent_BK: Tensor) -> Pairs:
    """The pairs of k given latents for each input."""
    batch, k = latent_BK.shape
    layout = lay_out_evenly(batch, k, latent_BK.device)
    return layout.pairs(layout.order_B.repeat_interleave(k, output_size=batch * k), latent_BK.flatten())


def find_active(
    x_BD: Tensor,
    W_encT: Tensor,
    b_enc: Tensor,
    norm_N: Tensor,
    threshold_N: Tensor | None,
    nonlinearity: Nonlinearity,
    *,
    max_mean: float,
    dtype: torch.dtype | None = None,
    buffers: Buffers | None = None,
) -> tuple[Pairs, Tensor] | None:
    """The pairs that the nonlinearity keeps and their activations (P,), or None where there are more than `max_mean` slots per input.

    Args:
        x_BD: (B, D); W_encT: (N, D) the encoder with a row per latent; b_enc: (N,).
        norm_N: norms of the decoder rows: an activation is (x @ W_enc + b_enc) · norm where the nonlinearity keeps it.
        threshold_N: for JumpReLU and BatchTopK.
        dtype: of the encoder's product, that of x by default; everything else stays in the dtype of x.

    JumpReLU's pairs include those a little below the threshold, on which its gradient rests; TopK's are k per input, positive or not.
    """
    batch, n_latents = len(x_BD), len(W_encT)
    buffers = buffers or Buffers()
    cast = dtype or x_BD.dtype
    x_cast, on_cpu = x_BD.to(cast), x_BD.device.type == "cpu"

    def acts_of(inputs: slice, latents: slice) -> Tensor:
        left, right = x_cast[inputs], W_encT[latents].to(cast)
        pre = torch.mm(left, right.T, out=buffers.get("pre", (len(left), len(right)), right)).to(x_BD.dtype)
        return pre.add_(b_enc[latents]).mul_(norm_N[latents])

    if isinstance(nonlinearity, TopK):
        rows = max(GROUP, ROWS // n_latents) if on_cpu else batch
        parts = (acts_of(slice(start, start + rows), slice(None)) for start in range(0, batch, rows))
        kept = [acts.topk(nonlinearity.k, dim=1, sorted=False) for acts in parts]
        acts_BK, latent_BK = (torch.cat(part) for part in zip(*kept, strict=True))
        return even_pairs(latent_BK), acts_BK.flatten()

    width = max(256, BLOCK // batch) if on_cpu else n_latents
    blocks = [slice(low, min(low + width, n_latents)) for low in range(0, n_latents, width)]
    if isinstance(nonlinearity, BatchTopK):
        assert threshold_N is not None
        found, layout = _largest_of_batch(lambda block: acts_of(slice(None), block), blocks, nonlinearity.k * batch, threshold_N), None
    else:
        lowest_N = torch.zeros_like(norm_N)
        if isinstance(nonlinearity, JumpReLU):
            assert threshold_N is not None
            lowest_N = torch.where(threshold_N > 0, threshold_N - nonlinearity.bandwidth / 2, 0)
        above = _above(lambda block: acts_of(slice(None), block), blocks, lowest_N, max_mean * batch)
        if above is None:
            return None
        found, layout = above
    input_P, latent_P, acts_P = found
    if layout is None:
        edges = torch.searchsorted(input_P, torch.arange(batch + 1, device=input_P.device))
        layout = lay_out(edges.diff())
    if layout.n_slots > max_mean * batch and not nonlinearity.fixes_l0:
        return None
    return layout.pairs(input_P, latent_P), acts_P


def _above(
    acts_of: Callable[[slice], Tensor], blocks: list[slice], lowest_N: Tensor, most: float
) -> tuple[list[Tensor], Layout | None] | None:
    """(input_P, latent_P, acts_P), sorted by input, of all activations above a bound for each latent; None where they are more than `most`.

    On a GPU, where all latents are one block, the layout comes with them: the host's one read tells it and the number of pairs.
    """
    picked, n_pairs, layout = [], 0, None
    for block in blocks:
        acts = acts_of(block)
        mask = acts > lowest_N[block]
        if acts.device.type != "cpu":
            layout = lay_out(mask.sum(1))
        n_new = layout.n_pairs if layout else int(mask.count_nonzero())
        n_pairs += n_new
        if n_pairs > most:
            return None
        inputs, latents = torch.nonzero_static(mask, size=n_new).T
        picked.append((inputs, latents + block.start, acts[inputs, latents]))
    return _by_input([torch.cat(part) for part in zip(*picked, strict=True)]), layout


def _by_input(pairs: list[Tensor]) -> list[Tensor]:
    """Blocks of latents come one after the other; the layout wants all pairs of an input together."""
    order = pairs[0].argsort(stable=True)
    return [part[order] for part in pairs]


def _largest_of_batch(acts_of: Callable[[slice], Tensor], blocks: list[slice], n_kept: int, usual_cut_N: Tensor) -> list[Tensor]:
    """The n_kept largest activations of the batch as (input_P, latent_P, acts_P), sorted by input; on a CPU only those that are positive.

    A full selection over the batch is slow on a CPU, so all above half of the usual cut are collected first; should they be too few, all
    that are positive. A GPU would have to tell the host how many they are, and selects at once.
    """
    if usual_cut_N.device.type != "cpu":
        (block,) = blocks
        acts_P, place_P = acts_of(block).flatten().topk(n_kept, sorted=False)
        return _by_input([place_P // len(usual_cut_N), place_P % len(usual_cut_N), acts_P])
    for lowest_N in (usual_cut_N / 2, torch.zeros_like(usual_cut_N)):
        above = _above(acts_of, blocks, lowest_N, math.inf)
        assert above is not None
        pairs, _ = above
        if len(pairs[0]) >= n_kept:
            break
    kept = pairs[2].topk(min(n_kept, len(pairs[2])), sorted=False).indices
    return _by_input([part[kept] for part in pairs])
