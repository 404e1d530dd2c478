"""In: vectors (…, d_model). Out: latents (…, n_latents) and the vectors rebuilt from them, by all latents or by a prefix of them."""

from msae.sae.nonlinearities import BatchTopK, JumpReLU, Nonlinearity, ReLU, TopK
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import FixedPrefixes, FullPrefix, ParetoPrefixes, PrefixLaw, SquareRootPrefixes, UniformPrefixes
from msae.sae.sae import SAE

__all__ = [
    "PENALTIES",
    "SAE",
    "BatchTopK",
    "FixedPrefixes",
    "FullPrefix",
    "JumpReLU",
    "Nonlinearity",
    "ParetoPrefixes",
    "PrefixLaw",
    "ReLU",
    "SquareRootPrefixes",
    "TopK",
    "UniformPrefixes",
]
