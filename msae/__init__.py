"""Matryoshka sparse autoencoders: train them, measure their holes, look at their latents.

The rooms stand in the order of the data: stories (`texts`) → a language model (`lm`) → its `activations` (or vectors of a `toy`) → an `sae`
in `training` → its `firings` → `metrics`, `patterns`, `interventions`, `latents` → `figures` and `explore`; `family` and `bench` go the
whole way.

Names resolve on first use, so that `import msae` costs nothing: torch is loaded with the first name that needs it, plotly and
TransformerLens only with the functions that draw or run a language model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from msae.support import moved
from msae.support.version import __version__

_HOMES = {
    "texts": ["load_stories", "split_stories"],
    "lm": ["load_language_model", "sample_stories"],
    "activations": ["Activations", "LiveActivations", "harvest"],
    "toy": ["FeatureTree", "TreeStream", "orthogonal_directions"],
    "sae": [
        "SAE",
        "ReLU",
        "TopK",
        "BatchTopK",
        "JumpReLU",
        "FullPrefix",
        "SquareRootPrefixes",
        "ParetoPrefixes",
        "UniformPrefixes",
        "FixedPrefixes",
        "WeightedPrefixes",
        "PENALTIES",
    ],
    "latents": ["Latents"],
    "training": ["TrainConfig", "language_model_recipe", "TrainResult", "train", "all_prefix_loss", "prefix_loss"],
    "family": ["load_family", "train_family", "measure_family", "load_results", "load_saes"],
}
_ROOMS = [
    "texts",
    "lm",
    "activations",
    "toy",
    "sae",
    "training",
    "firings",
    "metrics",
    "patterns",
    "interventions",
    "latents",
    "figures",
    "explore",
    "family",
    "bench",
]
_MOVED = {
    "stories": "texts.stories",
    "language_model": "lm.loading",
    "tinymodel": "lm.tinymodel",
    "nonlinearities": "sae.nonlinearities",
    "prefixes": "sae.prefixes",
    "penalties": "sae.penalties",
    "losses": "training.losses",
    "shipped": "family.shipped",
    "results": "family.results",
}
"""Modules under the names that they had before the rooms (CHANGELOG.md)."""

_PLACE_OF = {name: f"msae.{room}" for room, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_PLACE_OF, *_ROOMS, *_MOVED]

if TYPE_CHECKING:
    from msae import activations as activations
    from msae import bench as bench
    from msae import explore as explore
    from msae import family as family
    from msae import figures as figures
    from msae import firings as firings
    from msae import interventions as interventions
    from msae import latents as latents
    from msae import lm as lm
    from msae import metrics as metrics
    from msae import patterns as patterns
    from msae import sae as sae
    from msae import texts as texts
    from msae import toy as toy
    from msae import training as training
    from msae.activations import Activations as Activations
    from msae.activations import LiveActivations as LiveActivations
    from msae.activations import harvest as harvest
    from msae.family import load_family as load_family
    from msae.family import load_results as load_results
    from msae.family import load_saes as load_saes
    from msae.family import measure_family as measure_family
    from msae.family import results as results
    from msae.family import shipped as shipped
    from msae.family import train_family as train_family
    from msae.latents import Latents as Latents
    from msae.lm import load_language_model as load_language_model
    from msae.lm import loading as language_model  # noqa: F401  (the name it had)
    from msae.lm import sample_stories as sample_stories
    from msae.lm import tinymodel as tinymodel
    from msae.sae import PENALTIES as PENALTIES
    from msae.sae import SAE as SAE
    from msae.sae import BatchTopK as BatchTopK
    from msae.sae import FixedPrefixes as FixedPrefixes
    from msae.sae import FullPrefix as FullPrefix
    from msae.sae import JumpReLU as JumpReLU
    from msae.sae import ParetoPrefixes as ParetoPrefixes
    from msae.sae import ReLU as ReLU
    from msae.sae import SquareRootPrefixes as SquareRootPrefixes
    from msae.sae import TopK as TopK
    from msae.sae import UniformPrefixes as UniformPrefixes
    from msae.sae import WeightedPrefixes as WeightedPrefixes
    from msae.sae import nonlinearities as nonlinearities
    from msae.sae import penalties as penalties
    from msae.sae import prefixes as prefixes
    from msae.texts import load_stories as load_stories
    from msae.texts import split_stories as split_stories
    from msae.texts import stories as stories
    from msae.toy import FeatureTree as FeatureTree
    from msae.toy import TreeStream as TreeStream
    from msae.toy import orthogonal_directions as orthogonal_directions
    from msae.training import TrainConfig as TrainConfig
    from msae.training import TrainResult as TrainResult
    from msae.training import all_prefix_loss as all_prefix_loss
    from msae.training import language_model_recipe as language_model_recipe
    from msae.training import losses as losses
    from msae.training import prefix_loss as prefix_loss
    from msae.training import train as train


def __getattr__(name: str) -> Any:
    if name in _PLACE_OF:
        value = getattr(import_module(_PLACE_OF[name]), name)
    elif name in _ROOMS or name in _MOVED:
        value = import_module(f"msae.{_MOVED.get(name, name)}")
    elif name in moved.MOVED:
        raise AttributeError(moved.sentence(name))
    else:
        raise AttributeError(f"module 'msae' has no attribute {name!r}")
    globals()[name] = value
    return value


moved.announce()


def __dir__() -> list[str]:
    return sorted(__all__)
