"""Every large SAE held against every reference at its place, whatever its seed, and its own numbers, all with their replicates.

They lie beside the SAE, in `pairs.npz`: for each set of stories and reference the numbers, in single precision, and their replicates, in
half. What an SAE has alone lies under the reference "".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from msae.family.replicated import of_one
from msae.family.rows import SAEsOnStories
from msae.firings.sources import encode
from msae.lm.sources import sha256_of_file
from msae.metrics.unselected import unselected_holes
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


class Pairs(NamedTuple):
    """What one large SAE has been held against."""

    asked: dict[str, Any]
    """What the numbers depend on beside the weights."""

    sha256: str
    """Of its weights."""

    references: dict[str, str]
    """The hash of the weights of each reference, by id."""

    numbers: dict[tuple[str, str], dict[str, np.ndarray]]
    """(1 + n_replicates,) by name, for each set of stories and reference; under "" those of the SAE alone."""


class Pairing:
    """Measures SAEs and pairs of them; what the references do on each set of stories is kept."""

    def __init__(self, out: Path, device: str):
        """
        Args:
            out: the folder of the SAEs.
            device: where the SAEs compute.
        """
        self.out, self.device = out, device
        self._acts: dict[tuple[str, str], csr_array] = {}

    def missing(self, member: Member, references: Sequence[Member], asked: Mapping[str, Any]) -> list[Member] | None:
        """The references that the SAE has not been held against, as both are now; None where its own numbers are missing too."""
        found = read_pairs(self.out / member.id)
        if found is None or found.asked != asked or found.sha256 != self._sha256(member):
            return None
        return [reference for reference in references if found.references.get(reference.id) != self._sha256(reference)]

    def measure(self, member: Member, references: Sequence[Member], sets: Mapping[str, SAEsOnStories], asked: Mapping[str, Any]) -> None:
        """Measure what is missing, and write it beside what is known already.

        Args:
            member: a large SAE, or a reference.
            references: those that a large one is to be held against.
            sets: the SAE on each set of stories.
            asked: what the numbers depend on beside the weights.
        """
        todo, known = self.missing(member, references, asked), read_pairs(self.out / member.id)
        if todo is None or known is None:
            todo, known = list(references), Pairs(dict(asked), self._sha256(member), {}, {})
        for name, on in sets.items():
            activations, sae = on.activations, on.saes[member.name]
            if (name, "") not in known.numbers:
                known.numbers[name, ""] = of_one(on.reconstructed(member.name), on.spliced[member.name])
            acts = self._encoded(sae, activations) if todo else None
            for reference in todo:
                of_it = self._reference(name, reference, activations)
                known.numbers[name, reference.id] = unselected_holes(of_it, acts, activations.x_story).replicates
        known.references.update({reference.id: self._sha256(reference) for reference in todo})
        _write(self.out / member.id, known)

    def _reference(self, name: str, member: Member, activations: Activations) -> csr_array | Tensor:
        """What a reference does on one set of stories; kept where it is sparse, for the next large SAE."""
        key = (name, self._sha256(member))
        if key in self._acts:
            return self._acts[key]
        acts = self._encoded(SAE.load(self.out / member.id, self.device), activations)
        if not hasattr(acts, "device"):
            self._acts[key] = acts
        return acts

    def _sha256(self, member: Member) -> str:
        return sha256_of_file(self.out / member.id / "sae.safetensors")

    @torch.no_grad()
    def _encoded(self, sae: SAE, activations: Activations) -> csr_array | Tensor:
        """(n_tokens, n_latents): dense where a GPU computes, which is quickest there."""
        device = sae.W_dec.device
        if device.type == "cpu":
            return encode(sae, activations.x)
        return torch.cat([sae.encode(part.to(device).float()) for part in activations.x.split(8192)])


def read_pairs(folder: Path) -> Pairs | None:
    """The numbers beside one SAE; None where there are none, or the file is damaged.

    Args:
        folder: of the SAE.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            numbers = {}
            for i, (name, reference, names) in enumerate(about.pop("keys")):
                both = np.concatenate([file[f"numbers{i}"][:, None], file[f"replicates{i}"]], 1, dtype=np.float32)
                numbers[name, reference] = dict(zip(names, both, strict=True))
            return Pairs(**about, numbers=numbers)
    except Exception:  # of NumPy, zip or JSON, each with its own kinds: it is measured again
        return None


def points(folder: Path) -> dict[str, dict[str, list[float | None]]]:
    """What a row tells of its pairs: for each set of stories and reference the numbers of `SHOWN`, in that order.

    Args:
        folder: of the SAE.
    """
    found = read_pairs(folder)
    told: dict[str, dict[str, list[float | None]]] = {}
    for (name, reference), numbers in (found.numbers if found else {}).items():
        if reference:
            shown = [float(numbers[each][0]) for each in SHOWN if each in numbers]
            told.setdefault(name, {})[reference.rpartition("/")[2]] = [float(f"{x:.4g}") if np.isfinite(x) else None for x in shown]
    return told


def _write(folder: Path, pairs: Pairs) -> None:
    keys = [[*key, list(numbers)] for key, numbers in pairs.numbers.items()]
    about = {"asked": pairs.asked, "sha256": pairs.sha256, "references": pairs.references, "keys": keys}
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about))}
    for i, numbers in enumerate(pairs.numbers.values()):
        values = np.stack([*numbers.values()])
        arrays |= {f"numbers{i}": values[:, 0].astype(np.float32), f"replicates{i}": values[:, 1:].astype(np.float16)}

    def save(path: Path) -> None:
        with path.open("wb") as file:  # by an open file: NumPy would add .npz to the name
            np.savez_compressed(file, **arrays)

    write_file(folder / FILE, save)
