"""What a training step costs on a card: beside its five dense products, by form and precision, kernel by kernel, and how L0 decides.

`tools/gpu_session.py` calls `measure`. Steps of one size are all built at first and take turns in blocks of many steps, between two waits
for the card.

    python tools/gpu_timings.py BEFORE/timings.json AFTER/timings.json > msae/assets/step_on_gpu.json

keeps what the book shows of two sessions: one before the step was made fast on a card, one after.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from msae.bench.own import own_step
from msae.bench.settings import PEAK_FLOPS
from msae.bench.worker import encoder, floor, inputs

SIZES = {
    "width 256": {"d_model": 256, "n_latents": 8192, "batch": 1024, "l0": 30},
    "width 768, 4,096 latents": {"d_model": 768, "n_latents": 4096, "batch": 4096, "l0": 30},
    "width 768, 24,576 latents": {"d_model": 768, "n_latents": 24576, "batch": 4096, "l0": 30},
}
COMPARED = "width 768, 4,096 latents"
VECTORS = 200_000_000
"""Of the comparison: SAELens takes 15 to 20 minutes for so many on an H100."""

ROUNDS, BLOCK_SECONDS = 5, 0.02
SMALL_MATMUL = 256
L0S = (30, 60, 120, 250)

Step = Callable[[], object]


def measure(report: Any, *, device: str, small: bool) -> None:
    """Everything, the most important first; `report` is told whatever is done."""
    sizes = {name: size | small_of(size) if small else size for name, size in SIZES.items()}
    report.add(tf32_by_default=torch.backends.cuda.matmul.allow_tf32, matmul_flops=report.attempt("matmul", lambda: matmul(device, small)))
    steps: dict[str, Any] = {}
    for name, size in sizes.items():
        if report.left > 5:
            report.attempt(f"steps, {name}", lambda name=name, size=size: steps.update({name: compare(report, size, device)}))
            report.add(steps=steps)
    profiles: dict[str, Any] = {}
    for name in (COMPARED, "width 256"):
        for label, task in profiled(sizes[name] | {"device": device}).items():
            if report.left > 15:
                report.attempt(f"profile, {label}", lambda n=name, k=label, t=task: profiles.update({f"{n}: {k}": profile(t)}))
                report.add(profiles=profiles)
    if report.left > 8:
        report.add(training=report.attempt("training", lambda: training(sizes[COMPARED], device, 20 if small else 300)))
    crossover: dict[str, Any] = {}
    for l0 in L0S:
        for name, size in sizes.items():
            if report.left > 4 and l0 < size["n_latents"] / 4:
                key = f"{name}, L0 {l0}"
                report.attempt(key, lambda k=key, s=size, v=l0: crossover.update({k: forms(s | {"l0": v, "device": device})}))
                report.add(crossover=crossover)


def small_of(size: dict[str, Any]) -> dict[str, Any]:
    """About a hundredth of the work, to try the script."""
    return {"n_latents": size["n_latents"] // 16, "batch": size["batch"] // 32, "l0": size["l0"] / 4}


def task_of(
    size: dict[str, Any], *, loss: str = "all_prefixes", nonlinearity: str = "relu", dtype: str = "float32", form: str = ""
) -> dict[str, Any]:
    """What `own_step` is asked for; `form` is sparse, dense, or empty for what a user gets."""
    task = {"loss": loss, "nonlinearity": nonlinearity, "dtype": dtype, "k": max(1, round(size["l0"])), "threads": None}
    forms = {"sparse": {"sparse_up_to": math.inf}, "dense": {"sparse_up_to": 0.0}}
    return size | task | forms.get(form, {})


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(step: Step, n: int, device: str) -> float:
    """Seconds of a step, as the mean over n in a row."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(n):
        step()
    synchronize(device)
    return (time.perf_counter() - start) / n


def turns(steps: dict[str, tuple[Step, bool]], device: str) -> dict[str, dict[str, Any]]:
    """Milliseconds of each step, median and extremes over rounds in which all have a turn; the flag allows TF32."""
    n: dict[str, int] = {}
    for label, (step, tf32) in steps.items():
        torch.backends.cuda.matmul.allow_tf32 = tf32
        seconds_of(step, 4, device)
        n[label] = max(2, min(200, math.ceil(BLOCK_SECONDS / max(seconds_of(step, 2, device), 1e-6))))
    blocks: dict[str, list[float]] = {label: [] for label in steps}
    for number in range(ROUNDS):
        for label in list(steps)[:: 1 if number % 2 == 0 else -1]:
            step, torch.backends.cuda.matmul.allow_tf32 = steps[label]
            blocks[label].append(1e3 * seconds_of(step, n[label], device))
    torch.backends.cuda.matmul.allow_tf32 = False
    return {k: {"ms": median(v), "least": min(v), "most": max(v), "steps_of_a_block": n[k], "rounds": ROUNDS} for k, v in blocks.items()}


def compare(report: Any, size: dict[str, Any], device: str) -> dict[str, Any]:
    """All steps of one size, their ratio to the five products of the same precision, vectors per second, and share of the card's peak."""
    size = size | {"device": device, "threads": None}
    batches = inputs(size)
    steps: dict[str, tuple[Step, bool]] = {}
    for dtype, tf32 in (("float32", False), ("tf32", True), ("bfloat16", False)):
        task = size | {"dtype": "bfloat16" if dtype == "bfloat16" else "float32"}
        steps |= {f"five products, {dtype}": (floor(task).run, tf32), f"encoder product, {dtype}": (encoder(task).run, tf32)}
    for label, how in asked_steps().items():
        tf32 = how.pop("tf32", False)
        made = report.attempt(label, lambda how=how: own_step(task_of(size, **how), batches))
        if made is not None:
            steps[label] = made[0], tf32
    rows = turns(steps, device)
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    product = 2 * size["batch"] * size["d_model"] * size["n_latents"]
    for label, row in rows.items():
        dtype = label.rsplit(", ", 1)[1]
        row["x_five"] = row["ms"] / rows[f"five products, {dtype}"]["ms"]
        row["x_five_float32"] = row["ms"] / rows["five products, float32"]["ms"]
        row["vectors_per_second"] = size["batch"] / row["ms"] * 1e3
        if "product" in label or "dense" in label:
            row["flops"] = product * (1 if label.startswith("encoder") else 5) / row["ms"] * 1e3
            peak = next((peaks.get(dtype) for word, peaks in PEAK_FLOPS.items() if word in name), None)
            row["of_peak"] = row["flops"] / peak if peak else None
    peak_gb = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
    return size | {
        "peak_gb_of_all": peak_gb,
        "minutes_for_200_million": {k: VECTORS / r["vectors_per_second"] / 60 for k, r in rows.items()},
        "rows": rows,
    }


def asked_steps() -> dict[str, dict[str, Any]]:
    """Label, whose last word is the precision, → what is asked of `task_of`, and whether TF32 is allowed."""
    asked: dict[str, dict[str, Any]] = {}
    for form in ("sparse", "dense"):
        for loss in ("plain", "sampled", "all_prefixes"):
            asked[f"relu, {loss}, {form}, float32"] = {"loss": loss, "form": form}
        for loss in ("plain", "all_prefixes"):
            asked[f"relu, {loss}, {form}, tf32"] = {"loss": loss, "form": form, "tf32": True}
    asked["relu, all_prefixes, sparse, bfloat16"] = {"form": "sparse", "dtype": "bfloat16"}
    asked["topk, all_prefixes, sparse, float32"] = {"form": "sparse", "nonlinearity": "topk"}
    asked["topk, all_prefixes, sparse, bfloat16"] = {"form": "sparse", "nonlinearity": "topk", "dtype": "bfloat16"}
    return asked


def matmul(device: str, small: bool) -> dict[str, float]:
    """Operations per second of one large square product, by precision: what the card gives, measured."""
    found, n = {}, SMALL_MATMUL if small else 8192
    for name, dtype, tf32 in (("float32", torch.float32, False), ("tf32", torch.float32, True), ("bfloat16", torch.bfloat16, False)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        out = a @ b
        step = lambda a=a, b=b, out=out: torch.mm(a, b, out=out)  # noqa: E731
        seconds_of(step, 3, device)
        found[name] = 2 * n**3 / min(seconds_of(step, 5, device) for _ in range(3))
    torch.backends.cuda.matmul.allow_tf32 = False
    return found


def forms(size: dict[str, Any]) -> dict[str, Any]:
    """The sparse form, which is the same for all losses, and the dense one at one L0."""
    batches = inputs(size)
    steps, l0 = {}, 0.0
    for loss, form in (("all_prefixes", "sparse"), ("all_prefixes", "dense"), ("plain", "dense")):
        step, active = own_step(task_of(size, loss=loss, form=form), batches)
        steps[f"{loss}, {form}"] = step, False
        l0 = l0 or active().float().mean().item()
    return {"l0": l0, **{label: row["ms"] for label, row in turns(steps, size["device"]).items()}}


def profiled(size: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "relu, all_prefixes, sparse": task_of(size, form="sparse"),
        "relu, all_prefixes, dense": task_of(size, form="dense"),
        "topk, all_prefixes, sparse": task_of(size, nonlinearity="topk", form="sparse"),
    }


def profile(task: dict[str, Any]) -> dict[str, Any]:
    """Where three steps spend their time: kernels, launches, waits of the host."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    step, _ = own_step(task, inputs(task))
    on_card = task["device"] == "cuda"
    seconds_of(step, 5, task["device"])
    kinds = [ProfilerActivity.CPU, ProfilerActivity.CUDA] if on_card else [ProfilerActivity.CPU]
    with profiler(activities=kinds) as found:
        wall = seconds_of(step, 3, task["device"])
    events = found.key_averages()
    by_card = [e for e in events if str(e.device_type).endswith("CUDA")] if on_card else list(events)
    used = (lambda e: e.self_device_time_total) if on_card else (lambda e: e.self_cpu_time_total)
    calls = {e.key: e.count / 3 for e in events if e.key.startswith(("cuda", "cuLaunch"))}
    top = sorted(by_card, key=used, reverse=True)[:15]
    host = sorted((e for e in events if not str(e.device_type).endswith("CUDA")), key=lambda e: e.self_cpu_time_total, reverse=True)[:15]
    return {
        "wall_ms": 1e3 * wall,
        "kernel_ms": sum(map(used, by_card)) / 3e3,
        "kernels": sum(e.count for e in by_card) / 3,
        "runtime_calls": calls,
        "top": [{"name": e.key[:150], "ms": used(e) / 3e3, "calls": e.count / 3} for e in top],
        "host_top": [{"name": e.key[:80], "ms": e.self_cpu_time_total / 3e3, "calls": e.count / 3} for e in host],
    }


def training(size: dict[str, Any], device: str, n_steps: int) -> dict[str, Any]:
    """`msae.train` itself, from the first step, on batches that lie on the card: what a user would wait for."""
    import msae

    g = torch.Generator(device).manual_seed(0)
    directions = torch.randn(size["n_latents"], size["d_model"], generator=g, device=device)
    sparse = torch.rand(16, size["batch"], size["n_latents"], generator=g, device=device) < size["l0"] / size["n_latents"]
    pool = sparse.float() @ directions / size["l0"] ** 0.5

    class Pool:
        hook_name, scale, d_model = None, 1.0, size["d_model"]

        def batches(self, batch_size: int, seed: int, skip: int = 0) -> Any:
            for step in range(skip, 10**9):
                yield pool[step % len(pool)]

    found: dict[str, Any] = {"n_steps": n_steps, "batch": size["batch"]}
    for name, changes in {"exact": {}, "exact, bfloat16": {"encoder_dtype": "bfloat16"}, "plain": {"prefixes": msae.FullPrefix()}}.items():
        config = msae.TrainConfig(size["n_latents"], float(size["l0"]), n_steps=n_steps, batch_size=size["batch"], **changes)
        result = msae.train(config, Pool(), progress=False, device=device)
        per_second = n_steps * size["batch"] / result.seconds
        found[name] = {"seconds": result.seconds, "vectors_per_second": per_second, "minutes_for_200_million": VECTORS / per_second / 60}
        found[name] |= {"l0": result.history["l0"][:, 0].tolist()[:: max(1, n_steps // 40)], "loss": result.history["loss"][-1].tolist()}
    return found


def shown(told: dict[str, Any]) -> dict[str, Any]:
    """Of a session, what the book shows: times to the microsecond, and where they were taken."""
    steps = {
        name: {key: size[key] for key in ("d_model", "n_latents", "batch", "l0")}
        | {"ms": {label: round(row["ms"], 3) for label, row in size["rows"].items()}}
        | {"least_and_most": {label: [round(row["least"], 3), round(row["most"], 3)] for label, row in size["rows"].items()}}
        for name, size in told["steps"].items()
    }
    profiles = {
        label: {key: round(found[key], 2) for key in ("wall_ms", "kernel_ms", "kernels")}
        for label, found in told.get("profiles", {}).items()
    }
    kept = ("seconds", "vectors_per_second", "minutes_for_200_million")
    training = {k: {key: round(v[key], 2) for key in kept} if isinstance(v, dict) else v for k, v in (told["training"] or {}).items()}
    crossover = {label: {key: round(value, 3) for key, value in row.items()} for label, row in told.get("crossover", {}).items()}
    about = told["about"] | {"rounds": ROUNDS, "seconds": told["seconds"], "matmul_flops": told["matmul_flops"]}
    return {"about": about, "steps": steps, "profiles": profiles, "training": training, "crossover": crossover}


if __name__ == "__main__":
    before, after = (shown(json.loads(Path(path).read_text(encoding="utf-8"))) for path in sys.argv[1:])
    print(json.dumps({"before": before, "after": after}, indent=1))
