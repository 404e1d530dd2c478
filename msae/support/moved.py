"""Modules of before the rooms (CHANGELOG.md): whoever imports one hears where what was in it lies now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

MOVED = {
    "_bench_worker": "msae.bench",
    "_book": "msae._sphinx",
    "activation_cache": "msae.activations.cache",
    "active": "msae.training.active",
    "buffers": "msae.training.buffers",
    "checkpoints": "msae.support.checkpoints",
    "controller": "msae.training.controller",
    "dense": "msae.training.dense",
    "exchange": "msae.training.exchange",
    "finite": "msae.training.finite",
    "harvesting": "msae.activations: rows (read_texts, tokenize), hooks and harvesting",
    "hub": "msae.support.hub",
    "language_model": "msae.lm (load_language_model, load_manifest), msae.lm.bridge and msae.support.manifests",
    "losses": "msae.training.losses",
    "model_origin": "msae.lm.origin",
    "nonlinearities": "msae.sae.nonlinearities",
    "penalties": "msae.sae.penalties",
    "prefixes": "msae.sae.prefixes",
    "pretraining": "msae.lm: pretraining, tokenizer, rows and measuring",
    "results": "msae.family: results (load_results, save_results) and measuring (measure_family)",
    "schedules": "msae.support.schedules",
    "shipped": "msae.family.shipped",
    "shuffling": "msae.activations.shuffling",
    "sources": "msae.lm.sources",
    "sparse": "msae.training.sparse",
    "stories": "msae.texts.stories (load_stories, split_stories), msae.texts.copies (CopyIndex) and msae.lm.telling (sample_stories)",
    "textfiles": "msae.texts.files",
    "tinymodel": "msae.lm.tinymodel",
    "tinystories": "msae.texts.tinystories",
    "transformer": "msae.lm.transformer",
}
"""A module of `msae` before the rooms → where what was in it lies now."""


class Moved:
    """The last finder of modules: `import msae.losses` says where it went. Of what Python finds it hears nothing."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Nothing, for a module that has not moved.

        Raises:
            ModuleNotFoundError: for one that has; it carries no name, or `from msae import hub` would hide the sentence.
        """
        package, _, module = name.partition(".")
        if package == "msae" and module in MOVED:
            raise ModuleNotFoundError(sentence(module))


def sentence(module: str) -> str:
    """What is said of a module that has moved."""
    return f"msae.{module} has moved to {MOVED[module]}; CHANGELOG.md has the whole list"


def announce() -> None:
    """Let Python ask here last, once."""
    if Moved not in sys.meta_path:
        sys.meta_path.append(Moved)
