"""Where an SAE of "One of two" starts: the rows that its seed draws, or those with an edit.

Shapes: D d_model, N latents.
"""

from __future__ import annotations

from typing import Any

import torch
from jobs import Job
from torch import Tensor

NAMES = ("female", "male")


def winner(result: dict[str, Any]) -> int:
    """0 where the better of an SAE's two best latents is the one for female words, 1 where it is the one for male words."""
    return int(result["told"][1] > result["told"][0])


def mirrored(rows_ND: Tensor, axis_D: Tensor) -> Tensor:
    """Rows with the component along the axis turned round: what leant to female words leans to male words by as much."""
    return rows_ND - 2 * (rows_ND @ axis_D)[:, None] * axis_D


def apply_edit(job: Job, params: dict[str, Tensor], axis_D: Tensor, done: dict[str, dict[str, Any]]) -> None:
    """Edit the initial parameters of one SAE in place.

    Args:
        job: which edit, of which seed.
        params: `W_encT`, `W_dec` (N, D), `b_enc` (N,), views of one seed.
        axis_D: of norm 1, from male to female words.
        done: results of the SAEs of this kind without edits, by name.
    """
    rows, small = params["W_encT"].clone(), params["W_dec"][0].norm()
    if job.edit == "mirror-all":
        rows = mirrored(rows, axis_D)
    elif job.edit == "give-both":
        for place in (0, 1):
            given = donor(job, done, place)["owners"][place]
            for name in ("W_encT", "b_enc", "W_dec"):
                params[name][place] = torch.tensor(given[name]).to(rows)
        return
    else:
        own = done[job.base.name]
        at = own["owners"][winner(own)]["latent"]
        if job.edit == "mirror-winner":
            rows[at] = mirrored(rows[at : at + 1], axis_D)[0]
        elif job.edit == "redraw-winner":
            rows[at] = _drawn(100_000 + job.rows, rows.shape[1]).to(rows)
        elif job.edit == "graft":
            other = donor(job, done, 1 - winner(own))
            rows[at] = torch.tensor(other["owners"][1 - winner(own)]["first_row"]).to(rows)
    params["W_encT"].copy_(rows)
    params["W_dec"].copy_(rows * small)


def donor(job: Job, done: dict[str, dict[str, Any]], which: int) -> dict[str, Any]:
    """The next seed whose winner is the one asked for, with F1 of 0.75 or more."""
    for step in range(1, len(done) + 1):
        other = done.get(Job(job.kind, (job.rows + step) % 24, (job.rows + step) % 24).name)
        if other is not None and winner(other) == which and max(other["told"]) >= 0.75:
            return other
    raise LookupError(f"no finished SAE like {job.name} has a latent for {NAMES[which]} words")


def _drawn(seed: int, width: int) -> Tensor:
    row = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    return row / row.norm()
