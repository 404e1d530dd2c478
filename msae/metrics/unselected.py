"""The hole test over all latents of a reference SAE: nobody chooses the concepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array, issparse
from torch import Tensor

from msae.firings.reading import check_level, is_tensor, story_numbers
from msae.metrics.given import Numbers
from msae.metrics.joint import LATENTS, N_REPLICATES, draws
from msae.metrics.matches import Side, best_matches
from msae.metrics.pairs import Pair, Stories
from msae.metrics.ranked import N_THRESHOLDS
from msae.support.arguments import array, number, shown, tensor, whole
from msae.support.sums import wide

LEVELS = (0.0, 0.125, 0.25, 0.5)
"""Shares of a latent's maximum from which it counts as firing."""

PRECISE = 0.9
"""The precision at which recall is read."""

BLOCK = 2**24
"""Activations of matched latents that are looked at together: 64 MB."""

COUNTS = 2**25 // N_THRESHOLDS
"""Latents times stories whose firings are counted together, at each threshold: 256 MB."""

OF_A_LEVEL = ("holes", "precision", "recall", "average precision")
OF_A_PAIR = ("correlation", "correlation, split-half")


class Unselected(NamedTuple):
    """What a large SAE makes of each latent of a reference; NaN for one that never fires.

    Example:
        >>> from msae.metrics import unselected_holes
        >>> found = unselected_holes([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [0.0, 4.0], [0.0, 0.0]])
        >>> found.latents.tolist(), found.holes[0].tolist(), found.precision[0].tolist()
        ([0, 1], [0.5, 0.0], [1.0, 0.5])
    """

    levels: tuple[float, ...]
    """Shares of each latent's own maximum: above it, a reference latent's concept is there, and its match fires."""

    latents: np.ndarray
    """(n_ref,) int64: the match, the latent of the large SAE that correlates with it most; -1 where there is none."""

    n_concept: np.ndarray
    """(n_levels, n_ref) int64: tokens of each concept."""

    correlation: np.ndarray
    """(n_ref,) of each latent with its match."""

    split_half: np.ndarray
    """(n_ref,) the same, the match chosen on half of the stories and the correlation read on the other; the mean of both ways."""

    holes: np.ndarray
    """(n_levels, n_ref) share of the concept's tokens on which the match is silent."""

    precision: np.ndarray
    """(n_levels, n_ref) share of the match's tokens that are the concept's. A match that fires everywhere has no holes and no precision."""

    recall: np.ndarray
    """(n_levels, n_ref) share of the concept that the match finds at the lowest of its thresholds with the precision asked for."""

    average_precision: np.ndarray
    """(n_levels, n_ref) area under precision over recall, all thresholds of the match."""

    replicates: dict[str, np.ndarray]
    """(1 + n_replicates,) float64 by name, "holes 0.25" or "correlation, split-half": the mean over the reference latents, then that of
    each replicate, with stories and reference latents drawn anew."""


def unselected_holes(
    reference: Side | Numbers,
    large: Side | Numbers,
    story: Numbers | None = None,
    *,
    levels: Sequence[float] = LEVELS,
    precision: float = PRECISE,
    n_replicates: int = N_REPLICATES,
) -> Unselected:
    """Holes, precision and correlation of all latents of a reference SAE in a large one.

    The concept of a reference latent is where it fires, its match the latent of the large SAE that correlates with it most. A pair of 100
    and 8,192 latents takes about a second on 50,000 tokens with one CPU core, and much less on a GPU, where dense activations are best.

    Args:
        reference: (n_tokens, n_ref) activations, dense or sparse.
        large: (n_tokens, n_large) likewise, on the same tokens; dense tensors stay on their device.
        story: (n_tokens,) the story of each token; each token is its own if left out.
        levels: shares of a latent's maximum on these tokens, for the reference latent and its match alike.
        precision: what the match's recall asks for.
        n_replicates: how often stories and reference latents are drawn anew. Replicate r has the same stories whenever there are as
            many, and the same latents whenever a reference has as many, so that numbers of several pairs can be averaged and compared.

    Returns:
        the numbers of each reference latent, and the replicates of their means.

    Raises:
        ValueError: activations of unequal length, of no latents, or with NaN or infinity; a level outside [0, 1), or twice.

    Example:
        >>> from msae.metrics import unselected_holes
        >>> concept, everywhere, half = [[1.0], [2.0], [0.0], [0.0]], [[4.0], [5.0], [1.0], [1.0]], [[0.0], [5.0], [0.0], [0.0]]
        >>> both = [unselected_holes(concept, large) for large in (everywhere, half)]
        >>> [(found.holes[0].tolist(), found.precision[0].tolist()) for found in both]
        [([0.0], [0.5]), ([0.5], [1.0])]
    """
    shares = tuple(float(level) for level in check_level(array("levels", levels, ("n_levels",)), "levels"))
    if not shares or len(set(shares)) < len(shares):
        raise ValueError(f"levels must be one or more, each once, got {shown(levels)}")
    number("precision", precision, above=0, most=1)
    whole("n_replicates", n_replicates, 1)
    a, b = _sides(reference, large)
    of = torch.as_tensor(story_numbers(story, (len(a),)), device=a.device)
    n_stories = int(of.max()) + 1
    half = torch.as_tensor(np.random.default_rng(0).permutation(n_stories) % 2 == 1, device=a.device)
    stories = Stories(of, half, torch.tensor(draws(n_stories, n_replicates), device=a.device))
    matches = best_matches(a, b, half[of])
    parts = []
    for some in torch.arange(a.shape[1], device=a.device).split(max(1, min(BLOCK // len(a), COUNTS // n_stories))):
        pair = Pair(a[:, some], [_columns(b, latents) for latents in matches[:, some]], stories)
        parts.append(pair.correlations() | pair.at_levels(shares, precision))
    by_name = {name: torch.cat([part[name] for part in parts], dim=-1).cpu().numpy() for name in parts[0]}
    return _result(shares, matches[0].cpu().numpy(), by_name)


def _sides(reference: Side | Numbers, large: Side | Numbers) -> tuple[Tensor, Side]:
    """Both, judged: the reference dense where the large SAE's activations are, those sparse rows or dense."""
    sides: list[Side] = []
    for name, value in (("reference", reference), ("large", large)):
        if issparse(value):
            side: Side = csr_array(value)
            numbers = np.asarray(side.data)
            if numbers.dtype.kind not in "biuf" or not np.isfinite(numbers).all():
                raise ValueError(f"{name} must hold finite numbers, got sparse {numbers.dtype}, some of them not finite or no numbers")
        else:
            side = value if is_tensor(value) else torch.as_tensor(array(name, value, ("n_tokens", "n_latents")))
            side = wide(tensor(name, side, ("n_tokens", "n_latents"), finite=True).detach())
        sides.append(side)
    a, b = sides
    if a.shape[0] != b.shape[0] or a.shape[0] < 2 or 0 in (a.shape[1], b.shape[1]):
        raise ValueError(
            "reference and large must hold activations on the same tokens, two or more, of one latent or more, "
            f"got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    device = b.device if isinstance(b, Tensor) else a.device if isinstance(a, Tensor) else torch.device("cpu")
    dense = a if isinstance(a, Tensor) else torch.as_tensor(a.toarray())
    return dense.to(device), b


def _columns(large: Side, latents: Tensor) -> Tensor:
    """(n_tokens, n) activations of some latents; zero for -1."""
    if isinstance(large, Tensor):
        return torch.where(latents >= 0, large[:, latents.clamp_min(0)], 0)
    found = large[:, latents.clamp_min(0).cpu().numpy()].toarray()
    return torch.where(latents >= 0, torch.as_tensor(found, device=latents.device), 0)


def _result(levels: tuple[float, ...], latents: np.ndarray, by_name: dict[str, np.ndarray]) -> Unselected:
    """Of (…, 1 + n_replicates, n_ref) numbers by name, those of all stories, and the means over the latents."""
    n_replicates = next(iter(by_name.values())).shape[-2] - 1
    drawn = draws(len(latents), n_replicates, LATENTS)
    means = {}
    for name, values in by_name.items():
        weights = np.where(np.isnan(values), 0, drawn)
        with np.errstate(invalid="ignore"):
            means[name] = (np.nan_to_num(values) * weights).sum(-1) / weights.sum(-1)
    joint = {name: means[name] for name in OF_A_PAIR}
    joint |= {f"{name} {level:g}": means[name][i] for name in OF_A_LEVEL for i, level in enumerate(levels)}
    now = {name: values[..., 0, :] for name, values in by_name.items()}
    return Unselected(
        levels,
        latents,
        n_concept=now["n_concept"].astype(np.int64),
        correlation=now["correlation"],
        split_half=now["correlation, split-half"],
        holes=now["holes"],
        precision=now["precision"],
        recall=now["recall"],
        average_precision=now["average precision"],
        replicates=joint,
    )
