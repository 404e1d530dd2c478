"""How sparse and how faithful: L0, the variance left unexplained, latents that never fire."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.firings.firings import as_firings
from msae.firings.reading import checked_sae, checked_vectors, run, story_numbers
from msae.metrics.given import Acts, Numbers
from msae.metrics.intervals import Interval, bootstrap, ratio
from msae.sae.sae import SAE
from msae.support.arguments import all_finite, number, shown, tensor
from msae.support.renamed import by_name
from msae.support.sums import column_means, parts


def l0(acts: Tensor) -> float:
    """Mean number of active latents per input.

    Args:
        acts: (…, n_latents) activations.

    Returns:
        from 0 to n_latents.

    Raises:
        ValueError: no activations, or one that is NaN or infinite.

    Example:
        >>> import torch
        >>> from msae.metrics import l0
        >>> l0(torch.tensor([[0.0, 2.0, 1.0], [0.0, 0.0, 3.0]]))
        1.5
    """
    acts = tensor("acts", acts, ("…", "n_latents"), finite=True)
    if not acts.numel():
        raise ValueError(f"acts must hold at least one input, got shape {tuple(acts.shape)}")
    return int(torch.count_nonzero(acts > 0)) / (acts.numel() // acts.shape[-1])


@torch.no_grad()
def fvu(x: Tensor, x_hat: Tensor) -> float:
    """Fraction of variance unexplained: Σ‖x - x̂‖² / Σ‖x - mean(x)‖².

    Args:
        x: (n, d_model) vectors.
        x_hat: (n, d_model) their reconstructions.

    Returns:
        0 is perfect, 1 no better than the mean.

    Raises:
        ValueError: shapes that do not fit, a number that is NaN or infinite, or rows that are all equal.

    Example:
        >>> import torch
        >>> from msae.metrics import fvu
        >>> fvu(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]]))
        0.5
    """
    x, x_hat = tensor("x", x, numbers="real"), tensor("x_hat", x_hat, numbers="real")
    if x.shape != x_hat.shape or x.ndim != 2 or len(x) < 2:
        raise ValueError(f"expected x and x_hat (n, d_model) with n ≥ 2 and equal shapes, got {tuple(x.shape)} and {tuple(x_hat.shape)}")
    mean, error, spread = column_means("x", x), 0.0, 0.0
    for part, part_hat in parts(x, x_hat):
        error += (part - part_hat).square().sum().item()
        spread += (part - mean).square().sum().item()
    if not np.isfinite(error):
        all_finite("x_hat", x_hat)
    _check_sums(error, spread)
    return error / spread


def _check_sums(error: float, spread: float) -> None:
    if not (np.isfinite(error) and np.isfinite(spread)):
        raise ValueError("the squares of x or of its reconstruction leave float64: divide x by a constant before")
    if not spread > 0:
        raise ValueError("the rows of x are all equal, up to rounding: there is no variance to explain; give more inputs")


@torch.no_grad()
def cosines(rows: Tensor, columns: Tensor) -> Tensor:
    """The cosine of each vector of one set with each of another. Made in float64, whatever the vectors are.

    Args:
        rows: (…, n, d) vectors.
        columns: (…, m, d) vectors.

    Returns:
        (…, n, m) from -1 to 1, 0 for a zero vector; float32 at least.

    Raises:
        ValueError: vectors of different length, or a number that is NaN or infinite.

    Example:
        >>> import torch
        >>> from msae.metrics import cosines
        >>> cosines(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0]])).tolist()
        [[1.0, 0.0]]
    """
    rows, columns = (tensor(name, v, ("…", "n", "d"), finite=True) for name, v in (("rows", rows), ("columns", columns)))
    if rows.shape[-1] != columns.shape[-1] or not rows.shape[-1]:
        raise ValueError(f"rows and columns must be vectors of one length, got {tuple(rows.shape)} and {tuple(columns.shape)}")
    dtype = torch.promote_types(torch.promote_types(rows.dtype, columns.dtype), torch.float32)
    rows, columns = (v if v.is_floating_point() else v.double() for v in (rows, columns))
    # Divided by the largest entry, so that squares neither vanish nor overflow.
    largest = [v.abs().amax(-1, keepdim=True).to(rows.device, torch.float64).clamp(min=1e-323) for v in (rows, columns)]
    products = torch.zeros((), dtype=torch.float64)
    squares = [products, products]
    for pair in parts(rows, columns, axis=-1):
        a, b = (v / size for v, size in zip(pair, largest))
        products = products + a @ b.mT
        squares = [square + v.square().sum(-1) for square, v in zip(squares, (a, b))]
    norms = [square.sqrt().clamp(min=1e-300) for square in squares]
    return (products / norms[0].unsqueeze(-1) / norms[1].unsqueeze(-2)).to(dtype)


@by_name()
def dead(acts: Acts, *, at_most: float = 0.0) -> np.ndarray:
    """Which latents fire on no input, or on few.

    Whether a latent that was silent on these inputs is silent on all is not told by resampling them: there is no interval. Say on how
    many inputs it was silent: after none in n, the rate is below 3 / n with 95 % confidence (the rule of three).

    Args:
        acts: as for `as_firings`.
        at_most: share of the inputs, 0 to 1, on which a dead latent may fire.

    Returns:
        (n_latents,) bool.

    Raises:
        ValueError: activations that are NaN or infinite, or a share outside [0, 1].

    Example:
        >>> from msae.metrics import dead
        >>> dead([[0.0, 1.0], [0.0, 0.0]]).tolist()
        [True, False]
    """
    at_most = number("at_most", at_most, 0, 1)
    firings = as_firings(acts)
    (fired,), _ = firings.counts_above([0.0], firings.present)
    return np.asarray(fired <= at_most * firings.present.sum())


class Reconstruction(NamedTuple):
    """How an SAE does on inputs, by stories.

    Example:
        >>> import torch
        >>> from msae.metrics import Interval, Reconstruction
        >>> sums = torch.tensor([[500.0, 15000, 90, 500], [500, 15000, 110, 500]]).numpy()
        >>> found = Reconstruction(Interval(30, 29, 31), Interval(0.2, 0.19, 0.21), 0.05, torch.ones(8), 1000, sums)
        >>> f"{found.fvu:.0%}, {found.against(found):.2f} times its own"
        '20% [19%, 21%], 1.00 times its own'
    """

    l0: Interval
    """Mean number of active latents per input."""

    fvu: Interval
    """Fraction of variance unexplained."""

    dead: float
    """Share of the latents that fire on none of the inputs."""

    density: Tensor
    """(n_latents,) float64: share of the inputs on which each latent fires."""

    n_inputs: int
    """How many inputs all this was measured on."""

    sums: np.ndarray
    """(n_stories, 4) float64: sums over the inputs of each story of 1, the active latents, the squared error, and the squared distance from
    the mean of all inputs. What `replicates` reads."""

    def against(self, other: Reconstruction) -> Interval:
        """What this SAE leaves unexplained, as a multiple of what another one does, each resample with the same stories for both.

        Args:
            other: of the same inputs.

        Returns:
            the ratio of the two FVUs.

        Raises:
            ValueError: it is of other inputs.

        Example:
            >>> import msae, torch
            >>> found = msae.metrics.reconstruction(msae.SAE(4, 8), torch.randn(10, 4))
            >>> print(found.against(found))
            1
        """
        if not isinstance(other, Reconstruction):
            raise ValueError(f"other must be a Reconstruction, got {shown(other)}")
        if self.sums.shape != other.sums.shape or not np.allclose(self.sums[:, [0, 3]], other.sums[:, [0, 3]], rtol=1e-4):
            raise ValueError("other is of other inputs: measure both SAEs on the same ones, with the same stories")
        return bootstrap(ratio, np.stack([self.sums[:, 2], other.sums[:, 2]], axis=1))


@by_name()
@torch.no_grad()
def reconstruction(sae: SAE, x: Tensor, *, story: Numbers | None = None, chunk: int | None = None) -> Reconstruction:
    """L0, FVU and dead latents of an SAE, some rows at a time.

    Args:
        sae: to be measured, where it is.
        x: (n, d_model) raw activations, in any precision, memory-mapped or not.
        story: (n,) the story of each row, for the intervals (`activations.x_story`); each row is its own if left out.
        chunk: rows at a time; as many as take 128 MB if left out.

    Returns:
        L0 in latents, the others as shares.

    Raises:
        ValueError: fewer than two rows, or rows that are all equal; not one story per row; a number of x or a weight that is not finite.

    Example:
        >>> import msae, torch
        >>> msae.metrics.reconstruction(msae.SAE(4, 8), torch.randn(10, 4)).n_inputs
        10
    """
    sae = checked_sae(sae)
    x = checked_vectors("x", x, sae.d_model)
    if len(x) < 2:
        raise ValueError(f"expected x (n, d_model) with n ≥ 2, got {tuple(x.shape)}")
    device = sae.W_enc.device
    numbers = torch.from_numpy(story_numbers(story, (len(x),), "one story per row of x")).to(device)
    mean = column_means("x", x).to(device)
    # Columns: number of rows, their L0, their squared error, their squared length, and the sum of the vectors; all lengths from the mean,
    # so that the variance is no small difference of large sums.
    sums = torch.zeros(int(numbers.max()) + 1, 4 + x.shape[1], dtype=torch.float64, device=device)
    fired = torch.zeros(sae.n_latents, dtype=torch.float64, device=device)
    begin = 0
    for part, acts in run(sae, x, chunk):
        active, part = acts > 0, part.double()
        error = (part - sae.decode(acts)).square().sum(1)
        shifted = part - mean
        columns = [torch.ones_like(error), active.sum(1).double(), error, shifted.square().sum(1)]
        sums.index_add_(0, numbers[begin : begin + len(part)], torch.cat([torch.stack(columns, 1), shifted], 1))
        fired += active.sum(0)
        begin += len(part)
    table = sums.cpu().numpy()
    _check_sums(table[:, 2].sum(), table[:, 3].sum())
    return Reconstruction(
        bootstrap(ratio, table[:, [1, 0]]),
        bootstrap(lambda s: s[..., 2] / (s[..., 3] - np.square(s[..., 4:]).sum(-1) / s[..., 0]), table),
        (fired == 0).double().mean().item(),
        (fired / len(x)).cpu(),
        len(x),
        sums=table[:, :4],
    )
