"""Absorption: other latents carry a concept's direction where its own latent is silent, or fires but weakly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.firings.reading import checked_sae, checked_vectors, latent_number, rows_at_once, run, story_numbers, truth
from msae.metrics.fidelity import cosines
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.sae.sae import SAE
from msae.support.arguments import all_finite, items, number, shown, tensor, whole
from msae.support.sums import parts, wide


class Absorption(NamedTuple):
    """How much of a concept other latents than its own carry."""

    fraction: Interval
    """Mean absorption fraction over the concept's tokens, 0 to 1: of the concept's direction, as far as its own latents and up to three
    others account for it, the share of the others."""

    full: Interval
    """Share of the tokens on which the concept's latents are silent, and one other latent carries at least 40 % of the direction."""

    partial: Interval
    """Share of the tokens on which the concept's latents fire, but weakly: the absorption fraction is above 0 all the same."""

    absorbers: dict[int, float]
    """Share of the tokens with an absorption fraction above 0 on which each other latent is among the absorbing; the largest first."""

    n_concept: int
    """Tokens of the concept."""


@torch.no_grad()
def absorption(
    sae: SAE,
    x: Tensor,
    latents: Sequence[int],
    concept: Any,
    direction: Tensor | None = None,
    story: Any = None,
    *,
    min_cosine: float = 0.1,
    min_cosine_full: float = 0.025,
    min_share: float = 0.4,
    n_absorbing: int = 3,
    chunk: int | None = None,
) -> Absorption:
    """Full and partial absorption of a concept, measured along its direction p.

    On each token of the concept, t = p·(x - b_dec) is what there is of the concept, and a_i p·d_i what latent i carries of it (d_i its
    decoder row of norm 1, a_i its activation). m is the sum of this over the concept's own latents; q the sum of the largest `n_absorbing`
    among the others with p·d_i ≥ `min_cosine`. The absorption fraction is

        0                      where m ≥ t, or q < min_share · t,
        1                      where m ≤ 0,
        r / (r + m), with r = min(q, t - m), elsewhere.

    Args:
        x: (n, d_model) raw activations.
        latents: the concept's own, for example `[concept_scores(...).best]`, or those of `splitting`.
        concept: (n,) truth values.
        direction: p, (d_model,), of any length; `mean_difference(x, concept)` if left out.
        story: (n,) the story of each row, for the intervals; each row is its own if left out.
        chunk: rows at a time; as many as take 128 MB if left out.

    Raises:
        ValueError: shapes that do not fit, no such latent, or a concept that is nowhere.

    Source: the absorption fraction of SAEBench (Karvonen et al. 2025, arXiv:2503.09532), with its thresholds; full absorption as there,
    after Chanin et al. 2024, "A is for Absorption" (arXiv:2409.14507). They project x, not x - b_dec, and take the direction from a
    logistic regression; we count all of the concept's tokens, they those that the regression finds.
    """
    sae = checked_sae(sae)
    x = checked_vectors("x", x, sae.d_model)
    mask = truth("concept", concept, [(len(x),)], "row")
    if not mask.any():
        raise ValueError(f"the concept is on none of the {len(x):,} rows: give more stories, or another pattern")
    own = [latent_number(latent, "each of latents") for latent in items("latents", latents)]
    if not own or max(own) >= sae.n_latents:
        raise ValueError(f"the SAE has the latents 0 to {sae.n_latents - 1}, got latents={shown(own)}")
    stories = story_numbers(story, (len(x),), "one story per row of x")[mask]
    for name, value in (("min_cosine", min_cosine), ("min_cosine_full", min_cosine_full)):
        number(name, value, -1, 1)
    number("min_share", min_share, 0, 1)
    whole("n_absorbing", n_absorbing, 1)
    rows_at_once(sae, chunk)
    p = mean_difference(x, mask) if direction is None else tensor("direction", direction, numbers="real")
    if p.shape != (sae.d_model,) or not torch.isfinite(p).all() or not p.any():
        raise ValueError(f"expected a direction of length {sae.d_model} other than zero, and finite, got {shown(p)}")
    p = p.to(sae.W_enc.device, torch.float64)
    p = p / p.abs().max()
    p = p / p.norm()
    W_dec = sae.W_dec.double()
    cosine, along = cosines(p[None], W_dec)[0], W_dec @ p
    others = torch.ones(sae.n_latents, dtype=torch.bool)
    others[own] = False
    mine = torch.tensor(own).to(p.device)
    candidates = (others.to(p.device) & (cosine >= min_cosine)).nonzero().squeeze(1)

    columns = []
    absorbing = np.zeros(sae.n_latents)
    for part, acts in run(sae, x, chunk, torch.from_numpy(np.flatnonzero(mask))):
        carried = acts * along.to(acts.dtype)
        t, m = (part.double() - sae.b_dec) @ p, (acts[:, mine].double() * along[mine]).sum(1)
        top = carried[:, candidates].relu().topk(min(n_absorbing, len(candidates)), dim=1)
        q = top.values.sum(1, dtype=torch.float64)
        r = torch.minimum(q, t - m)
        fraction = torch.where(m <= 0, 1.0, r / (r + m))
        fraction = torch.where((m >= t) | (q < min_share * t) | (t <= 0), 0.0, fraction)
        best = carried.max(1)
        silent = (acts[:, mine] <= 0).all(1)
        full = silent & (t > 0) & (best.values >= min_share * t) & (cosine[best.indices] >= min_cosine_full)
        partial = ~silent & (fraction > 0)
        columns.append(torch.stack([fraction, full.to(fraction), partial.to(fraction), (fraction > 0).to(fraction)], 1).cpu())
        taken = top.indices[(top.values > 0) & (fraction > 0)[:, None]]
        absorbing += torch.bincount(candidates[taken], minlength=sae.n_latents).cpu().numpy()
    table = torch.cat(columns).numpy()
    sums = sum_by_story(stories, *table.T, np.ones(len(table)))
    mean, of_full, of_partial = (bootstrap(ratio, sums[:, [i, -1]]) for i in range(3))
    order = np.argsort(-absorbing, kind="stable")
    shares = absorbing / max(1.0, table[:, 3].sum())
    return Absorption(mean, of_full, of_partial, {int(i): float(shares[i]) for i in order if absorbing[i] > 0}, int(mask.sum()))


@torch.no_grad()
def mean_difference(x: Tensor, concept: Any, chunk: int | None = None) -> Tensor:
    """(d_model,): the mean of x (n, d_model) on a concept minus the mean elsewhere, a linear probe without training.

    Args:
        chunk: rows at a time; as many as take 32 MB if left out.

    Raises:
        ValueError: a concept that is nowhere, or everywhere; a number of x that is NaN or infinite.
    """
    x = tensor("x", x, ("n", "d_model"), numbers="real")
    mask = truth("concept", concept, [(len(x),)], f"each of {len(x):,} rows")
    if not mask.any() or mask.all():
        raise ValueError(f"the concept must be true on some of the {len(x):,} rows of x and false on others, got {int(mask.sum()):,}")
    here, sums = torch.from_numpy(mask).to(x.device), torch.zeros(2, x.shape[1], dtype=torch.float64, device=x.device)
    begin = 0
    for some in x.split(len(x) if chunk is None else whole("chunk", chunk, 1)):
        for (part,) in parts(some):
            sums.index_add_(0, here[begin : begin + len(part)].long(), part)
            begin += len(part)
    if not torch.isfinite(sums).all():
        all_finite("x", x)
    n = int(mask.sum())
    return (sums[1] / n - sums[0] / (len(x) - n)).to(wide(x[:0]).dtype)
