"""The sparse autoencoder: parameters, `encode`, `decode`, its prefixes. Training lives elsewhere, its files in `files`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from msae.sae.files import DTYPES, About, check_weights, read, write
from msae.sae.nonlinearities.base import Nonlinearity
from msae.sae.nonlinearities.relu import ReLU
from msae.support import arguments
from msae.support.arguments import all_finite, shown, tensor

WEIGHTS = ("W_dec", "W_enc", "b_enc", "b_dec", "threshold", "W_rivals", "b_rivals")


class SAE(nn.Module):
    """acts = nonlinearity(x @ W_enc + b_enc),  x_hat = acts @ W_dec + b_dec.

    A trained SAE has unit-norm decoder rows, so an activation is the length it adds to the reconstruction, in units of x. Its latents
    are sorted by importance: `sae.prefix(m)` is the Matryoshka SAE of the first m latents.

    Args:
        d_model: width of the vectors that it reads.
        n_latents: number of latents.
        nonlinearity: a `ReLU` where none is given.
        hook_name: as below.
        scale: as below.
        config: as below.
        generator: of the random decoder rows; the encoder starts as their transpose, the biases and thresholds at 0.

    Attributes:
        W_enc: (d_model, n_latents), b_enc: (n_latents,), W_dec: (n_latents, d_model), b_dec: (d_model,).
        threshold: (n_latents,) for JumpReLU and BatchTopK, None for the others.
        W_rivals: (d_model, n_rivals), b_rivals: (n_rivals,): in a prefix of a TopK SAE the encoder of the latents that were cut off. They
            compete for the k places still, and are then left out. None in a whole SAE.
        hook_name: the place in the language model that x is read from; None where it does not matter.
        scale: x · scale had mean norm √d_model in training; kept for the record, encode and decode take x as it is.
        config: what else should be remembered about the SAE (plain JSON values): how it was trained, on what.

    Raises:
        ValueError: an impossible size, no nonlinearity that a file can hold, or a TopK of more latents than there are.

    Example:
        >>> import msae, torch
        >>> sae = msae.SAE(d_model=8, n_latents=32)
        >>> x = torch.randn(5, 8)
        >>> sae.encode(x).shape, sae(x).shape, sae.prefix(4).n_latents
        (torch.Size([5, 32]), torch.Size([5, 8]), 4)
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
        self._describe(About(ReLU() if nonlinearity is None else nonlinearity, hook_name, scale, config))
        self.nonlinearity.check_width(n_latents)
        W_dec = torch.randn(n_latents, d_model, generator=generator)
        W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
        weights = {"W_dec": W_dec, "W_enc": W_dec.T.clone(), "b_enc": torch.zeros(n_latents), "b_dec": torch.zeros(d_model)}
        if self.nonlinearity.start_threshold is not None:
            weights["threshold"] = torch.zeros(n_latents)
        self._take(weights)

    @classmethod
    def _of(cls, weights: Mapping[str, Tensor], about: About) -> SAE:
        """An SAE of these weights, which are not copied."""
        sae = cls.__new__(cls)
        nn.Module.__init__(sae)
        sae._describe(about)
        sae._take(weights)
        return sae

    @classmethod
    @torch.no_grad()
    def from_weights(cls, weights: Mapping[str, Tensor], about: About) -> SAE:
        """An SAE of copies of these weights, in float32 at least.

        Args:
            weights: `W_enc`, `b_enc`, `W_dec`, `b_dec` and, for a nonlinearity that has one, `threshold`, of the shapes above.
            about: its nonlinearity, and the rest of what it is.

        Raises:
            ValueError: weights that are not those of such an SAE, or not finite, or a description that is none.
        """
        about = about.checked()
        d_model, n_latents = tensor("W_enc", weights.get("W_enc"), ("d_model", "n_latents")).shape
        check_weights(about.nonlinearity, d_model, n_latents, weights)
        return cls._of({name: w.detach().to(torch.promote_types(w.dtype, torch.float32), copy=True) for name, w in weights.items()}, about)

    @classmethod
    @torch.no_grad()
    def from_training(cls, params: Mapping[str, Tensor], rank: Tensor, about: About) -> SAE:
        """What training leaves: latents sorted by rank, unit decoder rows, and the input's scale folded in, so that it reads raw vectors.

        Args:
            params: `W_encT` (n_latents, d_model) the encoder with a row per latent, `b_enc`, `W_dec` with rows of any norm, `b_dec`, and
                `threshold` for a nonlinearity that has one; they fit x · scale.
            rank: (n_latents,) of each latent, 0 for the most important.
            about: the scale among it.
        """
        order = rank.argsort().cpu()
        p = {name: tensor.detach().cpu() for name, tensor in params.items()}
        norm, scale = p["W_dec"].norm(dim=1), about.scale
        weights = {
            "W_enc": (p["W_encT"] * norm[:, None])[order].T,
            "b_enc": (p["b_enc"] * norm)[order] / scale,
            "W_dec": (p["W_dec"] / norm[:, None])[order],
            "b_dec": p["b_dec"] / scale,
        }
        if "threshold" in p:
            weights["threshold"] = p["threshold"].relu()[order] / scale
        return cls._of(weights, about)

    def _describe(self, about: About) -> None:
        about = about.checked()
        self.nonlinearity, self.hook_name, self.scale = about.nonlinearity, about.hook_name, about.scale
        self.config: dict[str, Any] = dict(about.config or {})

    @property
    def _about(self) -> About:
        """As it is now: what describes an SAE may be set."""
        return About(self.nonlinearity, self.hook_name, self.scale, self.config)

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        for name in WEIGHTS:
            weight = weights.get(name)
            if weight is not None and name.startswith("W_"):  # a row per latent in memory: the last digits of a product depend on it
                weight = weight.contiguous() if name == "W_dec" else weight.T.contiguous().T
            self.register_parameter(name, None if weight is None else nn.Parameter(weight))

    @property
    def d_model(self) -> int:
        """Width of the vectors that it reads."""
        return self.W_enc.shape[0]

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    def encode(self, x: Tensor) -> Tensor:
        """Latent activations, in the wider of the precisions of x and the SAE.

        Args:
            x: (…, d_model) inputs.

        Returns:
            (…, n_latents) activations ≥ 0.

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
        """Reconstruction from latent activations, in the wider of the precisions of both.

        Args:
            acts: (…, n_latents) activations.

        Returns:
            (…, d_model) reconstructions.

        Raises:
            ValueError: acts is no tensor of this many latents, or lies on another device.
        """
        acts = self._fitting("acts", acts, self.n_latents, "decodes n_latents")
        dtype = torch.promote_types(acts.dtype, self.W_dec.dtype)
        return acts.to(dtype) @ self.W_dec.to(dtype) + self.b_dec.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction (…, d_model) of inputs x (…, d_model), by all latents."""
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

        Args:
            m: how many latents.

        Raises:
            ValueError: no number from 1 to n_latents.
        """
        if isinstance(m, bool) or not isinstance(m, Integral) or not 1 <= m <= self.n_latents:
            raise ValueError(f"a prefix has 1 to {self.n_latents} latents, got {shown(m)}")
        own = {name: weight.detach() for name, weight in self.named_parameters()}
        weights = {"W_dec": own["W_dec"][:m], "W_enc": own["W_enc"][:, :m], "b_enc": own["b_enc"][:m], "b_dec": own["b_dec"]}
        if "threshold" in own:
            weights["threshold"] = own["threshold"][:m]
        if self.nonlinearity.latents_compete:
            W_rivals, b_rivals = [own["W_enc"][:, m:]], [own["b_enc"][m:]]
            if "W_rivals" in own:
                W_rivals, b_rivals = [*W_rivals, own["W_rivals"]], [*b_rivals, own["b_rivals"]]
            rivals = {"W_rivals": torch.cat(W_rivals, 1), "b_rivals": torch.cat(b_rivals)}
            weights |= rivals if len(rivals["b_rivals"]) else {}
        copies = {name: weight.clone() for name, weight in weights.items()}
        return SAE._of(copies, self._about)

    def check_finite(self) -> None:
        """Refuse weights that are NaN or infinite, with a ValueError that names the first."""
        for name, weight in self.named_parameters():
            all_finite(name, weight.detach())

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, n_latents={self.n_latents}, {self.nonlinearity}, hook_name={self.hook_name!r}"

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `sae.safetensors` and `sae.json` into the folder, which is made where it is missing: both, or neither.

        Args:
            folder: where.

        Raises:
            ValueError: before anything is written, what `load` would refuse, such as a weight that is not finite, or a config that JSON has
                no form for.
            OSError: a place that cannot be written.
        """
        weights = {name: weight.detach().to("cpu", copy=True).contiguous() for name, weight in self.named_parameters()}
        write(arguments.path("folder", folder), weights, self._about)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> SAE:
        """Read what `save` wrote. Half precision becomes float32; float64 stays.

        Args:
            folder: that `save` wrote to. A nonlinearity of your own has to be defined before.
            device: where the SAE is to lie.

        Raises:
            FileNotFoundError: naming the file that is missing.
            ValueError: a device that is not here; another format; or files that are not of an SAE, or do not fit each other.
        """
        folder, wanted = arguments.path("folder", folder), arguments.device("device", device)
        return cls._of(*read(folder)).to(wanted)
