"""Absorption by probes beside holes, for many concepts and seeds: the table that the chapter *By the field's standard* reads.

    python tools/by_probe.py [--seeds 3] [--steps 1500] [--n-latents 2048] [--saes FOLDER] [--out msae/assets/by_probe.json]

Trains a plain and a Matryoshka SAE for each seed on the bundled stories (about 2 minutes each on one free thread; they stay in FOLDER),
then measures these and the two that are shipped on the held-out stories: a second or two for each SAE and concept. The concepts are named
ones, and those that nobody chose: wherever a latent of S/2 fires clearly. What is in the file already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

import msae
from msae import metrics
from msae.support.hardware import hardware
from msae.support.version import __version__

HOOK = "blocks.3.hook_resid_pre"
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


def saes_of(args: argparse.Namespace) -> dict[str, msae.SAE]:
    """The shipped two, and two for each seed; trained where they are missing."""
    missing = [seed for seed in range(args.seeds) if not (args.saes / f"matryoshka-{seed}").exists()]
    if missing:
        lm = msae.load_language_model("bundled")
        stream = msae.Activations(lm, msae.split_stories(msae.load_stories("bundled"))[0], HOOK, progress=False)
        for seed in missing:
            shared = {"n_steps": args.steps, "batch_size": 1024, "lr": 3e-3, "penalty": "log"}
            # of their own initial rows and order of batches: SAEs of one seed would be a pair
            for k, (kind, more) in enumerate({"plain": {"prefixes": msae.FullPrefix()}, "matryoshka": {}}.items()):
                config = msae.TrainConfig(args.n_latents, 30.0, seed=1000 + 2 * seed + k, **shared, **more)
                msae.train(config, stream, progress=False).sae.save(args.saes / f"{kind}-{seed}")
                print(f"{kind}-{seed} trained", flush=True)
    names = [f"{kind}-{seed}" for seed in range(args.seeds) for kind in ("plain", "matryoshka")]
    return msae.load_saes(["vanilla-30", "matryoshka-30"]) | {name: msae.SAE.load(args.saes / name) for name in names}


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


def measured(latents: msae.Latents, name: str, mask: np.ndarray, probe: metrics.Probe) -> dict[str, object]:
    """One concept in one SAE: by probes on half of the stories, and by the best latent's holes on the same half."""
    story = np.asarray(latents.activations.x_story)
    present, train = mask[latents.mask], story % 2 == 0
    acts = latents.acts[name]
    found = metrics.absorption_by_probe(
        latents.saes[name], latents.activations.x, present, train=train, story=story, probe=probe, acts=acts
    )
    half = latents.story % 2 == 1
    best = latents.best(mask & ~half[:, None], name).latent
    here = mask & half[:, None]
    score, holes = latents.score(best, here, level=metrics.CLEARLY), [latents.holes(best, here, level=level).rate for level in (0.0, 0.25)]
    of = found.absorption
    return {
        "probe_f1": found.f1, "f1": [each.value for each in found.sparse.f1], "split": found.sparse.split, "fraction": of.fraction,
        "full": of.full, "partial": of.partial, "n": of.n_concept, "best": best, "recall": score.recall, "holes": holes[0],
        "holes_clearly": holes[1], "best_f1": score.f1,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--n-latents", type=int, default=2048)
    parser.add_argument("--saes", type=Path, default=Path("by-probe-saes"))
    parser.add_argument("--out", type=Path, default=Path("msae/assets/by_probe.json"))
    args = parser.parse_args()
    begin = time.perf_counter()
    saes = saes_of(args)
    lm, stories = msae.load_language_model("bundled"), msae.split_stories(msae.load_stories("bundled"))[1]
    latents = msae.Latents.on(saes, lm, stories)
    references = msae.Latents(msae.load_saes(["S/2"]), latents.activations)
    concepts = concepts_of(latents, references)
    table = json.loads(args.out.read_text()) if args.out.exists() else {"rows": {}, "seconds": 0.0}
    known = {"n_seeds": args.seeds, "n_steps": args.steps, "n_latents": args.n_latents, "version": __version__, "machine": hardware()}
    story = np.asarray(latents.activations.x_story)
    for concept, mask in concepts.items():
        missing = [name for name in saes if f"{name}: {concept}" not in table["rows"]]
        rows = torch.from_numpy(np.flatnonzero(story % 2 == 0))
        probe = metrics.linear_probe(latents.activations.x[rows], mask[latents.mask][rows.numpy()]) if missing else None
        for name in missing:
            table["rows"][f"{name}: {concept}"] = _rounded(measured(latents, name, mask, probe))
        now = time.perf_counter()
        table, begin = known | {"seconds": round(table["seconds"] + now - begin), "rows": table["rows"]}, now
        args.out.write_text(json.dumps(table, indent=0) + "\n")
        print(f"{concept}: {len(missing)} measured", flush=True)


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return round(float(value), 4) if isinstance(value, (float, np.floating)) else value


if __name__ == "__main__":
    main()
