"""The exact loss over all prefixes and its gradient, from the active latents alone; no dense product but the encoder's.

`active` finds them, `layout` lays out their rows, `quadratic` is the error; here are the gradients of all parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from msae.sae.prefixes import FullPrefix
from msae.training.active import find_active
from msae.training.buffers import Buffers
from msae.training.config import TrainConfig
from msae.training.layout import Pairs, sum_rows
from msae.training.quadratic import Terms, quadratic_form
from msae.training.step import Observed, StepInputs

BLOCK = 2048
"""Latents whose gradient rows are summed at a time on a CPU: a few megabytes, so that the allocator reuses them."""

SMALL_ON_GPU = 1 << 32
"""Multiplications of one dense product below which a step on a GPU takes the dense form, however few are active."""


def slots_worth(config: TrainConfig, d_model: int, device: torch.device) -> float:
    """Slots per input up to which this form costs less than `dense_step`.

    Measured with 512 to 24,576 latents on two CPU cores. On a GPU dense products are cheap, and a small step is over before the host, which
    has to read how many are active, has started this form's operations: measured with 4,096 to 24,576 latents on an H200.
    """
    n = config.n_latents
    if device.type == "cpu" or n < 4096 or config.nonlinearity.fixes_l0:
        return min(n / 16, 180)
    if config.batch_size * d_model * n < SMALL_ON_GPU:
        return 0.0
    plain = isinstance(config.prefixes, FullPrefix)  # five products dense, the others almost nine
    faster = 3 if torch.backends.cuda.matmul.allow_tf32 else 1
    return min(n / ((128 if plain else 64) * faster), 180)


def sparse_step(
    inputs: StepInputs, grads: dict[str, Tensor], *, max_mean: float, dtype: torch.dtype | None = None, buffers: Buffers | None = None
) -> Observed | None:
    """Write the gradients of mean expected error + weight · Σ s · penalty into `grads`; None, and nothing written, where too many fire.

    Args:
        inputs: of one SAE, without the axis of seeds.
        grads: of the same shapes as the parameters that are learnt.
        max_mean: slots per input that are not yet too many.
        dtype: of the encoder's product, that of x by default.
        buffers: scratch memory that is kept from step to step.

    An activation is a = v ‖D‖ with v = pre where the latent is active, so D appears in the error through v D and in the penalty through a.
    """
    nonlinearity, batch, W_dec, threshold_N = inputs.nonlinearity, len(inputs.x), inputs.params["W_dec"], inputs.params.get("threshold")
    norm_N = torch.linalg.vector_norm(W_dec, dim=1)
    found = find_active(inputs, norm_N, max_mean=max_mean, dtype=dtype, buffers=buffers)
    if found is None:
        return None
    pairs, level_P = found
    inclusion_N = inputs.inclusion_by_rank[inputs.rank]
    norm_P, s_P = norm_N[pairs.latent_P], inclusion_N[pairs.latent_P]
    lowest = nonlinearity.lowest(threshold_N)
    lowest_P = lowest[pairs.latent_P] if isinstance(lowest, Tensor) else lowest
    active_P = level_P > lowest_P
    acts_P = level_P * active_P
    slope_P = torch.zeros_like(acts_P) if inputs.penalty is None else inputs.weight * s_P * inputs.penalty.slope(acts_P)
    terms = Terms(pairs, acts_P / norm_P, slope_P / (2 * norm_P), inputs.stop_gradient)
    form = quadratic_form(inputs.x - inputs.params["b_dec"], W_dec, inclusion_N, terms, out=grads["W_dec"], buffers=buffers)
    d_values_P = 2 / batch * form.d_values_P
    d_pre_P = d_values_P * active_P
    grads["W_dec"].mul_(2 / batch)
    sum_inputs(inputs.x, pairs, d_pre_P, out=grads["W_encT"])
    grads["b_enc"].zero_().index_add_(0, pairs.latent_P, d_pre_P)
    torch.sum(form.d_b_dec_BD, 0, out=grads["b_dec"]).mul_(2 / batch)
    if nonlinearity.learns_threshold:
        assert isinstance(lowest_P, Tensor)
        d_threshold_P = nonlinearity.threshold_slope(level_P, lowest_P) * d_values_P / norm_P
        grads["threshold"].zero_().index_add_(0, pairs.latent_P, d_threshold_P * (lowest_P > 0))

    penalty_share = 0 if inputs.stop_gradient else 0.5 * (acts_P * slope_P).sum()
    error = (form.error - penalty_share) / batch
    power_N = torch.zeros_like(norm_N).index_add_(0, pairs.latent_P, acts_P.square()) / batch
    asked = nonlinearity.observes_smallest and len(acts_P) > 0
    smallest = torch.where(active_P, acts_P, torch.inf).amin() if asked else torch.full_like(error, torch.inf)
    return Observed(error, active_P.sum() / batch, power_N, smallest)


def sum_inputs(x_BD: Tensor, pairs: Pairs, weight_P: Tensor, out: Tensor) -> Tensor:
    """out[i] = Σ weight · x over the pairs of latent i, the gradient of the encoder; every row of out (N, D) is written."""
    by_latent, start_N = pairs.by_latent(len(out))
    input_P, weight_P = pairs.input_P[by_latent], weight_P[by_latent]
    block = BLOCK if out.device.type == "cpu" else len(out)
    edges = [*(start_N[block::block].tolist() if block < len(out) else []), len(input_P)]  # a GPU's one block asks nothing of the host
    begin = 0
    for low, end in zip(range(0, len(out), block), edges, strict=True):
        part = slice(low, low + block)
        sum_rows(x_BD, input_P[begin:end], weight_P[begin:end], start_N[part] - begin, out[part])
        begin = end
    return out
