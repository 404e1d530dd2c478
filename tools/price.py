"""What a Matryoshka SAE costs and what it keeps, beside a plain SAE of the same size and L0, on told and on real stories.

    python tools/price.py --real valid.jsonl.zst --out msae/assets/price.json

The two SAEs that ship with the library. Told stories are those the language model told and no SAE has seen; real ones a file of
TinyStories. A part that is in the file already is not computed again. About ten minutes on one CPU core.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import msae
from msae import metrics
from msae.activations.rows import read_texts
from msae.sae.sae import SAE
from msae.support.files import as_json, write_file
from msae.support.hardware import hardware
from msae.texts.stories import split_stories

HOOK = "blocks.3.hook_resid_pre"
LARGE = {"plain": "plain-30", "Matryoshka": "matryoshka-30"}
REFERENCES = ("S/2", "S/3")
VERSIONS = {"python": platform.python_version(), "torch": str(torch.__version__), "msae": msae.__version__}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help="a file of TinyStories that are no model's own")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--n-texts", type=int, default=100_000, help="texts of each set that are spliced, drawn at random where there are more"
    )
    parser.add_argument("--n-tokens", type=int, default=50_000, help="tokens of each set that the hole test reads")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    sets = {"told": split_stories(msae.load_stories("bundled"))[1]}
    if options.real is not None:
        sets["real"] = msae.load_stories(options.real)
    table: dict[str, Any] = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {}
    for name, stories in sets.items():
        for part, measure in (("spliced", spliced), ("reconstruction", reconstruction), ("unselected", unselected)):
            if part in table.get(name, {}):
                continue
            began = time.perf_counter()
            found = measure(stories, options)
            about = {"seconds": round(time.perf_counter() - began), "hardware": hardware(options.device), "versions": VERSIONS}
            table.setdefault(name, {})[part] = found | about
            write_file(options.out, as_json(table, "table", indent=None))


def spliced(stories: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Losses and divergence of both SAEs, and by story what they are compared by."""
    lm = msae.load_language_model("bundled", options.device)
    texts = read_texts(lm, stories)
    saes = _saes(LARGE.values(), options.device)
    found = metrics.splice(lm, saes, texts, n_texts=options.n_texts, batch_size=16 if options.device == "cpu" else 128)
    kinds = {kind: found[name] for kind, name in LARGE.items()}
    numbers = ("loss", "loss_spliced", "loss_ablated", "loss_mean_ablated", "loss_recovered", "recovered_from_mean", "kl")
    columns = {"n": 0, "loss": 1, "kl": 5, "loss_spliced": 2}
    return {
        "n_texts": min(options.n_texts, len(texts.tokens)),
        "n_tokens": kinds["plain"].n_tokens,
        "n_stories": len(kinds["plain"].sums),
        **{kind: {name: _rounded(getattr(each, name)) for name in numbers} for kind, each in kinds.items()},
        "Matryoshka over plain": {
            name: _rounded(getattr(kinds["Matryoshka"].against(kinds["plain"]), name)) for name in ("kl", "extra_loss")
        },
        "by_story": {kind: {name: _rounded(each.sums[:, i]) for name, i in columns.items()} for kind, each in kinds.items()},
    }


def reconstruction(stories: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """L0, FVU and silent latents of both SAEs."""
    read = _read(stories, options)
    saes = _saes(LARGE.values(), options.device)
    kinds = {kind: metrics.reconstruction(saes[name], read.x, story=read.x_story) for kind, name in LARGE.items()}
    return {
        "n_tokens": len(read),
        "n_stories": len(kinds["plain"].sums),
        **{kind: {"fvu": _rounded(each.fvu), "l0": _rounded(each.l0), "silent": each.dead} for kind, each in kinds.items()},
        "Matryoshka over plain": {"fvu": _rounded(kinds["Matryoshka"].against(kinds["plain"]))},
    }


def unselected(stories: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """The hole test over all latents of the references."""
    read = _read(stories, options)
    story = torch.unique(read.x_story, return_inverse=True)[1]
    also = {"stories": int(story.max()) + 1}
    saes = _saes([*LARGE.values(), *REFERENCES], options.device)
    acts = {name: _acts(sae, read.x, options.device) for name, sae in saes.items()}
    found: dict[str, Any] = {"n_tokens": len(read), "n_stories": also["stories"]}
    for reference in REFERENCES:
        pairs = {kind: metrics.unselected_holes(acts[reference], acts[name], story).replicates for kind, name in LARGE.items()}
        found[reference] = {
            name: {
                **{kind: _interval(each[name]) for kind, each in pairs.items()},
                "difference": _interval(pairs["Matryoshka"][name], pairs["plain"][name]),
            }
            for name in pairs["plain"]
        }
        found[reference]["n_latents"] = saes[reference].n_latents
    return found


def _read(stories: list[str], options: argparse.Namespace) -> msae.Activations:
    lm = msae.load_language_model("bundled", options.device)
    n = min(options.n_tokens, int(read_texts(lm, stories).mask.sum()))
    return msae.Activations(lm, stories, hook_name=HOOK, n_tokens=n, progress=False)


def _saes(names: Iterable[str], device: str) -> dict[str, SAE]:
    return {name: sae.to(device) for name, sae in msae.load_saes(list(names)).items()}


def _acts(sae: SAE, x: torch.Tensor, device: str) -> Any:
    """(n_tokens, n_latents): sparse on a CPU, dense on a GPU."""
    if device == "cpu":
        return metrics.encode(sae, x)
    with torch.no_grad():
        return torch.cat([sae.encode(part.to(device).float()) for part in x.split(8192)])


def _interval(one: np.ndarray, other: np.ndarray | None = None) -> list[float | None]:
    """Of one seed each, so over reference latents and stories; both SAEs in the same replicates."""
    values = (each[None, None] for each in ((one,) if other is None else (one, other)))
    return _rounded(metrics.hierarchical(*values).interval)


def _rounded(numbers: Any) -> list[float | None]:
    return [float(f"{number:.5g}") if np.isfinite(number) else None for number in numbers]


if __name__ == "__main__":
    main()
