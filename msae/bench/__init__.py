"""In: sizes of a training step. Out: its time as a ratio against the five dense products, ours and that of other libraries."""

from msae.bench.report import claim, figure, summary, table
from msae.bench.run import bench
from msae.bench.settings import DTYPES, ENCODER, FLOOR, LOSSES, NONLINEARITIES, PEERS, SETTINGS, Setting
from msae.bench.worker import spent

__all__ = [
    "DTYPES",
    "ENCODER",
    "FLOOR",
    "LOSSES",
    "NONLINEARITIES",
    "PEERS",
    "SETTINGS",
    "Setting",
    "bench",
    "claim",
    "figure",
    "spent",
    "summary",
    "table",
]
