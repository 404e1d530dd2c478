"""The sparse autoencoder: parameters, `encode`, `decode`, and a folder to keep them in. Everything about training lives elsewhere."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from msae.nonlinearities import NONLINEARITIES, Nonlinearity, ReLU


class SAE(nn.Module):
    """acts = nonlinearity(x @ W_enc + b_enc),  x_hat = acts @ W_dec + b_dec.

    A trained SAE has unit-norm decoder rows, so an activation is the length it adds to the reconstruction, in units of x. Its latents
    are sorted by importance: `sae.prefix(m)` is the Matryoshka SAE of the first m latents.

    Attributes:
        W_enc: (d_model, n_latents), b_enc: (n_latents,), W_dec: (n_latents, d_model), b_dec: (d_model,).
        threshold: (n_latents,) for JumpReLU and BatchTopK, None for the others.
        hook_name: the place in the language model that x is read from; None where it does not matter.
        scale: x · scale had mean norm √d_model in training; kept for the record, encode and decode take x as it is.
        config: what else should be remembered about the SAE (plain JSON values): how it was trained, on what.
    """

    def __init__(
        self,
        d_model: int,
        n_latents: int,
        nonlinearity: Nonlinearity | None = None,
        *,
        hook_name: str | None = None,
        scale: float = 1.0,
        config: dict[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        for name, size in (("d_model", d_model), ("n_latents", n_latents)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} must be a positive whole number, got {size!r}")
        self.nonlinearity = ReLU() if nonlinearity is None else nonlinearity
        self.hook_name, self.scale, self.config = hook_name, scale, dict(config or {})
        W_dec = torch.randn(n_latents, d_model, generator=generator)
        W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(W_dec)
        self.W_enc = nn.Parameter(W_dec.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(n_latents))
        self.b_dec = nn.Parameter(torch.zeros(d_model))
        needs_threshold = self.nonlinearity.threshold_shape != "none"
        self.threshold = nn.Parameter(torch.zeros(n_latents)) if needs_threshold else None

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[0]

    @property
    def n_latents(self) -> int:
        return self.W_enc.shape[1]

    def encode(self, x: Tensor) -> Tensor:
        """Latent activations (…, n_latents) ≥ 0 of inputs x (…, d_model)."""
        if x.shape[-1] != self.d_model:
            raise ValueError(f"this SAE reads vectors of width d_model={self.d_model}, got x of shape {tuple(x.shape)}")
        return self.nonlinearity(x @ self.W_enc + self.b_enc, self.threshold)

    def decode(self, acts: Tensor) -> Tensor:
        """Reconstruction (…, d_model) from latent activations (…, n_latents)."""
        return acts @ self.W_dec + self.b_dec

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def prefix(self, m: int) -> SAE:
        """The SAE of the first m latents, which a Matryoshka SAE was trained to be; for TopK the k of the whole is kept where it fits."""
        if not 1 <= m <= self.n_latents:
            raise ValueError(f"a prefix has 1 to {self.n_latents} latents, got {m}")
        sae = SAE(self.d_model, m, self.nonlinearity, hook_name=self.hook_name, scale=self.scale, config=self.config)
        with torch.no_grad():
            for name, tensor in self.named_parameters():
                own = getattr(sae, name)
                own.copy_(tensor[:, :m] if name == "W_enc" else tensor[:m] if name != "b_dec" else tensor)
        return sae.to(self.W_enc.device)

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, n_latents={self.n_latents}, {self.nonlinearity}, hook_name={self.hook_name!r}"

    def save(self, folder: str | os.PathLike) -> None:
        """Write `sae.safetensors` and `sae.json` into the folder, which is made where it is missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.named_parameters()}, folder / "sae.safetensors")
        about = {
            "format": "msae-sae/1",
            "d_model": self.d_model,
            "n_latents": self.n_latents,
            "nonlinearity": {"name": type(self.nonlinearity).__name__, **asdict(self.nonlinearity)},
            "hook_name": self.hook_name,
            "scale": self.scale,
            "config": self.config,
        }
        (folder / "sae.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike, device: str | torch.device = "cpu") -> SAE:
        """Read what `save` wrote, half precision too.

        Raises:
            FileNotFoundError: naming the file that is missing.
            ValueError: where the files are not of an SAE, or do not fit each other.
        """
        folder = Path(folder)
        for name in ("sae.json", "sae.safetensors"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} holds no {name}: give the folder that sae.save(folder) wrote")
        try:
            about = json.loads((folder / "sae.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "sae.safetensors")
            options = dict(about["nonlinearity"])
            nonlinearity = NONLINEARITIES[options.pop("name")](**options)
            sae = cls(
                about["d_model"],
                about["n_latents"],
                nonlinearity,
                hook_name=about["hook_name"],
                scale=about["scale"],
                config=about["config"],
            ).to(device)
            sae.load_state_dict(tensors)
        except (json.JSONDecodeError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{folder} does not hold a whole SAE ({error}); copy or save it again") from error
        return sae
