"""The activations that a family is trained on: harvested once, to disk, and read from there by every process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock  # comes with torch
from torch import Tensor

from msae.activations.reopened import note, reopened
from msae.family.members import Family
from msae.lm.sources import SOURCES, source
from msae.support.version import __version__

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from msae.activations.kept import Activations
    from msae.activations.live import LiveActivations
    from msae.activations.reopened import Reopened

BATCH_ON_GPU = 512
"""Texts of a forward pass on a GPU, which a small model does not fill with less."""


@dataclass
class Streams:
    """The streams of a family by hook name; the language model is loaded for those alone that are not on disk."""

    family: Family

    hook_names: Sequence[str]
    """All that are needed: one pass over the model harvests them together."""

    out: Path
    """The folder of the SAEs; activations are kept in one within."""

    n_tokens: int | None
    device: str
    progress: bool
    opened: dict[str, Reopened | Activations | LiveActivations] = field(default_factory=dict)

    def at(self, hook_name: str) -> Reopened | Activations | LiveActivations:
        """The stream at one hook; that of the hook before is let go, it may fill a GPU."""
        if hook_name not in self.opened:
            self.opened.clear()
            self.opened[hook_name] = self._live(hook_name) if self.family.live else self._kept(hook_name)
        return self.opened[hook_name]

    def _kept(self, hook_name: str) -> Reopened | Activations:
        if not self._is_known:
            return self._harvested()[hook_name]
        cache, asked = self.out / "activations", self._asked(hook_name)
        found = reopened(cache, asked, self.device)
        if found is None:
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(cache / ".noting.lock"):  # of several processes one reads the stories, and the others wait
                found = reopened(cache, asked, self.device)
                if found is None:
                    harvested = self._harvested()
                    for name, activations in harvested.items():
                        note(activations, cache, self._asked(name))
                    found = reopened(cache, asked, self.device)
        return found or harvested[hook_name]

    def _harvested(self) -> dict[str, Activations]:
        """At all the hooks, in one pass over the model."""
        from msae.activations.kept import harvest

        batch_size = BATCH_ON_GPU if torch.device(self.device).type == "cuda" else 32
        how: dict[str, Any] = {"n_tokens": self.n_tokens, "batch_size": batch_size, "progress": self.progress} | self.family.places
        return harvest(*self._read(), self.hook_names, cache=self.out / "activations", **how)

    def _live(self, hook_name: str) -> LiveActivations:
        from msae.activations.live import LiveActivations

        return LiveActivations(*self._read(), hook_name, n_tokens=self.n_tokens, device=self.device, **self.family.places)

    def _read(self) -> tuple[TransformerBridge, list[str]]:
        """The language model and the stories, without those that are held out."""
        from msae.lm.loading import load_language_model
        from msae.texts.stories import load_stories, split_stories

        stories = split_stories(load_stories(self.family.stories))[0]
        return load_language_model(self.family.language_model, self.device), stories

    @property
    def _is_known(self) -> bool:
        """Whether both sources are known by content: of what lies on the hub only the model's own reading tells."""
        return set(self._content) == set(SOURCES)

    @property
    def _content(self) -> dict[str, str]:
        found: dict[str, str] = source(self.family.language_model, self.family.stories)["content"]
        return found

    def _asked(self, hook_name: str) -> dict[str, Any]:
        """What the activations at a hook hang on."""
        asked = {"hook_name": hook_name, "n_tokens": self.n_tokens, "version": __version__, "content": self._content}
        return asked | self.family.places


class TimeIsUp(Exception):
    """The time that was given for training is over; what is done lies in a checkpoint."""


class Until:
    """A stream that ends a run politely at some time: training writes its checkpoint, as for Ctrl-C."""

    def __init__(self, stream: Reopened | Activations | LiveActivations, end: float):
        """
        Args:
            stream: where the batches come from.
            end: by `time.monotonic`.
        """
        self.stream, self.end = stream, end
        self.hook_name, self.scale, self.d_model, self.origin = stream.hook_name, stream.scale, stream.d_model, stream.origin

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """Those of the stream, until it is time.

        Raises:
            TimeIsUp: it is.
        """
        for x in self.stream.batches(batch_size, seed, skip):
            if time.monotonic() > self.end:
                raise TimeIsUp
            yield x
