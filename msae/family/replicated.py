"""Numbers of one SAE with their replicates: replicate r is of the same stories in every SAE and every pair.

So they can be averaged over seeds and compared (`msae.metrics.hierarchical`): the interval of one SAE alone says nothing of its seed.
"""

from __future__ import annotations

import numpy as np

from msae.metrics.costs import Splice
from msae.metrics.fidelity import Reconstruction
from msae.metrics.joint import replicates


def of_one(found: Reconstruction, loss: Splice) -> dict[str, np.ndarray]:
    """L0, FVU, and what an SAE costs the language model.

    Args:
        found: of the SAE on the stories.
        loss: of the SAE on texts of theirs.

    Returns:
        (1 + n_replicates,) by name; the first is the number itself.
    """
    return {
        "l0": replicates(lambda s: s[..., 1] / s[..., 0], found.sums),
        "fvu": replicates(lambda s: s[..., 2] / s[..., 3], found.sums),
        "kl": replicates(lambda s: s[..., 5] / s[..., 0], loss.sums),
        "extra loss": replicates(lambda s: (s[..., 2] - s[..., 1]) / s[..., 0], loss.sums),
        "loss recovered": replicates(lambda s: (s[..., 3] - s[..., 2]) / (s[..., 3] - s[..., 1]), loss.sums),
        "loss recovered, mean": replicates(lambda s: (s[..., 4] - s[..., 2]) / (s[..., 4] - s[..., 1]), loss.sums),
    }
