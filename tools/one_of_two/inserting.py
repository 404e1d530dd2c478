"""Put the latent that an SAE lacks into the finished SAE, and train on: does it stay?

The latent comes from another seed's SAE, which has it; of all such the one that helps most. It takes the place of the latent that is worth
least. "insert-nothing" trains on without.

Shapes: T tokens, D d_model, N latents.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jobs import Job
from looking import weights_of, worth_of_each
from safetensors.torch import load_file
from starting import winner
from torch import Tensor

N_TOKENS = 20_000


@torch.no_grad()
def insert(job: Job, params: dict[str, Tensor], x_TD: Tensor, done: dict[str, dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Fill the parameters of one SAE with a finished one's, with another's latent in the worst place.

    Args:
        job: "insert" or "insert-nothing".
        params: `W_encT`, `W_dec` (N, D), `b_enc` (N,), `b_dec` (D,), written over.
        x_TD: inputs, times scale.
        done: results of all SAEs of this kind, by name.
        folder: with their weights.

    Returns:
        where it was put, whose it is, and by how much the objective changes at once; λ at the end of training.
    """
    for name, value in load_file(folder / f"{job.base.name}.safetensors").items():
        params[name].copy_(value)
    own = done[job.base.name]
    lacks, weight = 1 - winner(own), own["gains"]["weight"]
    said: dict[str, Any] = {"weight": weight, "lacks": lacks}
    if job.edit == "insert-nothing":
        return said
    x_TD = x_TD[:N_TOKENS]
    sae = weights_of({name: value[None] for name, value in params.items()}, 0)
    worst = int(worth_of_each(sae, x_TD, weight).argmin())
    acts = sae.encode(x_TD)
    acts[:, worst] = 0
    residual = x_TD - acts @ sae.W_dec - sae.b_dec
    changes = {}
    for name, other in done.items():
        if winner(other) == lacks and other["told"][lacks] >= 0.75:
            row = {
                key: torch.tensor(value).to(x_TD) for key, value in other["owners"][lacks].items() if key in ("W_encT", "b_enc", "W_dec")
            }
            norm = row["W_dec"].norm()
            a = ((x_TD @ row["W_encT"] + row["b_enc"]) * norm).relu()
            saved = (2 * a * (residual @ (row["W_dec"] / norm)) - a.square() - weight * (a / 0.1).log1p()).mean()
            changes[name] = float(saved)
    best = max(changes, key=lambda name: changes[name])
    for key in ("W_encT", "b_enc", "W_dec"):
        params[key][worst] = torch.tensor(done[best]["owners"][lacks][key]).to(x_TD)
    worst_worth = float(worth_of_each(sae, x_TD, weight)[worst])
    return said | {
        "place": worst,
        "from": best,
        "gain": changes[best],
        "gain_of_each": sorted(changes.values()),
        "worth_of_place": worst_worth,
    }
