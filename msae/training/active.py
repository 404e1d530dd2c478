"""Which latents are active, picked out while the encoder's product is still in the cache.

Shapes: B inputs, N latents, D d_model, P active pairs (an input and one of its latents).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from msae.training.buffers import Buffers
from msae.training.layout import GROUP, Layout, Pairs, even_pairs, lay_out
from msae.training.step import StepInputs

BLOCK = 1 << 20
"""Activations made at a time on a CPU, all inputs with some latents: 4 MB in float32 stay in its cache until the active ones are found."""

ROWS = 1 << 23
"""The same where an input needs all its activations at once (TopK): some inputs with all latents."""


def find_active(
    inputs: StepInputs, norm_N: Tensor, *, max_mean: float, dtype: torch.dtype | None = None, buffers: Buffers | None = None
) -> tuple[Pairs, Tensor] | None:
    """The pairs that the nonlinearity selects and their activations (P,), or None where dense products are the better way.

    Args:
        inputs: of one SAE, without the axis of seeds.
        norm_N: norms of the decoder rows: an activation is (x @ W_enc + b_enc) · norm where the nonlinearity keeps it.
        max_mean: slots per input from which dense products are.
        dtype: of the encoder's product, that of x by default; everything else stays in the dtype of x.
        buffers: where the products are put.

    JumpReLU's pairs include those a little below the threshold, on which its gradient rests; TopK's are k per input, positive or not.
    """
    candidates = _Batch(inputs, norm_N, max_mean, dtype or inputs.x.dtype, buffers or Buffers())
    return inputs.nonlinearity.select(candidates, inputs.params.get("threshold"))


class _Batch:
    """The activations of a batch, made block by block and never kept: `msae.sae.nonlinearities.base.Candidates`."""

    def __init__(self, inputs: StepInputs, norm_N: Tensor, max_mean: float, dtype: torch.dtype, buffers: Buffers):
        self.x, self.norm_N, self.buffers, self.max_mean = inputs.x, norm_N, buffers, max_mean
        self.W_encT, self.b_enc = inputs.params["W_encT"], inputs.params["b_enc"]
        self.n_inputs, self.n_latents = len(self.x), len(norm_N)
        self.x_cast, self.on_cpu = self.x.to(dtype), self.x.device.type == "cpu"

    def above(self, lowest: Tensor | float) -> tuple[Pairs, Tensor] | None:
        """All above a bound, each latent's or one; None where they would take more than `max_mean` slots per input."""
        most = self.max_mean * self.n_inputs
        found = self._above(lowest, most)
        if found is None:
            return None
        (input_P, latent_P, acts_P), layout = found
        layout = layout or self._layout(input_P)
        return None if layout.n_slots > most else (layout.pairs(input_P, latent_P), acts_P)

    def largest_of_each(self, k: int) -> tuple[Pairs, Tensor]:
        """The k largest of each input."""
        rows = max(GROUP, ROWS // self.n_latents) if self.on_cpu else self.n_inputs
        parts = (self._acts(slice(start, start + rows), slice(None)) for start in range(0, self.n_inputs, rows))
        kept = [acts.topk(k, dim=1, sorted=False) for acts in parts]
        acts_BK, latent_BK = (torch.cat(part) for part in zip(*kept, strict=True))
        return even_pairs(latent_BK), acts_BK.flatten()

    def largest_of_all(self, n: int, usual: Tensor) -> tuple[Pairs, Tensor]:
        """The n largest of the batch; on a CPU only those that are positive.

        A full selection over the batch is slow on a CPU, so all above half of the usual cut are collected first; should they be too few,
        all that are positive. A GPU would have to tell the host how many they are, and selects at once.
        """
        input_P, latent_P, acts_P = self._largest_on_cpu(n, usual) if self.on_cpu else self._largest(n)
        return self._layout(input_P).pairs(input_P, latent_P), acts_P

    def _acts(self, inputs: slice, latents: slice) -> Tensor:
        """Activations of some inputs and latents, before the nonlinearity; the next call overwrites them."""
        left, right = self.x_cast[inputs], self.W_encT[latents].to(self.x_cast.dtype)
        pre = torch.mm(left, right.T, out=self.buffers.get("pre", (len(left), len(right)), right)).to(self.x.dtype)
        return pre.add_(self.b_enc[latents]).mul_(self.norm_N[latents])

    def _above(self, lowest: Tensor | float, most: float) -> tuple[list[Tensor], Layout | None] | None:
        """(input_P, latent_P, acts_P), sorted by input, of all activations above a bound; None where they are more than `most`.

        On a GPU, where all latents are one block, the layout comes with them: the host's one read tells it and the number of pairs.
        """
        picked, n_pairs, layout = [], 0, None
        width = max(256, BLOCK // self.n_inputs) if self.on_cpu else self.n_latents
        for low in range(0, self.n_latents, width):
            block = slice(low, min(low + width, self.n_latents))
            acts = self._acts(slice(None), block)
            mask = acts > (lowest[block] if isinstance(lowest, Tensor) else lowest)
            if not self.on_cpu:
                layout = lay_out(mask.sum(1))
            n_new = layout.n_pairs if layout else int(mask.count_nonzero())
            n_pairs += n_new
            if n_pairs > most:
                return None
            inputs, latents = torch.nonzero_static(mask, size=n_new).T.contiguous()
            picked.append((inputs, latents + low, acts[inputs, latents]))
        if len(picked) == 1:  # found row by row
            return list(picked[0]), layout
        return _by_input([torch.cat(part) for part in zip(*picked, strict=True)]), layout

    def _largest_on_cpu(self, n: int, usual: Tensor) -> list[Tensor]:
        for lowest in (usual / 2, 0.0):
            found = self._above(lowest, math.inf)
            assert found is not None
            pairs, _ = found
            if len(pairs[0]) >= n:
                break
        kept = pairs[2].topk(min(n, len(pairs[2])), sorted=False).indices
        return _by_input([part[kept] for part in pairs])

    def _largest(self, n: int) -> list[Tensor]:
        acts_P, place_P = self._acts(slice(None), slice(None)).flatten().topk(n, sorted=False)
        return _by_input([place_P // self.n_latents, place_P % self.n_latents, acts_P])

    def _layout(self, input_P: Tensor) -> Layout:
        edges = torch.searchsorted(input_P, torch.arange(self.n_inputs + 1, device=input_P.device))
        return lay_out(edges.diff())


def _by_input(pairs: list[Tensor]) -> list[Tensor]:
    """Blocks of latents come one after the other; the layout wants all pairs of an input together."""
    order = pairs[0].argsort(stable=True)
    return [part[order] for part in pairs]
