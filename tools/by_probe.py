"""Absorption by probes beside holes, for many concepts: the table that the chapter *By the field's standard* reads.

    python tools/by_probe.py [--saes FOLDER …] [--out msae/assets/by_probe.json]

Measures the two SAEs that are shipped, and any others of the same place, on the held-out stories: 25 minutes for the shipped two on one
thread beside other work. The concepts are named ones, and those that nobody chose: wherever a latent of S/2 fires clearly. What is in the
file already is not measured again. Seeds are trained by `python -m msae family train`; their folders, `plain-30-seed1` and so on, go to
--saes.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array

import msae
from msae import metrics
from msae.support.hardware import hardware
from msae.support.version import __version__

NAMES = "Lily|Sue|Mia|Anna|Lucy|Sara|Sarah|Amy|Emma|Jane|Mary|Jill|Lisa|Ella|Tim|Tom|Ben|Max|Sam|Jack|John|Timmy|Bob"
MORE = {
    "names": f"/ ?({NAMES})/",
    "pronouns": "/ ?([Ss]he|[Hh]e|[Tt]hey|[Ii]t|I|[Ww]e|[Yy]ou|her|him|them|me|us)/",
    "family": "/ ?([Mm]om|[Mm]ommy|[Dd]ad|[Dd]addy|mother|father|sister|brother|[Gg]randma|[Gg]randpa)/",
    "feelings": "/ (happy|sad|scared|angry|excited|proud|surprised|worried|glad|sorry)/",
    "colours": "/ (red|blue|green|yellow|pink|white|black|brown|orange|purple)/",
    "toys": "/ (toy|ball|doll|car|block|truck|game|puzzle|train|robot|kite|teddy)s?/",
    "places": "/ (park|house|garden|forest|room|beach|school|store|kitchen|home|zoo|lake|river|tree)s?/",
    "ends of sentences": '/[.!?]"?/',
    "capitals": "/ ?[A-Z][a-z]+/",
    "-ed": "/ ?[a-z]+ed/",
    "-ing": "/ ?[a-z]+ing/",
    "-s": "/ ?[a-z]{3,}s/",
}
"""Token patterns, chosen before anything was measured: kinds of words, and forms of words."""


class Given(NamedTuple):
    """What is measured, one entry per token: vectors, a concept's marks, the half that trains, stories; and the concept's probe."""

    x: torch.Tensor
    present: np.ndarray
    train: np.ndarray
    story: np.ndarray
    probe: metrics.Probe


def concepts_of(latents: msae.Latents, references: msae.Latents) -> dict[str, np.ndarray]:
    """Named concepts, and wherever a latent of S/2 fires clearly, on at least 100 tokens in 10 stories of either half."""
    named = {name: latents.concept(pattern) for name, pattern in (msae.load_family("bundled").concepts | MORE).items()}
    acts, story, found = references.acts["S/2"], latents.story[:, None] + 0 * latents.tokens, {}
    for k in range(len(acts.latents)):
        mask = acts.where(k, metrics.CLEARLY).reshape(latents.mask.shape)
        often = all(
            (mask & (story % 2 == half)).sum() >= 100 and len(np.unique(story[mask & (story % 2 == half)])) >= 10 for half in (0, 1)
        )
        if often:
            found[f"S/2/{k}"] = mask
    return named | found


def measured(sae: msae.SAE, rows: csr_array, given: Given) -> dict[str, object]:
    """One concept in one SAE, on the second half of the stories: by probes, and by the holes of the latent that is best on the first."""
    x, present, train, story, probe = given
    rest, there = {"story": story[~train]}, present[~train]
    found = metrics.absorption_by_probe(sae, x, present, train=train, story=story, probe=probe, acts=rows)
    best = metrics.concept_scores(rows[train], present[train], level=metrics.CLEARLY).best
    score = metrics.concept_score(rows[~train], best, there, **rest, level=metrics.CLEARLY)
    holes = [metrics.hole_rate(rows[~train], best, there, **rest, level=level).rate for level in (0.0, metrics.CLEARLY)]
    seen, along = present & ~train & (probe.scores(x) > 0), {"direction": torch.from_numpy(probe.weight), "story": story}
    alone = metrics.absorption(sae, x, seen, latents=[best], **along)
    uncentred = metrics.absorption(_without_b_dec(sae), x, seen, latents=found.sparse.split, **along)
    of = found.absorption
    return {
        "probe_f1": found.f1, "f1": [each.value for each in found.sparse.f1], "split": found.sparse.split, "n": of.n_concept,
        "fraction": of.fraction, "full": of.full, "partial": of.partial, "fraction_of_best": alone.fraction, "full_of_best": alone.full,
        "fraction_uncentred": uncentred.fraction, "full_uncentred": uncentred.full,
        "best": best, "best_f1": score.f1, "recall": score.recall, "precision": score.precision,
        "holes": holes[0], "holes_clearly": holes[1],
    }  # fmt: skip


def _without_b_dec(sae: msae.SAE) -> msae.SAE:
    """The same latents (`encode` does not read b_dec), for x where msae projects x - b_dec: what SAEBench does word for word."""
    other = copy.deepcopy(sae)
    with torch.no_grad():
        other.b_dec.zero_()
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saes", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("msae/assets/by_probe.json"))
    args = parser.parse_args()
    begin = time.perf_counter()
    saes = msae.load_saes(["plain-30", "matryoshka-30"]) | {path.name: msae.SAE.load(path) for path in args.saes}
    lm, stories = msae.load_language_model("bundled"), msae.split_stories(msae.load_stories("bundled"))[1]
    latents = msae.Latents.on(saes, lm, stories)
    references = msae.Latents(msae.load_saes(["S/2"]), latents.activations)
    concepts = concepts_of(latents, references)
    table = json.loads(args.out.read_text()) if args.out.exists() else {"rows": {}, "seconds": 0.0}
    known = {"version": __version__, "machine": hardware()}
    x, story = latents.activations.x, np.asarray(latents.activations.x_story)
    train = story % 2 == 0
    acts = {name: metrics.encode(sae, x) for name, sae in saes.items()}
    for concept, mask in concepts.items():
        missing = [name for name in saes if f"{name}: {concept}" not in table["rows"]]
        present = mask[latents.mask]
        probe = metrics.linear_probe(x[torch.from_numpy(train)], present[train]) if missing else None
        for name in missing:
            table["rows"][f"{name}: {concept}"] = _rounded(measured(saes[name], acts[name], Given(x, present, train, story, probe)))
        now = time.perf_counter()
        table, begin = known | {"seconds": round(table["seconds"] + now - begin), "rows": table["rows"]}, now
        _write(args.out, table)
        print(f"{concept}: {len(missing)} measured", flush=True)


def _write(path: Path, table: dict[str, object]) -> None:
    """A row a line."""
    head, rows = json.dumps({key: value for key, value in table.items() if key != "rows"}), table["rows"]
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items())
    path.write_text(f'{head[:-1]}, "rows": {{\n{lines}\n}}}}\n')


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return round(float(value), 4) if isinstance(value, (float, np.floating)) else value


if __name__ == "__main__":
    main()
