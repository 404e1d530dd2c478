"""What `bench` is asked for, judged before any work: which steps take part, and how they take turns."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msae.bench.settings import DTYPES, ENCODER, FLOOR, LOSSES, NONLINEARITIES, PEERS, SETTINGS, Setting
from msae.support import arguments


@dataclass(frozen=True)
class Steps:
    """Which steps are compared, beside the five products and the encoder's."""

    losses: Sequence[str]
    """Of msae's steps, among `LOSSES`."""

    nonlinearities: Sequence[str]
    """Of msae's steps, among `NONLINEARITIES`."""

    peers: Mapping[str, str | os.PathLike[str]]
    """Package name → the Python of an environment that has it."""

    def __post_init__(self) -> None:
        if not isinstance(self.peers, Mapping):
            raise ValueError(f"peers must be a dict of a package's name and a Python, got {arguments.shown(self.peers)}")
        for what, given, known in (("losses", self.losses, LOSSES), ("nonlinearities", self.nonlinearities, NONLINEARITIES)):
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise ValueError(f"{what} must be a list of some of {', '.join(known)}, got {arguments.shown(given)}")
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ValueError(f"{what} must be among {', '.join(known)}, got {unknown[0]!r}")
        if not (self.losses and self.nonlinearities) and not self.peers:
            raise ValueError("nothing to time: give at least one loss and one nonlinearity, or a peer")

    def tasks(self) -> dict[str, dict[str, str]]:
        """Label → what its process builds, in the order of turns: the five products in the middle, so that they are nobody's far
        neighbour."""
        tasks = {
            f"{nonlinearity}, {loss.replace('_', ' ')}": {"kind": "msae", "nonlinearity": nonlinearity, "loss": loss}
            for nonlinearity in self.nonlinearities
            for loss in self.losses
        }
        tasks |= {f"{peer}, {loss}": {"kind": peer, "loss": loss} for peer in self.peers for loss in ("plain", "matryoshka")}
        middle = len(tasks) // 2
        items = list(tasks.items())
        return dict([*items[:middle], (FLOOR, {"kind": "floor"}), (ENCODER, {"kind": "encoder"}), *items[middle:]])


@dataclass(frozen=True)
class Turns:
    """How the steps are timed."""

    rounds: int
    """How often all of them have a turn."""

    threads: int | None
    """Of each process; None for the setting's."""

    device: str
    """Where: "cpu" or "cuda"."""

    dtype: str
    """Of the products, one of `DTYPES`."""

    block_seconds: float
    """How long a turn lasts, at least one step."""

    counts: bool
    """Count operations and host reads of one step too."""

    def __post_init__(self) -> None:
        arguments.whole("rounds", self.rounds, 1, hint="5 or more make a median worth its name")
        if self.threads is not None:
            arguments.whole("threads", self.threads, 1, hint="leave it out for PyTorch's choice")
        arguments.number("block_seconds", self.block_seconds, above=0, most=60, hint="0.25 is usual")
        arguments.yes_or_no("counts", self.counts)
        arguments.one_of("dtype", self.dtype, DTYPES)
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device must be cpu or cuda, got {arguments.shown(self.device)}")
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise ValueError("device is cuda, but PyTorch finds no GPU here: take cpu, or install a PyTorch for your card")


def check_settings(settings: Mapping[str, Setting]) -> None:
    """Refuse what is no dict of settings, or an empty one."""
    if not isinstance(settings, Mapping) or not settings or not all(isinstance(each, Setting) for each in settings.values()):
        known = f"for instance {{'toy': SETTINGS['toy']}}; there are {', '.join(SETTINGS)}"
        raise ValueError(f"settings: give at least one setting, {known}, got {arguments.shown(settings)}")


def check_peers(peers: Mapping[str, str | os.PathLike[str]], dtype: str) -> None:
    """Refuse peers that take no such products, are not known, or are not there: each is asked, in its own environment."""
    if dtype != "float32" and peers:
        raise ValueError(f"peers take their turns in float32, got dtype={dtype!r}: leave one of the two out")
    for peer, python in peers.items():
        _check_peer(peer, python)


def check_functions(**functions: Callable[..., object]) -> None:
    """Refuse what cannot be called, by its name."""
    for name, function in functions.items():
        if not callable(function):
            raise ValueError(f"{name} must be a function of one argument, got {arguments.shown(function)}")


def _check_peer(peer: str, python: str | os.PathLike[str]) -> None:
    if peer not in PEERS:
        raise ValueError(f"peers must be among {', '.join(PEERS)}, got {peer!r}")
    if not isinstance(python, (str, os.PathLike)) or not os.access(python, os.X_OK) or Path(python).is_dir():
        raise ValueError(f"{python} is no Python that can be started: give {peer}=ENVIRONMENT/bin/python of an environment that has {peer}")
    test = f"import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None or u.find_spec('{PEERS[peer]}') is None)"
    if subprocess.run([str(python), "-I", "-c", test], capture_output=True, check=False).returncode:
        raise ValueError(f"{python} has no {peer}: make an environment of its own, with {python} -m pip install {peer}")
