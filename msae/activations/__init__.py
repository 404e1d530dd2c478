"""In: a language model and stories. Out: what the model computes at a hook on every token, as a stream of batches for training."""

from msae.activations.checks import check_hook_names
from msae.activations.hooks import list_hooks, run_to_hook, run_to_hooks
from msae.activations.kept import Activations, harvest
from msae.activations.live import LiveActivations
from msae.activations.rows import read_texts, tokenize

__all__ = [  # noqa: RUF022  (as they are read)
    "Activations", "LiveActivations", "harvest", "read_texts", "tokenize", "list_hooks", "run_to_hook", "run_to_hooks",
    "check_hook_names",
]  # fmt: skip
