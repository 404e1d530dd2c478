"""Which SAEs "One of two" trains: a name for each, where it starts, what it reads in which order."""

from __future__ import annotations

import fnmatch
from typing import NamedTuple

N_SEEDS, N_STEPS, BATCH = 24, 1500, 1024

SIZES = {
    "plain100": (100, 6.0), "plain333": (333, 10.0), "plain1000": (1000, 15.0), "plain2048": (2048, 30.0), "matryoshka100": (100, 6.0),
    "matryoshka2048": (2048, 30.0), "topk100": (100, 6.0), "signed100": (100, 6.0), "l1plain100": (100, 6.0),
}  # fmt: skip
"""Kind → latents, L0. "topk" keeps the 6 largest pre-activations, "signed" the 6 largest by size, with their signs; "l1" has the L1
penalty, all others that need one the log penalty."""

EDITS = ("mirror-winner", "redraw-winner", "graft", "mirror-all", "give-both")
"""What is done to the initial rows (`starting`); all but "mirror-all" need SAEs without an edit."""

LATER = ("insert", "insert-nothing")
"""What is done to the finished SAE, which is trained once more (`inserting`)."""


class Job(NamedTuple):
    """One SAE."""

    kind: str
    rows: int
    """Seed of the initial rows."""

    order: int
    """Seed of the order of batches."""

    edit: str = ""
    """Of the initial rows; nothing for those that the seed draws."""

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.kind}-rows{self.rows}-order{self.order}" + (f"-{self.edit}" if self.edit else "")

    @property
    def goes_on(self) -> bool:
        """Whether it begins with a finished SAE."""
        return self.edit in LATER

    @property
    def base(self) -> Job:
        """The same without the edit."""
        return self._replace(edit="")


def all_jobs() -> list[Job]:
    """In the order of their worth; those that build on others behind them."""
    seeds = range(N_SEEDS)
    jobs = [Job(kind, s, s) for kind in ("plain100", "matryoshka2048") for s in seeds]
    jobs += [Job("plain100", rows, order) for rows in range(8) for order in range(8) if rows != order]
    jobs += [Job(kind, s, s) for kind in ("signed100", "topk100", "l1plain100") for s in seeds]
    jobs += [Job("plain100", s, s, edit) for edit in (*EDITS, *LATER) for s in seeds]
    jobs += [Job("matryoshka2048", rows, order) for rows in range(4) for order in range(4) if rows != order]
    jobs += [Job(kind, s, s) for kind in ("matryoshka100", "plain333", "plain1000", "plain2048") for s in seeds]
    jobs += [Job("matryoshka2048", s, s, edit) for edit in ("mirror-all", "mirror-winner", "give-both") for s in seeds]
    return jobs


def chosen(pattern: str) -> list[Job]:
    """Those whose names fit any of some patterns, with commas between."""
    return [job for job in all_jobs() if any(fnmatch.fnmatch(job.name, part) for part in pattern.split(","))]
