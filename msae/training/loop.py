"""Train one SAE, several on one stream, or one per seed in a batch: from the first batch or a checkpoint to the finished SAEs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, overload

import torch
from torch import Tensor

from msae.support import arguments
from msae.support.arguments import whole
from msae.training.checks import check_device, check_stream, checked_recipes, next_batch
from msae.training.config import Stream, TrainConfig, TrainResult
from msae.training.progress import Progress, made_from
from msae.training.run import Run


@overload
def train(
    configs: TrainConfig,
    stream: Stream,
    *,
    data_seed: int = ...,
    checkpoint: str | os.PathLike[str] | None = ...,
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
    checkpoint: str | os.PathLike[str] | None = ...,
    checkpoint_every: int = ...,
    progress: bool = ...,
    device: str | torch.device = ...,
) -> dict[str, TrainResult]: ...


def train(
    configs: Mapping[str, TrainConfig] | TrainConfig,
    stream: Stream,
    *,
    data_seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
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

    Example:
        >>> import msae
        >>> tree = msae.FeatureTree.article()
        >>> stream = msae.TreeStream(tree, msae.toy.orthogonal_directions(20, 20))
        >>> msae.train(msae.TrainConfig(20, tree.l0, n_steps=3, batch_size=10), stream, progress=False).sae.n_latents
        20
    """
    recipes = checked_recipes(configs)
    check_stream(stream, next(iter(recipes.values())).batch_size)
    data_seed = whole("data_seed", data_seed, 0, 2**63 - 1)
    whole("checkpoint_every", checkpoint_every, 1)
    arguments.yes_or_no("progress", progress)
    place = arguments.device("device", device)
    path = None if checkpoint is None else arguments.new_file("checkpoint", checkpoint)
    check_device(recipes, place)
    runs = {name: Run(config, int(stream.d_model), place) for name, config in recipes.items()}
    progressed = Progress(runs, made_from(stream, data_seed), path)
    _go_on(progressed, stream, data_seed, checkpoint_every, progress)
    results = {name: run.result(stream, progressed.seconds) for name, run in runs.items()}
    return results if isinstance(configs, Mapping) else results["sae"]


def _go_on(progressed: Progress, stream: Stream, data_seed: int, checkpoint_every: int, progress: bool) -> None:
    """Take the steps that are left; a checkpoint is written now and then, at the end, and where something breaks them off."""
    runs, n_steps = progressed.runs, progressed.recipe.n_steps
    batches = iter(stream.batches(progressed.recipe.batch_size, data_seed, skip=max(0, progressed.step - 1)))
    if progressed.step > 0:
        progressed.check_stream(next_batch(batches, progressed.step - 1, n_steps))
    with _bar(list(runs), n_steps, progressed.step, progress) as bar:
        try:
            while not progressed.is_done:
                x = next_batch(batches, progressed.step, n_steps).to(progressed.device)
                _check_batch(x, stream.d_model, progressed.step)
                progressed.take_step(x)
                bar.update()
                if progressed.step % 50 == 1 and len(runs) <= 3:
                    bar.set_postfix({name: f"L0 {run.history['l0'][-1].mean():.1f}" for name, run in runs.items()})
                if progressed.step % checkpoint_every == 0 or progressed.is_done:
                    progressed.save()
        except BaseException:  # Ctrl-C, a stream that fails: what is done stays
            progressed.save()
            raise


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
