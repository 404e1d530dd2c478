"""In: a folder that another library wrote, or an SAE. Out: an SAE that computes the same, or a folder that the other library reads."""

from msae.sae.formats.dictionary_learning import read_dictionary_learning
from msae.sae.formats.folders import read_sae
from msae.sae.formats.saelens import read_saelens, write_saelens

__all__ = ["read_dictionary_learning", "read_sae", "read_saelens", "write_saelens"]
