"""The numbers of a row: how faithful an SAE is, what it keeps of the references, and what has become of the concepts.

Numbers that have an interval are [value, low, high] (95 %, stories drawn anew).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.family.reading import ReadStories
from msae.family.replicated import of_one
from msae.firings.reading import CLEARLY
from msae.firings.sources import check_model_of, encode
from msae.metrics.concepts import concept_score, concept_scores
from msae.metrics.correlation import MaxCorrelation, mean_max_correlation
from msae.metrics.costs import Splice
from msae.metrics.fidelity import Reconstruction, reconstruction
from msae.metrics.fragments import fragmentation
from msae.metrics.hole_rates import hole_rate
from msae.metrics.intervals import Interval
from msae.metrics.spliced import splice
from msae.sae.sae import SAE

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import Tensor

    from msae.activations.kept import Activations

FOLLOWED = ("S2", "S3")
"""The references whose latents for the concepts are looked for in the large SAEs."""

REPLICATED = ("l0", "fvu", "kl", "extra loss")
"""Numbers of which a row also holds what they are in each replicate, so that SAEs of a kind can have one interval."""


@dataclass
class SAEsOnStories:
    """SAEs of one hook and one seed on one set of stories, and what their measures share; each part is made when it is asked for."""

    folders: Mapping[str, Path]
    """By the SAE's name."""

    device: str
    names: Sequence[str]
    """Those that are to be measured; the others are looked at by these."""

    stories: ReadStories
    n_spliced: int
    """Texts that the language model reads with each SAE in its stream, drawn at random."""

    _found: dict[str, Reconstruction] = field(default_factory=dict)

    @cached_property
    def saes(self) -> dict[str, SAE]:
        return {name: SAE.load(folder, self.device) for name, folder in self.folders.items()}

    @cached_property
    def activations(self) -> Activations:
        """
        Raises:
            ValueError: one of the SAEs was made from another language model than the one that is here under its name.
        """
        activations = self.stories.activations[str(next(iter(self.saes.values())).hook_name)]
        check_model_of(self.saes, activations, "measure it with the language model that it was made from")
        return activations

    @cached_property
    def acts(self) -> dict[str, csr_array]:
        """(n_tokens, n_latents) of each SAE."""
        return {name: encode(sae, self.activations.x) for name, sae in self.saes.items()}

    def reconstructed(self, name: str) -> Reconstruction:
        """How faithful one SAE is; measured once."""
        if name not in self._found:
            self._found[name] = reconstruction(self.saes[name], self.activations.x, story=self.activations.x_story)
        return self._found[name]

    @cached_property
    def spliced(self) -> dict[str, Splice]:
        """What each SAE to be measured costs the language model in whose stream it stands, and each plain one that it is compared with."""
        names = dict.fromkeys([*self.names, *(plain for name in self.names if (plain := plain_beside(name, self.saes)))])
        found: dict[str, Splice] = splice(
            self.stories.lm, {name: self.saes[name] for name in names}, self.activations, n_texts=self.n_spliced
        )
        return found


def plain_beside(name: str, names: Iterable[str]) -> str | None:
    """The plain SAE of the same size and L0 as a Matryoshka one, where there is one: what its cost is compared with."""
    plain = name.replace("matryoshka", "plain")
    return plain if plain != name and plain in names else None


class _Concept(NamedTuple):
    """A concept on some stories."""

    mask: np.ndarray
    """(n_tokens,) bool."""

    story: Tensor
    """(n_tokens,) the story of each token."""


def measured(name: str, on: SAEsOnStories) -> dict[str, Any]:
    """All numbers of one SAE on one set of stories."""
    x, story = on.activations.x, on.activations.x_story
    found, loss = on.reconstructed(name), on.spliced[name]
    references = [other for other in on.saes if other.startswith("S") and not name.startswith("S")]
    plain = plain_beside(name, on.saes)
    kept = {other: mean_max_correlation(on.acts[other], on.acts[name], story=story, n_resamples=200) for other in references}
    return {
        "n_tokens": len(x),
        "l0": _numbers(found.l0),
        "fvu": _numbers(found.fvu),
        "dead": found.dead,
        "loss_recovered": _numbers(loss.loss_recovered),
        "recovered_from_mean": _numbers(loss.recovered_from_mean),
        "kl": _numbers(loss.kl),
        "n_spliced": loss.n_tokens,
        "n_spliced_stories": len(loss.sums),
        "against": {} if plain is None else {plain: _against(loss, on.spliced[plain])},
        "replicates": {number.replace(" ", "_"): _numbers(each) for number, each in of_one(found, loss).items() if number in REPLICATED},
        "mean_max_correlation": {other: _numbers(each.mean) for other, each in kept.items()},
        "concepts": {concept: _fate(on.acts, name, _Concept(mask, story), kept) for concept, mask in on.stories.concepts.items()},
    }


def _against(loss: Splice, other: Splice) -> dict[str, list[float | None]]:
    """What one SAE costs the language model, as a multiple of what another does, story by story."""
    ratio = loss.against(other)
    return {"kl": _numbers(ratio.kl), "extra_loss": _numbers(ratio.extra_loss)}


def _fate(acts: Mapping[str, csr_array], name: str, concept: _Concept, kept: Mapping[str, MaxCorrelation]) -> dict[str, Any]:
    """What has become of one concept: its best latent here, and the fate of each reference's best latent."""
    best = concept_scores(acts[name], concept.mask, level=CLEARLY).best
    about: dict[str, Any] = {"n_tokens": int(concept.mask.sum()), "best": _latent(acts[name], best, concept)}
    fragments = fragmentation(acts[name], concept.mask, story=concept.story, levels=(CLEARLY,))
    about["fragmentation"] = _numbers(fragments.n_latents)
    for other, found in kept.items():
        if other not in FOLLOWED:
            continue
        latent = concept_scores(acts[other], concept.mask, level=CLEARLY).best
        match = int(found.latents[latent])
        if match >= 0:
            fate = {"reference": latent, "correlation": _numbers(found.interval(latent))}
            about[f"match of {other}"] = fate | _latent(acts[name], match, concept)
    return about


def _latent(acts: csr_array, latent: int, concept: _Concept) -> dict[str, Any]:
    """How good a latent is for a concept."""
    score = concept_score(acts, latent, concept.mask, story=concept.story, level=CLEARLY)
    holes = hole_rate(acts, latent, concept.mask, story=concept.story, level=CLEARLY)
    numbers = {"f1": score.f1, "precision": score.precision, "recall": score.recall, "holes": holes.rate}
    return {"latent": latent} | {name: _numbers(each) for name, each in numbers.items()}


def _numbers(interval: Interval | np.ndarray) -> list[float | None]:
    """[value, low, high] or any others, four digits; null for what is infinite or not known, which JSON has no number for."""
    return [float(f"{number:.4g}") if np.isfinite(number) else None for number in interval]
