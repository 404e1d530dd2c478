"""In: a recipe and a stream of batches. Out: trained SAEs with their history, or a checkpoint from which the run goes on."""

from msae.training.config import Stream, TrainConfig, TrainResult
from msae.training.loop import train
from msae.training.losses import all_prefix_loss, prefix_loss
from msae.training.recommended import language_model_recipe

__all__ = ["train", "TrainConfig", "language_model_recipe", "TrainResult", "Stream", "all_prefix_loss", "prefix_loss"]  # noqa: RUF022  (as they are read)
