"""What latents are compared with: directions that nobody has trained for it, made to fire as often as an SAE's latents do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from msae.firings.firings import Firings
from msae.firings.reading import Numbers, latent_number
from msae.support.arguments import array, shown, tensor, whole

if TYPE_CHECKING:
    from torch import Tensor

    from msae.sae.sae import SAE


def strongest_inputs(scores: Numbers, counts: Numbers, *, mask: Numbers | None = None) -> Firings:
    """Scores of any sign, read as latents that fire on their strongest inputs, each on so many.

    A neuron, a principal component or a random direction has a number on every input and is never silent. To explain it as a latent is
    explained, it needs a threshold; this one makes it fire as often as a latent that it is compared with.

    Args:
        scores: (n, n_directions) numbers, such as `x @ directions.T`; where a mask is given, one row for each place that counts, in order.
        counts: (n_directions,) on how many inputs each fires; inputs that are equal at the threshold are left out.
        mask: (n_texts, n_ctx) bool, the places that count; the inputs have no texts if left out.

    Returns:
        firings whose values are the scores beyond the threshold.

    Raises:
        ValueError: shapes that do not fit each other, a score that is not finite, or more firings than inputs.

    Example:
        >>> from msae.latents import strongest_inputs
        >>> strongest_inputs([[-3.0, 5.0], [-1.0, 2.0], [-2.0, 4.0]], [1, 2]).counts.tolist()
        [1, 2]
    """
    import torch

    table = torch.as_tensor(array("scores", scores, ("n", "n_directions"), numbers="real", finite=True)).float()
    often = _counts(counts, table.shape[1], len(table) - 1)
    where = np.arange(len(table))
    places: tuple[int, ...] = (len(table),)
    if mask is not None:
        marks = array("mask", mask, ("n_texts", "n_ctx"), numbers="marks").astype(bool)
        where, places = np.flatnonzero(marks), marks.shape
        if len(where) != len(table):
            raise ValueError(f"scores must have a row for each of the {len(where):,} places that count in mask, got {len(table):,}")
    start, positions, values = [0], [], []
    for column, n in zip(table.T, often.tolist()):
        beyond = column - column.topk(n + 1).values[-1]
        fires = torch.nonzero(beyond > 0)[:, 0].numpy()
        positions.append(where[fires])
        values.append(beyond.numpy()[fires])
        start.append(start[-1] + len(fires))
    present = np.zeros(int(np.prod(places)), dtype=bool)
    present[where] = True
    return Firings(np.arange(len(often)), np.array(start), np.concatenate(positions), np.concatenate(values), present.reshape(places))


def some_latents(sae: SAE, latents: Iterable[int]) -> SAE:
    """An SAE of some latents of another, in the order given; each fires as it does in the whole.

    To look at a hundred latents of eight thousand, there is no need to encode with all of them.

    Args:
        sae: one whose latents do not compete: no TopK, and no BatchTopK in training.
        latents: their numbers.

    Returns:
        the SAE; its latent k is `latents[k]`. It reconstructs only what these latents explain.

    Raises:
        ValueError: no SAE, one whose latents compete, no latents or one that is not there.

    Example:
        >>> import msae, torch
        >>> from msae.latents import some_latents
        >>> sae, x = msae.SAE(4, 9), torch.ones(1, 4)
        >>> torch.allclose(some_latents(sae, [5, 2]).encode(x), sae.encode(x)[:, [5, 2]])
        True
    """
    from msae.sae.files import About
    from msae.sae.sae import SAE

    if not isinstance(sae, SAE) or sae.nonlinearity.latents_compete:
        raise ValueError(f"sae must be an SAE whose latents do not compete, got {shown(sae)}")
    if isinstance(latents, str) or not isinstance(latents, Iterable):
        raise ValueError(f"latents must be a list of numbers, got {shown(latents)}")
    numbers = [whole("latents", latent_number(each, "latents"), 0, sae.n_latents - 1) for each in latents]
    if not numbers:
        raise ValueError("latents must name one latent or more, got none")
    cut = {name: w if name == "b_dec" else w[:, numbers] if name == "W_enc" else w[numbers] for name, w in sae.state_dict().items()}
    return SAE.from_weights(cut, About(sae.nonlinearity, sae.hook_name, sae.scale, None))


def frozen_sae(x: Tensor, counts: Numbers, *, seed: int = 0, hook_name: str | None = None) -> SAE:
    """An SAE that has learned nothing but how often to fire: random rows, and biases that make each latent fire as often as asked for.

    The control for what is said of trained SAEs: whatever it reaches too does not come from training.

    Args:
        x: (n, d_model) activations on which the latents are to fire so often.
        counts: (n_latents,) on how many of them each fires, such as the counts of a trained SAE's latents.
        seed: of the rows.
        hook_name: where the activations come from.

    Returns:
        the SAE, with a ReLU; its encoder's rows are its decoder's, of length 1.

    Raises:
        ValueError: activations that are no (n, d_model) numbers, or counts that are no whole numbers from 0 to n − 1.

    Example:
        >>> import torch
        >>> from msae.latents import frozen_sae
        >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> (frozen_sae(x, [3, 10]).encode(x) > 0).sum(0).tolist()
        [3, 10]

    Source: after Korznikov and others 2026, who freeze one side at random and train the other; here nothing is trained.
    """
    import torch

    from msae.sae.sae import SAE

    rows = tensor("x", x, ("n", "d_model"), numbers="real", finite=True).detach().float()
    often = _counts(counts, None, len(rows) - 1)
    sae = SAE(rows.shape[1], len(often), hook_name=hook_name, generator=torch.Generator().manual_seed(whole("seed", seed)))
    b_enc = torch.empty(len(often))
    for some in torch.arange(len(often)).split(256):
        pre = rows @ sae.W_enc[:, some].detach()
        for column, i in zip(pre.T, some.tolist()):
            top = column.topk(int(often[i]) + 1).values
            b_enc[i] = -(top[-1] + (top[-2] if len(top) > 1 else top[-1] + 1)) / 2
    sae.b_enc.data.copy_(b_enc)
    return sae


def independent_components(x: Tensor, *, n_steps: int = 200, seed: int = 0) -> Tensor:
    """Directions on which activations are as far from a bell curve as can be: FastICA, all components at once.

    Args:
        x: (n, d_model) activations, more of them than they are wide.
        n_steps: at most; it ends when no direction turns any more.
        seed: of the first directions.

    Returns:
        (d_model, d_model) float32: a row is one component's direction, of length 1; `x @ row` is the component but for a constant. Its
        sign is such that the component is skewed to the positive side.

    Raises:
        ValueError: activations that are no (n, d_model) finite numbers, fewer than wide, or that do not vary in some direction.

    Example:
        >>> import torch
        >>> from msae.latents import independent_components
        >>> sources = -torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)).log()  # exponential
        >>> mixed = sources @ torch.tensor([[1.0, 0.5], [0.0, 1.0]])
        >>> found = mixed @ independent_components(mixed).T
        >>> torch.corrcoef(torch.cat([sources, found], 1).T)[:2, 2:].abs().max(1).values.gt(0.99).all().item()
        True

    Source: FastICA in its symmetric form, with log cosh (https://journal.r-project.org/articles/RJ-2018-046 has its forms side by side).
    """
    import torch

    rows = tensor("x", x, ("n", "d_model"), numbers="real", finite=True).detach().double()
    whole("n_steps", n_steps, 1)
    generator = torch.Generator().manual_seed(whole("seed", seed))
    if len(rows) <= rows.shape[1]:
        raise ValueError(f"x must have more rows than columns, got {shown(x)}")
    centred = rows - rows.mean(0)
    sizes, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
    if sizes[0] <= 1e-10 * sizes[-1]:
        raise ValueError("x does not vary in some direction, so it has fewer independent components than columns")
    whiten = axes / sizes.sqrt()
    white = (centred @ whiten).float()
    turned = _orthonormal(torch.randn(len(sizes), len(sizes), generator=generator))
    for _ in range(n_steps):
        along = torch.tanh(white @ turned.T)
        new = _orthonormal(along.T @ white / len(white) - (1 - along.square()).mean(0)[:, None] * turned)
        still = (new * turned).sum(1).abs().min()
        turned = new
        if still > 1 - 1e-5:
            break
    found = turned.double() @ whiten.T
    found = found * (centred @ found.T).pow(3).mean(0).sign()[:, None]
    unit: Tensor = (found / found.norm(dim=1, keepdim=True)).float()
    return unit


def _orthonormal(rows: Tensor) -> Tensor:
    """The orthogonal matrix nearest to one."""
    import torch

    left, _, right = torch.linalg.svd(rows)
    nearest: Tensor = left @ right
    return nearest


def _counts(counts: Numbers, n: int | None, most: int) -> np.ndarray:
    found = array("counts", counts, ("n_directions",) if n is None else (n,))
    if found.dtype.kind not in "iu" or len(found) == 0 or found.min() < 0 or found.max() > most:
        raise ValueError(f"counts must be whole numbers from 0 to {most:,}, fewer than there are inputs, got {shown(found.tolist())}")
    return found
