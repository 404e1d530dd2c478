"""In: a JSON file that names SAEs and their recipes. Out: the SAEs, trained, measured and packed, and the table of their results."""

from msae.family.measuring import measure_family
from msae.family.members import Family, Member, load_family
from msae.family.results import load_results, save_results
from msae.family.shipped import load_saes, pack_saes
from msae.family.training import train_family

__all__ = [
    "Family",
    "Member",
    "load_family",
    "load_results",
    "load_saes",
    "measure_family",
    "pack_saes",
    "save_results",
    "train_family",
]
