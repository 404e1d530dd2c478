"""Matryoshka sparse autoencoders: train them, measure their holes, look at their latents.

Names resolve on first use, so that `import msae` costs nothing: torch is loaded with the first name that needs it, plotly and
TransformerLens only with the functions that draw or run a language model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "sae": ["SAE"],
    "nonlinearities": ["ReLU", "TopK", "BatchTopK", "JumpReLU"],
    "prefixes": ["FullPrefix", "SquareRootPrefixes", "ParetoPrefixes", "UniformPrefixes", "FixedPrefixes"],
    "losses": ["all_prefix_loss", "prefix_loss"],
    "penalties": ["PENALTIES"],
    "training": ["TrainConfig", "TrainResult", "train"],
    "toy": ["FeatureTree", "TreeStream"],
    "stories": ["load_stories", "sample_stories"],
    "language_model": ["load_language_model"],
    "activations": ["Activations", "LiveActivations", "harvest"],
    "family": ["load_family", "train_family"],
    "shipped": ["load_saes"],
    "results": ["load_results", "measure_family"],
}
_MODULES = ["metrics", "figures", "explore", "patterns", "tinymodel", *_HOMES]
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME_OF, *_MODULES]

if TYPE_CHECKING:
    from msae import activations as activations
    from msae import explore as explore
    from msae import family as family
    from msae import figures as figures
    from msae import language_model as language_model
    from msae import losses as losses
    from msae import metrics as metrics
    from msae import nonlinearities as nonlinearities
    from msae import patterns as patterns
    from msae import penalties as penalties
    from msae import prefixes as prefixes
    from msae import results as results
    from msae import sae as sae
    from msae import shipped as shipped
    from msae import stories as stories
    from msae import tinymodel as tinymodel
    from msae import toy as toy
    from msae import training as training
    from msae.activations import Activations as Activations
    from msae.activations import LiveActivations as LiveActivations
    from msae.activations import harvest as harvest
    from msae.family import load_family as load_family
    from msae.family import train_family as train_family
    from msae.language_model import load_language_model as load_language_model
    from msae.losses import all_prefix_loss as all_prefix_loss
    from msae.losses import prefix_loss as prefix_loss
    from msae.nonlinearities import BatchTopK as BatchTopK
    from msae.nonlinearities import JumpReLU as JumpReLU
    from msae.nonlinearities import ReLU as ReLU
    from msae.nonlinearities import TopK as TopK
    from msae.penalties import PENALTIES as PENALTIES
    from msae.prefixes import FixedPrefixes as FixedPrefixes
    from msae.prefixes import FullPrefix as FullPrefix
    from msae.prefixes import ParetoPrefixes as ParetoPrefixes
    from msae.prefixes import SquareRootPrefixes as SquareRootPrefixes
    from msae.prefixes import UniformPrefixes as UniformPrefixes
    from msae.results import load_results as load_results
    from msae.results import measure_family as measure_family
    from msae.sae import SAE as SAE
    from msae.shipped import load_saes as load_saes
    from msae.stories import load_stories as load_stories
    from msae.stories import sample_stories as sample_stories
    from msae.toy import FeatureTree as FeatureTree
    from msae.toy import TreeStream as TreeStream
    from msae.training import TrainConfig as TrainConfig
    from msae.training import TrainResult as TrainResult
    from msae.training import train as train


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(f"msae.{_HOME_OF[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"msae.{name}")
    else:
        raise AttributeError(f"module 'msae' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
