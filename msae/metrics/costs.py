"""What an SAE costs the language model in whose stream it stands: losses and divergence, from sums over stories."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from msae.metrics.intervals import Interval, bootstrap, ratio
from msae.support.arguments import array, shown


class Splice(NamedTuple):
    """The language model with an SAE in its stream; losses in nats per token.

    Example:
        >>> import numpy as np
        >>> from msae.metrics import Splice
        >>> found = Splice.of_sums(np.array([[100, 200, 220, 800, 600, 20], [100, 210, 228, 790, 610, 18]]))
        >>> print(f"{found.loss_recovered:.3f}, KL {found.kl:.2f}")
        0.968 [0.967, 0.969], KL 0.19 [0.18, 0.20]
    """

    loss: Interval
    """Cross-entropy of the model as it is."""

    loss_spliced: Interval
    """With the SAE's reconstruction in place of the activation."""

    loss_ablated: Interval
    """With zero in place of the activation."""

    loss_recovered: Interval
    """(loss_ablated - loss_spliced) / (loss_ablated - loss): 1 is as good as the model itself, 0 as bad as zero."""

    kl: Interval
    """KL divergence of the model's next-token distribution from the spliced model's: Σ p log(p / q)."""

    n_tokens: int
    """How many predictions these are measured on."""

    loss_mean_ablated: Interval
    """With the mean of the activations of these texts in place of each: a fairer nothing than zero, which the model never meets."""

    recovered_from_mean: Interval
    """`loss_recovered` with that for 0."""

    sums: np.ndarray
    """(n_stories, 6) float64: sums over the predictions of each story of 1, the loss as it is, spliced, with zero and with the mean in
    place, and of the KL divergence. What two SAEs on the same stories are compared by, and what `replicates` reads."""

    @classmethod
    def of_sums(cls, sums: np.ndarray) -> Splice:
        """All numbers, from the sums over stories.

        Args:
            sums: (n_stories, 6), as the field of that name.

        Returns:
            with intervals over the stories.

        Raises:
            ValueError: another shape, or a number that is NaN or infinite.

        Example:
            >>> import numpy as np
            >>> from msae.metrics import Splice
            >>> Splice.of_sums(np.array([[100, 200, 220, 800, 600, 20], [100, 210, 228, 790, 610, 18]])).n_tokens
            200
        """
        sums = array("sums", sums, ("n_stories", 6), finite=True).astype(np.float64)
        loss, spliced, ablated, mean_ablated, kl = (bootstrap(ratio, sums[:, [i, 0]]) for i in range(1, 6))
        recovered, from_mean = (bootstrap(partial(_recovered, nothing), sums) for nothing in (3, 4))
        return cls(
            loss,
            loss_spliced=spliced,
            loss_ablated=ablated,
            loss_recovered=recovered,
            kl=kl,
            n_tokens=int(sums[:, 0].sum()),
            loss_mean_ablated=mean_ablated,
            recovered_from_mean=from_mean,
            sums=sums,
        )

    def against(self, other: Splice) -> SpliceRatio:
        """What this SAE costs the model, as a multiple of what another one costs it on the same stories.

        Two intervals that overlap say nothing of the difference: a story that is hard for one SAE is hard for the other. Here each
        resample has the same stories for both.

        Args:
            other: of the same call of `splice`, or of one on the same texts.

        Returns:
            the two ratios with intervals.

        Raises:
            ValueError: it is of other stories, or of another model.

        Example:
            >>> import numpy as np
            >>> from msae.metrics import Splice
            >>> plain = Splice.of_sums(np.array([[100.0, 200, 220, 800, 600, 20], [100, 210, 250, 790, 610, 40]]))
            >>> print(plain.against(plain).kl)
            1
        """
        if not isinstance(other, Splice):
            raise ValueError(f"other must be a Splice, got {shown(other)}")
        if self.sums.shape != other.sums.shape or not np.allclose(self.sums[:, :2], other.sums[:, :2], rtol=1e-4):
            raise ValueError("other is of other stories, or of another model: give both SAEs to one call of splice")
        both = np.concatenate([self.sums, other.sums], axis=1)
        kl, extra = bootstrap(ratio, both[:, [5, 11]]), bootstrap(lambda s: (s[..., 2] - s[..., 1]) / (s[..., 8] - s[..., 7]), both)
        return SpliceRatio(kl, extra, len(both))


def _recovered(nothing: int, sums: np.ndarray) -> np.ndarray:
    """Share of the way from a nothing, the column of its loss, to the model as it is."""
    return (sums[..., nothing] - sums[..., 2]) / (sums[..., nothing] - sums[..., 1])


class SpliceRatio(NamedTuple):
    """What one SAE costs the language model, over what another one costs it.

    Example:
        >>> from msae.metrics import Interval, SpliceRatio
        >>> print(SpliceRatio(kl=Interval(1.13, 1.10, 1.15), extra_loss=Interval(1.10, 1.06, 1.14), n_stories=250).kl)
        1.13 [1.1, 1.15]
    """

    kl: Interval
    """Ratio of the KL divergences."""

    extra_loss: Interval
    """Ratio of what the loss rises by."""

    n_stories: int
    """How many stories both are measured on."""
