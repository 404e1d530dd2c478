"""One process of `python -m msae bench`: it builds one training step, runs it when its turn comes, and says what the turn cost.

`msae.bench` starts one for every step it compares, with the interpreter that has what is to be measured; a peer's has no msae, so this
file stands alone. It reads one request a line on stdin and writes one answer a line on stdout, both JSON.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

LENGTH_SPREAD = 0.05
"""Of the inputs' log-lengths. With L0 30, one input in 20 has more than 55 active latents and one in 20 fewer than 13."""

N_BATCHES = 4
"""Taken in turn, so that no step sees the same sizes as the one before."""


class Step(NamedTuple):
    """What a builder makes."""

    run: Callable[[], object]
    """One training step, optimizer included (for the floor: five matrix products)."""

    active: Callable[[], Tensor] | None = None
    """The number of active latents of every input of every batch."""


def inputs(task: dict[str, Any]) -> list[Tensor]:
    """N_BATCHES of (batch, d_model); entries have variance near 1, lengths differ from input to input."""
    import torch

    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(N_BATCHES):
        x = torch.randn(task["batch"], task["d_model"], generator=generator)
        length = torch.randn(task["batch"], 1, generator=generator).mul(LENGTH_SPREAD).exp()
        batches.append((x * length).to(task["device"]))
    return batches


def floor(task: dict[str, Any]) -> Step:
    """The five products of a dense step, into arrays that exist: encoder, decoder, both weight gradients, gradient of the latents."""
    import torch

    make = {"device": task["device"], "dtype": getattr(torch, task["dtype"])}
    batch, d_model, n = task["batch"], task["d_model"], task["n_latents"]
    x, d_x_hat, x_hat = (torch.randn(batch, d_model, **make) for _ in range(3))
    W_enc, d_W_enc = (torch.randn(d_model, n, **make) for _ in range(2))
    W_dec, d_W_dec = (torch.randn(n, d_model, **make) for _ in range(2))
    acts, out = (torch.randn(batch, n, **make) for _ in range(2))

    def run() -> None:
        torch.mm(x, W_enc, out=out)
        torch.mm(acts, W_dec, out=x_hat)
        torch.mm(acts.T, d_x_hat, out=d_W_dec)
        torch.mm(d_x_hat, W_dec.T, out=out)
        torch.mm(x.T, acts, out=d_W_enc)

    return Step(run)


def encoder(task: dict[str, Any]) -> Step:
    """The encoder's product alone: the one dense product that every step needs."""
    import torch

    make = {"device": task["device"], "dtype": getattr(torch, task["dtype"])}
    x, W_enc = torch.randn(task["batch"], task["d_model"], **make), torch.randn(task["d_model"], task["n_latents"], **make)
    out = x @ W_enc
    return Step(lambda: torch.mm(x, W_enc, out=out))


def ours(task: dict[str, Any]) -> Step:
    """msae's own step; a peer's interpreter never gets here."""
    from msae.bench.own import own_step

    return Step(*own_step(task, inputs(task)))


def sae_lens(task: dict[str, Any]) -> Step:
    """SAELens: its own trainer's step, BatchTopK, without the auxiliary loss (no latent counts as dead) and without logging."""
    from sae_lens import (
        BatchTopKTrainingSAE,
        BatchTopKTrainingSAEConfig,
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig,
    )
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    shape = {"d_in": task["d_model"], "d_sae": task["n_latents"], "k": task["k"], "device": task["device"], "dtype": "float32"}
    if task["loss"] == "plain":
        sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shape))
    else:
        sae = MatryoshkaBatchTopKTrainingSAE(MatryoshkaBatchTopKTrainingSAEConfig(**shape, matryoshka_widths=task["widths"]))
    turn = itertools.cycle(inputs(task))
    config = SAETrainerConfig(
        total_training_samples=10**12,
        train_batch_size_samples=task["batch"],
        lr=1e-12,
        lr_end=1e-13,
        device=task["device"],
        dead_feature_window=10**9,
    )
    trainer = SAETrainer(config, sae, data_provider=turn)

    def step() -> Any:
        output = trainer.step(next(turn))
        trainer.n_training_steps += 1
        return output

    return Step(step, lambda: (step().feature_acts > 0).sum(1))


def dictionary_learning(task: dict[str, Any]) -> Step:
    """dictionary_learning: its own trainer's update, BatchTopK, in the stretch where it also follows its threshold."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

    common = {"steps": 10**9, "activation_dim": task["d_model"], "dict_size": task["n_latents"], "k": task["k"], "lr": 1e-12}
    common |= {"device": task["device"], "layer": 0, "lm_name": "none", "threshold_start_step": 0}
    if task["loss"] == "plain":
        trainer = BatchTopKTrainer(**common)
    else:  # it cuts n_latents · fraction down to a whole number
        sizes = [wide - narrow for narrow, wide in zip([0, *task["widths"]], task["widths"])]
        trainer = MatryoshkaBatchTopKTrainer(**common, group_fractions=[(size + 1e-10) / task["n_latents"] for size in sizes])
    batches = inputs(task)
    turn, number = itertools.cycle(batches), itertools.count(1)

    def active() -> Tensor:
        import torch

        with torch.no_grad():
            return torch.cat([(trainer.ae.encode(x, use_threshold=False) > 0).sum(1) for x in batches])

    return Step(lambda: trainer.update(next(number), next(turn)), active)


BUILDERS: dict[str, tuple[str, Callable[[dict[str, Any]], Step]]] = {
    "floor": ("torch", floor),
    "encoder": ("torch", encoder),
    "msae": ("msae.bench.own", ours),
    "sae-lens": ("sae_lens", sae_lens),
    "dictionary-learning": ("dictionary_learning", dictionary_learning),
}
"""Kind → the module whose import is not counted, and what builds the step."""


def spent() -> tuple[float, float, int | None]:
    """What this process has spent so far.

    Returns:
        seconds in user mode, seconds in the kernel, and page faults, None where the system does not tell.

    Example:
        >>> from msae.bench import spent
        >>> user, kernel, faults = spent()
        >>> spent()[0] >= user
        True
    """
    try:
        import resource
    except ImportError:
        times = os.times()
        return times.user, times.system, None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime, usage.ru_minflt


def peak_memory(device: str) -> float | None:
    """Peak memory of this process in MB, of the device where that is a GPU; None where the system does not tell."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    try:  # not ru_maxrss here: on Linux it starts at the peak of the process that started this one
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def block(step: Callable[[], object], steps: int, device: str) -> dict[str, Any]:
    """Run that many steps; what they cost together."""
    if device != "cpu":
        import torch

        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        first.record()
    before, start = spent(), time.perf_counter()
    for _ in range(steps):
        step()
    if device != "cpu":
        last.record()
        last.synchronize()
    wall = first.elapsed_time(last) / 1e3 if device != "cpu" else time.perf_counter() - start
    user, kernel, faults = spent()
    faulted = None if faults is None or before[2] is None else faults - before[2]
    return {"steps": steps, "wall": wall, "user": user - before[0], "kernel": kernel - before[1], "faults": faulted}


def counts(step: Callable[[], object], device: str = "cpu") -> dict[str, int]:
    """Operations that a step launches (views and empty arrays launch none), and how often Python reads a value of a tensor on the device.

    On a GPU such a read waits for all that was launched before. So do copies to the host, and results whose size depends on values.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    found = {"kernels": 0, "host_reads": 0}

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            result = func(*args, **(kwargs or {}))
            there = any(getattr(value, "device", None) is not None and value.device.type == device for value in tree_leaves(args))
            copied = device != "cpu" and name in ("_to_copy", "copy_") and result.device.type == "cpu"
            sized = device != "cpu" and name in ("nonzero", "masked_select", "_unique2", "unique_consecutive", "bincount")
            if name in ("_local_scalar_dense", "is_nonzero", "equal") or copied or sized:
                found["host_reads"] += there
            elif not func.is_view and not name.startswith(("empty", "new_empty", "detach", "_unsafe_view", "set_")):
                found["kernels"] += 1
            return result

    with Counting():
        step()
    return found


def answers(requests: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The first request is the task; then `{"steps": n}` asks for a block, `{"finish": true}` for what is known at the end."""
    task = next(requests)
    device = task["device"]
    module, build = BUILDERS[task["kind"]]
    importlib.import_module(module)
    import torch

    if task["threads"]:
        torch.set_num_threads(task["threads"])
    weight = torch.zeros(1, requires_grad=True)  # PyTorch loads parts of itself at the first step: 90 MB that are not the step's
    weight.sum().backward()
    torch.optim.Adam([weight]).step()
    at_start = peak_memory(device)
    step = build(task)
    about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": sys.version.split()[0]}
    if device != "cpu":
        about["gpu"] = torch.cuda.get_device_name()
    if task["kind"] not in ("floor", "encoder", "msae"):
        about[task["kind"]] = version(task["kind"])
    yield about
    for request in requests:
        if "steps" in request:
            yield block(step.run, request["steps"], device)
            continue
        end: dict[str, Any] = {"peak_mb": None if at_start is None else (peak_memory(device) or 0.0) - at_start}
        if task["counts"]:
            end |= counts(step.run, torch.device(device).type)
        if step.active is not None:
            active = step.active().float()
            end["l0"] = active.mean().item()
            end["active"] = [int(active.quantile(q).item()) for q in (0.0, 0.05, 0.5, 0.95, 1.0)]
        yield end


def main() -> None:
    """Answer requests until there are no more; what goes wrong is the last answer."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not stand between the answers
    try:
        for answer in answers(json.loads(line) for line in sys.stdin):
            print(json.dumps(answer), file=own, flush=True)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}, line {place.lineno})"
        print(json.dumps({"error": said}), file=own, flush=True)
        raise


if __name__ == "__main__":
    main()
