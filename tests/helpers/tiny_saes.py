"""SAEs with random weights, vectors for them to read, and one in the middle of training."""

from __future__ import annotations

import torch

import msae


def case(seed, batch, n, d, kind, level):
    """A random SAE in the middle of training; `level` shifts the pre-activations: strongly negative leaves inputs with no latent at all."""
    g = torch.Generator().manual_seed(seed)
    random = {"dtype": torch.float64, "generator": g}
    params = {
        "W_encT": torch.randn(n, d, **random),
        "b_enc": torch.randn(n, **random) + level,
        "W_dec": torch.randn(n, d, **random) * (0.5 + torch.rand(n, 1, **random)),
        "b_dec": torch.randn(d, **random),
    }
    if kind.start_threshold is not None:
        params["threshold"] = torch.rand(n, **random) if kind.learns_threshold else torch.rand((), **random).expand(n).clone()
    return torch.randn(batch, d, **random), params, torch.randperm(n, generator=g), g


def vectors(dtype, size=1.0, n=4000, d=8, seed=0):
    """Off centre, so that a sum of squares is far larger than the variance."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 2
    return (size * x).to(dtype)


def firings(dtype, size=1.0, n=3000, n_latents=9, seed=0):
    """Activations of latents that fire on a third of the inputs, some together."""
    g = torch.Generator().manual_seed(seed)
    common = torch.rand(n, 1, generator=g, dtype=torch.float64)
    acts = (common + torch.rand(n, n_latents, generator=g, dtype=torch.float64) - 1.2).relu()
    acts[:, 3:4] = 0
    return (size * acts).to(dtype)


def an_sae(kind=None, dtype=torch.float32, n_latents=20):
    sae = msae.SAE(8, n_latents, kind, hook_name="blocks.1.hook_resid_pre", generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        sae.b_enc -= 0.5
        sae.b_dec += 0.3
        if sae.threshold is not None:
            sae.threshold.fill_(0.4)
    return sae.to(dtype)


def random_sae(kind=None, n_latents=40):
    sae = msae.SAE(16, n_latents, kind, hook_name="blocks.1.hook_resid_pre", generator=torch.Generator().manual_seed(0))
    if sae.threshold is not None:
        sae.threshold.data.fill_(0.3)
    return sae
