"""In: vectors (…, d_model). Out: latents (…, n_latents) and the vectors rebuilt from them, by all latents or by a prefix of them."""

from msae.sae.card import model_card
from msae.sae.formats import read_dictionary_learning, read_sae, read_saelens, write_saelens
from msae.sae.hub import pull_sae, push_sae
from msae.sae.nonlinearities import BatchTopK, JumpReLU, Nonlinearity, ReLU, TopK
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import FixedPrefixes, FullPrefix, ParetoPrefixes, PrefixLaw, SquareRootPrefixes, UniformPrefixes, WeightedPrefixes
from msae.sae.sae import SAE

__all__ = [  # noqa: RUF022  (as they are read)
    "SAE", "ReLU", "TopK", "BatchTopK", "JumpReLU", "Nonlinearity", "FullPrefix", "SquareRootPrefixes", "ParetoPrefixes",
    "UniformPrefixes", "FixedPrefixes", "WeightedPrefixes", "PrefixLaw", "PENALTIES", "read_sae", "read_saelens", "write_saelens",
    "read_dictionary_learning", "push_sae", "pull_sae", "model_card",
]  # fmt: skip
