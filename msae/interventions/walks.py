"""Walks in the stream: from real activations step by step, and what the model and an SAE make of the points on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from msae.activations.checks import check_hook_names, check_language_model
from msae.activations.hooks import widths
from msae.firings.reading import checked_sae
from msae.metrics.spliced import HasTexts, checked_texts, divergence, hook_of
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.arguments import number, shown, tensor, whole
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


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
    ways = _checked_ways(allowed, rows, len(begin))
    path = [begin]
    for _ in range(n_steps):
        if rows is None:
            step = torch.randn(begin.shape, generator=source).to(begin)
            step = step / step.norm(dim=1, keepdim=True)
        else:
            step = _drawn(rows, ways, len(begin), source)
        path.append(path[-1] + length * step)
    return torch.stack(path)


def _unit(directions: Tensor, width: int) -> Tensor:
    rows = wide(tensor("directions", directions, ("n_directions", width), finite=True)).float()
    norms = rows.norm(dim=1, keepdim=True)
    if len(rows) == 0 or bool((norms == 0).any()):
        raise ValueError("directions must be at least one, and none of them 0: a step has a length")
    return rows / norms


def _checked_ways(allowed: Tensor | None, rows: Tensor | None, n: int) -> Tensor | None:
    if allowed is None:
        return None
    if rows is None:
        raise ValueError("allowed says which of the directions a walk may take: give directions, too")
    if not isinstance(allowed, Tensor) or allowed.dtype != torch.bool or allowed.shape != (n, len(rows)):
        raise ValueError(f"allowed must be a bool tensor of shape ({n}, {len(rows)}), got {shown(allowed)}")
    return allowed


def _drawn(rows: Tensor, ways: Tensor | None, n: int, source: torch.Generator) -> Tensor:
    """(n, width): for each walk one of its directions, or 0 where it has none, with either sign."""
    sign = 2.0 * torch.randint(2, (n, 1), generator=source) - 1
    if ways is None:
        return sign.to(rows) * rows[torch.randint(len(rows), (n,), generator=source).to(rows.device)]
    order = ways.to(rows.device).float().cumsum(1)  # the k-th allowed one is the first at which k are counted
    n_ways = order[:, -1:]
    wanted = (torch.rand(n, 1, generator=source).to(rows) * n_ways).floor().clamp(max=(n_ways - 1).clamp(min=0)) + 1
    at = (order < wanted).sum(1).clamp(max=len(rows) - 1)
    return sign.to(rows) * (n_ways > 0) * rows[at]


def placed(lm: TransformerBridge, hook_name: str, points: Tensor, *, places: Tensor) -> AbstractContextManager[None]:
    """While it lasts, the stream at one place of each text is a given point, and elsewhere what it is.

    Args:
        lm: the language model.
        hook_name: where in the model, as in `lm.hook_dict`.
        points: (n_texts, width) what stands in the stream, one for each text that the model then reads.
        places: (n_texts,) int64, at which token of each; [BEGIN] is 0.

    Returns:
        a context for `with`.

    Raises:
        ValueError: no such hook, points of another width than its, or not one place for each point. Inside, where the model reads another
            number of texts, or texts that are shorter.

    Example:
        >>> import msae
        >>> lm = msae.load_language_model()  # doctest: +SKIP
        >>> with msae.interventions.placed(lm, "blocks.3.hook_resid_pre", points, places=torch.tensor([9])):  # doctest: +SKIP
        ...     msae.interventions.continued(lm, "Once upon a time there was a girl", 12)
    """
    check_language_model(lm)
    check_hook_names(lm, [hook_name])
    given = tensor("points", points, ("n_texts", widths(lm, [hook_name])[hook_name]), finite=True)
    at = tensor("places", places, (len(given),), numbers="whole")
    if bool((at < 0).any()):
        raise ValueError(f"places must be 0 or more, got {shown(places)}")
    return _replacing(lm, hook_name, given, at)


@contextmanager
def _replacing(lm: TransformerBridge, hook_name: str, points: Tensor, places: Tensor) -> Iterator[None]:
    def replace(x: Tensor, hook: object) -> Tensor:
        if len(x) != len(points) or x.shape[1] <= int(places.max()):
            raise ValueError(f"the model reads {len(x)} texts of {x.shape[1]} tokens; placed are {len(points)} points, up to token {places.max()}")
        changed = x.clone()
        changed[torch.arange(len(x), device=x.device), places.to(x.device)] = points.to(x)
        return changed

    with torch.no_grad(), lm.hooks(fwd_hooks=[(hook_name, replace)]):
        yield


class Along(NamedTuple):
    """What the model and an SAE make of the points of some paths.

    Example:
        >>> import msae, torch
        >>> from msae.interventions import along, walk
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> texts = msae.activations.read_texts(lm, ["Lily took her hat."])  # doctest: +SKIP
        >>> found = along(lm, sae, walk(torch.zeros(1, 256), 3, length=1.0), texts=texts)  # doctest: +SKIP
        >>> found.kl.shape  # doctest: +SKIP
        torch.Size([4, 1])
    """

    distance: Tensor
    """(n_stops, n) float32: from the path's first point, in units of the stream."""

    cosine: Tensor
    """(n_stops, n) float32: with the path's first point."""

    error: Tensor
    """(n_stops, n) float32: how far the SAE's reconstruction lies from the point."""

    l0: Tensor
    """(n_stops, n) float32: how many latents are active."""

    kl: Tensor
    """(n_stops, n) float32, in nats: KL(before ‖ after) of the next token's prediction where the point stands at the text's last place."""


@torch.no_grad()
def along(lm: TransformerBridge, sae: SAE, path: Tensor, *, texts: HasTexts) -> Along:
    """Distance, cosine, reconstruction error, L0 and the change of the next token's prediction along some paths.

    Args:
        lm: the language model.
        sae: reads the points, at its own `hook_name`.
        path: (n_stops, n, d_model) points, as of `walk`.
        texts: the n texts in which the points stand, each at the last place that counts.

    Returns:
        the five, for each stop of each path.

    Raises:
        ValueError: an SAE that does not fit the model, points of another width, or not one text for each path.

    Example:
        >>> import msae, torch
        >>> from msae.interventions import along, walk
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> texts = msae.activations.read_texts(lm, ["Lily took her hat."])  # doctest: +SKIP
        >>> along(lm, sae, walk(torch.zeros(1, 256), 3, length=1.0), texts=texts).distance  # doctest: +SKIP
    """
    check_language_model(lm)
    hook_name = hook_of(lm, checked_sae(sae, "sae"), "sae")
    read = checked_texts(texts)
    points = tensor("path", path, ("n_stops", len(read.tokens), sae.d_model), finite=True).float()
    places = last_places(read.mask)
    tokens = read.tokens[:, : int(places.max()) + 1].to(lm.cfg.device)
    each = torch.arange(len(tokens))
    before = wide(lm(tokens, return_type="logits")[each, places]).log_softmax(-1)
    errors, l0, kl = [], [], []
    for stop in points:
        acts = sae.encode(stop.to(sae.W_enc.device))
        errors.append((sae.decode(acts).cpu() - stop.cpu()).norm(dim=1))
        l0.append((acts > 0).sum(1).float().cpu())
        with _replacing(lm, hook_name, stop, places):
            after = wide(lm(tokens, return_type="logits")[each, places]).log_softmax(-1)
        kl.append(divergence(before, after).clamp(min=0).float().cpu())
    points = points.cpu()
    cosine = torch.nn.functional.cosine_similarity(points, points[:1], dim=-1)
    return Along((points - points[0]).norm(dim=-1), cosine, torch.stack(errors), torch.stack(l0), torch.stack(kl))


def last_places(mask: Tensor) -> Tensor:
    """(n_texts,) int64: the last place of each text that counts."""
    if not mask.any(1).all():
        raise ValueError("each of texts must have a place that counts")
    return mask.shape[1] - 1 - mask.flip(1).float().argmax(1)
