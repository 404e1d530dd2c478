"""What measures are given, as types: numbers of torch or NumPy, and firings in whatever form they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msae.firings.reading import Numbers as Numbers

if TYPE_CHECKING:
    from scipy.sparse import sparray, spmatrix

    from msae.firings.firings import Firings

Acts: TypeAlias = "Firings | sparray | spmatrix | Numbers"
"""What `msae.metrics.as_firings` reads: dense activations of torch or NumPy, sparse ones of SciPy, or firings."""
