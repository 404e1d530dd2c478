"""Numbers with their replicates: replicate r is of the same stories, and the same latents of a reference, in every SAE and every pair.

So they can be averaged over seeds and compared (`msae.metrics.hierarchical`): the interval of one SAE alone says nothing of its seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from msae.metrics.intervals import ratio, sum_by_story
from msae.metrics.joint import replicates
from msae.metrics.unselected import unselected_holes

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import Tensor

    from msae.activations.kept import Activations
    from msae.sae.sae import SAE

ROWS = 4096
"""Activations that an SAE reads at a time."""


def of_pair(reference: csr_array | Tensor, large: csr_array | Tensor, story: Tensor) -> Mapping[str, np.ndarray]:
    """Holes, precision and correlation of all latents of a reference in a large SAE (`msae.metrics.unselected_holes`).

    Args:
        reference: (n_tokens, n_ref) activations.
        large: (n_tokens, n_large) likewise.
        story: (n_tokens,) the story of each token.

    Returns:
        (1 + n_replicates,) by name; the first is the number itself.
    """
    found: Mapping[str, np.ndarray] = unselected_holes(reference, large, story).replicates
    return found


@torch.no_grad()
def of_one(sae: SAE, activations: Activations, sums: Any) -> Mapping[str, np.ndarray]:
    """FVU, L0, and what an SAE costs the language model.

    Args:
        sae: on its device.
        activations: of the stories.
        sums: of `splice`: predictions, loss, loss with the SAE, with zeros, with the mean, KL, each summed over every story.

    Returns:
        (1 + n_replicates,) by name; the first is the number itself.
    """
    x, device = activations.x, sae.W_dec.device
    mean = x.double().mean(0).float().to(device)
    parts = []
    for part in x.split(ROWS):
        inputs = part.to(device).float()
        acts = sae.encode(inputs)
        errors = [(inputs - there).square().sum(1) for there in (sae.decode(acts), mean)]
        parts.append(torch.stack([*errors, (acts > 0).sum(1).float(), torch.ones_like(errors[0])], 1).cpu())
    error, spread, active, ones = torch.cat(parts).T
    story = activations.x_story
    found = {
        "fvu": replicates(ratio, sum_by_story(story, error, spread)),
        "l0": replicates(ratio, sum_by_story(story, active, ones)),
        "kl": replicates(lambda s: s[..., 5] / s[..., 0], sums),
        "extra loss": replicates(lambda s: (s[..., 2] - s[..., 1]) / s[..., 0], sums),
        "loss recovered": replicates(lambda s: (s[..., 3] - s[..., 2]) / (s[..., 3] - s[..., 1]), sums),
        "loss recovered, mean": replicates(lambda s: (s[..., 4] - s[..., 2]) / (s[..., 4] - s[..., 1]), sums),
    }
    return {name: np.asarray(values) for name, values in found.items()}
