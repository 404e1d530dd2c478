"""Points put into the stream, and what the model and an SAE make of them."""

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
from msae.support.arguments import shown, tensor
from msae.support.sums import wide

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def placed(lm: TransformerBridge, hook_name: str, points: Tensor, *, places: Tensor) -> AbstractContextManager[None]:
    """While it lasts, given points stand at some places of the stream; elsewhere it is what it is.

    Args:
        lm: the language model.
        hook_name: where in the model, as in `lm.hook_dict`.
        points: (n_texts, n_places, width) what stands there, for each of the texts that the model then reads; (n_texts, width) for one
            place in each.
        places: (n_texts, n_places) int64, or (n_texts,): at which tokens; [BEGIN] is 0.

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
    given = tensor("points", points, finite=True)
    width = widths(lm, [hook_name])[hook_name]
    if given.ndim not in (2, 3) or given.shape[-1] != width or given.numel() == 0:
        raise ValueError(f"points must be (n_texts, n_places, {width}) or (n_texts, {width}), got {shown(points)}")
    at = tensor("places", places, tuple(given.shape[:-1]), numbers="whole")
    if bool((at < 0).any()):
        raise ValueError(f"places must be 0 or more, got {shown(places)}")
    return _replacing(lm, hook_name, given, at) if given.ndim == 3 else _replacing(lm, hook_name, given[:, None], at[:, None])


@contextmanager
def _replacing(lm: TransformerBridge, hook_name: str, points: Tensor, places: Tensor) -> Iterator[None]:
    def replace(x: Tensor, hook: object) -> Tensor:
        if len(x) != len(points) or x.shape[1] <= int(places.max()):
            raise ValueError(
                f"the model reads {len(x)} texts of {x.shape[1]} tokens; placed are points for {len(points)}, up to token {places.max()}"
            )
        changed = x.clone()
        changed[torch.arange(len(x), device=x.device)[:, None], places.to(x.device)] = points.to(x)
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
    points = wide(tensor("path", path, ("n_stops", len(read.tokens), sae.d_model), finite=True)).float()
    if points.numel() == 0:
        raise ValueError(f"path must have at least one stop of one walk, got {shown(path)}")
    places = _last_places(read.mask)
    tokens = read.tokens[:, : int(places.max()) + 1].to(lm.cfg.device)
    each = torch.arange(len(tokens))
    before = wide(lm(tokens, return_type="logits")[each, places]).log_softmax(-1)
    errors, l0, kl = [], [], []
    for stop in points:
        acts = sae.encode(stop.to(sae.W_enc.device))
        errors.append((sae.decode(acts).cpu() - stop.cpu()).norm(dim=1))
        l0.append((acts > 0).sum(1).float().cpu())
        with _replacing(lm, hook_name, stop[:, None], places[:, None]):
            after = wide(lm(tokens, return_type="logits")[each, places]).log_softmax(-1)
        kl.append(divergence(before, after).clamp(min=0).float().cpu())
    points = points.cpu()
    cosine = torch.nn.functional.cosine_similarity(points, points[:1], dim=-1)
    return Along((points - points[0]).norm(dim=-1), cosine, torch.stack(errors), torch.stack(l0), torch.stack(kl))


def _last_places(mask: Tensor) -> Tensor:
    """(n_texts,) int64: the last place of each text that counts."""
    if not mask.any(1).all():
        raise ValueError("each of texts must have a place that counts")
    return mask.shape[1] - 1 - mask.flip(1).float().argmax(1)
