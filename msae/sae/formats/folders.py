"""An SAE of any format that msae reads: the files of the folder say which."""

from __future__ import annotations

import os

import torch

from msae.sae.formats import dictionary_learning, saelens
from msae.sae.sae import SAE
from msae.support import arguments


def read_sae(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> SAE:
    """An SAE that msae, SAELens or dictionary_learning wrote.

    Args:
        folder: with `sae.json` of `SAE.save`; `cfg.json` and `sae_weights.safetensors` of SAELens, as `read_saelens`; or `ae.pt` and
            `config.json` of dictionary_learning, as `read_dictionary_learning`. The first that is there counts.
        device: where the SAE is to lie.

    Returns:
        the SAE.

    Raises:
        FileNotFoundError: there is none of these, or a file is missing.
        ValueError: as of `SAE.load`, `read_saelens` and `read_dictionary_learning`.

    Example:
        >>> msae.SAE(d_model=4, n_latents=8).save("any-sae")
        >>> msae.sae.read_sae("any-sae")
        SAE(d_model=4, n_latents=8, ReLU(), hook_name=None)
    """
    folder, wanted = arguments.path("folder", folder), arguments.device("device", device)
    if (folder / "sae.json").is_file():
        return SAE.load(folder, wanted)
    if any((folder / name).is_file() for name in saelens.FILES):
        return saelens.read_saelens(folder, wanted)
    if (folder / "ae.pt").is_file():
        return dictionary_learning.read_dictionary_learning(folder, wanted)
    raise FileNotFoundError(
        f"{folder} holds no sae.json: give the folder that sae.save(folder) wrote, or one with the files of SAELens "
        f"({', '.join(saelens.FILES)}) or of dictionary_learning ({', '.join(dictionary_learning.FILES)})"
    )
