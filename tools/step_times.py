"""What a training step costs, architecture by architecture and law by law: the column *step* of the chapter that compares them.

    python tools/step_times.py --out msae/assets/step_times.json

All SAEs of the family `architectures`, seed 0, take turns on the same batches, so that whatever else the machine does hits all alike. Time
is the processor's. The first steps are not counted: L0 has to come down first. One core needs about ten minutes.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tables import write_table
from tqdm.auto import tqdm

import msae
from msae.support.hardware import hardware
from msae.training.run import Run

N_STEPS, COUNTED = 160, 40
N_STORIES = 600


def step_times() -> tuple[dict[str, list[float]], dict[str, float]]:
    """CPU seconds of each counted step, and the L0 of the last step, by the name of an SAE."""
    family = msae.load_family("architectures")
    members = [member for member in family.members("*-seed0") if member.config.n_latents == 2048]
    acts = msae.Activations(msae.load_language_model(), msae.load_stories(n=N_STORIES), hook_name=members[0].hook_name)
    device = torch.device("cpu")
    runs = {member.name: Run(replace(member.config, n_steps=N_STEPS), acts.d_model, device) for member in members}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    steps = tqdm(range(N_STEPS), desc="steps of all", unit="step")
    for t, x in zip(steps, acts.batches(members[0].config.batch_size, 0), strict=False):
        for name, run in runs.items():
            start = time.process_time()
            run.step(x[None] if x.ndim == 2 else x)
            if t >= N_STEPS - COUNTED:
                seconds[name].append(time.process_time() - start)
    return seconds, {name: float(run.history["l0"][-1].mean()) for name, run in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seconds, l0 = step_times()
    about = {
        "what": "tools/step_times.py: " + " ".join((__doc__ or "").splitlines()[0].split()),
        "seed": 0,
        "counted": f"the last {COUNTED} of {N_STEPS} steps, all SAEs in turn on the same batches, CPU seconds of one thread",
        "hardware": hardware("cpu"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "msae": msae.__version__},
    }
    rows = [
        {"name": name, "seconds": [round(float(q), 5) for q in np.quantile(its, [0.5, 0.25, 0.75])], "l0": round(l0[name], 2)}
        for name, its in seconds.items()
    ]
    write_table(asked.out, about, rows)


if __name__ == "__main__":
    main()
