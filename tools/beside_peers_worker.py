"""One training of `tools/beside_peers.py`, in the environment of the library that trains.

    PYTHON beside_peers_worker.py FOLDER/task.json

A peer's environment has no msae, so this file and `msae/bench/worker.py`, which it takes its clock from, stand alone. Beside the SAE, in
the library's own files, it leaves what the training cost, and what the library itself computes of some held-out vectors.

Every library gets the same task: the same vectors in the same batches, the same size, k, widths, steps, and shape of the learning rate. All
three scale their inputs by what they find on the first batches. What else there is stays at the library's default, but for two things that
a run this short would never reach:

- dictionary_learning begins to follow its threshold at step 1,000. Here it begins where the learning rate begins to fall, when the
  threshold hardly moves any more.
- An auxiliary loss waits until latents are dead: 1,000 steps in SAELens, ten million inputs in dictionary_learning; in msae it is off. So
  there are two laws: "fixed", where it never begins, and "fixed, aux", where for all a latent is dead after `dead_after` inputs.

What the peers do about inputs that lie off centre is a default of theirs; in msae it is asked for, by the laws that end in "centred".
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "msae" / "bench"))
from worker import peak_memory, spent

sys.path.pop(0)

N_FOR_SCALE = 100
"""Batches that the scale of the inputs is found on; dictionary_learning takes as many and asks nobody."""

Codes = tuple[Callable[["Tensor"], "Tensor"], Callable[["Tensor"], "Tensor"], Callable[[], "Tensor"]]
"""A library's own `encode` and `decode`, and the length that one unit of each latent adds to a reconstruction."""


class Batches:
    """The batches of a task from the first one, as often as they are asked for: (batch_size, d_model) float32."""

    def __init__(self, vectors: Tensor, order: Tensor, batch_size: int):
        self.vectors, self.rows = vectors, order.split(batch_size)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Tensor]:
        return (self.vectors[rows].float() for rows in self.rows)  # a copy each: dictionary_learning divides it in place


class Data(NamedTuple):
    """What a task is about, its vectors read."""

    task: dict[str, Any]
    batches: Batches
    folder: Path

    @property
    def d_model(self) -> int:
        return int(self.batches.vectors.shape[1])


def sae_lens(data: Data) -> Codes:
    """SAELens: its trainer's `fit`, and the inference model that it writes, a JumpReLU."""
    from sae_lens import SAE, MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    task, steps = data.task, data.task["n_steps"]
    shape = {"d_in": data.d_model, "d_sae": task["n_latents"], "k": task["k"], "normalize_activations": "expected_average_only_in"}
    sae = MatryoshkaBatchTopKTrainingSAE(MatryoshkaBatchTopKTrainingSAEConfig(**shape, matryoshka_widths=task["widths"]))

    n_for_scale = min(N_FOR_SCALE, len(data.batches))

    def provider() -> Iterator[Tensor]:
        yield from islice(data.batches, n_for_scale)
        yield from data.batches

    config = SAETrainerConfig(
        total_training_samples=steps * task["batch_size"],
        train_batch_size_samples=task["batch_size"],
        lr=task["lr"],
        lr_end=task["lr"] / 10,  # asked for and not used: the rate is constant between its rise and its fall
        lr_warm_up_steps=round(task["warmup"] * steps),
        lr_decay_steps=round(task["decay"] * steps),
        n_batches_for_norm_estimate=n_for_scale,
        **({"dead_feature_window": task["dead_after"] // task["batch_size"]} if "aux" in task["law"] else {}),
    )
    SAETrainer(config, sae, data_provider=provider()).fit().save_inference_model(data.folder / "sae")

    def read() -> Any:
        return SAE.load_from_disk(data.folder / "sae")

    return lambda x: read().encode(x), lambda acts: read().decode(acts), lambda: read().W_dec.norm(dim=1)


def dictionary_learning(data: Data) -> Codes:
    """dictionary_learning: its `trainSAE`, which writes the SAE too."""
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.training import trainSAE
    from dictionary_learning.utils import load_dictionary

    task, steps = data.task, data.task["n_steps"]
    falls = steps - round(task["decay"] * steps)
    options: dict[str, Any] = {"steps": steps, "activation_dim": data.d_model, "dict_size": task["n_latents"], "k": task["k"]}
    options |= {"lr": task["lr"], "warmup_steps": round(task["warmup"] * steps), "decay_start": falls, "threshold_start_step": falls}
    options |= {"seed": task["seed"], "device": "cpu", "layer": 3, "lm_name": "bundled", "submodule_name": task["hook_name"]}
    sizes = [wide - narrow for narrow, wide in zip([0, *task["widths"]], task["widths"])]
    options |= {"group_fractions": [(size + 1e-10) / task["n_latents"] for size in sizes]}  # it cuts n_latents · fraction to a whole number

    class Sooner(MatryoshkaBatchTopKTrainer):
        """With a latent dead after fewer inputs, which is no setting there."""

        def __init__(self, **settings: Any):
            super().__init__(**settings)
            self.dead_feature_threshold = task["dead_after"]

    options |= {"trainer": Sooner if "aux" in task["law"] else MatryoshkaBatchTopKTrainer}
    trainSAE(data.batches, [options], steps=steps, save_dir=str(data.folder), normalize_activations=True, device="cpu")
    (data.folder / "trainer_0").rename(data.folder / "sae")

    def read() -> Any:
        return load_dictionary(str(data.folder / "sae"), "cpu")[0]

    return lambda x: read().encode(x), lambda acts: read().decode(acts), lambda: read().W_dec.norm(dim=1)


def ours(data: Data) -> Codes:
    """msae: `msae.train`."""
    import msae

    task = data.task
    norms = [x.norm(dim=1).mean().item() for x in islice(data.batches, N_FOR_SCALE)]

    class Same:
        hook_name, d_model, scale = task["hook_name"], data.d_model, math.sqrt(data.d_model) * len(norms) / sum(norms)

        def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
            return (x * self.scale for x in islice(data.batches, skip, None))

    laws: dict[str, dict[str, Any]] = {"fixed": {"prefixes": msae.FixedPrefixes(task["widths"])}, "all": {}}
    helps: dict[str, dict[str, Any]] = {
        "": {},
        "aux": {"aux_latents": data.d_model // 2, "dead_after": task["dead_after"]},
        "centred": {"centre": True},
    }
    law, _, help_ = task["law"].partition(", ")
    more = laws[law] | helps[help_]
    recipe = {name: task[name] for name in ("n_latents", "n_steps", "batch_size", "lr", "warmup", "decay", "seed")}
    config = msae.TrainConfig(**recipe, target_l0=None, nonlinearity=msae.BatchTopK(task["k"]), **more)
    msae.train(config, Same(), progress=False).sae.save(data.folder / "sae")
    sae = msae.SAE.load(data.folder / "sae")
    return sae.encode, sae.decode, lambda: sae.W_dec.norm(dim=1)


LIBRARIES: dict[str, tuple[str, Callable[[Data], Codes]]] = {
    "sae-lens": ("sae_lens", sae_lens),
    "dictionary-learning": ("dictionary_learning.training", dictionary_learning),
    "msae": ("msae", ours),
}
"""The package that is installed → the module whose import is not counted, and what trains."""


def main() -> None:
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)
    folder = Path(sys.argv[1]).resolve().parent
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    module, train = LIBRARIES[task["library"]]
    __import__(module)
    vectors = load_file(task["vectors"])
    order = load_file(task["order"])["order"][: task["n_steps"] * task["batch_size"]].long()
    vectors["train"].sum(), order.sum()  # touched here, so that no library pays for reading them
    weight = torch.zeros(1, requires_grad=True)  # PyTorch loads parts of itself at the first step: 90 MB that are not the library's
    weight.sum().backward()
    torch.optim.Adam([weight]).step()
    torch.manual_seed(task["seed"])
    at_start, before, start = peak_memory("cpu"), spent(), time.perf_counter()
    encode, decode, norms = train(Data(task, Batches(vectors["train"], order, task["batch_size"]), folder))
    seconds, after, peak = time.perf_counter() - start, spent(), peak_memory("cpu")
    with torch.no_grad():
        x = vectors["held_out"][: task["n_known"]].float()
        acts = encode(x)
        known = {"x": x, "lengths": acts * norms(), "x_hat": decode(acts)}
    save_file({name: value.float().contiguous() for name, value in known.items()}, folder / "known.safetensors")
    cost = {
        "seconds": seconds,
        "cpu_seconds": after[0] + after[1] - before[0] - before[1],
        "peak_mb": None if peak is None or at_start is None else peak - at_start,
        "versions": {name: version(name) for name in ("torch", task["library"])} | {"python": sys.version.split()[0]},
    }
    part = folder / f"cost.{os.getpid()}.part"
    part.write_text(json.dumps(cost), encoding="utf-8")
    part.rename(folder / "cost.json")


if __name__ == "__main__":
    main()
