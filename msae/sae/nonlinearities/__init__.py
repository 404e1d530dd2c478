"""In: pre-activations (…, n_latents). Out: activations of that shape, most of them 0. One kind a file; `base` says what it answers."""

from msae.sae.nonlinearities.base import Nonlinearity
from msae.sae.nonlinearities.batch_topk import BatchTopK
from msae.sae.nonlinearities.jump_relu import JumpReLU
from msae.sae.nonlinearities.relu import ReLU
from msae.sae.nonlinearities.topk import TopK

__all__ = ["BatchTopK", "JumpReLU", "Nonlinearity", "ReLU", "TopK"]
