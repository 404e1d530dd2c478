"""Absorption as SAEBench measures it: the concept's direction, its latents and its tokens all come from probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.firings.firings import as_firings
from msae.firings.reading import checked_sae, checked_vectors, story_numbers, truth
from msae.firings.sources import encode
from msae.metrics.absorbed import Absorption, absorption
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval
from msae.metrics.probing import Probe, SparseProbe, check_halves, f1_of, linear_probe, sparse_probe
from msae.sae.sae import SAE
from msae.support.arguments import shown
from msae.support.renamed import by_name

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class AbsorptionByProbe(NamedTuple):
    """A concept in an SAE, by probes alone; everything is measured on the inputs that did not train them.

    Example:
        >>> import torch
        >>> from msae import SAE, metrics
        >>> sae = SAE(2, 2)
        >>> weights = {"W_enc": torch.eye(2), "b_enc": torch.zeros(2), "W_dec": torch.eye(2), "b_dec": torch.zeros(2)}
        >>> sae.load_state_dict(weights)
        <All keys matched successfully>
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 8)
        >>> found = metrics.absorption_by_probe(sae, x, [True, False] * 8, train=[True] * 8 + [False] * 8)
        >>> found.sparse.split, found.absorption.fraction.value, found.f1.value
        ([0], 0.0, 1.0)
    """

    probe: Probe
    """On the vectors themselves; its weight is the concept's direction."""

    f1: Interval
    """Of that probe: whether the concept is there to be found at all. SAEBench asks for more than 0.6."""

    sparse: SparseProbe
    """Probes on few latents; `sparse.split` are the concept's own."""

    absorption: Absorption
    """Along the probe's direction, on the concept's tokens that the probe finds."""


@by_name()
def absorption_by_probe(
    sae: SAE,
    x: Tensor,
    concept: Numbers,
    *,
    train: Numbers,
    story: Numbers | None = None,
    probe: Probe | None = None,
    acts: Acts | None = None,
    n_most: int = 10,
    min_gain: float = 0.03,
    l1: float = 0.01,
    chunk: int | None = None,
) -> AbsorptionByProbe:
    """SAEBench's measure of absorption, for any concept instead of first letters.

    A logistic probe on x gives the direction. k-sparse probes on the SAE's activations give the concept's own latents, as many as each
    raise F1 by more than `min_gain`. Of the concept's tokens that the probe finds, `absorption` then takes the mean absorption fraction and
    the share of full absorption along that direction.

    Args:
        sae: the SAE.
        x: (n, d_model) raw activations.
        concept: (n,) truth values.
        train: (n,) the rows that train the probes; the others measure.
        story: (n,) the story of each row, for the intervals; each row is its own if left out.
        probe: on x, where it is trained already, as for another SAE on the same activations.
        acts: what the SAE makes of x, where that is known already: `encode(sae, x)`, or its `Firings`.
        n_most: latents at most, as for `sparse_probe`.
        min_gain: likewise.
        l1: likewise.
        chunk: rows at a time; as many as take 128 MB if left out.

    Returns:
        the probe, the sparse probes and the absorption.

    Raises:
        ValueError: shapes that do not fit; a concept that is nowhere or everywhere among the rows that train, or nowhere among the others,
            or that the probe finds nowhere.

    Source: Karvonen et al. 2025, SAEBench (arXiv:2503.09532), after Chanin et al. 2024 (arXiv:2409.14507), with their thresholds. They
    project x where `absorption` projects x - b_dec, and give each word once, in a prompt; here each token of running text counts.

    Example:
        see `AbsorptionByProbe`.
    """
    sae = checked_sae(sae)
    x = checked_vectors("x", x, sae.d_model)
    present = truth("concept", concept, [(len(x),)], "row of x")
    teach = truth("train", train, [(len(x),)], "row of x")
    stories = story_numbers(story, (len(x),), "one story per row of x")
    check_halves(present, teach)
    if probe is not None and not isinstance(probe, Probe):
        raise ValueError(f"probe must be a Probe, as of linear_probe, got {shown(probe)}")
    sparse = sparse_probe(_rows_of(acts, sae, x, chunk), present, train=teach, story=stories, n_most=n_most, min_gain=min_gain, l1=l1)
    rows = torch.from_numpy(np.flatnonzero(teach)).to(x.device)
    probe = linear_probe(x[rows], present[teach]) if probe is None else probe
    found = probe.scores(x) > 0
    measured = present & found & ~teach
    if not measured.any():
        raise ValueError("concept: the probe finds it on none of the rows that do not train; the vectors do not tell it from the rest")
    f1 = f1_of(found[~teach], present[~teach], stories[~teach])
    along = torch.from_numpy(probe.weight)
    return AbsorptionByProbe(
        probe, f1, sparse, absorption(sae, x, measured, latents=sparse.split, direction=along, story=stories, chunk=chunk)
    )


def _rows_of(acts: Acts | None, sae: SAE, x: Tensor, chunk: int | None) -> csr_array:
    """(n, n_latents), as `encode`; of what is given, the rows that count."""
    if acts is None:
        return encode(sae, x, chunk)
    firings = as_firings(acts)
    rows = firings.matrix.tocsr()[np.flatnonzero(firings.present)]
    if rows.shape != (len(x), sae.n_latents) or not np.array_equal(firings.latents, np.arange(sae.n_latents)):
        raise ValueError(f"acts must be of the SAE's {sae.n_latents:,} latents on the {len(x):,} rows of x, got {rows.shape}")
    return rows
