"""The two files of an SAE: `sae.json`, what it is, and `sae.safetensors`, its weights. They are untrusted: everything read is judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from msae.sae.nonlinearities.base import Nonlinearity, check_kind, kinds
from msae.support import arguments
from msae.support.arguments import number, shown, tensor, text
from msae.support.files import as_json, write_files
from msae.support.origin import plain, sha256_of_array, sha256_of_json

FORMAT = "msae-sae/1"
FILES = ("sae.json", "sae.safetensors")
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class About(NamedTuple):
    """What an SAE is beside its weights."""

    nonlinearity: Nonlinearity
    hook_name: str | None
    """The place in the language model that x is read from."""

    scale: float
    """x · scale had mean norm √d_model in training."""

    config: Mapping[str, Any] | None
    """Whatever else should be remembered, as JSON values."""

    def checked(self) -> About:
        """The same where every field can be; else a ValueError that names the first that cannot."""
        nonlinearity = check_kind(self.nonlinearity)
        if self.config is not None and not isinstance(self.config, Mapping):
            raise ValueError(f"config must be a dict of JSON values, got {shown(self.config)}")
        hook_name = None if self.hook_name is None else text("hook_name", self.hook_name)
        return About(nonlinearity, hook_name, number("scale", self.scale, above=0), self.config or {})


def write(folder: Path, weights: Mapping[str, Tensor], about: About) -> None:
    """Write both files, or neither.

    Raises:
        ValueError: before anything is written, what `read` would refuse.
        OSError: a place that cannot be written.
    """
    about = about.checked()
    d_model, n_latents = weights["W_enc"].shape
    check_weights(about.nonlinearity, d_model, n_latents, weights)
    as_json(about.config, "config")
    described: dict[str, Any] = {"format": FORMAT, "d_model": d_model, "n_latents": n_latents} | about._asdict()
    described["nonlinearity"] = plain(about.nonlinearity)
    # The same mark in both files: a crash between the two moves leaves files of two saves, and `read` notices.
    described["save"] = sha256_of_json(described | {"weights": {name: sha256_of_array(weight) for name, weight in weights.items()}})
    write_files(
        {
            folder / "sae.safetensors": lambda part: save_file(dict(weights), part, metadata={"save": described["save"]}),
            folder / "sae.json": as_json(described, "the SAE"),
        }
    )


def read(folder: Path) -> tuple[dict[str, Tensor], About]:
    """The weights, copied and in float32 at least, and what the SAE is.

    Raises:
        FileNotFoundError: naming the file that is missing.
        ValueError: another format, an unknown nonlinearity, or files that are not of an SAE, or do not fit each other.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}: give the folder that sae.save(folder) wrote")
    try:
        return _read(folder)
    except _NotForUs:
        raise
    except (ValueError, KeyError, TypeError, SafetensorError, RecursionError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ValueError(f"{folder} does not hold a whole SAE ({why}); copy or save it again") from error


def _read(folder: Path) -> tuple[dict[str, Tensor], About]:
    described = check_files(folder)
    with safe_open(folder / "sae.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    d_model, n_latents = (arguments.whole(name, described[name], 1) for name in ("d_model", "n_latents"))
    options, known = dict(described["nonlinearity"]), kinds()
    name = arguments.one_of("nonlinearity", options.pop("name"), known, hint="define one of your own before you load its SAE")
    nonlinearity = known[name](**options)
    check_weights(nonlinearity, d_model, n_latents, weights)
    # Copies: else they would be the file itself.
    own = {name: weight.to(torch.promote_types(weight.dtype, torch.float32), copy=True) for name, weight in weights.items()}
    return own, About(nonlinearity, described["hook_name"], described["scale"], described["config"]).checked()


def check_files(folder: Path) -> dict[str, Any]:
    """What `sae.json` tells, where it and the weights are whole and of one save; of the weights only the header is read.

    Raises:
        ValueError, SafetensorError: they are not.
    """
    about = json.loads((folder / "sae.json").read_text(encoding="utf-8"))
    if not isinstance(about, dict):
        raise ValueError("sae.json is no description of an SAE")
    if about.get("format") != FORMAT:
        raise _NotForUs(f"{folder}/sae.json is of format {shown(about.get('format'))}, this version of msae reads {FORMAT!r}")
    (folder / "sae.safetensors").open("rb").close()  # safetensors says of a file that it may not read that there is none
    with safe_open(folder / "sae.safetensors", "pt") as file:
        save = (file.metadata() or {}).get("save")
    if save is not None and about.get("save", save) != save:
        raise ValueError("sae.json and sae.safetensors are of different saves")
    return about


def check_weights(nonlinearity: Nonlinearity, d_model: int, n_latents: int, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of an SAE of this kind and these sizes, or that are not finite."""
    shapes: dict[str, tuple[int | str, ...]] = {"W_dec": (n_latents, d_model), "W_enc": (d_model, n_latents)}
    shapes |= {"b_enc": (n_latents,), "b_dec": (d_model,)}
    if nonlinearity.start_threshold is not None:
        shapes["threshold"] = (n_latents,)
    n_rivals = weights["b_rivals"].numel() if nonlinearity.latents_compete and "b_rivals" in weights else 0
    if n_rivals:
        shapes |= {"W_rivals": (d_model, n_rivals), "b_rivals": (n_rivals,)}
    if weights.keys() != shapes.keys():
        raise ValueError(f"expected the weights {', '.join(shapes)}, got {', '.join(weights) or 'none'}")
    nonlinearity.check_width(n_latents + n_rivals)
    for name, shape in shapes.items():
        if weights[name].dtype not in DTYPES:
            raise ValueError(f"{name} must hold floating-point numbers of 16 to 64 bits, got {weights[name].dtype}")
        tensor(name, weights[name], shape, finite=True)


class _NotForUs(ValueError):
    """A file that is whole, and not for this version."""
