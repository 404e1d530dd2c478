"""Train one SAE, several on one stream, or one per seed in a batch: from the first batch or a checkpoint to the finished SAEs."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from msae.support import arguments
from msae.support.arguments import number, shown, whole
from msae.support.checkpoints import load_checkpoint, of_this_version, save_checkpoint
from msae.support.files import as_json
from msae.support.interrupts import uninterrupted
from msae.support.origin import check_origin
from msae.training.config import Stream, TrainConfig, TrainResult, origin_of
from msae.training.finite import FirstBad
from msae.training.recipes import recipe_differences
from msae.training.run import Run


@overload
def train(
    configs: TrainConfig,
    stream: Stream,
    *,
    data_seed: int = ...,
    checkpoint: str | os.PathLike | None = ...,
    checkpoint_every: int = ...,
    progress: bool = ...,
    device: str | torch.device = ...,
) -> TrainResult: ...


@overload
def train(
    configs: Mapping[str, TrainConfig],
    stream: Stream,
    *,
    data_seed: int = ...,
    checkpoint: str | os.PathLike | None = ...,
    checkpoint_every: int = ...,
    progress: bool = ...,
    device: str | torch.device = ...,
) -> dict[str, TrainResult]: ...


def train(
    configs: Mapping[str, TrainConfig] | TrainConfig,
    stream: Stream,
    *,
    data_seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
    device: str | torch.device = "cpu",
) -> TrainResult | dict[str, TrainResult]:
    """Train one SAE, or several on the same batches.

    Args:
        configs: a recipe, or a name for each of several; several must share batch_size and n_steps.
        stream: where the inputs come from.
        data_seed: of the order of the batches.
        checkpoint: a file to write every `checkpoint_every` steps, at the end and when stopped; where it exists, the run goes on from it.
            Ctrl-C takes effect between whole steps: a run that was stopped and goes on ends at the same bits as one that was not.
        checkpoint_every: steps from one to the next.
        progress: show a bar with the time left.
        device: where the SAEs are trained.

    Returns:
        a TrainResult, or a dict of them under the names given.

    Raises:
        ValueError: before any step, for settings that do not fit each other, or a checkpoint of other settings or another stream. After the
            checkpoint is written, at a batch that holds NaN or infinity, naming its first place, or where the stream ends too soon.
        FloatingPointError: the loss or a weight is no longer finite; the last good checkpoint stays.
        KeyboardInterrupt: after the checkpoint is written.
    """
    several = _checked(configs, stream)
    first = next(iter(several.values()))
    data_seed = whole("data_seed", data_seed, 0, 2**63 - 1)
    whole("checkpoint_every", checkpoint_every, 1)
    arguments.yes_or_no("progress", progress)
    place = arguments.device("device", device)
    path = None if checkpoint is None else arguments.new_file("checkpoint", checkpoint)
    for name, config in several.items():
        if config.encoder_dtype == "bfloat16" and place.type == "cuda" and torch.cuda.get_device_capability(place) < (8, 0):
            raise ValueError(f"{name!r} wants bfloat16, which {torch.cuda.get_device_name(place)} lacks: use encoder_dtype='float16'")
    runs = {name: Run(config, int(stream.d_model), place) for name, config in several.items()}
    with of_this_version(path):
        saved = None if path is None or not path.exists() else _read_checkpoint(path, several, stream, data_seed)
        progressed = _Progress(runs, first.n_steps, stream, data_seed, path, saved)
    batches = iter(stream.batches(first.batch_size, data_seed, skip=max(0, progressed.step - 1)))
    if progressed.step > 0:
        progressed.check_stream(_next_batch(batches, progressed.step - 1, first.n_steps))
    with _bar(list(runs), first.n_steps, progressed.step, progress) as bar:
        try:
            while progressed.step < first.n_steps:
                x = _next_batch(batches, progressed.step, first.n_steps).to(place)
                _check_batch(x, stream.d_model, progressed.step)
                progressed.take_step(x)
                bar.update()
                if progressed.step % 50 == 1 and len(runs) <= 3:
                    bar.set_postfix({name: f"L0 {run.history['l0'][-1].mean():.1f}" for name, run in runs.items()})
                if progressed.step % checkpoint_every == 0 or progressed.step == first.n_steps:
                    progressed.save()
        except BaseException:  # Ctrl-C, a stream that fails: what is done stays
            progressed.save()
            raise
    results = {name: run.result(stream, progressed.seconds) for name, run in runs.items()}
    return results if isinstance(configs, Mapping) else results["sae"]


class _Progress:
    """How far all recipes of one call have come together: the state between two steps, on disk or in memory."""

    def __init__(self, runs: dict[str, Run], n_steps: int, stream: Stream, data_seed: int, path: Path | None, saved: dict[str, Any] | None):
        self.runs, self.n_steps, self.path = runs, n_steps, path
        self.about = {"what": WHAT, "made_from": _made_from(stream, data_seed)}
        self.step, self.before, self.last_rows = 0, 0.0, None
        self.is_whole, self.bad = True, FirstBad(next(iter(runs.values())).rank_SN.device)
        self.written = -1  # the step of the newest checkpoint
        if saved is not None:
            for name, run in runs.items():
                run.load_state(saved["runs"][name])
            self.step = self.written = next(iter(runs.values())).step_number
            self.before, self.last_rows = float(saved["seconds"]), saved.get("last_rows")
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent so far, that of earlier calls included."""
        return self.before + time.monotonic() - self.started

    def take_step(self, x: Tensor) -> None:
        """One step of every run, all of it or none: what breaks it off half-way, however it does, leaves a state that is never saved."""
        x_SBD = x if x.ndim == 3 else x[None]
        for name, run in self.runs.items():
            if len(x_SBD) not in (1, len(run.config.seeds)):
                raise ValueError(
                    f"the stream gives {len(x_SBD)} batches at once, and {name!r} has {len(run.config.seeds)} seeds: one for each, or one"
                )
        self.bad.see(x, self.step)
        with uninterrupted():
            self.is_whole = False
            if next(iter(self.runs.values())).logged:
                self.bad.look()
            for run in self.runs.values():
                run.step(x_SBD)
            self.step += 1
            self.last_rows = x_SBD[:, :N_ROWS].clone()  # a stream may fill the same batch again
            self.is_whole = True

    def save(self) -> None:
        """Write the checkpoint, where there is a place for one, something new to write, and it is whole."""
        if self.path is None or not self.is_whole or self.step == self.written:
            return
        with uninterrupted():
            self.is_whole = False  # should something be NaN, nothing is saved from here on
            self.bad.look()
            for name, run in self.runs.items():
                run.look()
                run.check_finite(name)
            self.is_whole = True
            state = self.about | {"seconds": self.seconds, "last_rows": self.last_rows}
            try:
                save_checkpoint(self.path, state | {"runs": {name: run.state() for name, run in self.runs.items()}})
                self.written = self.step
            except OSError as error:  # a full disk, say: the training itself need not end for that
                warnings.warn(f"the checkpoint of step {self.step} could not be written: {error}", stacklevel=3)

    def check_stream(self, x: Tensor) -> None:
        """Hold the batch before this step, drawn again, against what the checkpoint remembers of it.

        Raises:
            ValueError: the stream is another, whatever it calls itself.
        """
        rows = (x if x.ndim == 3 else x[None])[:, :N_ROWS].cpu()
        if self.last_rows is None:
            return
        known = self.last_rows.cpu()
        spread = known.square().mean().sqrt()  # activations computed on another machine differ in their last digits
        if rows.shape != known.shape or not torch.allclose(rows, known, rtol=0.02, atol=0.02 * float(spread)):
            raise ValueError(
                f"{self.path} is of a run on other inputs: batch {self.step - 1} of this stream is not the one it was trained on; "
                "give the stream it was begun with, choose another file, or delete it"
            )


WHAT = "SAEs in training"
N_ROWS = 8
"""Inputs of its last batch that a checkpoint remembers, to know the stream again."""


def _checked(configs: Mapping[str, TrainConfig] | TrainConfig, stream: Stream) -> Mapping[str, TrainConfig]:
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
        signature(stream.batches).bind(first.batch_size, 0, skip=0)
    except TypeError as error:
        raise ValueError(f"the stream's batches must be a function of batch_size, seed and skip, got {shown(stream)}: {error}") from error
    return several


def _made_from(stream: Stream, data_seed: int) -> dict[str, Any]:
    """What all SAEs of a run are made from, beside their recipes."""
    origin = {"hook_name": stream.hook_name, "d_model": int(stream.d_model), "scale": float(stream.scale)} | origin_of(stream)
    return {"stream": origin, "data_seed": data_seed, "dtype": str(torch.get_default_dtype())}


def _read_checkpoint(path: Path, configs: Mapping[str, TrainConfig], stream: Stream, data_seed: int) -> dict[str, Any]:
    """A checkpoint of these very settings.

    Raises:
        ValueError: the file is no such checkpoint, is damaged, or is of other settings or another stream, naming what differs.
    """
    state = load_checkpoint(path)
    if state.get("what") != WHAT:
        raise ValueError(f"{path} is not a checkpoint of SAEs in training: choose another file")
    fix = "choose another file, or delete it to start again"
    if set(state["runs"]) != set(configs):
        raise ValueError(f"{path} is of a run of {sorted(state['runs'])}, and {sorted(configs)} are asked for: {fix}")
    for name, config in configs.items():
        differs = recipe_differences(state["runs"][name]["record"], config.record())
        if differs:
            names = ", ".join(text.split()[0] for text in differs)
            raise ValueError(f"{path} was written with other settings of {name!r} ({names}): {'; '.join(differs)}; {fix}")
    check_origin(state["made_from"], _made_from(stream, data_seed), f"{path}", fix)
    return state


def _next_batch(batches: Iterator[Tensor], step: int, n_steps: int) -> Tensor:
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


def _check_batch(x: Tensor, d_model: int, step: int) -> None:
    if x.ndim not in (2, 3) or x.shape[-1] != d_model or 0 in x.shape:
        raise ValueError(f"expected batches (batch, {d_model}) or (n_seeds, batch, {d_model}), got {tuple(x.shape)}")


def _bar(names: list[str], n_steps: int, done: int, progress: bool) -> Any:
    """A bar with the time left; one that says nothing where none is wanted, or where tqdm, an extra, is not installed."""
    title = ", ".join(names) if len(names) <= 3 else f"{len(names)} SAEs, {names[0]} … {names[-1]}"
    if progress and find_spec("tqdm"):
        from tqdm.auto import tqdm

        return tqdm(total=n_steps, initial=done, unit="step", desc=title, mininterval=0.5)
    return _NoBar()


class _NoBar:
    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self) -> None:
        pass

    def set_postfix(self, values: Mapping[str, str]) -> None:
        pass
