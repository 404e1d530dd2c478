"""Where the latents of several SAEs fire, computed for each when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msae.firings.firings import Firings

if TYPE_CHECKING:
    from msae.activations.kept import Activations
    from msae.sae.sae import SAE


class FiringsOf(Mapping[str, Firings]):
    """name → where the latents of that SAE fire on these activations; what is computed is kept in `firings`, which several may share."""

    def __init__(self, saes: Mapping[str, SAE], activations: Activations, firings: dict[str, Firings]):
        self._saes, self._activations, self.firings = saes, activations, firings

    def __getitem__(self, name: str) -> Firings:
        sae = self._saes[name]
        if name not in self.firings:
            self.firings[name] = Firings.of_sae(sae, self._activations)
        return self.firings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._saes)

    def __len__(self) -> int:
        return len(self._saes)
