"""What it costs a model to lose the best latent for female words and the best for male words, in SAEs of many seeds.

    python tools/hole_costs.py runs/blocks.3.hook_resid_pre/*-seed* --out msae/assets/hole_costs.json

A folder is an SAE of the bundled language model at one place, as `python -m msae family train` leaves it; S2-seed3 is its name and its
seed. About 15 seconds for each on one thread. What is in the file already is not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import msae
from msae import metrics
from msae.activations.rows import Texts, read_texts
from msae.interventions import next_token, without
from msae.support.files import as_json, write_file

PAIR = {"female words": ("she", "her", "herself"), "male words": ("he", "his", "him", "himself")}
"""Concept → the words on which the model is asked, in small letters."""

HOOK, N_STORIES = "blocks.3.hook_resid_pre", 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saes", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table: dict[str, Any] = {"n_stories": N_STORIES, "rows": []}
    if options.out.is_file():
        table = json.loads(options.out.read_text(encoding="utf-8"))
    lm = msae.load_language_model("bundled")
    stories = msae.split_stories(msae.load_stories("bundled"))[1]
    activations = msae.Activations(lm, stories, HOOK)
    texts = read_texts(lm, stories[:N_STORIES], n_ctx=128)
    before = next_token(lm, texts).numpy()
    for folder in options.saes:
        name, _, seed = folder.name.rpartition("-seed")
        if any((row["name"], row["seed"]) == (name, int(seed)) for row in table["rows"]):
            continue
        table["rows"].append({"name": name, "seed": int(seed)} | measured(msae.SAE.load(folder), lm, activations, texts, before))
        write_file(options.out, as_json(table, "table", indent=None))


def measured(sae: msae.SAE, lm: Any, activations: msae.Activations, texts: Texts, before: np.ndarray) -> dict[str, Any]:
    """Of each concept the best latent, how good it is, and the nats per word that are lost without it: [value, low, high] over stories."""
    latents = msae.Latents({"it": sae}, activations)
    word = np.array([token.strip().lower() for token in latents.vocabulary])[texts.tokens.numpy()]
    config = sae.config or {}
    recipe = {key: value for key, value in config.items() if key not in ("made_from", "family")}
    row: dict[str, Any] = {"n_latents": sae.n_latents, "data_seed": config.get("family", {}).get("data_seed"), "recipe": recipe}
    patterns = msae.load_family("bundled").concepts
    for concept in PAIR:
        best = latents.best(latents.concept(patterns[concept]), "it", level=metrics.CLEARLY)
        number = latents.split(best.latent)[1]
        with without(lm, sae, [number]):
            lost = before - next_token(lm, texts).numpy()
        row[concept] = {"latent": number, **{what: list(getattr(best.score, what)) for what in ("f1", "precision", "recall")}}
        for other, words in PAIR.items():
            where = np.isin(word, words) & texts.mask.numpy()
            of_story = np.broadcast_to(texts.story.numpy()[:, None], where.shape)[where]
            sums = metrics.sum_by_story(of_story, lost[where], np.ones(where.sum()))
            row[concept][f"nats on {other}"] = list(metrics.bootstrap(metrics.ratio, sums))
    return row


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
