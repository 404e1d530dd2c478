"""In: a JSON file that names SAEs and their recipes. Out: the SAEs, trained, measured and packed, and the table of their results."""

from msae.family.measuring import measure_family
from msae.family.members import Family, Member, load_family
from msae.family.planning import Plan, plan_family
from msae.family.results import load_results, load_together, pair_numbers, save_results
from msae.family.shipped import load_saes, pack_saes
from msae.family.training import train_family

__all__ = [  # noqa: RUF022  (as they are read)
    "load_saes", "load_family", "Family", "Member", "plan_family", "Plan", "train_family", "measure_family", "load_results",
    "load_together", "pair_numbers", "save_results", "pack_saes",
]  # fmt: skip
