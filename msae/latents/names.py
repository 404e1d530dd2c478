"""What a latent is called: "S/2/66", the name of its SAE and its number there."""

from __future__ import annotations


def split_id(latent_id: str) -> tuple[str, int]:
    """("S/2", 65) of "S/2/65"."""
    name, _, number = latent_id.rpartition("/")
    return name, int(number)
