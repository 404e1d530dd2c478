"""From what another library computes to msae's formula, exactly: everything that stands around the two products goes into the weights.

Another library may read s · x, subtract b_dec first, and have decoder rows d_i of any norm. With n_i = |d_i| / s, the length that a unit of
activation adds to the reconstruction of x,

    acts_i = z((s · x - b_dec) · w_i + b_i),           x_hat = (Σ_i acts_i · d_i + b_dec) / s

is, with activations n_i · acts_i and thresholds n_i · θ_i,

    W_enc_i = s · n_i · w_i,  b_enc_i = n_i · (b_i - b_dec · w_i),  W_dec_i = d_i / (s · n_i),  and b_dec / s in place of b_dec.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from msae.sae.files import DTYPES, About
from msae.sae.sae import SAE
from msae.support.arguments import tensor

ROUNDING = 1e-3
"""Rows whose norms are so near 1 are unit rows in half precision, and stay as they are, to the last bit."""

MOST_SPREAD = 0.01
"""Of the norms of decoder rows whose latents compete by their activations as they are."""


@torch.no_grad()
def folded(weights: Mapping[str, Tensor], about: About, *, subtracts_b_dec: bool, by_length: bool = False) -> SAE:
    """The SAE of msae that computes the same.

    Args:
        weights: `W_enc` (d_model, n_latents), `W_dec` (n_latents, d_model), `b_dec` (d_model,), `b_enc` (n_latents,), and `threshold`
            (n_latents,) for a nonlinearity that has one. They fit x · scale.
        about: what it is; its scale is s.
        subtracts_b_dec: whether b_dec is taken from the input first.
        by_length: whether latents compete, and are held against thresholds, by their activations times the norm of their decoder row.

    Raises:
        ValueError: latents that compete by activations that are no lengths, or weights that are no SAE's.
    """
    scale = about.scale
    dtype = torch.promote_types(weights["W_enc"].dtype, torch.float32)
    w = {name: weight.double() for name, weight in weights.items()}
    norm = w["W_dec"].norm(dim=1) / scale
    if not by_length and (norm - 1).abs().max() <= ROUNDING:
        norm = torch.ones_like(norm)
    elif not by_length and about.nonlinearity.latents_compete:
        norm = _one_for_all(norm)
    found = {
        "W_enc": w["W_enc"] * (scale * norm),
        "b_enc": norm * (w["b_enc"] - w["b_dec"] @ w["W_enc"] if subtracts_b_dec else w["b_enc"]),
        "W_dec": w["W_dec"] / (scale * norm).where(norm > 0, torch.ones_like(norm))[:, None],  # a row of zeros stays one, and never fires
        "b_dec": w["b_dec"] / scale,
    }
    if "threshold" in w:
        found["threshold"] = w["threshold"] / scale if by_length else w["threshold"] * norm
    return SAE.from_weights({name: weight.to(dtype) for name, weight in found.items()}, about)


def _one_for_all(norm: Tensor) -> Tensor:
    """The mean norm, where all are about alike: scaling every latent by one number leaves their order as it is."""
    mean = norm.mean()
    if (norm - mean).abs().max() > MOST_SPREAD * mean:
        raise ValueError(
            f"the rows of W_dec have norms from {norm.min():.3g} to {norm.max():.3g}, and the latents of a TopK compete without them "
            "(rescale_acts_by_decoder_norm=False): activations of msae are lengths, and would compete otherwise"
        )
    return mean.expand_as(norm)


def without_gate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A gated SAE's weights as those of a JumpReLU, which fires and is as strong where it is.

    Its gate w_i · x + b_gate_i and its strength e^r_i · w_i · x + b_mag_i grow with one number, so that the gate is a threshold on the
    strength: b_mag_i - e^r_i · b_gate_i.
    """
    w = {name: weight.double() for name, weight in weights.items()}
    grown = w["r_mag"].exp()
    found = {"W_enc": w["W_enc"] * grown, "b_enc": w["b_mag"], "threshold": w["b_mag"] - grown * w["b_gate"]}
    return {name: weight.to(weights["W_enc"].dtype) for name, weight in found.items()} | {
        name: weights[name] for name in ("W_dec", "b_dec")
    }


def check_weights_of(found: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse weights that are not exactly those, of these shapes, finite and floating-point."""
    if found.keys() != shapes.keys():
        raise ValueError(f"expected the weights {', '.join(shapes)}, got {', '.join(found) or 'none'}")
    for name, shape in shapes.items():
        tensor(name, found[name], shape, numbers="real", finite=True)
        if found[name].dtype not in DTYPES:
            raise ValueError(f"{name} must hold floating-point numbers of 16 to 64 bits, got {found[name].dtype}")


@contextmanager
def reading(folder: Path, library: str, names: tuple[str, ...], wrote: str) -> Iterator[None]:
    """Whatever is wrong with the files becomes one sentence that names the folder.

    Args:
        folder: where the files lie.
        library: whose they are.
        names: of the files; a FileNotFoundError names the first that is missing.
        wrote: what writes such a folder, for that error.
    """
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}: give the folder that {wrote} wrote")
    try:
        yield
    except (
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        EOFError,
        MemoryError,
        RecursionError,
        SafetensorError,
        pickle.PickleError,
    ) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{folder} cannot be read as an SAE of {library}: {why}") from error


def as_dict(name: str, value: Any) -> dict[str, Any]:
    """A part of a description, where it is a dict."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a dict, got {type(value).__name__}")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """What a file of JSON describes."""
    return as_dict(path.name, json.loads(path.read_text(encoding="utf-8")))


def source_of(model: Any, n_ctx: Any) -> dict[str, Any]:
    """The language model and the length of a text, as `config["data"]` has them and commands look them up; what is no such is left out."""
    found = {"model": model} if isinstance(model, str) and model else {}
    return found | ({"n_ctx": n_ctx} if isinstance(n_ctx, int) and not isinstance(n_ctx, bool) and n_ctx > 1 else {})
