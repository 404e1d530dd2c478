"""Every public function and what it must refuse: one table a file, read by `test_bad_input.py`.

    TABLE = [
        Function(msae.SAE, good=lambda: {"d_model": 4, "n_latents": 8}, bad={"d_model": [*NOT_WHOLE, 0, -1], …}),
    ]

A row takes the good arguments and puts one wrong value into them. What comes must be one sentence that names the argument and says what was
given: a ValueError, or an OSError for a file. `Says(value, "words")` asks for other words, where the fault is not in one argument alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

NAN, INF = float("nan"), float("inf")
NOT_WHOLE = [None, "3", 2.5, NAN, INF, True, [3]]
NOT_A_NUMBER = [None, "0.5", NAN, INF, [0.5]]
NOT_TEXT = [None, 3, b"a", ["a"]]
NOT_A_PATH = [None, 3, "", ["a"]]
SQUARE = torch.ones(2, 2)
NOT_DENSE = [
    *(SQUARE.to_sparse(), SQUARE.to("meta"), SQUARE.to(torch.float8_e4m3fn)),
    np.ma.masked_array(np.ones((2, 2)), mask=np.eye(2)),
]
NOT_A_TENSOR = [None, 3, "a", [[1.0]], {"a": 1}, *NOT_DENSE]


class Says(NamedTuple):
    """A wrong value, and words that the error must hold."""

    value: Any
    words: str


@dataclass
class Function:
    """A function, arguments that it takes, and for each argument the values that it must refuse."""

    call: Callable[..., Any]
    good: Callable[[], dict[str, Any]]
    """Makes fresh arguments by name; the test calls it once to see that they work."""

    bad: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    free: Mapping[str, str] = field(default_factory=dict)
    """Arguments without a wrong value, and why: "anything: it is shown", "judged by SAE"."""

    name: str = ""
    """What it is called in the table of tests; its own name where left out."""

    def __post_init__(self) -> None:
        self.name = self.name or self.call.__qualname__
