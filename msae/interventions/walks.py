"""Ways through the stream: at random, step by step, and from one activation to another by their latents."""

from __future__ import annotations

import torch
from torch import Tensor

from msae.firings.reading import checked_sae
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.arguments import number, shown, tensor, whole
from msae.support.sums import wide


def walk(
    start: Tensor,
    n_steps: int,
    *,
    length: float,
    directions: Tensor | None = None,
    allowed: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Random walks, one from each point, in steps of equal length.

    Without `directions` a step may go anywhere, each way being as likely as the other. With them, it goes along one of them or back along
    it, drawn anew for each step.

    After t steps of length s the squared distance from the start has the mean t s². Where the squared cosine of two steps, drawn
    independently, has the mean c, its standard deviation is t s² √(2 c (t − 1) / t): c is 1 / d where a step may go anywhere in d
    dimensions.

    Args:
        start: (n, width) where the walks begin.
        n_steps: steps of each.
        length: how long a step is, in units of the stream.
        directions: (n_directions, width) the ways along which steps go, such as `sae.W_dec`; of any length but 0.
        allowed: (n, n_directions) bool, which of them each walk may take; all where it is left out. `sae.encode(start) > 0` keeps a walk
            on the latents that are active at its start. A walk that may take none stays where it is.
        generator: draws the steps; seeded with 0 where it is left out.

    Returns:
        (n_steps + 1, n, width) float32: the points on the way, the start first.

    Raises:
        ValueError: points, directions or a length that are none, `allowed` without directions, or shapes that do not fit.

    Example:
        >>> import msae, torch
        >>> path = msae.interventions.walk(torch.zeros(5, 256), 9, length=2.0)
        >>> path.shape, (path[1] - path[0]).norm(dim=1).round().tolist()
        (torch.Size([10, 5, 256]), [2.0, 2.0, 2.0, 2.0, 2.0])
    """
    begin = wide(tensor("start", start, ("n", "width"), finite=True)).float()
    n_steps, length = whole("n_steps", n_steps), number("length", length, least=0)
    source = arguments.generator("generator", generator) or torch.Generator().manual_seed(0)
    rows = None if directions is None else _unit(directions, begin.shape[1])
    counted = _counted(allowed, rows, len(begin))
    path = [begin]
    for _ in range(n_steps):
        if rows is None:
            step = torch.randn(begin.shape, generator=source).to(begin)
            step = step / step.norm(dim=1, keepdim=True)
        else:
            step = _drawn(rows, counted, len(begin), source)
        path.append(path[-1] + length * step)
    return torch.stack(path)


def _unit(directions: Tensor, width: int) -> Tensor:
    rows = wide(tensor("directions", directions, ("n_directions", width), finite=True)).float()
    norms = rows.norm(dim=1, keepdim=True)
    if len(rows) == 0 or bool((norms == 0).any()):
        raise ValueError("directions must be at least one, and none of them 0: a step has a length")
    unit: Tensor = rows / norms
    return unit


def _counted(allowed: Tensor | None, rows: Tensor | None, n: int) -> Tensor | None:
    """(n, n_directions) int64: how many of the directions up to each are allowed."""
    if allowed is None:
        return None
    if rows is None:
        raise ValueError("allowed says which of the directions a walk may take: give directions, too")
    if not isinstance(allowed, Tensor) or allowed.dtype != torch.bool or allowed.shape != (n, len(rows)):
        raise ValueError(f"allowed must be a bool tensor of shape ({n}, {len(rows)}), got {shown(allowed)}")
    return allowed.to(rows.device).cumsum(1)


def _drawn(rows: Tensor, counted: Tensor | None, n: int, source: torch.Generator) -> Tensor:
    """(n, width): for each walk one of its directions, or 0 where it has none, with either sign."""
    sign = (2.0 * torch.randint(2, (n, 1), generator=source) - 1).to(rows)
    if counted is None:
        return sign * rows[torch.randint(len(rows), (n,), generator=source).to(rows.device)]
    n_ways = counted[:, -1:]
    wanted = 1 + (torch.rand(n, 1, generator=source).to(rows.device) * n_ways).long()  # the k-th of those allowed
    at = torch.searchsorted(counted, wanted.clamp(max=n_ways))[:, 0]
    return sign * (n_ways > 0) * rows[at]


@torch.no_grad()
def up_and_down(sae: SAE, start: Tensor, end: Tensor) -> Tensor:
    """A way from one activation to another by their latents: up to what both share, then down.

    With z and z' the activations of the two, each latent first sinks to min(z, z'), so that what only the start has is off, and then rises
    to z'. The SAE's error stays that of the start: where the two have the same latents, the way stays where it is.

    Args:
        sae: reads both.
        start: (..., d_model) where the way begins.
        end: (..., d_model) whose latents it ends with.

    Returns:
        (3, ..., d_model) float32: the start, the point where the two meet, and the start with the latents of the end.

    Raises:
        ValueError: points of another width than the SAE's, or of different shapes.

    Example:
        >>> import msae, torch
        >>> sae = msae.load_saes(["S/2"])["S/2"]
        >>> msae.interventions.up_and_down(sae, torch.zeros(7, 256), torch.ones(7, 256)).shape
        torch.Size([3, 7, 256])
    """
    checked_sae(sae, "sae")
    one, other = (wide(tensor(name, x, finite=True)).float() for name, x in (("start", start), ("end", end)))
    if one.ndim == 0 or one.shape[-1] != sae.d_model or one.shape != other.shape:
        raise ValueError(f"start and end must be (..., {sae.d_model}), of the same shape, got {shown(start)} and {shown(end)}")
    z, wanted = (sae.encode(x.to(sae.W_enc.device)) for x in (one, other))
    up = one + ((torch.minimum(z, wanted) - z) @ sae.W_dec).to(one)
    return torch.stack([one, up, one + ((wanted - z) @ sae.W_dec).to(one)])
