"""Every large SAE held against every reference at its place, whatever its seed: the numbers of each pair, and their replicates.

They lie beside the large SAE, in `pairs.npz`: an array (numbers, 1 + replicates) for each set of stories and reference, the first column
the number itself. Replicate r is of the same stories and latents in all pairs, so that pairs can be averaged over seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.family.reading import ReadStories
from msae.firings.sources import check_model_of, encode
from msae.lm.sources import sha256_of_file
from msae.sae.sae import SAE
from msae.support.files import write_file

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import Tensor

    from msae.activations.kept import Activations
    from msae.family.members import Member

FILE = "pairs.npz"
SHOWN = ("correlation", "correlation, split-half", "holes 0.25", "precision 0.25", "average precision 0.25", "recall 0.25")
"""The numbers of single pairs that a row tells; all of them are in the file."""

Acts = "csr_array | Tensor"
Measure = Callable[[Any, Any, "Tensor"], Mapping[str, np.ndarray]]
"""From (n_tokens, n_latents) activations of a reference and a large SAE and the story of each token: (1 + replicates,) numbers by name."""


class Pairs(NamedTuple):
    """What one large SAE has been held against."""

    asked: dict[str, Any]
    """What the numbers depend on beside the weights."""

    sha256: str
    """Of its weights."""

    references: dict[str, str]
    """The hash of the weights of each reference, by id."""

    names: list[str]
    """Of the numbers."""

    numbers: dict[tuple[str, str], np.ndarray]
    """(n_names, 1 + replicates) by set of stories and reference."""


class Pairing:
    """Measures pairs; what the references do on each set of stories is kept."""

    def __init__(self, out: Path, device: str, measure: Measure | None = None):
        """
        Args:
            out: the folder of the SAEs.
            device: where the SAEs compute.
            measure: makes the numbers of one pair; those of `msae.metrics.unselected_holes` if left out.
        """
        self.out, self.device, self.measure_pair = out, device, measure or unselected
        self._acts: dict[tuple[str, str], csr_array] = {}

    def missing(self, large: Member, references: Sequence[Member], asked: Mapping[str, Any]) -> list[Member]:
        """The references that the SAE has not been held against, as both are now."""
        found = read_pairs(self.out / large.id)
        if found is None or found.asked != asked or found.sha256 != self._sha256(large):
            return list(references)
        return [reference for reference in references if found.references.get(reference.id) != self._sha256(reference)]

    def measure(self, large: Member, references: Sequence[Member], sets: Mapping[str, ReadStories], asked: Mapping[str, Any]) -> None:
        """Measure these pairs, and write them beside those that are known already."""
        known = read_pairs(self.out / large.id)
        if known is None or known.asked != asked or known.sha256 != self._sha256(large):
            known = Pairs(dict(asked), self._sha256(large), {}, [], {})
        for name, stories in sets.items():
            activations = stories.activations[large.hook_name]
            acts = self._encoded(large, activations)
            for reference in references:
                found = self.measure_pair(self._reference(name, reference, activations), acts, activations.x_story)
                known.names[:] = list(found)
                known.numbers[name, reference.id] = np.stack([np.asarray(found[each], dtype=np.float32) for each in known.names])
        known.references.update({reference.id: self._sha256(reference) for reference in references})
        _write(self.out / large.id, known)

    def _reference(self, name: str, member: Member, activations: Activations) -> csr_array | Tensor:
        """What a reference does on one set of stories; kept where it is sparse, for the next large SAE."""
        key = (name, self._sha256(member))
        if key in self._acts:
            return self._acts[key]
        acts = self._encoded(member, activations)
        if not hasattr(acts, "device"):
            self._acts[key] = acts
        return acts

    def _sha256(self, member: Member) -> str:
        return sha256_of_file(self.out / member.id / "sae.safetensors")

    def _encoded(self, member: Member, activations: Activations) -> csr_array | Tensor:
        """(n_tokens, n_latents): dense where a GPU computes, which is quickest there."""
        sae = SAE.load(self.out / member.id, self.device)
        check_model_of({member.name: sae}, activations, "measure it with the language model that it was made from")
        if sae.W_dec.device.type == "cpu":
            return encode(sae, activations.x)
        import torch

        with torch.no_grad():
            x = activations.x.to(sae.W_dec.device)
            return torch.cat([sae.encode(part.float()) for part in x.split(8192)])


def unselected(reference: csr_array | Tensor, large: csr_array | Tensor, story: Tensor) -> Mapping[str, np.ndarray]:
    """Holes, precision and correlation of all latents of a reference in a large SAE (`msae.metrics.unselected_holes`)."""
    found: Mapping[str, np.ndarray] = import_module("msae.metrics.unselected").unselected_holes(reference, large, story).replicates
    return found


def read_pairs(folder: Path) -> Pairs | None:
    """The pairs beside one large SAE; None where there are none, or the file is damaged.

    Args:
        folder: of the SAE.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            keys = [tuple(key) for key in about.pop("keys")]
            return Pairs(**about, numbers={(key[0], key[1]): file[f"numbers{i}"] for i, key in enumerate(keys)})
    except Exception:  # of NumPy, zip or JSON, each with its own kinds: it is measured again
        return None


def points(folder: Path) -> dict[str, dict[str, list[float | None]]]:
    """What a row tells of its pairs: for each set of stories and reference the numbers of `SHOWN`, in that order."""
    found = read_pairs(folder)
    told: dict[str, dict[str, list[float | None]]] = {}
    for (name, reference), numbers in (found.numbers if found else {}).items():
        by_name = dict(zip(found.names if found else [], numbers[:, 0], strict=True))
        shown = [by_name[each] for each in SHOWN if each in by_name]
        told.setdefault(name, {})[reference.rpartition("/")[2]] = [float(f"{x:.4g}") if np.isfinite(x) else None for x in shown]
    return told


def _write(folder: Path, pairs: Pairs) -> None:
    keys = list(pairs.numbers)
    about = {"asked": pairs.asked, "sha256": pairs.sha256, "references": pairs.references, "names": pairs.names, "keys": keys}
    arrays: dict[str, Any] = {f"numbers{i}": pairs.numbers[key] for i, key in enumerate(keys)}

    def save(path: Path) -> None:
        with path.open("wb") as file:  # by an open file: NumPy would add .npz to the name
            np.savez(file, about=np.array(json.dumps(about)), **arrays)

    write_file(folder / FILE, save)
