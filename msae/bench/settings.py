"""The sizes that are compared, and who takes part."""

from __future__ import annotations

import math
from dataclasses import dataclass

from msae.support import arguments

FLOOR, ENCODER = "five products", "encoder product"
"""What the steps are held against, by label: the five dense products of a step, and its first alone."""

LOSSES = ("plain", "sampled", "all_prefixes")
"""The full prefix alone, ten sampled prefixes, every prefix exactly."""

NONLINEARITIES = ("relu", "topk")
"""Of the steps that are compared."""

PEERS = {"sae-lens": "sae_lens", "dictionary-learning": "dictionary_learning"}
"""Packages that can take part, each with the module it is imported as."""

DTYPES = ("float32", "bfloat16", "float16")
"""Of the encoder's product."""

PEAK_FLOPS = {
    "H200": {"float32": 67e12, "tf32": 494e12, "bfloat16": 989e12, "float16": 989e12},
    "H100 80GB HBM3": {"float32": 67e12, "tf32": 494e12, "bfloat16": 989e12, "float16": 989e12},
    "A100": {"float32": 19.5e12, "tf32": 156e12, "bfloat16": 312e12, "float16": 312e12},
    "L4": {"float32": 30.3e12, "tf32": 60e12, "bfloat16": 121e12, "float16": 121e12},
    "T4": {"float32": 8.1e12, "float16": 65e12},
}
"""Operations per second by a word of the card's name, dense; float32 is without TF32: NVIDIA's data sheets."""


@dataclass(frozen=True)
class Setting:
    """The sizes of one comparison.

    Raises:
        ValueError: sizes that cannot be.

    Example:
        >>> Setting(d_model=256, n_latents=4096, batch=2048, l0=30).k
        30
    """

    d_model: int
    """Width of the inputs."""

    n_latents: int
    """Latents of the SAE."""

    batch: int
    """Inputs in a step."""

    l0: float
    """Mean number of active latents per input; TopK takes the nearest whole number, at least 1."""

    threads: int | None = None
    """Of each process, where the call names none; None leaves it to PyTorch."""

    def __post_init__(self) -> None:
        for name in ("d_model", "n_latents", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {arguments.shown(value)}")
        if self.threads is not None:
            arguments.whole("threads", self.threads, 1, hint="leave it out for PyTorch's choice")
        if isinstance(self.l0, bool) or not isinstance(self.l0, (int, float)) or not 0 < self.l0 < self.n_latents:
            got = arguments.shown(self.l0)
            raise ValueError(f"l0 must lie between 0 and n_latents={self.n_latents}, got {got}; a language model's SAE uses 15 to 60")

    @property
    def k(self) -> int:
        """Of TopK."""
        return max(1, round(self.l0))

    @property
    def widths(self) -> list[int]:
        """Ten fixed prefixes (fewer where they coincide) at the tenths of the square-root law, for peers that draw none."""
        return sorted({math.ceil(self.n_latents * (i / 10) ** 2) for i in range(1, 11)})


SETTINGS = {
    "toy": Setting(d_model=20, n_latents=20, batch=200, l0=1.12, threads=1),  # a second thread would only wait
    "mid": Setting(d_model=256, n_latents=4096, batch=2048, l0=30),
    "large": Setting(d_model=768, n_latents=24576, batch=1024, l0=30),
}
"""The sizes that `python -m msae bench` compares: the toy, an SAE of the bundled model, one of GPT-2\'s width."""
