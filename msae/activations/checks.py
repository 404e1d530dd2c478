"""Whether activations can be read: of this model, at these hooks."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch

from msae.support.arguments import shown

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def check_language_model(lm: Any) -> None:
    """Raise a ValueError where this is no model whose activations can be read as they are."""
    if not all(hasattr(lm, name) for name in ("cfg", "hook_dict", "run_with_hooks", "tokenizer")):
        raise ValueError(f"lm must be a model of load_language_model, got {shown(lm)}")
    if getattr(lm.cfg, "attention_dir", "causal") != "causal":
        raise ValueError("lm reads in both directions, so that padding would change what it computes: expected a causal language model")
    if any(isinstance(module, torch.nn.Dropout) and module.p > 0 and module.training for module in lm.modules()):
        raise ValueError("lm is in training mode, in which dropout makes its activations random: call lm.eval()")


def check_hook_names(lm: TransformerBridge, hook_names: Sequence[str]) -> None:
    """Refuse hooks that the model does not have.

    Args:
        lm: a model of `load_language_model`.
        hook_names: names as in `lm.hook_dict`.

    Raises:
        ValueError: naming the first that is not there, and the nearest names.

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> msae.activations.check_hook_names(lm, ["blocks.1.hook_resid_pre"])
        >>> msae.activations.check_hook_names(lm, ["blocks.1.resid_pre"])
        Traceback (most recent call last):
            ...
        ValueError: hook_name: the model has no hook 'blocks.1.resid_pre'; the nearest are ...
    """
    if isinstance(hook_names, (str, bytes)) or not isinstance(hook_names, Collection) or not hook_names:
        raise ValueError(f"hook_names: expected a list of hook names, got {shown(hook_names)}")
    for hook_name in hook_names:
        if isinstance(hook_name, str) and hook_name in lm.hook_dict:
            continue
        nearest = difflib.get_close_matches(str(hook_name), list(lm.hook_dict), n=3, cutoff=0) or sorted(lm.hook_dict)[:3]
        raise ValueError(f"hook_name: the model has no hook {shown(hook_name)}; the nearest are {', '.join(nearest)}")
