"""Parts of a stream taken over from another prompt: which of them cause the answer to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from msae.activations.checks import check_hook_names
from msae.activations.hooks import run_to_hook, widths
from msae.interventions.decompositions import Decomposition
from msae.interventions.prompts import Pairs, batches, checked_pairs, logit_differences, preferred
from msae.metrics.intervals import Interval, bootstrap, ratio, sum_by_story
from msae.support.arguments import array, items, shown, tensor, whole, yes_or_no

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def patched(
    lm: TransformerBridge,
    pairs: Pairs,
    into: Decomposition,
    *,
    which: Sequence[int] | None = None,
    error: bool = False,
    places: Tensor | None = None,
    batch_size: int = 64,
) -> Tensor:
    """The logit difference after each prompt, where some parts of its stream are what they are in its counterfactual.

    With readings a of the prompt's stream x, and a' of the counterfactual's, x becomes x + Σ (a'ᵢ − aᵢ) rowᵢ over the parts of `which`. The
    error of both stays where it is, unless `error` takes it over, too: all parts and the error are the whole stream x'.

    Args:
        lm: the language model.
        pairs: of `prompt_pairs`.
        into: what the stream is taken apart into, of `into_latents` or `into_directions`.
        which: numbers of the parts that are taken over; all of them where it is left out, none of them where it is empty.
        error: take over what the parts leave, too.
        places: (n_pairs, length) bool, the tokens at which it is done; all of them where it is left out.
        batch_size: pairs at a time.

    Returns:
        (n_pairs,) float32: logit of the answer that is right after the prompt, less that of the counterfactual's.

    Raises:
        ValueError: no model or pairs, a decomposition that does not fit the model, a part that it does not have, or other `places`.

    Source: interchange interventions, Geiger et al. 2021, "Causal Abstractions of Neural Networks"; on latents of an SAE, Cunningham et
        al. 2023 (arXiv:2309.08600).

    Example:
        >>> import msae
        >>> from msae.interventions import into_latents, patched, prompt_pairs
        >>> lm, sae = msae.load_language_model(), msae.load_saes(["S/2"])["S/2"]  # doctest: +SKIP
        >>> pairs = prompt_pairs(lm, ["Lily lost"], ["Tim lost"], answers=[(" her", " his")])  # doctest: +SKIP
        >>> patched(lm, pairs, into_latents(sae), which=[66])  # doctest: +SKIP
    """
    _checked(lm, pairs, into, places)
    sets = [None if which is None else _numbers("which", which, into)]
    return _each_set(lm, pairs, into, _Patch(sets, yes_or_no("error", error), places), whole("batch_size", batch_size, 1))[0]


class Restored(NamedTuple):
    """Logit differences with more and more parts taken over.

    Example:
        >>> import torch
        >>> from msae.interventions import Restored
        >>> found = Restored((1, 2), torch.tensor([2.0, 4.0]), torch.tensor([-2.0, -4.0]), torch.tensor([[2.0, 1.0], [-2.0, -4.0]]))
        >>> [share.value for share in found.shares()]
        [0.25, 1.0]
    """

    sizes: tuple[int, ...]
    """How many parts."""

    clean: Tensor
    """(n_pairs,) float32: after the prompts as they are."""

    other: Tensor
    """(n_pairs,) float32: after the counterfactuals as they are."""

    patched: Tensor
    """(n_sizes, n_pairs) float32: after the prompts, the first parts of the order taken over."""

    def shares(self, group: Sequence[int] | np.ndarray | None = None) -> list[Interval]:
        """For each size: the share of the way from the prompts' answers to the counterfactuals' that the parts go.

        It is the sum over pairs of (clean − patched), over that of (clean − other): 0 nothing has changed, 1 the model answers as it does
        after the counterfactuals. Seen from there, with the two exchanged, it is the share of a behaviour that is restored.

        Args:
            group: (n_pairs,) numbers from 0; pairs of one number are drawn together. Each pair alone where it is left out.

        Returns:
            the shares with 95 % bootstrap intervals over groups.

        Raises:
            ValueError: no whole number from 0 for each pair.

        Example:
            >>> import torch
            >>> from msae.interventions import Restored
            >>> Restored((1,), torch.ones(2), -torch.ones(2), torch.zeros(1, 2)).shares([0, 1])[0].value
            0.5
        """
        of = np.arange(len(self.clean)) if group is None else array("group", group, (len(self.clean),), numbers="whole")
        if of.min() < 0:
            raise ValueError(f"group must hold numbers from 0, got {shown(group)}")
        clean, other, patched = (each.double().numpy() for each in (self.clean, self.other, self.patched))
        return [bootstrap(ratio, sum_by_story(of, clean - each, clean - other)) for each in patched]


def restored(
    lm: TransformerBridge,
    pairs: Pairs,
    into: Decomposition,
    *,
    order: Sequence[int],
    sizes: Sequence[int],
    places: Tensor | None = None,
    batch_size: int = 64,
) -> Restored:
    """How far the answers move with the first few parts of an order taken over, and the next few, and so on.

    Args:
        lm: the language model.
        pairs: of `prompt_pairs`; other ones than those that made the order.
        into: what the stream is taken apart into.
        order: numbers of parts, the most important first, as `attribution` ranks them.
        sizes: how many of them to take over, each at most as many as the order has.
        places: (n_pairs, length) bool, the tokens at which it is done; all of them where it is left out.
        batch_size: pairs at a time.

    Returns:
        the logit differences; `shares` makes shares of them.

    Raises:
        ValueError: what `patched` refuses, no size, or one that the order has not parts for.

    Example:
        >>> import msae
        >>> from msae.interventions import attribution, into_latents, prompt_pairs, restored
        >>> lm, into = msae.load_language_model(), into_latents(msae.load_saes(["S/2"])["S/2"])  # doctest: +SKIP
        >>> pairs = prompt_pairs(lm, ["Lily lost"], ["Tim lost"], answers=[(" her", " his")])  # doctest: +SKIP
        >>> order = attribution(lm, pairs, into).argsort(descending=True).tolist()  # doctest: +SKIP
        >>> restored(lm, pairs, into, order=order, sizes=[1, 2, 5]).shares()  # doctest: +SKIP
    """
    _checked(lm, pairs, into, places)
    numbers = _numbers("order", order, into)
    counts = tuple(whole("each of sizes", size, 0, len(numbers), most_is="the order's parts") for size in items("sizes", sizes))
    if not counts:
        raise ValueError("sizes must name at least one size, got none")
    whole("batch_size", batch_size, 1)
    clean, other = logit_differences(lm, pairs, batch_size=batch_size).T
    found = _each_set(lm, pairs, into, _Patch([numbers[:size] for size in counts], False, places), batch_size)
    return Restored(counts, clean, other, found)


def attribution(lm: TransformerBridge, pairs: Pairs, into: Decomposition, *, places: Tensor | None = None, batch_size: int = 64) -> Tensor:
    """What taking over each part alone would do to the answers, to first order: all parts at the price of one pass there and back.

    With g the gradient of the logit difference by the stream, the difference falls by −(a'ᵢ − aᵢ) g · rowᵢ. `patched` with `which=[i]` says
    it exactly, one part a time; compare a few.

    Args:
        lm: the language model.
        pairs: of `prompt_pairs`.
        into: what the stream is taken apart into.
        places: (n_pairs, length) bool, the tokens at which it is done; all of them where it is left out.
        batch_size: pairs at a time.

    Returns:
        (n_parts,) float64, in logits: by how much the logit difference falls, mean over pairs. The largest are those that cause the change.

    Raises:
        ValueError: what `patched` refuses.

    Source: attribution patching, Nanda 2023, neelnanda.io/mechanistic-interpretability/attribution-patching.

    Example:
        >>> import msae
        >>> from msae.interventions import attribution, into_latents, prompt_pairs
        >>> lm, into = msae.load_language_model(), into_latents(msae.load_saes(["S/2"])["S/2"])  # doctest: +SKIP
        >>> pairs = prompt_pairs(lm, ["Lily lost"], ["Tim lost"], answers=[(" her", " his")])  # doctest: +SKIP
        >>> attribution(lm, pairs, into).argmax()  # doctest: +SKIP
        tensor(66)
    """
    _checked(lm, pairs, into, places)
    total = torch.zeros(len(into.rows), dtype=torch.float64)
    for rows, part in batches(pairs, whole("batch_size", batch_size, 1)):
        x, others = _streams(lm, part, into)
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            logits = lm.run_with_hooks(
                part.clean.to(x.device), return_type="logits", fwd_hooks=[(into.hook_name, lambda value, hook, x=x: x)]
            )
            gradient = torch.autograd.grad(preferred(logits, part).sum(), x)[0]
        change = into.read(others) - into.read(x.detach())
        along = -(gradient.to(into.rows) @ into.rows.T) * change
        if places is not None:
            along = along * places[rows, : x.shape[1]].to(along)[..., None]
        total += along.sum((0, 1)).double().cpu()
    return total / len(pairs.at)


class _Patch(NamedTuple):
    """What is taken over, and where."""

    sets: Sequence[list[int] | None]
    error: bool
    places: Tensor | None


def _each_set(lm: TransformerBridge, pairs: Pairs, into: Decomposition, patch: _Patch, batch_size: int) -> Tensor:
    """(n_sets, n_pairs): the logit differences with each set of parts taken over."""
    found = torch.zeros(len(patch.sets), len(pairs.at))
    with torch.no_grad():
        for rows, part in batches(pairs, batch_size):
            x, others = _streams(lm, part, into)
            change = into.read(others) - into.read(x)
            left = others - x - (change @ into.rows.to(change)).to(x) if patch.error else torch.zeros_like(x)
            for row, numbers in enumerate(patch.sets):
                of = slice(None) if numbers is None else numbers
                more = (change[..., of] @ into.rows[of].to(change)).to(x) + left
                if patch.places is not None:
                    more = more * patch.places[rows, : x.shape[1]].to(more)[..., None]
                found[row, rows] = _with(lm, part, into.hook_name, x + more)
    return found


def _with(lm: TransformerBridge, pairs: Pairs, hook_name: str, x: Tensor) -> Tensor:
    logits = lm.run_with_hooks(pairs.clean.to(lm.cfg.device), return_type="logits", fwd_hooks=[(hook_name, lambda value, hook: x)])
    return preferred(logits, pairs).float().cpu()


def _streams(lm: TransformerBridge, pairs: Pairs, into: Decomposition) -> tuple[Tensor, Tensor]:
    return run_to_hook(lm, pairs.clean, into.hook_name), run_to_hook(lm, pairs.other, into.hook_name)


def _checked(lm: TransformerBridge, pairs: Pairs, into: Decomposition, places: Tensor | None) -> None:
    checked_pairs(lm, pairs)
    if not isinstance(into, Decomposition):
        raise ValueError(f"into must be a Decomposition of into_latents or into_directions, got {shown(into)}")
    check_hook_names(lm, [into.hook_name])
    width = widths(lm, [into.hook_name])[into.hook_name]
    if width != into.rows.shape[1]:
        raise ValueError(f"into has parts of width {into.rows.shape[1]}, but the vectors at {into.hook_name} have width {width}")
    if places is not None and tensor("places", places, tuple(pairs.clean.shape)).dtype != torch.bool:
        raise ValueError(f"places must be marks, a bool tensor, got {places.dtype}")


def _numbers(name: str, values: Sequence[int], into: Decomposition) -> list[int]:
    numbers = [whole(f"each of {name}", value, 0, len(into.rows) - 1) for value in items(name, values)]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name} must name each part once, got {shown(values)}")
    return numbers
