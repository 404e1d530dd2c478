"""The same SAEs trained with SAELens, dictionary_learning and msae, and all measured by the same code: the table *Beside the peers*.

    python tools/beside_peers.py --out peers     # makes the environments, trains, measures; stop it at any time, start it again
    python tools/beside_peers.py --out peers --assets msae/assets     # writes the file that ships

Each library has an environment of its own. Where `--peer sae-lens=ENVIRONMENT/bin/python` names none, it is made with pip, from a package
index: about two gigabytes each. One process trains at a time, on one thread; all of it takes twenty minutes of one core. A run has a folder
of its own, and what lies there is not made again.

No library promises that its default learning rate suits a run this short. So each is tried on seed 0 at msae's too, which is the largest,
and the one that was best for it is taken for everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tables import kept, short, write_table

PEERS = {"sae-lens": "6.54.12", "dictionary-learning": "0.1.0"}
WORKER = Path(__file__).with_name("beside_peers_worker.py")

HOOK = "blocks.3.hook_resid_pre"
TASK: dict[str, Any] = {
    **{"hook_name": HOOK, "n_latents": 1024, "k": 20, "widths": [64, 128, 256, 512, 1024], "n_steps": 1000, "batch_size": 1024},
    **{"warmup": 0.05, "decay": 0.2, "dead_after": 65_536, "n_known": 1000},
}
"""What is the same for all. The widths double, as in the libraries' own examples."""

DEFAULT_LR = {"sae-lens": 3e-4, "dictionary-learning": 2e-4 / (TASK["n_latents"] / 2**14) ** 0.5, "msae": 3e-3}
"""Each library's default; that of dictionary_learning is a rule of the number of latents."""

TRIED = (DEFAULT_LR["msae"],)
"""Learning rates that every library is tried at, beside its default."""

SEEDS = (0, 1)
REFERENCE = "S2"
"""The small SAE whose hundred latents are looked for in each: one of those that ship."""

LEVEL = 0.25
"""Share of a latent's maximum from which it counts as firing, in holes."""


class Run(NamedTuple):
    """One training."""

    library: str
    law: str
    lr: float
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.library}__{self.law.replace(', ', '-')}__lr{self.lr:g}__seed{self.seed}"


def first_runs() -> list[Run]:
    """Those that say which learning rate is best for whom, with fixed widths; the libraries take turns."""
    runs = [Run(library, "fixed", lr, SEEDS[0]) for library, default in DEFAULT_LR.items() for lr in dict.fromkeys([default, *TRIED])]
    return sorted(runs, key=lambda run: run.lr)


def best_lr(fvu: Mapping[Run, float], library: str) -> float:
    """The learning rate at which a library's first runs leave least unexplained.

    Args:
        fvu: held-out, of the runs of `first_runs` at least.
        library: one of `DEFAULT_LR`.
    """
    tried = {run.lr: fvu[run] for run in first_runs() if run.library == library}
    return min(tried, key=lambda lr: tried[lr])


def other_runs(fvu: Mapping[Run, float]) -> list[Run]:
    """What is trained at each library's best learning rate, seed by seed and there and back, so that a busy hour meets every library.

    Args:
        fvu: as for `best_lr`.
    """
    best = {library: best_lr(fvu, library) for library in DEFAULT_LR}
    own = (("msae", law) for law in ("all", "fixed, centred", "all, centred"))
    rows = [*((library, "fixed, aux") for library in best), *own]
    return [Run(library, law, best[library], seed) for seed in SEEDS for library, law in (rows[::-1] if seed % 2 else rows)]


def environments(out: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Library → its Python; those that are not given are made, with the PyTorch that is here, so that none has a faster one."""
    pythons = {"msae": sys.executable}
    for peer, release in PEERS.items():
        place = out.resolve() / "environments" / peer
        pythons[peer] = os.path.abspath(given.get(peer, place / "bin" / "python"))
        if peer not in given and not (place / "made").exists():
            venv.create(place, with_pip=True)
            packages = [f"torch=={torch.__version__.partition('+')[0]}", f"{peer}=={release}"]
            subprocess.run([pythons[peer], "-m", "pip", "install", "--quiet", *packages], check=True)
            if "+cpu" in torch.__version__:  # the ordinary torchvision that comes along does not load beside it, and nobody needs it
                subprocess.run([pythons[peer], "-m", "pip", "uninstall", "--quiet", "--yes", "torchvision"], check=True)
            (place / "made").touch()
    return pythons


def harvest(out: Path) -> None:
    """Write the vectors of the told stories, once, and the order of the batches of each seed."""
    from safetensors.torch import save_file

    import msae

    path = out / "vectors.safetensors"
    if path.exists():
        return
    lm = msae.load_language_model("bundled")
    train, held_out = (
        msae.Activations(lm, stories, HOOK, progress=False) for stories in msae.texts.split_stories(msae.load_stories("bundled"))
    )
    n = TASK["n_steps"] * TASK["batch_size"]
    for seed in SEEDS:
        g = torch.Generator().manual_seed(seed)
        passes = [torch.randperm(len(train.x), generator=g) for _ in range(-(-n // len(train.x)))]
        save_file({"order": torch.cat(passes)[:n].int()}, out / f"order{seed}.safetensors")
    vectors = {"train": train.x, "held_out": held_out.x, "held_out_story": held_out.x_story}
    save_file({name: value.contiguous() for name, value in vectors.items()}, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def train(out: Path, run: Run, python: str) -> None:
    """One training in a process of its own, where it has not been done."""
    folder = out / "runs" / run.name
    if (folder / "cost.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
    folder.mkdir(parents=True)
    files = {"vectors": str(out.resolve() / "vectors.safetensors"), "order": str(out.resolve() / f"order{run.seed}.safetensors")}
    (folder / "task.json").write_text(json.dumps(TASK | run._asdict() | files), encoding="utf-8")
    alone = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1"}
    with (folder / "said.txt").open("w", encoding="utf-8") as said:
        isolated = [] if run.library == "msae" else ["-I"]  # no PYTHONPATH: a peer's environment is its own
        command = [python, *isolated, str(WORKER), str(folder / "task.json")]
        subprocess.run(command, stdout=said, stderr=said, env=os.environ | alone, check=True)


def measure(out: Path, run: Run) -> dict[str, Any]:
    """The row of one run, measured where that has not been done."""
    folder = out / "runs" / run.name

    def row() -> dict[str, Any]:
        cost = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
        return run._asdict() | cost | measured(out, folder)

    return kept(folder / "row.json", row)


def measured(out: Path, folder: Path) -> dict[str, Any]:
    """What msae's measures say of the SAE in a folder, whoever trained it, on vectors that none of them has seen."""
    from safetensors.torch import load_file

    import msae
    from msae.metrics import encode, fvu, reconstruction, unselected_holes

    vectors, known = load_file(out / "vectors.safetensors"), load_file(folder / "known.safetensors")
    x, story = vectors["held_out"].float(), vectors["held_out_story"]
    sae = msae.sae.read_sae(folder / "sae")
    found = reconstruction(sae, x, story=story)
    (reference,) = msae.load_saes([REFERENCE]).values()
    pairs = unselected_holes(encode(reference, x), encode(sae, x), story, levels=(LEVEL,), n_replicates=1)
    means = {name: float(pairs.replicates[name][0]) for name in (f"holes {LEVEL:g}", f"precision {LEVEL:g}", "correlation")}
    with torch.no_grad():
        acts = sae.encode(known["x"])
        differences = {"acts": acts - known["lengths"], "x_hat": sae.decode(acts) - known["x_hat"]}
        by_width = [fvu(x, sae.prefix(width)(x)) for width in TASK["widths"]]
    return {
        **{"n_tokens": len(x), "fvu": found.fvu.value, "l0": found.l0.value, "dead": found.dead, "fvu_by_width": by_width},
        **{"holes": means[f"holes {LEVEL:g}"], "precision": means[f"precision {LEVEL:g}"], "correlation": means["correlation"]},
        "difference": {name: value.abs().max().item() for name, value in differences.items()},
        "largest": {"acts": known["lengths"].max().item(), "x_hat": known["x_hat"].abs().max().item()},
    }


def compare(out: Path, pythons: Mapping[str, str]) -> None:
    """Train and measure all that is missing."""

    def rows(runs: Sequence[Run]) -> Iterator[tuple[Run, dict[str, Any]]]:
        for run in runs:
            train(out, run, pythons[run.library])
            row = measure(out, run)
            print(f"{run.name}: FVU {row['fvu']:.3f}, {row['cpu_seconds']:.0f} CPU seconds", flush=True)
            yield run, row

    fvu = {run: row["fvu"] for run, row in rows(first_runs())}
    for _ in rows(other_runs(fvu)):
        pass


def write_asset(out: Path, to: Path) -> None:
    """The file that ships: every run that was measured, and what all of them are."""
    import msae
    from msae.support.hardware import machine

    fvu = {run: measure(out, run)["fvu"] for run in first_runs()}
    rows = [
        measure(out, run) for run in dict.fromkeys([*first_runs(), *other_runs(fvu)]) if (out / "runs" / run.name / "row.json").exists()
    ]
    versions: dict[str, str] = {"msae": msae.__version__}
    for row in rows:
        versions |= row.pop("versions")
    here = machine()
    about = {
        "what": "tools/beside_peers.py: the same BatchTopK SAEs trained by three libraries, measured by one code on told stories held out",
        "task": {name: value for name, value in TASK.items() if name != "n_known"},
        "default_lr": DEFAULT_LR,
        "seeds": list(SEEDS),
        "reference": REFERENCE,
        "level": LEVEL,
        "hardware": f"one thread of {here['cpus']} CPU cores, {here['processor']}, shared with other work",
        "when": here["when"],
        "versions": versions,
    }
    write_table(to / "beside_peers.json", about, short(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of environments and runs")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="an environment that there is already")
    parser.add_argument("--assets", type=Path, help="write what there is into this folder, and train nothing")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.assets:
        return write_asset(asked.out, asked.assets)
    given = dict(each.split("=", 1) for each in asked.peer)
    if unknown := given.keys() - PEERS.keys():
        parser.error(f"--peer knows {' and '.join(PEERS)}, got {', '.join(sorted(unknown))}: give --peer sae-lens=ENVIRONMENT/bin/python")
    asked.out.mkdir(parents=True, exist_ok=True)
    pythons = environments(asked.out, given)
    harvest(asked.out)
    compare(asked.out, pythons)


if __name__ == "__main__":
    main()
