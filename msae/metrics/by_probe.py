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
        >>> import numpy as np
        >>> from msae.metrics import Absorption, AbsorptionByProbe, Interval, Probe, SparseProbe
        >>> one, none = Interval(1, 1, 1), Interval(0, 0, 0)
        >>> probe, sparse = Probe(np.ones(4), -1.0), SparseProbe([7], [one], 1)
        >>> print(AbsorptionByProbe(probe, one, sparse, Absorption(none, none, none, {}, 50)).absorption.fraction)
        0
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
) -> AbsorptionByProbe:
    """SAEBench's measure of absorption, for any concept instead of first letters.

    A logistic probe on x gives the direction, k-sparse probes on the SAE's activations the concept's own latents. On the concept's tokens
    that the first probe finds, `absorption` then takes the mean absorption fraction and the share of full absorption.

    Args:
        sae: the SAE.
        x: (n, d_model) raw activations.
        concept: (n,) truth values.
        train: (n,) the rows that train the probes; the others measure.
        story: (n,) the story of each row, for the intervals; each row is its own if left out.
        probe: on x, where it is trained already, as for another SAE on the same activations.
        acts: what the SAE makes of x, where that is known already: `encode(sae, x)`, or its `Firings`.
        n_most: as for `sparse_probe`.
        min_gain: likewise.
        l1: likewise.

    Returns:
        the probe, the sparse probes and the absorption.

    Raises:
        ValueError: shapes that do not fit; a concept that the rows which train cannot teach, or that is found on none of the others.

    Source: Karvonen et al. 2025, SAEBench (arXiv:2503.09532), after Chanin et al. 2024 (arXiv:2409.14507), with their thresholds. They
    project x where `absorption` projects x - b_dec, and give each word once, in a prompt; here each token of running text counts.

    Example:
        >>> import torch
        >>> from msae import SAE, metrics
        >>> sae, x = SAE(2, 8, generator=torch.Generator().manual_seed(0)), torch.eye(2).repeat(8, 1)
        >>> metrics.absorption_by_probe(sae, x, [True, False] * 8, train=[True] * 8 + [False] * 8).absorption.n_concept
        4
    """
    sae = checked_sae(sae)
    x = checked_vectors("x", x, sae.d_model)
    present, teach = (truth(name, mask, [(len(x),)], "row of x") for name, mask in (("concept", concept), ("train", train)))
    stories = story_numbers(story, (len(x),), "one story per row of x")
    check_halves(present, teach)
    _check_probe(probe)
    sparse = sparse_probe(_rows_of(acts, sae, x), present, train=teach, story=stories, n_most=n_most, min_gain=min_gain, l1=l1)
    if probe is None:
        probe = linear_probe(x[torch.from_numpy(np.flatnonzero(teach)).to(x.device)], present[teach])
    return _measured(sae, x, probe, sparse, _Rows(present, teach, stories))


class _Rows(NamedTuple):
    """Of each row: whether the concept is there, whether it trains, and its story."""

    present: np.ndarray
    train: np.ndarray
    story: np.ndarray


def _measured(sae: SAE, x: Tensor, probe: Probe, sparse: SparseProbe, rows: _Rows) -> AbsorptionByProbe:
    """On the rows that do not train."""
    present, train, story = rows
    found = probe.scores(x) > 0
    seen = present & found & ~train
    if not seen.any():
        raise ValueError("concept: the probe finds it on none of the rows that do not train; the vectors do not tell it from the rest")
    carried = absorption(sae, x, seen, latents=sparse.split, direction=torch.from_numpy(probe.weight), story=story)
    return AbsorptionByProbe(probe, f1_of(found[~train], present[~train], story[~train]), sparse, carried)


def _check_probe(probe: object) -> None:
    if probe is not None and not isinstance(probe, Probe):
        raise ValueError(f"probe must be a Probe, as of linear_probe, got {shown(probe)}")


def _rows_of(acts: Acts | None, sae: SAE, x: Tensor) -> csr_array:
    """(n, n_latents), as `encode`; of what is given, the rows that count."""
    if acts is None:
        return encode(sae, x)
    firings = as_firings(acts)
    rows = firings.matrix.tocsr()[np.flatnonzero(firings.present)]
    if rows.shape != (len(x), sae.n_latents) or not np.array_equal(firings.latents, np.arange(sae.n_latents)):
        raise ValueError(f"acts must be of the SAE's {sae.n_latents:,} latents on the {len(x):,} rows of x, got {rows.shape}")
    return rows
