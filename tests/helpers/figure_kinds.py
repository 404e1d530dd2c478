"""One figure of each kind, and what they are drawn from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from msae import figures

RNG = np.random.default_rng(0)
LABELS = [f"feature {i}" for i in range(20)]
AXES = {"row_axis": "latent", "column_axis": "feature"}
TREE = SimpleNamespace(names=["animal", "cat", "dog", "poodle"], parent=[-1, 0, 0, 2], probability=np.array([0.5, 0.2, 0.1, 0.05]))
COSINES = np.clip(RNG.normal(0, 0.3, (20, 20)), -1, 1)


def everything(**words: str) -> dict:
    """One figure of each kind, with the given title and alt."""
    words = {"title": "A plain SAE loses the parent whenever a child fires; a Matryoshka SAE never does", "alt": "what is seen", **words}
    return {
        "heatmap": lambda: figures.heatmap(COSINES, rows=LABELS, columns=LABELS, **AXES, **words),
        "heatmaps": lambda: figures.heatmaps({"ground truth": COSINES, "plain": -COSINES}, rows=LABELS, columns=LABELS, **AXES, **words),
        "together": lambda: figures.heatmaps(
            {"ground truth": COSINES, "plain": -COSINES}, rows=LABELS, columns=LABELS, together=True, **AXES, **words
        ),
        "scrub": lambda: figures.scrub(
            {step: {"ground truth": COSINES[:4], "plain": COSINES[:4] * step / 9} for step in range(3)},
            rows=LABELS[:4],
            columns=LABELS,
            slider="step",
            **AXES,
            **words,
        ),
        "scrub_lines": lambda: figures.scrub_lines(
            {weight: {"plain": ([1, 2], [0, weight]), "matryoshka": ([1, 2], [0, 1], [0, 0], [1, 2])} for weight in (0.1, 0.2)},
            slider="λ",
            x_axis="step",
            y_axis="hole rate",
            **words,
        ),
        "dots": lambda: figures.dots({"plain": [0.9, 1.0, 1.0], "all prefixes": np.zeros(16)}, axis="hole rate", **words),
        "lines": lambda: figures.lines(
            {"plain": ([1, 2, 3], [3, 2, 1]), "matryoshka": ([1, 2], [2, 1], [1, 0], [3, 2])}, x_axis="step", y_axis="loss", **words
        ),
        "bars": lambda: figures.bars({"plain": 1.0, "all prefixes": 0.5}, axis="loss", low_high={"plain": (0.9, 1.2)}, **words),
        "compare": lambda: figures.compare({"here": {"plain": 0.5, "matryoshka": (6, 5, 7)}, "there": {"plain": 1}}, axis="x", **words),
        "pairs": lambda: figures.pairs([1, 2], [2, 1], x_name="plain", y_name="matryoshka", axis="x", labels="ab", **words),
        "histogram": lambda: figures.histogram(10 ** RNG.normal(-2, 0.5, 300), axis="density", of="latents", log_x=True, **words),
        "ratios": lambda: figures.ratios(
            {"toy": {"topk, plain": [2, 3], "five": [1]}, "mid": {"relu": [0.3]}}, axis="x", one="five", **words
        ),
        "neighbourhoods": lambda: figures.neighbourhoods(
            [[0, 1], [1, 0], [2, 2], [-1, 0.5]], {0: [1, 2], 3: []}, labels=LABELS[:4], axis="component", slider="latent", **words
        ),
        "tree": lambda: figures.tree(TREE, **words),
    }


KINDS = list(everything())
