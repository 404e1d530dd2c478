"""What measures are given, as types: numbers of torch or NumPy, and firings in whatever form they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import sparray, spmatrix
    from torch import Tensor

    from msae.firings.firings import Firings

Numbers: TypeAlias = "Tensor | ArrayLike"
"""A tensor, or what NumPy makes an array of."""

Acts: TypeAlias = "Firings | sparray | spmatrix | Tensor | ArrayLike"
"""What `msae.metrics.as_firings` reads: dense activations of torch or NumPy, sparse ones of SciPy, or firings."""
