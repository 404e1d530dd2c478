"""How a number changes over a run."""

from __future__ import annotations


def trapezoid(step: int, n_steps: int, warmup: float = 0.05, decay: float = 0.2) -> float:
    """Rise linearly, stay at 1, fall linearly towards 0; never negative, also past the end.

    Args:
        step: the step about to be taken, from 0.
        n_steps: length of the run.
        warmup: share of the run spent rising; the first step already has a rate above 0.
        decay: share of the run spent falling; the last step still has a rate above 0.

    Returns:
        the factor for the learning rate, 0 to 1.
    """
    rise = (step + 1) / (warmup * n_steps + 1)
    fall = (n_steps - step) / (decay * n_steps + 1)
    return max(0.0, min(1.0, rise, fall))
