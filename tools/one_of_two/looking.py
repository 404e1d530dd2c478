"""What is asked of an SAE of "One of two": F1 of its latents for the pair, how good it is, and what the missing latent would be worth.

Shapes: T tokens, D d_model, N latents. Activations are in units of x · scale and unit-norm decoder rows, as in training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

LEVEL, CHUNK = 0.25, 8192
TAUS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Projections from which the added latent fires; the best of them counts."""


class Weights(NamedTuple):
    """One SAE: rows of W_dec of norm 1."""

    W_encT: Tensor
    """(N, D)"""

    b_enc: Tensor
    W_dec: Tensor
    """(N, D)"""

    b_dec: Tensor

    def encode(self, x_TD: Tensor) -> Tensor:
        """(T, N) activations of a ReLU."""
        return torch.addmm(self.b_enc, x_TD, self.W_encT.T).relu_()


def weights_of(params: dict[str, Tensor], s: int) -> Weights:
    """The SAE of seed s, as training holds it."""
    W_dec = params["W_dec"][s]
    norm_N = torch.linalg.vector_norm(W_dec, dim=1)
    return Weights(params["W_encT"][s] * norm_N[:, None], params["b_enc"][s] * norm_N, W_dec / norm_N[:, None], params["b_dec"][s].clone())


@torch.no_grad()
def pair_f1(encode: Callable[[Tensor], Tensor], x_TD: Tensor, flags_2T: Tensor) -> Tensor:
    """(2, N) F1 of every latent for female and for male words, at a quarter of its maximum."""
    parts = x_TD.split(CHUNK)
    largest_N = torch.stack([encode(part).amax(0) for part in parts]).amax(0)
    both, fired = 0, 0
    for part, flags in zip(parts, flags_2T.float().split(CHUNK, dim=1)):
        fires = (encode(part) > LEVEL * largest_N).float()
        both, fired = both + flags @ fires, fired + fires.sum(0)
    return 2 * both / (fired + flags_2T.sum(1, keepdim=True))


@torch.no_grad()
def quality(sae: Weights, x_TD: Tensor) -> dict[str, float]:
    """L0, FVU and the share of latents that never fire."""
    spread, error, l0, power = (x_TD - x_TD.mean(0)).square().sum(), 0.0, 0, 0
    for part in x_TD.split(CHUNK):
        acts = sae.encode(part)
        error += (part - acts @ sae.W_dec - sae.b_dec).square().sum()
        l0, power = l0 + (acts > 0).sum(), power + acts.amax(0)
    return {"l0": float(l0 / len(x_TD)), "fvu": float(error / spread), "dead": float((power == 0).float().mean())}


class Added(NamedTuple):
    """What one more latent would save, all else frozen: per input, in squared units of x · scale."""

    tau: float
    """It fires where its projection exceeds this."""

    l0: float
    saved: float
    price: float
    """λ times the mean of its penalty."""


@torch.no_grad()
def best_added(residual_MD: Tensor, n_tokens: int, weight: float) -> tuple[Added, Tensor]:
    """The best latent for some tokens by least squares, for one that fires on these tokens alone; and its row.

    Power iteration finds the direction on which a one-sided latent explains most of the residual.

    Args:
        residual_MD: what is left of the tokens in question.
        n_tokens: of all tokens, to give means over inputs.
        weight: λ of the log penalty.
    """
    row = residual_MD.mean(0)
    for _ in range(50):
        row = row / row.norm()
        row = (residual_MD @ row).relu() @ residual_MD
    row = row / row.norm()
    read = (residual_MD @ row).relu()
    found = []
    for tau in TAUS:
        a = read[read > tau]
        found.append(Added(tau, len(a) / n_tokens, float(a.square().sum()) / n_tokens, weight * float((a / 0.1).log1p().sum()) / n_tokens))
    return max(found, key=lambda added: added.saved - added.price), row


@torch.no_grad()
def worth_of_each(sae: Weights, x_TD: Tensor, weight: float) -> Tensor:
    """(N,) by how much the objective rises when a latent is taken out and all else stays: its error less its penalty."""
    total = 0
    for part in x_TD.split(CHUNK):
        acts = sae.encode(part)
        residual = part - acts @ sae.W_dec - sae.b_dec
        total = total + (acts.square() + 2 * acts * (residual @ sae.W_dec.T) - weight * (acts / 0.1).log1p()).sum(0)
    return total / len(x_TD)


@torch.no_grad()
def gains(sae: Weights, x_TD: Tensor, flags_2T: Tensor, *, owners: list[int], weight: float, axis: Tensor) -> dict[str, Any]:
    """What a latent for each of the pair would add, with and without the SAE's best latents for the pair.

    Args:
        sae: trained.
        x_TD: what it is judged on, times scale.
        flags_2T: female words, male words.
        owners: its best latent for each.
        weight: λ at the end of training.
        axis: (D,) of norm 1, from male to female words.

    Returns:
        "missing": one more latent beside all others; "worth": of each of the owners, "rank": how many latents are worth less than the
        missing one; "axis": mean of x and of its reconstruction along the axis, without each owner too, on the words of each.
    """
    parts = [(part, sae.encode(part)) for part in x_TD.split(CHUNK)]
    hat = torch.cat([acts @ sae.W_dec for _, acts in parts]) + sae.b_dec
    own_T2 = torch.cat([acts[:, owners] for _, acts in parts])
    residual, worth_N = x_TD - hat, worth_of_each(sae, x_TD, weight)
    said: dict[str, Any] = {"weight": weight, "error": float(residual.square().sum(1).mean()), "worth": worth_N[owners].tolist()}
    said["least_worth"] = worth_N[worth_N != 0].sort().values[:5].tolist()
    for name, left in (("missing", residual), ("anew", residual + own_T2[:, :1] * sae.W_dec[owners[0]])):
        if name == "anew" and owners[0] != owners[1]:
            left = left + own_T2[:, 1:] * sae.W_dec[owners[1]]
        added = [best_added(left[flags], len(x_TD), weight)[0] for flags in flags_2T]
        said[name] = [one._asdict() for one in added]
    said["rank"] = [int((worth_N[worth_N != 0] < one["saved"] - one["price"]).sum()) for one in said["missing"]]
    along = torch.stack([x_TD @ axis, hat @ axis, *(own_T2[:, i] * (sae.W_dec[own] @ axis) for i, own in enumerate(owners))])
    neither = ~flags_2T.any(0)
    said["axis"] = {name: along[:, flags].mean(1).tolist() for name, flags in zip(("female", "male", "neither"), (*flags_2T, neither))}
    return said
