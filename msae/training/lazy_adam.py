"""Adam that leaves a latent alone in batches where it did not fire.

Adam's step is a mean of past gradients over the root of their mean square, and both means go on in batches that give a latent no gradient.
So one firing moves a rare latent for many steps in the direction of that one batch, each coordinate by about ten times `lr` in all. Where
that batch said "answer less", the latent is pushed past the point where anything makes it answer, and no gradient brings it back. A latent
that an exchange has just put where it is needed dies of the same.

The rule is that of `torch.optim.SparseAdam` for rows of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 18
"""Numbers that are updated at a time on a CPU: with their means they stay in its cache."""


class LazyAdam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), with state and settings of torch's, that skips rows whose gradient is all zeros.

    A row is the last axis of a parameter of three axes (S, N, D), that is one latent of one SAE; of fewer axes each number is one. The
    moments of a skipped row stay as they are too. Steps are counted for all rows together.

    Example:
        >>> import torch
        >>> from msae.training.lazy_adam import LazyAdam
        >>> rows = torch.zeros(1, 2, 3, requires_grad=True)
        >>> optimizer = LazyAdam([rows], lr=0.1)
        >>> for grad in ([[1.0], [1.0]], [[1.0], [0.0]]):  # the second row fires in the first batch alone
        ...     rows.grad = torch.tensor(grad).expand(1, 2, 3)
        ...     optimizer.step()
        >>> rows[0, :, 0].tolist()
        [-0.20000000298023224, -0.10000000149011612]
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step from the gradients that are there.

        Args:
            closure: torch's; not used.
        """
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["step"] = torch.zeros((), device=p.device)
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
                state["step"] += 1
                _update(p, p.grad, state, group)


def _update(p: Tensor, grad: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    """p, exp_avg and exp_avg_sq after a step, in place, a block of rows after the other."""
    width = p.shape[-1] if p.ndim == 3 else 1
    rows = [value.view(-1, width) for value in (p, state["exp_avg"], state["exp_avg_sq"])]
    beta1, beta2 = group["betas"]
    root = (1 - beta2 ** state["step"]).sqrt()  # on the device: no number reaches the host
    rate = -group["lr"] * root / (1 - beta1 ** state["step"])
    size = max(1, BLOCK // width) if p.device.type == "cpu" else len(rows[0])
    for p_R, mean_R, square_R, grad_R in zip(*(value.split(size) for value in (*rows, grad.reshape(-1, width))), strict=True):
        fired_R1 = grad_R.abs().amax(1, keepdim=True) != 0  # several times faster than any()
        mean_R.mul_(torch.where(fired_R1, beta1, 1.0)).add_(grad_R, alpha=1 - beta1)  # the gradient of other rows is 0
        square_R.mul_(torch.where(fired_R1, beta2, 1.0)).addcmul_(grad_R, grad_R, value=1 - beta2)
        below_R = square_R.sqrt().add_(group["eps"] * root)
        p_R.addcmul_(torch.div(mean_R, below_R, out=below_R), fired_R1 * rate)
