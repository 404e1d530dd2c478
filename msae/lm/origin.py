"""What a language model computes with: weights, settings, and the hooks that were added to it, told as entries of an origin.

Two models with the same entries compute the same activations. A hook is known by its code and by all that its code refers to; one that
rests on something else, such as an object of one's own, is like no other, and what is computed with it is never taken from a cache.
"""

from __future__ import annotations

import functools
import hashlib
import types
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from msae.support.origin import Origin, sha256_of_array, sha256_of_json

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

LABELS = {
    *("device", "n_devices", "model_name", "tokenizer_name", "name_or_path", "transformers_version", "trust_remote_code", "n_params"),
    *("seed", "init_weights", "init_mode", "initializer_range", "from_checkpoint", "checkpoint_index", "checkpoint_label_type"),
    *("checkpoint_value", "default_prepend_bos", "default_padding_side", "tokenizer_prepends_bos", "tokenizer_appends_eos"),
    *("context_level", "warnings_issued", "fwd_hooks", "bwd_hooks"),
}
"""Settings that say where a model comes from or how text is cut, and change nothing of what it computes from tokens."""

TRUSTED = {"builtins", "einops", "functools", "itertools", "math", "msae", "numpy", "operator", "torch", "transformer_lens", "transformers"}
"""Packages that are known by their name: what they hold does not change between two runs."""

THEIRS = ("transformer_lens", "transformers", "accelerate")
"""What adds hooks of its own, some in the first pass; they are part of the model."""

UNKNOWN = "known in this process alone"
_PROCESS = uuid.uuid4().hex
_unknown: list[Any] = []  # kept, so that no other hook ever gets the same place


def model_origin(lm: TransformerBridge) -> Origin:
    """What activations of this model depend on, as it is now.

    Returns:
        `language_model`, a hash of weights and settings, and `hooks`, the name and a hash of each that was added, in order.
    """
    return {"language_model": _weights_and_settings(lm), "hooks": [f"{name} {_hash_of_function(hook)}" for name, hook in added_hooks(lm)]}


def added_hooks(lm: TransformerBridge) -> list[tuple[str, Any]]:
    """Each function that was added to the model and that a forward pass runs, after the place where it is."""
    found = []
    for name, module in _modules(lm):
        asked = {handle.hook.id: getattr(handle, "user_hook", None) for handle in getattr(module, "fwd_hooks", [])}
        for number, hook in [*module._forward_pre_hooks.items(), *module._forward_hooks.items()]:
            if number in asked or not _is_of(hook, *THEIRS):
                found.append((name, asked.get(number) or hook))
        if "forward" in vars(module):
            found.append((name, vars(module)["forward"]))
    return found


def check_hooks_are_known(lm: TransformerBridge) -> None:
    """Raise a ValueError where a hook cannot be told from another: nothing that it computes may come from a cache."""
    for name, hook in added_hooks(lm):
        if UNKNOWN in _hash_of_function(hook):
            raise ValueError(
                f"cache: the model has a hook at {name or 'its top'} that a cache cannot tell from another: remove it (lm.reset_hooks()), "
                "leave cache out, or give a function of tensors and numbers alone"
            )


def _modules(lm: Any) -> Iterator[tuple[str, nn.Module]]:
    """Every module of the bridge, and of the model beneath it, once."""
    seen: set[int] = set()
    for top in (lm, getattr(lm, "original_model", None)):
        for name, module in top.named_modules() if isinstance(top, nn.Module) else ():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module


def _weights_and_settings(lm: Any) -> str:
    digest = hashlib.sha256()
    configs = [getattr(lm, "cfg", None), getattr(getattr(lm, "original_model", None), "config", None)]
    settings: list[Any] = [_plain(vars(config)) for config in configs if hasattr(config, "__dict__")]
    seen: set[int] = set()
    for name, module in _modules(lm):
        settings.append([name, type(module).__qualname__, _plain(vars(module))])
        unsaved = module._non_persistent_buffers_set  # such as angles of rotary positions, which the settings tell
        for key, value in {**module._parameters, **{k: v for k, v in module._buffers.items() if k not in unsaved}}.items():
            if value is not None and id(value) not in seen:
                seen.add(id(value))
                digest.update(f"{name}.{key} {sha256_of_array(value)}".encode())
    device = torch.device(getattr(getattr(lm, "cfg", None), "device", None) or "cpu").type
    cast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    settings.append(str(torch.get_autocast_dtype(device)) if cast else None)
    digest.update(sha256_of_json(settings).encode())
    return digest.hexdigest()


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of some attributes those that say what is computed: values, recipes of values, functions; of anything else the kind."""
    return {key: _setting(value) for key, value in settings.items() if key not in LABELS and not key.startswith("_")}


def _setting(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, (bool, int, float, str, np.generic, torch.dtype)):
        return repr(value)
    if isinstance(value, (list, tuple)) and depth < 3:
        return [_setting(item, depth + 1) for item in value]
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        said = _hash_of_function(value)
        return value.__qualname__ if UNKNOWN in said else said
    if is_dataclass(value) and not isinstance(value, type) and depth < 3:
        parts = {f.name: _setting(getattr(value, f.name), depth + 1) for f in fields(value) if f.name not in LABELS}
        return [type(value).__qualname__, parts]
    return "Tensor" if isinstance(value, Tensor) else type(value).__qualname__  # a second name of a parameter, on any device


class _NotKnown(Exception):
    """A hook rests on something that has no hash."""


def _hash_of_function(function: Any) -> str:
    try:
        return sha256_of_json(_told(function, ()))
    except _NotKnown:
        place = next((i for i, other in enumerate(_unknown) if other is function), len(_unknown))
        if place == len(_unknown):
            _unknown.append(function)
        return f"{UNKNOWN} ({_PROCESS} {place})"


def _told(value: Any, within: tuple[int, ...]) -> Any:
    """A value that a hook rests on as JSON: equal for equal ones. `within`: what it is part of, for what refers to itself."""
    if id(value) in within:
        return ["again", within.index(id(value))]
    within = (*within, id(value))
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, slice, torch.dtype, torch.device, np.generic)):
        return [type(value).__name__, repr(value)]
    if isinstance(value, (Tensor, np.ndarray)) and not (isinstance(value, np.ndarray) and value.dtype == object):
        return sha256_of_array(value)
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(_told(item, within) for item in value)]
    if isinstance(value, (dict, set, frozenset)):
        items = value.items() if isinstance(value, dict) else value
        return [type(value).__name__, *sorted((_told(item, within) for item in items), key=repr)]
    if isinstance(value, types.CodeType):
        return [value.co_code.hex(), value.co_names, value.co_varnames, [_told(item, within) for item in value.co_consts]]
    if isinstance(value, functools.partial):
        return ["partial", _told(value.func, within), _told(value.args, within), _told(value.keywords, within)]
    if isinstance(value, types.MethodType):
        return ["method", _told(value.__func__, within), _told(value.__self__, within)]
    if isinstance(value, types.BuiltinFunctionType) and not isinstance(value.__self__, (types.ModuleType, type(None))):
        return ["method", value.__name__, _told(value.__self__, within)]
    if isinstance(value, nn.Module) and all(_is_of(type(m), *TRUSTED) and not m._forward_hooks for m in value.modules()):
        return [type(value).__qualname__, _weights_and_settings(value)]
    if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] in TRUSTED:
        return ["module", value.__name__]
    if _is_of(value, *TRUSTED) and "<locals>" not in getattr(value, "__qualname__", "<locals>"):
        return [value.__module__, value.__qualname__]
    if isinstance(value, types.FunctionType):
        return _told_function(value, within)
    raise _NotKnown


def _told_function(function: types.FunctionType, within: tuple[int, ...]) -> Any:
    names = set(_names(function.__code__))
    if "ctx" in names:  # TransformerLens' place for what one call of a hook leaves to the next
        raise _NotKnown
    try:
        closure = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError as error:  # a name that is not bound yet
        raise _NotKnown from error
    rests_on = [function.__code__, function.__defaults__, function.__kwdefaults__, closure]
    rests_on.append({name: function.__globals__[name] for name in names if name in function.__globals__})
    return ["function", *(_told(item, within) for item in rests_on)]


def _names(code: types.CodeType) -> Iterator[str]:
    """Every global and attribute that a function names, and those within it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _is_of(value: Any, *packages: str) -> bool:
    return (getattr(value, "__module__", None) or "").split(".")[0] in packages
