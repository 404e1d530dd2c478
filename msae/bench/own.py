"""msae's own training step, in the state that a setting names: the part of `msae.bench.worker` that needs msae."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from msae.sae.nonlinearities import ReLU, TopK
from msae.sae.prefixes import FullPrefix, SquareRootPrefixes
from msae.training.config import TrainConfig
from msae.training.run import Run

THRESHOLD_SPREAD = 0.4
"""Of the latents' thresholds: one latent in 100 fires ten times as often as the median one."""


def own_step(task: dict[str, Any], batches: list[Tensor]) -> tuple[Callable[[], object], Callable[[], Tensor]]:
    """A step of msae's training, optimizer included, and what counts the active latents of every input of every batch.

    The learning rate is too small to move a weight, so that the SAE stays where it is while it is timed.

    Args:
        task: sizes and kind of the step, as `msae.bench.run` sends them; "sparse_up_to", where it is given, is that of `Run`.
        batches: (batch, d_model) each, taken in turn.
    """
    relu = task["nonlinearity"] == "relu"
    config = TrainConfig(
        n_latents=task["n_latents"],
        target_l0=task["l0"] if relu else task["k"],
        n_steps=10**9,
        batch_size=task["batch"],
        lr=1e-12,
        prefixes=FullPrefix() if task["loss"] == "plain" else SquareRootPrefixes(),
        sample_prefixes=task["loss"] == "sampled",
        nonlinearity=ReLU() if relu else TopK(task["k"]),
        penalty="log",
        encoder_dtype=task["dtype"],
        start_l0=None,
    )
    run = Run(config, task["d_model"], torch.device(task["device"]), sparse_up_to=task.get("sparse_up_to"))
    W_enc, b_enc = run.params["W_encT"][0].T, run.params["b_enc"][0]
    turn = itertools.cycle(batches)
    with torch.no_grad():
        if relu:
            b_enc.copy_(_bias_for(task["l0"], batches, W_enc))

    @torch.no_grad()
    def active() -> Tensor:
        parts = (part for x in batches for part in x.split(128))
        return torch.cat([(config.nonlinearity(part @ W_enc + b_enc) > 0).sum(1) for part in parts])

    return lambda: run.step(next(turn)[None]), active


def _bias_for(l0: float, batches: list[Tensor], W_enc: Tensor) -> Tensor:
    """(n_latents,) encoder bias at which `l0` latents are active per input on average: a spread of thresholds, moved to a quantile."""
    jitter = (THRESHOLD_SPREAD * torch.randn(W_enc.shape[1], generator=torch.Generator().manual_seed(1))).to(W_enc)
    parts = [part for x in batches for part in x[:512].split(64)]  # never the peak of memory
    n_high = min(int(4 * l0) + 1, len(jitter))
    low = (parts[0] @ W_enc + jitter).topk(n_high, dim=1).values.amin()  # no need to sort what is far below the quantile
    high = torch.cat([pre[pre >= low] for pre in (part @ W_enc + jitter for part in parts)])
    n_active = round(l0 * sum(map(len, parts)))
    return jitter - high.kthvalue(max(1, len(high) - n_active)).values
