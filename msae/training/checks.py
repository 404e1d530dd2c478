"""What `train` asks of its recipes, its stream and each batch, before any work is done with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import signature

import torch
from torch import Tensor

from msae.support import arguments
from msae.support.arguments import number, shown, whole
from msae.support.files import as_json
from msae.training.config import Stream, TrainConfig, origin_of


def checked_recipes(configs: Mapping[str, TrainConfig] | TrainConfig) -> Mapping[str, TrainConfig]:
    """The recipes by name; a single one is called "sae".

    Raises:
        ValueError: no recipes, or recipes that cannot share a stream.
    """
    several = configs if isinstance(configs, Mapping) else {"sae": configs}
    if not several:
        raise ValueError("configs must hold at least one TrainConfig, got {}")
    first = next(iter(several.values()))
    for name, config in several.items():
        arguments.written("each name in configs", name)
        if not isinstance(config, TrainConfig):
            raise ValueError(f"configs must be a TrainConfig, or a dict of them, got {shown(config)}")
        for shared in ("batch_size", "n_steps"):
            if getattr(config, shared) != getattr(first, shared):
                raise ValueError(
                    f"SAEs on one stream share {shared}: {name!r} has {getattr(config, shared)}, the first {getattr(first, shared)}"
                )
        as_json(config.record(), f"the recipe of {name!r}")  # a prefix law of one's own may hold anything
    return several


def check_stream(stream: Stream, batch_size: int) -> None:
    """Refuse what no batches can be drawn from.

    Raises:
        ValueError: it is no stream, or says something of itself that cannot be.
    """
    lacks = [name for name in ("hook_name", "scale", "d_model", "batches") if not hasattr(stream, name)]
    if lacks:
        raise ValueError(f"stream must be one such as msae.Activations or msae.TreeStream, got {shown(stream)}, which has no {lacks[0]}")
    whole("the stream's d_model", stream.d_model, 1)
    number("the stream's scale", stream.scale, above=0)
    if stream.hook_name is not None:
        arguments.written("the stream's hook_name", stream.hook_name)
    origin = getattr(stream, "origin", None)
    if origin is not None and not isinstance(origin, Mapping):
        raise ValueError(f"the stream's origin must be a dict of JSON values, got {shown(origin)}")
    as_json(origin_of(stream), "the stream's origin")  # it is kept in checkpoints: better to know before the first than at it
    try:
        signature(stream.batches).bind(batch_size, 0, skip=0)
    except TypeError as error:
        raise ValueError(f"the stream's batches must be a function of batch_size, seed and skip, got {shown(stream)}: {error}") from error


def check_device(configs: Mapping[str, TrainConfig], device: torch.device) -> None:
    """Refuse, with a ValueError, a device that lacks what a recipe wants."""
    for name, config in configs.items():
        if config.encoder_dtype == "bfloat16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
            raise ValueError(f"{name!r} wants bfloat16, which {torch.cuda.get_device_name(device)} lacks: use encoder_dtype='float16'")


def next_batch(batches: Iterator[Tensor], step: int, n_steps: int) -> Tensor:
    """The next batch in the numbers that are trained in: float32, or what PyTorch's default is.

    Raises:
        ValueError: the stream has ended, or gives no real numbers.
    """
    x = next(batches, None)
    if x is None:
        raise ValueError(f"the stream ended after {step} of {n_steps} batches: give more data, or n_steps={max(step, 1)}")
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise ValueError(f"expected batches of floating-point numbers, got {shown(x)}")
    return x.to(torch.get_default_dtype())
