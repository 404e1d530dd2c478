"""dictionary_learning's folder: `config.json`, what the dictionary is, and `ae.pt`, a pickle of its weights.

What its classes compute is in https://github.com/saprmarks/dictionary_learning, the class `Dictionary` and those beneath it; those of TopK,
BatchTopK and Matryoshka stand beside their trainers. A pickle can run whatever its author likes. This one is not unpickled: torch reads
tensors from it and nothing else (`weights_only`), and every tensor is judged.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from msae.sae.files import About
from msae.sae.formats.folding import as_dict, check_weights_of, folded, read_json, reading, source_of, without_gate
from msae.sae.nonlinearities import BatchTopK, JumpReLU, Nonlinearity, ReLU, TopK
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.arguments import one_of, shown, tensor, whole

FILES = ("config.json", "ae.pt")

LINEAR = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
"""Parts of an `nn.Linear`, whose matrices lie transposed, by msae's names."""

NAMES: dict[str, dict[str, str]] = {
    "AutoEncoder": LINEAR | {"bias": "b_dec"},
    "AutoEncoderNew": LINEAR | {"decoder.bias": "b_dec"},
    "AutoEncoderTopK": LINEAR | {"b_dec": "b_dec"},
    "BatchTopKSAE": LINEAR | {"b_dec": "b_dec", "threshold": "threshold"},
    "MatryoshkaBatchTopKSAE": {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")},
    "JumpReluAutoEncoder": {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")},
    "GatedAutoEncoder": {
        **{"encoder.weight": "W_enc", "decoder.weight": "W_dec", "decoder_bias": "b_dec"},
        **{"gate_bias": "b_gate", "mag_bias": "b_mag", "r_mag": "r_mag"},
    },
}
"""`dict_class` → its tensors, by msae's names."""

BESIDE = {
    "AutoEncoderTopK": {"k", "threshold"},  # the threshold is for those who ask for it instead of k
    "BatchTopKSAE": {"k"},
    "MatryoshkaBatchTopKSAE": {"k", "group_sizes"},
}
"""What else may stand in the file."""

CENTRED = {"AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE", "GatedAutoEncoder"}
"""Those that take b_dec from the input first."""


def read_dictionary_learning(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> SAE:
    """An SAE that dictionary_learning wrote, as one that computes the same, whatever its `dict_class`.

    The b_dec that most of them take from the input, and the norms of the decoder's columns with the thresholds, are folded into the
    weights: reconstructions are those of dictionary_learning, and an activation is the length that it adds to them. A BatchTopK has the
    threshold that its `encode` uses; a gated SAE is a `JumpReLU`, which it is equal to. `config` keeps what config.json says.

    The files name a module of the language model and no hook of TransformerLens. `hook_name` is set where the module is one that the
    library's own scripts call "resid_post_layer_3"; else set `sae.hook_name` yourself.

    Args:
        folder: that `trainSAE` wrote, one for each trainer.
        device: where the SAE is to lie.

    Returns:
        the SAE, with unit decoder rows and in float32 at least.

    Raises:
        FileNotFoundError: naming the file that is missing.
        ValueError: damaged files; a pickle that holds anything but tensors, which is not run; a device that is not here; or what no SAE of
            msae computes, by its field.

    Example:
        >>> import json, pathlib
        >>> folder = pathlib.Path("trainer_0")
        >>> folder.mkdir(exist_ok=True)
        >>> about = {"dict_class": "AutoEncoder", "activation_dim": 4, "dict_size": 8}
        >>> n = folder.joinpath("config.json").write_text(json.dumps({"trainer": about}))
        >>> W = torch.randn(4, 8)
        >>> weights = {"bias": torch.ones(4), "encoder.weight": W.T, "encoder.bias": torch.zeros(8), "decoder.weight": W}
        >>> torch.save(weights, folder / "ae.pt")
        >>> sae = msae.sae.read_dictionary_learning(folder)
        >>> sae, bool(torch.allclose(sae.W_dec.norm(dim=1), torch.ones(8)))
        (SAE(d_model=4, n_latents=8, ReLU(), hook_name=None), True)
    """
    folder, wanted = arguments.path("folder", folder), arguments.device("device", device)
    with reading(folder, "dictionary_learning", FILES, "trainSAE of dictionary_learning"):
        config = read_json(folder / "config.json")
        trainer, buffer = (as_dict(name, config.get(name, {})) for name in ("trainer", "buffer"))
        kind = one_of("dict_class", trainer["dict_class"], NAMES)
        state = _tensors(folder / "ae.pt")
        d, n = (whole(name, trainer[name], 1) for name in ("activation_dim", "dict_size"))
        data = source_of(trainer.get("lm_name"), buffer.get("ctx_len"))
        kept = {"made_by": "dictionary_learning", "data": data, "trainer": trainer, "buffer": buffer}
        about = About(_nonlinearity(kind, trainer, state), _hook_name(trainer), 1.0, {name: value for name, value in kept.items() if value})
        return folded(_weights(kind, state, d, n), about, subtracts_b_dec=kind in CENTRED).to(wanted)


def _hook_name(trainer: Mapping[str, Any]) -> str | None:
    """The hook whose vectors the module gives, where the name says what it gives."""
    found = re.fullmatch(r"resid_post_layer_([0-9]{1,4})", str(trainer.get("submodule_name")))
    return None if found is None else f"blocks.{int(found[1])}.hook_resid_post"


def _nonlinearity(kind: str, trainer: Mapping[str, Any], state: Mapping[str, Tensor]) -> Nonlinearity:
    if kind in ("AutoEncoder", "AutoEncoderNew"):
        return ReLU()
    if kind not in BESIDE:
        return JumpReLU()
    k = whole("k", trainer["k"], 1)
    if "k" in state and (state["k"].numel() != 1 or state["k"].item() != k):
        found = state["k"].item() if state["k"].numel() == 1 else shown(state["k"])
        raise ValueError(f"k is {k} in config.json and {found} in ae.pt")
    return TopK(k) if kind == "AutoEncoderTopK" else BatchTopK(k)


def _weights(kind: str, state: Mapping[str, Tensor], d: int, n: int) -> dict[str, Tensor]:
    """The weights by the names and in the forms of `folded`."""
    shapes: dict[str, tuple[int, ...]] = {
        "W_enc": (d, n),
        "W_dec": (n, d),
        "b_dec": (d,),
        "encoder.weight": (n, d),
        "decoder.weight": (d, n),
    }
    names = NAMES[kind]
    of_all = {"threshold": ()} if kind in BESIDE else {}
    shapes = {name: of_all.get(name, shapes.get(name, shapes.get(ours, (n,)))) for name, ours in names.items()}
    check_weights_of({name: value for name, value in state.items() if name not in BESIDE.get(kind, ())}, shapes)
    weights = {ours: state[name].T if name.endswith(".weight") else state[name] for name, ours in names.items()}
    if kind == "GatedAutoEncoder":
        return without_gate(weights)
    if "threshold" in of_all and "threshold" in weights:  # -1 where it was not followed yet, and everything positive is above it
        weights["threshold"] = weights["threshold"].relu().expand(n)
    return weights


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, each dense, on the CPU and as large in memory as in the file; no code of the pickle is run."""
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except Exception as error:  # a file that is cut or forged breaks in any way there is
            raise ValueError(
                f"{path.name} is no archive that torch.save writes: load and save it again, with PyTorch 1.6 or later"
            ) from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > path.stat().st_size:
        raise ValueError(f"{path.name} is packed, and torch.save does not pack: it may unfold to more than the memory holds")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path.name} holds something else than tensors, and is not unpickled: save its state_dict() alone") from error
    except Exception as error:  # as above
        raise ValueError(f"{path.name} is damaged ({type(error).__name__})") from error
    for name, value in as_dict(path.name, state).items():
        if not isinstance(name, str) or type(value) not in (Tensor, nn.Parameter):
            raise ValueError(f"{path.name} must hold tensors by name, got {shown(value)} by the name {shown(name)}")
        tensor(name, value)
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise ValueError(
                f"{name} repeats its numbers, {tuple(value.shape)} out of {value.untyped_storage().nbytes()} bytes: save a copy"
            )
    return {name: value.detach() for name, value in state.items()}
