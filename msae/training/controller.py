"""Reaching a given L0: the weight of the sparsity penalty is moved while training runs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from msae.support import arguments
from msae.support.arguments import number, shown, tensor, whole


def integral_for(n_steps: int) -> float:
    """How fast a controller adds up its error in a run of this length: an L0 of twice the target moves the weight 65,000-fold.

    So a longer run waits longer for an answer, and a short one does not outrun what an SAE can follow. Tried in runs of 600 to 3,000 steps.

    Args:
        n_steps: length of the run.

    Example:
        >>> from msae.training.controller import integral_for
        >>> integral_for(1600), integral_for(10)
        (0.01, 0.03)
    """
    return min(0.03, 16 / whole("n_steps", n_steps, 1))


def integral_in_fade(n_steps: int) -> float:
    """The same while prefixes fade: the weight that L0 needs then falls all the time, and who adds up slowly stays behind it.

    L0 has reached its target before, so nothing large is added up. Tried in fades of 240 steps: with
    `integral_for` L0 ended at 28.2 for 30, with this at 29.5; twice as fast ended at 29.7.

    Args:
        n_steps: length of the fade.

    Example:
        >>> from msae.training.controller import integral_in_fade
        >>> integral_in_fade(600), integral_in_fade(10)
        (0.05, 0.125)
    """
    return min(0.125, 30 / whole("n_steps", n_steps, 1))


class L0Controller:
    """Moves the penalty's weight so that the measured L0 follows a target; a proportional-integral controller of log weight.

    L0 answers slowly: an SAE needs hundreds of steps to let a latent go. A controller that adds up its error faster than that drives the
    weight far over what the target needs, and holes that open there stay. So most of the answer is proportional and goes when the
    error goes, and what adds up is spread over the run (`integral_for`).

    The measured L0 is a running average, corrected for its start from the first step on. All state is in `state`, so a resumed run
    goes on bit for bit. (A controller is the idea of Nabeshima 2024, after Glen Taggart; the reference's moves 0.03 % a step, unsaved.)

    Args:
        n_seeds: number of SAEs.
        start: the weight before the first batch.
        device: where the state lies.
        smoothing: share of the old in the running average of L0, 0 to below 1.
        proportional: log weight for each unit of log(L0 / target), at once and only while it lasts.
        integral: log weight for each unit of log(L0 / target) and step, for good.

    Raises:
        ValueError: a setting out of its range.

    Example:
        >>> import torch
        >>> from msae.training.controller import L0Controller
        >>> controller = L0Controller(1, start=0.03)
        >>> bool(controller.update(torch.tensor([50.0]), 20.0) > 0.03)  # too many are active: the weight rises
        True
    """

    def __init__(
        self,
        n_seeds: int,
        start: float = 0.03,
        device: torch.device | str = "cpu",
        *,
        smoothing: float = 0.9,
        proportional: float = 1.0,
        integral: float = 0.01,
    ):
        n_seeds, device = whole("n_seeds", n_seeds, 1), arguments.device("device", device)
        number("start", start, above=0)
        number("smoothing", smoothing, 0, below=1)
        number("proportional", proportional, 0)
        number("integral", integral, 0)
        self.smoothing, self.proportional, self.integral = smoothing, proportional, integral
        zeros = torch.zeros(n_seeds, device=device)
        self.state = {"log_weight": zeros + math.log(start), "average": zeros.clone(), "mass": zeros.clone(), "error": zeros.clone()}

    def weight(self) -> Tensor:
        """(S,) the weight for the next step."""
        return (self.state["log_weight"] + self.proportional * self.state["error"]).exp()

    def update(self, l0_S: Tensor, target_S: Tensor | float) -> Tensor:
        """Take in the L0 of a batch.

        Args:
            l0_S: (S,) mean number of active latents of each SAE's batch.
            target_S: what it should be, one number or one of each SAE.

        Returns:
            (S,) the weight for the next step.

        Raises:
            ValueError: shapes that do not fit, or a target that is not positive. Numbers in tensors are not looked at: that would cost a
                device a stall, and a step has looked at its loss.
        """
        state = self.state
        tensor("l0_S", l0_S, (len(state["error"]),))
        if not isinstance(target_S, Tensor):
            number("target_S", target_S, above=0)
        elif target_S.ndim > 1 or target_S.numel() not in (1, len(l0_S)):
            raise ValueError(f"target_S must be a number, or one for each of {len(l0_S)} SAEs, got {shown(target_S)}")
        else:
            target_S = target_S.to(state["error"].device)
        state["average"].lerp_(l0_S.to(state["average"]), 1 - self.smoothing)
        state["mass"].lerp_(torch.ones_like(state["mass"]), 1 - self.smoothing)
        measured = state["average"] / state["mass"]
        state["error"] = ((measured + 1e-3) / (target_S + 1e-3)).log().clamp(-1, 1)
        state["log_weight"] += self.integral * state["error"]
        return self.weight()
