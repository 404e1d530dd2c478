"""In: sizes of a training step. Out: its time as a ratio against the five dense products, ours and that of other libraries."""

from msae.bench.report import claim, figure, summary, table
from msae.bench.run import bench
from msae.bench.settings import DTYPES, ENCODER, FLOOR, LOSSES, NONLINEARITIES, PEERS, SETTINGS, Setting
from msae.bench.worker import spent

__all__ = [  # noqa: RUF022  (as they are read)
    "bench", "Setting", "SETTINGS", "summary", "table", "claim", "figure", "spent", "LOSSES", "NONLINEARITIES", "DTYPES", "PEERS",
    "FLOOR", "ENCODER",
]  # fmt: skip
