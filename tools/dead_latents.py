"""What keeps latents alive: the recipe of the SAEs that ship, and what else is said to help, one thing at a time.

    python tools/dead_latents.py --work dead --real valid.jsonl.zst --out msae/assets/dead_latents.json            # small, then full size
    python tools/dead_latents.py --work dead --real valid.jsonl.zst --out … --size full --only "shipped, AuxK" --seeds 0 1

Trained on the stories of the family `bundled`, at the place of the chapters, and measured on told stories that no SAE has seen, on real
ones (a file of TinyStories), and on the training tokens themselves. A row that is in the file is not made again. A small SAE takes a minute
or two on one CPU core, a full one six to ten.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import msae
from msae import metrics
from msae.family.streams import Streams
from msae.support.files import as_json, write_file
from msae.support.hardware import hardware
from msae.training import loop
from msae.training.config import Stream
from msae.training.run import Run
from msae.training.step import Observed

HOOK = "blocks.3.hook_resid_pre"
SIZES: dict[str, dict[str, Any]] = {
    "small": {"n_latents": 2048, "target_l0": 10.0, "n_steps": 500},
    "full": {"n_latents": 8192, "target_l0": 30.0, "n_steps": 1500},
}
KINDS: dict[str, dict[str, Any]] = {"Matryoshka": {"fade_prefixes": 0.4}, "plain": {"prefixes": msae.FullPrefix()}}
AUX = {"aux_latents": 128}
VARIANTS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "shipped, AuxK": AUX,
    "no exchange, AuxK": {"exchange_every": 0} | AUX,
    "no exchange": {"exchange_every": 0},
    "Adam, no exchange, AuxK": {"exchange_every": 0, "lazy_adam": False} | AUX,
    "Adam, no exchange": {"exchange_every": 0, "lazy_adam": False},
    "shipped, gradient projected": {},
    "shipped, rows from data": {},
    "shipped, L0 falls for 60 %": {"sparsify": 0.6},
    "shipped, exchange to the end": {"decay": 0.0},
}


class Projected(Run):
    """Each decoder row's gradient without its part along the row, before Adam sees it (Bricken et al. 2023)."""

    def gradients(self, x_SBD: Tensor) -> Observed:
        """Those of the loss, projected."""
        seen, rows, grad = super().gradients(x_SBD), self.params["W_dec"], self.grads["W_dec"]
        grad -= rows * ((grad * rows).sum(-1, keepdim=True) / rows.square().sum(-1, keepdim=True))
        return seen


class FromData(Run):
    """Rows that begin as inputs minus their mean, decoder and encoder alike, and b_dec as the mean; lengths as ever."""

    stream: Stream

    @torch.no_grad()
    def step(self, x_SBD: Tensor) -> None:
        """As ever; before the first, new rows."""
        if self.step_number == 0:
            n, batches = self.config.n_latents, self.stream.batches(1024, 1_000_000)
            x = torch.cat([next(batches) for _ in range(-(-n // 1024))])[:n]
            rows = torch.nn.functional.normalize(x - x.mean(0), dim=1)
            self.params["b_dec"][:] = x.mean(0)
            for name in ("W_dec", "W_encT"):
                self.params[name][:] = rows * torch.linalg.vector_norm(self.params[name], dim=2, keepdim=True).mean()
        super().step(x_SBD)


RUNS: dict[str, type[Run]] = {"shipped, gradient projected": Projected, "shipped, rows from data": FromData}


@contextmanager
def trained_by(run: type[Run]) -> Iterator[None]:
    """`msae.train` with another loop."""
    with patch.object(loop, "Run", run):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder for the activations")
    parser.add_argument("--real", type=Path, required=True, help="a file of TinyStories that are no model's own")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    family = msae.load_family("bundled")
    stream = FromData.stream = Streams(family, [HOOK], options.work, None, device="cpu", progress=False).at(HOOK)
    sets = _sets(options)
    rows: list[dict[str, Any]] = json.loads(options.out.read_text(encoding="utf-8"))["rows"] if options.out.is_file() else []
    asked = [(size, seed, name, kind) for size in options.size for seed in options.seeds for name in options.only for kind in options.kinds]
    if not any(row["variant"] == "that ships" for row in rows):
        for kind, name in {"plain": "plain-30", "Matryoshka": "matryoshka-30"}.items():
            sae = msae.load_saes([name])[name]
            row = {"size": "full", "kind": kind, "variant": "that ships", "seed": 3, "n_latents": sae.n_latents, "n_steps": 1500}
            rows.append(row | {where: _measured(sae, x) for where, x in sets.items()} | {"training": _on_training(sae, stream)})
    for size, seed, name, kind in asked:
        about = {"size": size, "kind": kind, "variant": name, "seed": seed}
        if any(about.items() <= row.items() for row in rows):
            continue
        shared = {"lazy_adam": True, "exchange_every": 5, "exchange_moves": SIZES[size]["n_latents"] // 128, "seed": seed}
        config = msae.TrainConfig(**SIZES[size] | KINDS[kind] | shared | VARIANTS[name])
        with trained_by(RUNS.get(name, Run)):
            result = msae.train(config, stream, data_seed=seed, progress=False)
        row = about | {"n_latents": config.n_latents, "n_steps": config.n_steps, "seconds": round(result.seconds)}
        row |= {where: _measured(result.sae, x) for where, x in sets.items()} | {"training": _on_training(result.sae, stream)}
        rows.append(row)
        print(row, flush=True)
        versions = {"python": platform.python_version(), "torch": str(torch.__version__), "msae": msae.__version__}
        table = {"what": "python tools/dead_latents.py", "hardware": hardware("cpu"), "versions": versions, "rows": rows}
        write_file(options.out, as_json(table, "table", indent=1))


def _sets(options: argparse.Namespace) -> dict[str, Tensor]:
    """Inputs that no SAE has seen; read once."""
    kept = options.work / "sets.pt"
    if not kept.is_file():
        lm = msae.load_language_model("bundled")
        told = msae.split_stories(msae.load_stories("bundled"))[1]
        read = {"told": msae.Activations(lm, told, hook_name=HOOK, progress=False)}
        read["real"] = msae.Activations(lm, msae.load_stories(options.real), hook_name=HOOK, n_tokens=50_000, progress=False)
        torch.save({where: each.x.clone() for where, each in read.items()}, kept)
    found: dict[str, Tensor] = torch.load(kept)
    return found


def _measured(sae: msae.SAE, x: Tensor) -> dict[str, float]:
    found = metrics.reconstruction(sae, x)
    return {"n_tokens": len(x), "dead": round(found.dead, 4), "l0": round(found.l0.value, 3), "fvu": round(found.fvu.value, 5)}


@torch.no_grad()
def _on_training(sae: msae.SAE, stream: Any) -> dict[str, float]:
    """Shares of the latents that fire on none and on fewer than ten of the tokens that were trained on."""
    fired = torch.zeros(sae.n_latents)
    for part in stream.x.split(8192):
        fired += (sae.encode(part.float()) > 0).sum(0)
    return {
        "n_tokens": len(stream.x),
        "silent": round((fired == 0).double().mean().item(), 4),
        "rare": round((fired < 10).double().mean().item(), 4),
    }


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s")
