"""What changes over a run by the recipe alone: shares of it that are done or left, at a step."""

from __future__ import annotations

from msae.training.config import TrainConfig


def faded(config: TrainConfig, share: float, step: int) -> float:
    """How much of a fading over the last `share` of the run is done: 0 before it, almost 1 at the last step."""
    left = config.n_steps - step
    return max(0.0, 1 - left / (share * config.n_steps)) if share > 0 else 0.0


def sparsify_left(config: TrainConfig, step: int) -> float:
    """How much of the way from the first batch's L0 to the target is left: 1 at the first step, 0 after `sparsify` of the run."""
    return max(0.0, 1 - step / (config.sparsify * config.n_steps + 1e-9))


def is_logged(config: TrainConfig, step: int) -> bool:
    """Whether the history tells of a step: of about 200, and of the last."""
    return step % max(1, config.n_steps // 200) == 0 or step + 1 == config.n_steps


def is_for_exchange(config: TrainConfig, step: int) -> bool:
    """Whether an exchange follows a step."""
    every = config.exchange_every
    return every > 0 and step % every == 0 and config.warmup <= step / config.n_steps < 1 - config.decay
