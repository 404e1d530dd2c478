"""In: stories to train on, or the name of a model. Out: a language model with hooks, and the stories that it tells."""

from msae.lm.loading import load_language_model, load_manifest, load_transformer, save_language_model
from msae.lm.telling import sample_stories

__all__ = [  # noqa: RUF022  (as they are read)
    "load_language_model", "sample_stories", "load_transformer", "load_manifest", "save_language_model",
]  # fmt: skip
