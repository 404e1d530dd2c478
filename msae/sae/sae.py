"""The sparse autoencoder: parameters, `encode`, `decode`, and a folder to keep them in. Everything about training lives elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from msae.sae.nonlinearities import NONLINEARITIES, Nonlinearity, ReLU, TopK, check_width
from msae.support import arguments
from msae.support.arguments import all_finite, number, shown, tensor, text
from msae.support.files import as_json, write_files
from msae.support.origin import plain, sha256_of_array, sha256_of_json

FORMAT = "msae-sae/1"
WEIGHTS = ("W_dec", "W_enc", "b_enc", "b_dec", "threshold", "W_rivals", "b_rivals")
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class SAE(nn.Module):
    """acts = nonlinearity(x @ W_enc + b_enc),  x_hat = acts @ W_dec + b_dec.

    A trained SAE has unit-norm decoder rows, so an activation is the length it adds to the reconstruction, in units of x. Its latents
    are sorted by importance: `sae.prefix(m)` is the Matryoshka SAE of the first m latents.

    Attributes:
        W_enc: (d_model, n_latents), b_enc: (n_latents,), W_dec: (n_latents, d_model), b_dec: (d_model,).
        threshold: (n_latents,) for JumpReLU and BatchTopK, None for the others.
        W_rivals: (d_model, n_rivals), b_rivals: (n_rivals,): in a prefix of a TopK SAE the encoder of the latents that were cut off. They
            compete for the k places still, and are then left out. None in a whole SAE.
        hook_name: the place in the language model that x is read from; None where it does not matter.
        scale: x · scale had mean norm √d_model in training; kept for the record, encode and decode take x as it is.
        config: what else should be remembered about the SAE (plain JSON values): how it was trained, on what.

    Raises:
        ValueError: an impossible size, no nonlinearity of `msae`, or a TopK of more latents than there are.
    """

    W_enc: nn.Parameter
    b_enc: nn.Parameter
    W_dec: nn.Parameter
    b_dec: nn.Parameter
    threshold: nn.Parameter | None
    W_rivals: nn.Parameter | None
    b_rivals: nn.Parameter | None

    def __init__(
        self,
        d_model: int,
        n_latents: int,
        nonlinearity: Nonlinearity | None = None,
        *,
        hook_name: str | None = None,
        scale: float = 1.0,
        config: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        for name, size in (("d_model", d_model), ("n_latents", n_latents)):
            if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
                raise ValueError(f"{name} must be a positive whole number, got {shown(size)}")
        arguments.generator("generator", generator)
        self._describe(ReLU() if nonlinearity is None else nonlinearity, hook_name, scale, config)
        if isinstance(self.nonlinearity, TopK):
            check_width(self.nonlinearity.k, n_latents)
        W_dec = torch.randn(n_latents, d_model, generator=generator)
        W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
        weights = {"W_dec": W_dec, "W_enc": W_dec.T.clone(), "b_enc": torch.zeros(n_latents), "b_dec": torch.zeros(d_model)}
        if self.nonlinearity.threshold_shape != "none":
            weights["threshold"] = torch.zeros(n_latents)
        self._take(weights)

    @classmethod
    def _of(cls, weights: Mapping[str, Tensor], *about: Any) -> SAE:
        """An SAE of these weights, which are not copied; `about` as for `_describe`."""
        sae = cls.__new__(cls)
        nn.Module.__init__(sae)
        sae._describe(*about)
        sae._take(weights)
        return sae

    def _describe(self, nonlinearity: Nonlinearity, hook_name: str | None, scale: float, config: Mapping[str, Any] | None) -> None:
        if type(nonlinearity) not in NONLINEARITIES.values():
            raise ValueError(f"nonlinearity must be a ReLU(), TopK(k), BatchTopK(k) or JumpReLU() of msae, got {shown(nonlinearity)}")
        if config is not None and not isinstance(config, Mapping):
            raise ValueError(f"config must be a dict of JSON values, got {shown(config)}")
        self.nonlinearity, self.config = nonlinearity, dict(config or {})
        self.hook_name = None if hook_name is None else text("hook_name", hook_name)
        self.scale = number("scale", scale, above=0)

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        for name in WEIGHTS:
            weight = weights.get(name)
            if weight is not None and name.startswith("W_"):  # a row per latent in memory: the last digits of a product depend on it
                weight = weight.contiguous() if name == "W_dec" else weight.T.contiguous().T
            self.register_parameter(name, None if weight is None else nn.Parameter(weight))

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[0]

    @property
    def n_latents(self) -> int:
        return self.W_enc.shape[1]

    def encode(self, x: Tensor) -> Tensor:
        """Latent activations (…, n_latents) ≥ 0 of inputs x (…, d_model), in the wider of the precisions of x and the SAE.

        Raises:
            ValueError: x is no tensor of vectors of this width, or lies on another device.
        """
        x = self._fitting("x", x, self.d_model, "reads vectors of width d_model")
        dtype = torch.promote_types(x.dtype, self.W_enc.dtype)
        W, b = self.W_enc, self.b_enc
        if self.W_rivals is not None and self.b_rivals is not None:  # one product, so that its rounding is the whole SAE's
            W, b = torch.cat([W.T, self.W_rivals.T]).T, torch.cat([b, self.b_rivals])  # type: ignore[assignment]
        threshold = None if self.threshold is None else self.threshold.to(dtype)
        acts = self.nonlinearity(x.to(dtype) @ W.to(dtype) + b.to(dtype), threshold)
        return acts if self.W_rivals is None else acts[..., : self.n_latents]

    def decode(self, acts: Tensor) -> Tensor:
        """Reconstruction (…, d_model) from latent activations (…, n_latents); precision and errors as for `encode`."""
        acts = self._fitting("acts", acts, self.n_latents, "decodes n_latents")
        dtype = torch.promote_types(acts.dtype, self.W_dec.dtype)
        return acts.to(dtype) @ self.W_dec.to(dtype) + self.b_dec.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def _fitting(self, name: str, value: Tensor, width: int, does: str) -> Tensor:
        value = tensor(name, value)
        if value.ndim == 0 or value.shape[-1] != width:
            raise ValueError(f"this SAE {does}={width}, got {name} of shape {tuple(value.shape)}")
        if value.dtype not in DTYPES:
            raise ValueError(f"{name} must hold floating-point numbers of 16 to 64 bits, got {value.dtype}: {name}.float() holds them")
        if value.device != self.W_enc.device:
            raise ValueError(f"{name} lies on {value.device} and this SAE on {self.W_enc.device}: move one, as {name}.to(sae.W_enc.device)")
        return value

    def prefix(self, m: int) -> SAE:
        """The SAE of the first m latents, which a Matryoshka SAE was trained to be: its activations are those of the whole, cut at m.

        Nothing but TopK notices what was cut off: there the other latents compete for the k places still, as they did in training, so the
        prefix keeps their encoder (`W_rivals`, `b_rivals`). It is to be read, not trained.

        Raises:
            ValueError: no number from 1 to n_latents.
        """
        if isinstance(m, bool) or not isinstance(m, Integral) or not 1 <= m <= self.n_latents:
            raise ValueError(f"a prefix has 1 to {self.n_latents} latents, got {shown(m)}")
        own = {name: weight.detach() for name, weight in self.named_parameters()}
        weights = {"W_dec": own["W_dec"][:m], "W_enc": own["W_enc"][:, :m], "b_enc": own["b_enc"][:m], "b_dec": own["b_dec"]}
        if "threshold" in own:
            weights["threshold"] = own["threshold"][:m]
        if isinstance(self.nonlinearity, TopK):
            W_rivals, b_rivals = [own["W_enc"][:, m:]], [own["b_enc"][m:]]
            if "W_rivals" in own:
                W_rivals, b_rivals = [*W_rivals, own["W_rivals"]], [*b_rivals, own["b_rivals"]]
            rivals = {"W_rivals": torch.cat(W_rivals, 1), "b_rivals": torch.cat(b_rivals)}
            weights |= rivals if len(rivals["b_rivals"]) else {}
        copies = {name: weight.clone() for name, weight in weights.items()}
        return SAE._of(copies, self.nonlinearity, self.hook_name, self.scale, self.config)

    def check_finite(self) -> None:
        """Refuse weights that are NaN or infinite, with a ValueError that names the first."""
        for name, weight in self.named_parameters():
            all_finite(name, weight.detach())

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, n_latents={self.n_latents}, {self.nonlinearity}, hook_name={self.hook_name!r}"

    def save(self, folder: str | os.PathLike) -> None:
        """Write `sae.safetensors` and `sae.json` into the folder, which is made where it is missing: both, or neither.

        Raises:
            ValueError: before anything is written, what `load` would refuse, such as a weight that is not finite, or a config that JSON has
                no form for.
            OSError: a place that cannot be written.
        """
        folder = arguments.path("folder", folder)
        weights = {name: weight.detach().to("cpu", copy=True).contiguous() for name, weight in self.named_parameters()}
        _check_weights(self.nonlinearity, self.d_model, self.n_latents, weights)
        SAE._of({}, self.nonlinearity, self.hook_name, self.scale, self.config)  # they may have been set since
        as_json(self.config, "config")
        about: dict[str, Any] = {
            "format": FORMAT,
            "d_model": self.d_model,
            "n_latents": self.n_latents,
            "nonlinearity": plain(self.nonlinearity),
            "hook_name": self.hook_name,
            "scale": self.scale,
            "config": self.config,
        }
        # The same mark in both files: a crash between the two moves leaves files of two saves, and `load` notices.
        about["save"] = sha256_of_json(about | {"weights": {name: sha256_of_array(weight) for name, weight in weights.items()}})
        write_files(
            {
                folder / "sae.safetensors": lambda part: save_file(weights, part, metadata={"save": about["save"]}),
                folder / "sae.json": as_json(about, "the SAE"),
            }
        )

    @classmethod
    def load(cls, folder: str | os.PathLike, device: str | torch.device = "cpu") -> SAE:
        """Read what `save` wrote. Half precision becomes float32; float64 stays.

        Raises:
            FileNotFoundError: naming the file that is missing.
            ValueError: a device that is not here; another format; or files that are not of an SAE, or do not fit each other.
        """
        folder, wanted = arguments.path("folder", folder), arguments.device("device", device)
        for name in ("sae.json", "sae.safetensors"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} holds no {name}: give the folder that sae.save(folder) wrote")
        try:
            sae = cls._read(folder)
        except _OtherFormat:
            raise
        except (ValueError, KeyError, TypeError, SafetensorError, RecursionError) as error:
            why = f"there is no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise ValueError(f"{folder} does not hold a whole SAE ({why}); copy or save it again") from error
        return sae.to(wanted)

    @classmethod
    def _read(cls, folder: Path) -> SAE:
        about = check_files(folder)
        with safe_open(folder / "sae.safetensors", "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        d_model, n_latents = (arguments.whole(name, about[name], 1) for name in ("d_model", "n_latents"))
        options = dict(about["nonlinearity"])
        nonlinearity = NONLINEARITIES[arguments.one_of("nonlinearity", options.pop("name"), NONLINEARITIES)](**options)
        _check_weights(nonlinearity, d_model, n_latents, weights)
        own = {name: weight.to(torch.promote_types(weight.dtype, torch.float32), copy=True) for name, weight in weights.items()}
        return cls._of(own, nonlinearity, about["hook_name"], about["scale"], about["config"])  # copies: else it would be the file itself


def _check_weights(nonlinearity: Nonlinearity, d_model: int, n_latents: int, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of an SAE of this kind and these sizes, or that are not finite."""
    shapes: dict[str, tuple[int | str, ...]] = {"W_dec": (n_latents, d_model), "W_enc": (d_model, n_latents)}
    shapes |= {"b_enc": (n_latents,), "b_dec": (d_model,)}
    if nonlinearity.threshold_shape != "none":
        shapes["threshold"] = (n_latents,)
    n_rivals = weights["b_rivals"].numel() if isinstance(nonlinearity, TopK) and "b_rivals" in weights else 0
    if n_rivals:
        shapes |= {"W_rivals": (d_model, n_rivals), "b_rivals": (n_rivals,)}
    if weights.keys() != shapes.keys():
        raise ValueError(f"expected the weights {', '.join(shapes)}, got {', '.join(weights) or 'none'}")
    if isinstance(nonlinearity, TopK):
        check_width(nonlinearity.k, n_latents + n_rivals)
    for name, shape in shapes.items():
        if weights[name].dtype not in DTYPES:
            raise ValueError(f"{name} must hold floating-point numbers of 16 to 64 bits, got {weights[name].dtype}")
        tensor(name, weights[name], shape, finite=True)


def check_files(folder: Path) -> dict[str, Any]:
    """What `sae.json` tells, where it and the weights are whole and of one save; of the weights only the header is read.

    Raises:
        ValueError, SafetensorError: they are not.
    """
    about = json.loads((folder / "sae.json").read_text(encoding="utf-8"))
    if not isinstance(about, dict):
        raise ValueError("sae.json is no description of an SAE")
    if about.get("format") != FORMAT:
        raise _OtherFormat(f"{folder}/sae.json is of format {shown(about.get('format'))}, this version of msae reads {FORMAT!r}")
    (folder / "sae.safetensors").open("rb").close()  # safetensors says of a file that it may not read that there is none
    with safe_open(folder / "sae.safetensors", "pt") as file:
        save = (file.metadata() or {}).get("save")
    if save is not None and about.get("save", save) != save:
        raise ValueError("sae.json and sae.safetensors are of different saves")
    return about


class _OtherFormat(ValueError):
    """A file that is whole, and not for this version."""
