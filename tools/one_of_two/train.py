"""Train the SAEs of "One of two". Any number of processes share a folder; what is there is not trained again.

    python tools/one_of_two/words.py --real valid.jsonl.zst
    python tools/one_of_two/train.py                                  (everything)
    python tools/one_of_two/train.py --only 'plain100*' --together 4  (some of it)
    python tools/one_of_two/train.py --device cuda --together 24

An SAE of 100 latents takes 10 seconds on a core, one of 2,048 about 80; a GPU trains 24 of them in the time of a few. A file for each comes
into runs/one_of_two/; table.py makes the table of them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout
from inserting import insert
from jobs import BATCH, N_SEEDS, N_STEPS, SIZES, Job, chosen
from looking import gains, pair_f1, quality, weights_of
from safetensors.torch import save_file
from signed import keep_largest, pre_activations, train_signed
from starting import apply_edit
from torch import Tensor
from words import FOLDER, Words, read_words

import msae
from msae.activations.shuffling import Shuffled, ranges
from msae.training.run import Run

LOOKS = (0, 10, 25, 50, 100, 150, 200, 300, 400, 600, 800, 1000, 1200, 1500)


class Ground(NamedTuple):
    """What all SAEs stand on."""

    sets: dict[str, Words]
    scale: float
    axis: Tensor
    """(D,) of norm 1, from male to female words of the stories that are trained on."""

    n_steps: int

    def x(self, name: str) -> Tensor:
        """(n_tokens, d_model), times scale."""
        return self.sets[name].x.float() * self.scale


def ground(path: Path, device: str, n_steps: int) -> Ground:
    """Read it."""
    sets, scale = read_words(path, device)
    female, male = (sets["train"].x[flags].float().mean(0) for flags in sets["train"].flags)
    return Ground(sets, scale, (female - male) / (female - male).norm(), n_steps)


def batches(stand: Ground, orders: list[int]) -> Iterator[Tensor]:
    """(S, B, D): each SAE its own order, the one that `msae.Activations.batches` gives by that seed."""
    x, each = stand.sets["train"].x, {order: _order(stand, order) for order in set(orders)}
    rows = torch.stack([each[order] for order in orders], dim=1).to(x.device)
    for rows_SB in rows:
        yield x[rows_SB.long()].float() * stand.scale


def _order(stand: Ground, seed: int) -> Tensor:
    """(n_steps, B): which activations each batch has."""
    counts = stand.sets["train"].counts.numpy()
    number, starts = torch.arange(counts.sum(), dtype=torch.float64)[:, None], counts.cumsum() - counts
    drawn = Shuffled(counts, 2**20, 1.0, lambda texts: (number, ranges(starts[texts], counts[texts]))).batches(BATCH, seed, 0)
    return torch.stack([next(drawn)[:, 0].int() for _ in range(stand.n_steps)])


class Looks:
    """F1 of all latents of some SAEs for the pair, on the way."""

    def __init__(self, stand: Ground, jobs: list[Job], params: dict[str, Tensor]):
        self.stand, self.jobs, self.params = stand, jobs, params
        self.told = stand.x("told")
        self.steps: list[int] = []
        self.f1: list[Tensor] = []

    def encode(self, s: int) -> Any:
        """The activations of SAE s as a function of x; of a signed one the positive sides, then the negative."""
        kind = self.jobs[s].kind
        if not kind.startswith(("signed", "topk")):
            return weights_of(self.params, s).encode
        own, k = {name: p[s : s + 1] for name, p in self.params.items()}, int(SIZES[kind][1])

        def two_sides(x: Tensor) -> Tensor:
            acts = keep_largest(pre_activations(own, x[None]), k, kind.startswith("signed"))[0]
            return torch.cat([acts.relu(), (-acts).relu()], dim=1) if kind.startswith("signed") else acts

        return two_sides

    @torch.no_grad()
    def __call__(self, step: int) -> None:
        """Look, where it is time to."""
        if step in LOOKS or step == self.stand.n_steps:
            self.steps.append(step)
            flags = self.stand.sets["told"].flags
            self.f1.append(torch.stack([pair_f1(self.encode(s), self.told, flags).cpu() for s in range(len(self.jobs))]))

    def of(self, s: int) -> dict[str, Any]:
        """What was seen of SAE s."""
        f1_L2N = torch.stack([f1[s] for f1 in self.f1])
        best = f1_L2N[-1].argmax(1).tolist()
        real = pair_f1(self.encode(s), self.stand.x("real"), self.stand.sets["real"].flags).cpu() if "real" in self.stand.sets else None
        n = self.params["b_enc"].shape[1]
        return {
            "told": f1_L2N[-1].amax(1).tolist(),
            "real": None if real is None else real.amax(1).tolist(),
            "best": best,
            "f1_of_best": f1_L2N[-1][:, best].tolist(),
            "two_sided": two_sided(f1_L2N[-1], n) if f1_L2N.shape[2] == 2 * n else None,
            "steps": self.steps,
            "on_the_way": f1_L2N.amax(2).tolist(),
            "leaders": f1_L2N.argmax(2).tolist(),
            "of_the_owners": f1_L2N[:, [0, 1], best].tolist(),
        }


def two_sided(f1_2N: Tensor, n: int) -> dict[str, Any]:
    """The latent whose two sides fit the pair best: the smaller of the two F1, and both."""
    ways = torch.stack([torch.minimum(f1_2N[0, :n], f1_2N[1, n:]), torch.minimum(f1_2N[0, n:], f1_2N[1, :n])])
    way, latent = divmod(int(ways.argmax()), n)
    sides = (latent + way * n, latent + (1 - way) * n)
    return {"latent": latent, "f1": [float(f1_2N[0, sides[0]]), float(f1_2N[1, sides[1]])]}


def train_group(
    stand: Ground, jobs: list[Job], done: dict[str, Any], device: str, folder: Path = FOLDER
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Train SAEs of one kind side by side."""
    kind, (n_latents, l0) = jobs[0].kind, SIZES[jobs[0].kind]
    law = msae.SquareRootPrefixes() if kind.startswith("matryoshka") else msae.FullPrefix()
    config = msae.TrainConfig(n_latents, l0, stand.n_steps, batch_size=BATCH, prefixes=law, seed=tuple(job.rows for job in jobs))
    config = replace(config, penalty="l1" if kind.startswith("l1") else "log", sparsify=0.0 if jobs[0].goes_on else config.sparsify)
    run = Run(config, stand.axis.shape[0], torch.device(device))
    params, first = run.params, run.params["W_encT"].detach().clone()
    inserted: dict[int, dict[str, Any]] = {}
    with torch.no_grad():
        for s, job in enumerate(jobs):
            own = {name: p[s] for name, p in params.items()}
            if job.goes_on:
                inserted[s] = insert(job, own, stand.x("told"), done, folder)
                run.controller.state["log_weight"][s] = math.log(inserted[s]["weight"])
            elif job.edit:
                apply_edit(job, own, stand.axis, done)
    looks, stream = Looks(stand, jobs, params), batches(stand, [job.order for job in jobs])
    if kind.startswith(("signed", "topk")):
        own = {name: p.detach().clone() for name, p in params.items()}
        looks.params = params = own
        train_signed(own, stream, stand.n_steps, k=int(l0), signed=kind.startswith("signed"), look=looks)
    else:
        for step in range(stand.n_steps):
            looks(step)
            run.step(next(stream))
        looks(stand.n_steps)
    results = []
    with torch.no_grad():
        for s in range(len(jobs)):
            results.append(looks.of(s) | _after(stand, looks, s, first[s], run))
            if s in inserted:
                at = inserted[s].get("place")
                inserted[s]["on_the_way"] = None if at is None else [f1[s, :, at].tolist() for f1 in looks.f1]
                results[-1]["inserted"] = inserted[s]
    return results, {name: p.detach() for name, p in params.items()}


def _after(stand: Ground, looks: Looks, s: int, first_ND: Tensor, run: Run) -> dict[str, Any]:
    """What is measured once, of a trained SAE."""
    params, seen = looks.params, looks.of(s)
    n = params["b_enc"].shape[1]
    owners = [best % n for best in seen["best"]]
    said: dict[str, Any] = {"owners": []}
    for latent in owners:
        rows = {name: params[name][s, latent].tolist() for name in ("W_encT", "b_enc", "W_dec")}
        said["owners"].append({"latent": latent, "first_row": first_ND[latent].tolist()} | rows)
    told, flags = looks.told, stand.sets["told"].flags
    said["first"] = (first_ND @ stand.axis).tolist() if n <= 100 else None
    if looks.jobs[s].kind.startswith(("signed", "topk")):
        acts = looks.encode(s)(told)
        signed = acts[:, :n] - acts[:, n:] if acts.shape[1] == 2 * n else acts
        W_dec = params["W_dec"][s] / params["W_dec"][s].norm(dim=1, keepdim=True)
        error = (told - signed @ W_dec - params["b_dec"][s]).square().sum() / (told - told.mean(0)).square().sum()
        dead = (signed.abs().amax(0) == 0).float().mean()
        return said | {"l0": float((acts > 0).sum(1).float().mean()), "fvu": float(error), "dead": float(dead)}
    sae = weights_of(params, s)
    said |= quality(sae, told)
    if run.config.penalty != "log":
        return said
    return said | {"gains": gains(sae, told, flags, owners=owners, weight=float(run.weight_S[s]), axis=stand.axis)}


def finished(folder: Path, kind: str) -> dict[str, Any]:
    """Results of the SAEs of a kind without edits, by name."""
    names = [Job(kind, s, s).name for s in range(N_SEEDS)]
    return {name: json.loads((folder / f"{name}.json").read_text("utf8")) for name in names if (folder / f"{name}.json").exists()}


def ready(job: Job, done: dict[str, Any]) -> bool:
    """Whether all is there that its edit needs."""
    if not job.edit or job.edit == "mirror-all":
        return True
    needed = [job.base] if job.edit in ("mirror-winner", "redraw-winner") else [Job(job.kind, s, s) for s in range(N_SEEDS)]
    return all(base.name in done for base in needed)


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="names of SAEs, with * for anything, and commas between")
    parser.add_argument("--together", type=int, default=4, help="SAEs that are trained side by side")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--words", type=Path, default=FOLDER / "words.safetensors")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--length", type=float, default=1.0, help="share of the steps, to try it out")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after so many")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    stand = ground(asked.words, asked.device, max(1, round(N_STEPS * asked.length)))
    print(f"read after {time.monotonic() - started:.0f} s", flush=True)
    while time.monotonic() - started < asked.seconds:
        with ExitStack() as held:
            jobs, done = _take(asked, held)
            if not jobs:
                break
            begun = time.monotonic()
            results, params = train_group(stand, jobs, done, asked.device, asked.out)
            seconds = time.monotonic() - begun
            for s, (job, result) in enumerate(zip(jobs, results)):
                about = {"job": job._asdict(), "n_steps": stand.n_steps, "seconds": seconds, "together": len(jobs), "device": asked.device}
                versions = {"torch": torch.__version__, "msae": msae.__version__}
                path = asked.out / f"{job.name}.json"
                if job.kind == "plain100" and not job.edit:
                    save_file({name: p[s].cpu().contiguous().clone() for name, p in params.items()}, path.with_suffix(".safetensors"))
                path.with_suffix(".part").write_text(json.dumps(about | versions | result), "utf8")
                os.replace(path.with_suffix(".part"), path)
            ended = " ".join("/".join(f"{v:.2f}" for v in result["told"]) for result in results)
            print(f"{time.monotonic() - started:6.0f} s  {jobs[0].name}, {len(jobs)} in {seconds:.1f} s: {ended}", flush=True)


def _take(asked: argparse.Namespace, held: ExitStack) -> tuple[list[Job], dict[str, Any]]:
    """The next few jobs of one kind that nobody has done or is at, each locked."""
    jobs: list[Job] = []
    done: dict[str, Any] = {}
    for job in chosen(asked.only):
        if (asked.out / f"{job.name}.json").exists() or (jobs and (job.kind, job.goes_on) != (jobs[0].kind, jobs[0].goes_on)):
            continue
        done = done if jobs else finished(asked.out, job.kind)
        if not ready(job, done):
            continue
        try:
            held.enter_context(FileLock(asked.out / f".{job.name}.lock", timeout=0))
        except Timeout:
            continue
        if (asked.out / f"{job.name}.json").exists():
            continue
        jobs.append(job)
        if len(jobs) == asked.together:
            break
    return jobs, done


if __name__ == "__main__":
    main()
