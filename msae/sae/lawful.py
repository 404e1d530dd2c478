"""Whether a prefix law is one: training multiplies what it says into the loss, and would not notice."""

from __future__ import annotations

from dataclasses import is_dataclass

import torch

from msae.sae import prefixes
from msae.sae.prefixes import PrefixLaw
from msae.support.arguments import shown, tensor


def checked_law(law: object, n_latents: int) -> PrefixLaw:
    """The law, where its two views are those of prefixes of so many latents.

    Raises:
        ValueError: it is no prefix law, is called as one of msae's own is, or says what cannot be.
    """
    lacks = [name for name in ("sample", "inclusion") if not callable(getattr(law, name, None))]
    if not is_dataclass(law) or isinstance(law, type) or lacks:
        raise ValueError(f"prefixes must be a prefix law such as msae.SquareRootPrefixes(), got {shown(law)}")
    found: PrefixLaw = law  # type: ignore[assignment]
    name = type(law).__name__
    if getattr(prefixes, name, type(law)) is not type(law):
        raise ValueError(f"prefixes is called {name!r}, as one of msae's own laws is: give yours another name")
    inclusion = tensor(f"inclusion of {name}", found.inclusion(n_latents), (n_latents,), numbers="real", finite=True)
    if abs(inclusion[0] - 1) > 1e-2 or inclusion[-1] <= 0 or (inclusion.diff() > 1e-6).any():
        wanted = "be 1 for the first latent, never rise, and stay above 0"
        raise ValueError(f"inclusion of {name} must {wanted}, got {[round(share, 4) for share in inclusion.tolist()[:9]]} …")
    lengths = tensor(f"sample of {name}", found.sample(n_latents, torch.Generator().manual_seed(0)), ("n_prefixes",), numbers="whole")
    if not len(lengths) or lengths[0] < 1 or lengths[-1] != n_latents or (lengths.diff() < 0).any():
        raise ValueError(f"sample of {name} must give increasing lengths from 1, the last {n_latents:,}, got {lengths.tolist()[:9]}")
    return found
