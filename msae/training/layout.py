"""How the active pairs of a batch are laid out for the loss: each input's slots together, inputs of like width in one group.

Shapes: B inputs, P active pairs (an input and one of its latents), T slots.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

GROUP = 64
"""Inputs of like width that share one batched product on a CPU."""

STARTS = (0.0, 0.4, 0.7, 0.88, 0.97)
"""Where groups start on a GPU, as shares of the batch: a launch costs more there than some padding."""


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

    def by_latent(self, n_latents: int) -> tuple[Tensor, Tensor]:
        """(P,) the pairs in the order of their latents, and (N,) where each latent's begin."""
        latent_P, by_latent = self.latent_P.sort(stable=True)
        return by_latent, torch.searchsorted(latent_P, torch.arange(n_latents, device=latent_P.device))


def lay_out(count_B: Tensor) -> Layout:
    """Sort inputs by their number of active latents and group neighbours, so that little is padded. The host reads once."""
    batch = len(count_B)
    if count_B.device.type == "cpu":
        tail = max(0, batch - GROUP)  # the widest inputs differ most, so their groups are small
        starts = [*range(0, tail, GROUP), *range(tail, batch, GROUP // 8)]
    else:
        starts = sorted({int(share * batch) for share in STARTS})
    sizes = [end - start for start, end in pairwise([*starts, batch])]
    sorted_B, order_B = count_B.sort(stable=True)
    parts = sorted_B.split(sizes)  # type: ignore[no-untyped-call]
    slots_B = 1 + torch.cat([part[-1:].expand_as(part) for part in parts])
    *widest, n_pairs = torch.cat([*(part[-1:] for part in parts), count_B.sum()[None]]).tolist()
    groups = [(start, n, 1 + width) for start, n, width in zip(starts, sizes, widest, strict=True)]
    own_B = torch.empty_like(order_B).scatter_(0, order_B, slots_B.cumsum(0) - slots_B)
    return Layout(order_B, own_B, count_B.cumsum(0) - count_B, groups, n_slots=sum(n * width for _, n, width in groups), n_pairs=n_pairs)


def lay_out_evenly(batch: int, k: int, device: torch.device) -> Layout:
    """The same where every input has k pairs; the host reads nothing."""
    inputs = torch.arange(batch, device=device)
    size = GROUP if device.type == "cpu" else batch
    groups = [(start, min(size, batch - start), 1 + k) for start in range(0, batch, size)]
    return Layout(inputs, inputs * (1 + k), inputs * k, groups, n_slots=batch * (1 + k), n_pairs=batch * k)


def even_pairs(latent_BK: Tensor) -> Pairs:
    """The pairs of k given latents for each input."""
    batch, k = latent_BK.shape
    layout = lay_out_evenly(batch, k, latent_BK.device)
    return layout.pairs(layout.order_B.repeat_interleave(k, output_size=batch * k), latent_BK.flatten())


def sum_rows(rows: Tensor, index_P: Tensor, weight_P: Tensor, start_N: Tensor, out: Tensor) -> None:
    """out[i] = Σ weight · rows[index] from start[i] to the next start; all rows of out (N, D) are written."""
    if len(index_P):
        out.copy_(F.embedding_bag(index_P, rows, start_N, mode="sum", per_sample_weights=weight_P))
    else:
        out.zero_()
