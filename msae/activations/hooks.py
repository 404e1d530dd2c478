"""Forward passes that end at the last hook that is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from msae.activations.checks import check_hook_names, check_language_model
from msae.activations.rows import Texts, begin_of
from msae.support.arguments import tensor

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def widths(lm: TransformerBridge, hook_names: Sequence[str]) -> dict[str, int]:
    """The length of the vectors at each hook, found by reading two tokens.

    Raises:
        ValueError: a hook that a forward pass never reaches, or one without a vector per token.
    """
    found = run_to_hooks(lm, torch.full((1, 2), lm.tokenizer.bos_token_id), hook_names)
    for hook_name, value in found.items():
        if value.ndim != 3 or value.shape[:2] != (1, 2):
            raise ValueError(
                f"{hook_name} has the shape {tuple(value.shape)} for two tokens: expected one vector per token, (texts, positions, width); "
                "take hook_resid_pre, hook_resid_post, hook_mlp_out or hook_attn_out"
            )
    return {hook_name: value.shape[-1] for hook_name, value in found.items()}


STREAM = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
"""What SAEs are usually trained on in a layer: the residual stream before it, what its two halves add, and the stream after it."""


def list_hooks(lm: TransformerBridge) -> dict[str, int]:
    """The hooks at which SAEs are usually trained: the stream before and after each layer, and what its attention and its MLP add.

    Of those the ones that this model has, with one vector per token. Any other hook of `lm.hook_dict` that has one will do too, such as
    the neurons, "blocks.3.mlp.hook_post".

    Args:
        lm: a model of `load_language_model`.

    Returns:
        hook name → width of its vectors, the SAE's d_model, in the order of the forward pass.

    Raises:
        ValueError: no language model, or one without [BEGIN].

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> hooks = msae.activations.list_hooks(lm)
        >>> list(hooks)[:3], hooks["blocks.3.hook_resid_pre"]
        (['blocks.0.hook_resid_pre', 'blocks.0.hook_attn_out', 'blocks.0.hook_mlp_out'], 256)
    """
    check_language_model(lm)
    found: dict[str, int] = {}

    def keep(value: Any, hook: Any, hook_name: str) -> None:
        if isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 3 and value.shape[:2] == (1, 2):
            found[hook_name] = value.shape[-1]

    def keeper(hook_name: str) -> Any:
        return lambda value, hook: keep(value, hook, hook_name)

    wanted = [name for name in lm.hook_dict if name.rpartition(".")[2] in STREAM]
    tokens = torch.full((1, 2), begin_of(lm.tokenizer, lm.cfg.d_vocab), device=lm.cfg.device)
    with torch.no_grad():
        lm.run_with_hooks(tokens, return_type=None, fwd_hooks=[(name, keeper(name)) for name in wanted])
    return found


class _Reached(Exception):
    """The last hook was reached: what comes after it is not needed."""


@torch.no_grad()
def run_to_hooks(lm: TransformerBridge, tokens: Tensor, hook_names: Sequence[str]) -> dict[str, Tensor]:
    """The values at some hooks, by one forward pass that ends at the last of them.

    Args:
        lm: a model of `load_language_model`.
        tokens: (batch, position) int64.
        hook_names: names as in `lm.hook_dict`.

    Returns:
        whatever each hook holds; the residual stream is (batch, position, d_model).

    Raises:
        ValueError: no such hook, one that a forward pass never reaches, or tokens that are none of the model's.

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> tokens = lm.to_tokens("Lily ran.")
        >>> found = msae.activations.run_to_hooks(lm, tokens, ["blocks.0.hook_resid_pre", "blocks.1.hook_mlp_out"])
        >>> [tuple(value.shape) for value in found.values()]
        [(1, 4, 256), (1, 4, 256)]
    """
    check_language_model(lm)
    check_hook_names(lm, hook_names)
    tokens = tensor("tokens", tokens, ("batch", "position"), numbers="whole")
    if tokens.numel() == 0 or tokens.shape[1] > lm.cfg.n_ctx or not 0 <= tokens.min() <= tokens.max() < lm.cfg.d_vocab:
        limits = f"1 to {lm.cfg.n_ctx} in a row, from 0 to {lm.cfg.d_vocab - 1:,}"
        got = f", {tokens.min():,} to {tokens.max():,}" if tokens.numel() else ""
        raise ValueError(f"tokens must be the model's, {limits}; got the shape {tuple(tokens.shape)}{got}")
    found: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any, hook_name: str) -> None:
        found[hook_name] = value.detach()
        if len(found) == len(set(hook_names)):
            raise _Reached

    def keeper(hook_name: str) -> Any:
        return lambda value, hook: keep(value, hook, hook_name)

    try:
        hooks = [(hook_name, keeper(hook_name)) for hook_name in dict.fromkeys(hook_names)]
        lm.run_with_hooks(tokens.to(lm.cfg.device), return_type=None, fwd_hooks=hooks)
    except _Reached:
        return {hook_name: found[hook_name] for hook_name in hook_names}
    raise ValueError(f"the hook {next(name for name in hook_names if name not in found)} is never reached in a forward pass")


def run_to_hook(lm: TransformerBridge, tokens: Tensor, hook_name: str) -> Tensor:
    """The value at one hook, by a forward pass that ends there.

    Args:
        lm: a model of `load_language_model`.
        tokens: (batch, position) int64.
        hook_name: a name as in `lm.hook_dict`.

    Returns:
        whatever the hook holds; the residual stream is (batch, position, d_model).

    Raises:
        ValueError: no such hook, one that a forward pass never reaches, or tokens that are none of the model's.

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> msae.activations.run_to_hook(lm, lm.to_tokens("Lily ran."), "blocks.2.hook_resid_pre").shape
        torch.Size([1, 4, 256])
    """
    return run_to_hooks(lm, tokens, [hook_name])[hook_name]


def forward(lm: TransformerBridge, texts: Texts, hook_names: Sequence[str], batch_size: int) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Run the texts through the model, rows of like length together, so that little of the work is on padding.

    Yields:
        for each batch: (n,) int64, which of the texts' activations these are, counted in the order of `texts.mask.nonzero()`;
        and (n, d_model) for each hook, where the model is.
    """
    counts = texts.counts
    starts = counts.cumsum(0) - counts
    ends = texts.mask.shape[1] - texts.mask.flip(1).int().argmax(1)  # where the last place that counts ends
    for rows in ends.argsort(stable=True).split(batch_size):
        mask = texts.mask[rows, : int(ends[rows].max())]
        values = run_to_hooks(lm, texts.tokens[rows, : mask.shape[1]], hook_names)
        n = counts[rows]
        first = torch.repeat_interleave(starts[rows] - (n.cumsum(0) - n), n)  # what turns the place in this batch into the place in x
        wanted = mask.flatten().nonzero().squeeze(1)
        yield first + torch.arange(len(first)), {name: _take(value, wanted) for name, value in values.items()}


def _take(value: Tensor, wanted: Tensor) -> Tensor:
    flat = value.flatten(0, 1)
    return flat if len(wanted) == len(flat) else flat.index_select(0, wanted.to(flat.device))
