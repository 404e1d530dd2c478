"""In: an SAE and activations. Out: where and how strongly each latent fires, the hinge between what is trained and what is looked at."""

from msae.firings.firings import Firings, as_firings
from msae.firings.reading import CLEARLY
from msae.firings.sources import encode
from msae.firings.tops import TopToken

LatentActivations = Firings
"""The name that it had."""

__all__ = ["Firings", "as_firings", "encode", "CLEARLY", "TopToken", "LatentActivations"]  # noqa: RUF022  (as they are read)
