"""One interval for SAEs of a kind: seeds of the large SAE, seeds of the reference, its latents and the stories, all drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from msae.metrics.given import Numbers
from msae.metrics.intervals import CONFIDENCE, Interval, quantiles
from msae.support.arguments import array, number, one_of, shown, whole, yes_or_no

DRAWS_OF_SEEDS = 20
"""How often seeds are drawn for each replicate of stories and latents."""


class Hierarchical(NamedTuple):
    """A number of SAEs of a kind, where it would lie with other seeds and stories, and how many of each it rests on.

    Example:
        >>> from msae.metrics import Hierarchical, Interval
        >>> print(Hierarchical(Interval(0.32, 0.28, 0.36), {"seeds": 5, "reference seeds": 8, "stories": 957}))
        0.32 [0.28, 0.36] (5 seeds, 8 reference seeds, 957 stories)
    """

    interval: Interval
    """Low and high hold the middle 95 % (or `confidence`); NaN where nothing was drawn anew."""

    units: dict[str, int | tuple[int, int]]
    """How many of each kind of unit it rests on; of two kinds of SAE with seeds of their own, both numbers."""

    def __str__(self) -> str:
        return format(self, "")

    def __format__(self, spec: str) -> str:
        units = [f"{n if isinstance(n, int) else ' and '.join(map(str, n))} {_name(name, n)}" for name, n in self.units.items()]
        return f"{self.interval:{spec}} ({', '.join(units)})"


def _name(name: str, n: int | tuple[int, int]) -> str:
    """In the singular where there is one: stories, seeds."""
    return name if n != 1 else f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")


def hierarchical(
    values: Numbers,
    other: Numbers | None = None,
    *,
    compare: str = "difference",
    paired: bool = False,
    also: Mapping[str, int] | None = None,
    confidence: float = CONFIDENCE,
) -> Hierarchical:
    """The mean over seeds with an interval that holds what seeds, reference latents and stories do; or a comparison of two kinds.

    Tokens of a story are alike, and so are numbers of one SAE: five seeds on a thousand stories are five seeds. In each resample the
    seeds of the large SAEs are drawn anew, those of the references too, and their pairs are averaged in one replicate, in which the
    stories and the reference latents are drawn anew. The interval is the basic one: it lies to the other side of the number than the
    resamples do, so that their bias is taken off and not added. It is widened for few seeds, whose spread a resample understates, by
    Student's t with the degrees of freedom of Satterthwaite. It is rather too wide than too narrow: what a reference's latents do is in the
    spread over references as well.

    Args:
        values: (n_seeds, n_reference_seeds, 1 + n_replicates) for the pairs: the number, then that of each replicate, as in
            `Unselected.replicates`; or (n_seeds, 1 + n_replicates), as of `replicates`, where nothing is compared with references.
        other: the same of a second kind of SAE, with the same references and stories: what `values` are compared with.
        compare: the "difference" from other, or the "ratio" to it.
        paired: whether values and other have their seeds in common, as where both start from the same rows or read the same batches. Then
            they are drawn together.
        also: units that lie in the replicates, by name, for the record: {"latents": 100, "stories": 957}.
        confidence: share of the resamples that the interval holds.

    Returns:
        the interval with the number of units. Of one seed the spread over seeds is not known, and not in it.

    Raises:
        ValueError: numbers of another shape, or some that are NaN or infinite; two kinds that do not fit.

    Source: Efron 1979 (bootstrap); Davison and Hinkley 1997, section 5.2 (basic interval) and 3.8 (hierarchical data); Satterthwaite 1946.

    Example:
        >>> import numpy as np
        >>> from msae.metrics import hierarchical
        >>> rng = np.random.default_rng(0)
        >>> plain, matryoshka = (mean + 0.02 * rng.standard_normal((5, 8, 201)) for mean in (0.5, 0.3))
        >>> print(f"{hierarchical(matryoshka, plain, also={'stories': 957}):.2f}")
        -0.21 [-0.23, -0.20] (5 and 5 seeds, 8 reference seeds, 957 stories)
    """
    kinds = [_checked("values", values)] + ([] if other is None else [_checked("other", other)])
    one_of("compare", compare, ("difference", "ratio"))
    yes_or_no("paired", paired)
    number("confidence", confidence, above=0, below=1)
    if also is not None and not isinstance(also, Mapping):
        raise ValueError(f"also must be a dict of units and how many there are, got {shown(also)}")
    record = {str(name): whole(f"also[{name!r}]", n, 1) for name, n in (also or {}).items()}
    if other is not None:
        _check_two(kinds, paired, compare)
    units = _units(kinds, paired, np.ndim(values) == 3) | record
    return Hierarchical(_interval(kinds, compare, paired, confidence), units)


def _interval(kinds: list[np.ndarray], compare: str, paired: bool, confidence: float) -> Interval:
    """The basic interval of the mean of one kind, or of what two are compared by, widened for few seeds."""
    means = [float(kind[..., 0].mean()) for kind in kinds]
    drawn = _resampled(kinds, paired)
    if len(kinds) == 1:
        point, moved, slopes = means[0], drawn[0], [1.0]
    elif compare == "difference":
        point, moved, slopes = means[0] - means[1], drawn[0] - drawn[1], [1.0, -1.0]
    else:
        point, moved, slopes = means[0] / means[1], drawn[0] / drawn[1], [1 / means[1], -means[0] / means[1] ** 2]
    if not np.ptp(moved):
        return Interval(point, np.nan, np.nan)
    wide = _widening([slope * kind for slope, kind in zip(slopes, kinds)], paired, float(moved.var()), confidence)
    middle, ends = moved.mean(), quantiles(moved, confidence)
    low, high = (float(2 * point - middle - wide * (end - middle)) for end in reversed(ends))
    return Interval(point, low, high)


def _checked(name: str, values: Numbers) -> np.ndarray:
    """(n_seeds, n_reference_seeds, 1 + n_replicates) float64."""
    found = array(name, values, finite=True).astype(np.float64)
    if found.ndim not in (2, 3) or 0 in found.shape or found.shape[-1] < 2:
        raise ValueError(
            f"{name} must have the shape (n_seeds, n_reference_seeds, 1 + n_replicates), or (n_seeds, 1 + n_replicates), got {found.shape}"
        )
    return found[:, None] if found.ndim == 2 else found


def _check_two(kinds: list[np.ndarray], paired: bool, compare: str) -> None:
    one, two = (kind.shape for kind in kinds)
    if one[1:] != two[1:] or (paired and one != two):
        wanted = "seeds, references and replicates" if paired else "references and replicates"
        raise ValueError(f"values and other must have the same {wanted}, got the shapes {one} and {two}")
    if compare == "ratio" and not (kinds[1].mean((0, 1)) > 0).all():
        raise ValueError(f"a ratio needs an other of positive mean, got {shown(float(kinds[1].mean((0, 1)).min()))}")


def _units(kinds: list[np.ndarray], paired: bool, has_references: bool) -> dict[str, int | tuple[int, int]]:
    n = tuple(len(kind) for kind in kinds)
    seeds: int | tuple[int, int] = n[0] if len(n) == 1 or paired else (n[0], n[1])
    return {"seeds": seeds} | ({"reference seeds": kinds[0].shape[1]} if has_references else {})


def _resampled(kinds: list[np.ndarray], paired: bool) -> list[np.ndarray]:
    """(n_resamples,) means of each kind, seeds and references drawn anew; references, stories and latents the same for both."""
    rng = np.random.default_rng(0)
    replicate = np.tile(np.arange(1, kinds[0].shape[2]), DRAWS_OF_SEEDS)
    n_references = kinds[0].shape[1]
    references = _weights(rng, len(replicate), n_references)
    seeds = [_weights(rng, len(replicate), len(kind)) for kind in kinds[: 1 if paired else 2]]
    return [np.einsum("il,ir,lri->i", seeds[0 if paired else i], references, kind[:, :, replicate]) for i, kind in enumerate(kinds)]


def _weights(rng: np.random.Generator, n_resamples: int, n: int) -> np.ndarray:
    """(n_resamples, n): shares of each of n units in a resample of as many."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) / n


def _widening(kinds: list[np.ndarray], paired: bool, resampled: float, confidence: float) -> float:
    """What the ends are moved outwards by: the spread over few seeds without bias, and Student's t, against the resamples' own.

    Args:
        kinds: the pairs' numbers, times how the result moves with their mean.
        resampled: variance of the resamples.
    """
    from scipy import stats

    total = np.sum([kind.mean(0) for kind in kinds], axis=0)  # (n_references, 1 + n_replicates)
    by_seed = [np.sum([kind[..., 0] for kind in kinds], axis=0)] if paired else [kind[..., 0] for kind in kinds]
    parts = [(_variance_of_mean(table.mean(1)), len(table) - 1) for table in by_seed]
    parts.append((_variance_of_mean(total[:, 0]), total.shape[0] - 1))
    drawn = total.mean(0)[1:]
    parts.append((float(drawn.var(ddof=1)) if len(drawn) > 1 else 0.0, len(drawn) - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / max(1e-300, sum(part**2 / df for part, df in parts if df))
    tail = (1 + confidence) / 2
    return float((variance / resampled) ** 0.5 * stats.t.ppf(tail, freedom) / stats.norm.ppf(tail))


def _variance_of_mean(values: np.ndarray) -> float:
    """Of the mean of as many; 0 where there is one, whose spread nobody knows."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
