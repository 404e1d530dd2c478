"""How far a call of `train` has come: all its runs between two steps, in memory or in a checkpoint."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msae.support.checkpoints import load_checkpoint, of_this_version, save_checkpoint
from msae.support.interrupts import uninterrupted
from msae.support.origin import check_origin
from msae.training.config import Stream, TrainConfig, origin_of
from msae.training.finite import FirstBad
from msae.training.recipes import recipe_differences
from msae.training.run import Run

WHAT = "SAEs in training"
N_ROWS = 8
"""Inputs of its last batch that a checkpoint remembers, to know the stream again."""


class Progress:
    """How far all recipes of one call have come together: the state between two steps, on disk or in memory."""

    def __init__(self, runs: Mapping[str, Run], made_from: dict[str, Any], path: Path | None):
        """Where the runs begin, or where the checkpoint of these very settings left them.

        Args:
            runs: by name, none of them begun.
            made_from: what all are trained on (`made_from`).
            path: of the checkpoint, which may be there or not; None for none.

        Raises:
            ValueError: the file is no such checkpoint, is damaged, or is of other settings or another stream, naming what differs.
        """
        self.runs, self.path = runs, path
        first = next(iter(runs.values()))
        self.recipe = first.config  # all share its batch_size and n_steps
        self.about = {"what": WHAT, "made_from": made_from}
        self.step, self.before, self.last_rows = 0, 0.0, None
        self.device = first.rank_SN.device
        self.is_whole, self.bad = True, FirstBad(self.device)
        self.written = -1  # the step of the newest checkpoint
        if path is not None and path.exists():
            with of_this_version(path):
                saved = _read(path, {name: run.config for name, run in runs.items()}, made_from)
                for name, run in runs.items():
                    run.load_state(saved["runs"][name])
                self.step = self.written = first.step_number
                self.before, self.last_rows = float(saved["seconds"]), saved.get("last_rows")
        self.started = time.monotonic()

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken."""
        return self.step >= self.recipe.n_steps

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
                warnings.warn(f"the checkpoint of step {self.step} could not be written: {error}", stacklevel=4)

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


def made_from(stream: Stream, data_seed: int) -> dict[str, Any]:
    """What all SAEs of a run are made from, beside their recipes."""
    origin = {"hook_name": stream.hook_name, "d_model": int(stream.d_model), "scale": float(stream.scale)} | origin_of(stream)
    return {"stream": origin, "data_seed": data_seed, "dtype": str(torch.get_default_dtype())}


def _read(path: Path, configs: Mapping[str, TrainConfig], made_from: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of these very settings."""
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
    check_origin(state["made_from"], made_from, f"{path}", fix)
    return state
