"""Holes of a plain SAE over its training, for several weights of the penalty: a figure of the chapter "Absorption: holes you can count".

    python tools/weight_and_steps.py --out msae/assets/weight_and_steps.json     # one core, a few minutes

The loop is the chapter's own, line by line, with all seeds and weights in one batch; every seed sees the same inputs at every weight.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import msae
from msae import metrics
from msae.support.hardware import hardware
from msae.toy import orthogonal_directions

WEIGHTS = (0.05, 0.015, 0.005, 0.0015, 0.0005)
SEEDS = tuple(range(8))
STEPS = (100, 200, 300, 500, 700, 1000, 1500, 2000, 2500, 3000, 4000, 5000, 6000, 7000, 8000, 10000, 12000, 14000, 16000)
LR, BATCH = 0.01, 200
TREE = msae.FeatureTree.article()


def trained(directions: Tensor, n_steps: int) -> Iterator[tuple[Tensor, ...]]:
    """W_enc, b_enc, W_dec and b_dec of (weight · seed) SAEs after every step."""
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    rows = torch.stack([torch.randn(20, 20, generator=generator) for generator in generators])
    W_dec = torch.nn.functional.normalize(rows, dim=2).repeat(len(WEIGHTS), 1, 1).requires_grad_()
    W_enc = W_dec.detach().mT.clone().requires_grad_()
    b_enc, b_dec = (torch.zeros(len(W_dec), 1, 20, requires_grad=True) for _ in range(2))
    weight = torch.tensor(WEIGHTS).repeat_interleave(len(SEEDS))
    optimizer = torch.optim.Adam([W_enc, b_enc, W_dec, b_dec], lr=LR)
    for _ in range(n_steps):
        inputs = [TREE.sample(BATCH, its, generator)[0] for its, generator in zip(directions, generators)]
        x = torch.stack(inputs).repeat(len(WEIGHTS), 1, 1)
        z = torch.relu(x @ W_enc + b_enc)
        x_hat = z @ W_dec + b_dec
        loss = (x - x_hat).square().sum(2).mean(1) + weight * z.sum(2).mean(1)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        with torch.no_grad():
            W_dec /= W_dec.norm(dim=2, keepdim=True)
        yield W_enc.detach(), b_enc.detach(), W_dec.detach(), b_dec.detach()


def measured(directions: Tensor, parameters: tuple[Tensor, ...]) -> list[dict[str, float]]:
    """Of each SAE: the parents' mean hole rate at level 0 and a quarter, L0 and FVU, on fresh inputs."""
    features, found = TREE.sample_features((5000,), torch.Generator().manual_seed(1)), []
    for k, (W_enc, b_enc, W_dec, b_dec) in enumerate(zip(*parameters)):
        x = features @ directions[k % len(SEEDS)]
        acts = torch.relu(x @ W_enc + b_enc)
        latents = metrics.closest(acts, features)
        row = {"l0": metrics.l0(acts), "fvu": metrics.fvu(x, acts @ W_dec + b_dec)}
        for name, level in (("holes", 0.0), ("holes_quarter", 0.25)):
            silent = acts <= level * acts.amax(0)
            rates = [silent[features[:, TREE.children(p)].any(1), latents[p]].float().mean() for p in TREE.parents]
            row[name] = torch.stack(rates).mean().item()
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS[-1], help="stop here: 200 tries everything out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start, steps = time.time(), [step for step in STEPS if step <= asked.steps]
    directions = torch.stack([orthogonal_directions(20, 20, seed) for seed in SEEDS])
    seen = [measured(directions, now) for step, now in enumerate(trained(directions, steps[-1]), start=1) if step in steps]
    runs: list[dict[str, Any]] = []
    for k, weight in enumerate(WEIGHTS):
        mine = [rows[k * len(SEEDS) : (k + 1) * len(SEEDS)] for rows in seen]
        by_name = {name: [[round(row[name], 5) for row in rows] for rows in mine] for name in mine[0][0]}
        runs.append({"penalty_weight": weight} | by_name)
    about = {
        "what": "tools/weight_and_steps.py: " + " ".join((__doc__ or "").splitlines()[0].split()),
        "shape": "each measure is (step, seed)",
        "recipe": {"n_latents": 20, "batch_size": BATCH, "optimizer": "Adam", "lr": LR},
        "seeds": list(SEEDS),
        "seconds": round(time.time() - start),
        "hardware": hardware("cpu"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": msae.__version__},
    }
    lines = ",\n".join(f"  {json.dumps(run, separators=(',', ':'))}" for run in runs)
    asked.out.write_text(f'{{\n "about": {json.dumps(about)},\n "steps": {json.dumps(steps)},\n "runs": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    main()
