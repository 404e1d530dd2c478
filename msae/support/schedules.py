"""How a number changes over a run."""

from __future__ import annotations

from msae.support.arguments import number, whole


def trapezoid(step: int, n_steps: int, warmup: float = 0.05, decay: float = 0.2) -> float:
    """Rise linearly, stay at 1, fall linearly towards 0; never negative, also past the end.

    Args:
        step: the step about to be taken, from 0.
        n_steps: length of the run.
        warmup: share of the run spent rising; the first step already has a rate above 0.
        decay: share of the run spent falling; the last step still has a rate above 0.

    Returns:
        the factor for the learning rate, 0 to 1.

    Raises:
        ValueError: no such step, or a share outside 0 to 1.
    """
    step, n_steps = whole("step", step), whole("n_steps", n_steps, 1)
    warmup, decay = number("warmup", warmup, 0, 1), number("decay", decay, 0, 1)
    rise = (step + 1) / (warmup * n_steps + 1)
    fall = (n_steps - step) / (decay * n_steps + 1)
    return max(0.0, min(1.0, rise, fall))
