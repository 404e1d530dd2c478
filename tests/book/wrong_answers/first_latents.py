"""Wrong answers to the exercises of "Your first latents", and what each is told."""

from wrong_answer import Wrong

_SHARES = """
def precision_recall(z, present, level):
    fires = {fires}
    both = (fires & present).sum()
    return {shares}
"""
_ABOVE, _BOTH = "z > level * z.max()", "both / fires.sum(), both / present.sum()"
_BEST = """
def best_latent(z, present, at_least):
    fires = z > 0
    n = fires.sum(0)
    both = fires[present].sum(0)
    {then}
"""
_RARE = "score[n < at_least] = -1; return int(score.argmax())"

WRONG: dict[str, list[Wrong]] = {
    "precision_recall": [
        Wrong(_SHARES.format(fires=_ABOVE, shares="both / present.sum(), both / fires.sum()"), "the two are swapped"),
        Wrong(_SHARES.format(fires="z >= level * z.max()", shares=_BOTH), "at level 0 silent tokens count as firings"),
        Wrong(_SHARES.format(fires="(z >= level * z.max()) & (z > 0)", shares=_BOTH), "exactly the level is not above it"),
        Wrong(_SHARES.format(fires="z > level", shares=_BOTH), "the level is a share of the largest"),
        Wrong(_SHARES.format(fires="z > 0", shares=_BOTH), "the level changes nothing"),
        Wrong(_SHARES.format(fires=_ABOVE, shares="both / len(z), both / present.sum()"), "divide by the firings"),
        Wrong(_SHARES.format(fires=_ABOVE, shares="both / fires.sum(), both / len(z)"), "divide by the concept"),
        Wrong(_SHARES.format(fires=_ABOVE, shares="both / fires.sum()"), "return precision and recall"),
        Wrong("def precision_recall(z, present, level):\n    return 1.0, 1.0", "divide by the firings"),
    ],
    "best_latent": [
        Wrong(_BEST.format(then="score = both / (n + 1e-9); " + _RARE), "the most precise of the frequent ones"),
        Wrong(_BEST.format(then="score = both / present.sum(); " + _RARE), "the highest recall"),
        Wrong(_BEST.format(then="score = 2 * both / (n + present.sum()); return int(score.argmax())"), "column 1 fires on 9 tokens"),
        Wrong(
            _BEST.format(then="score = (2 * both / (n + present.sum()))[n >= at_least]; return int(score.argmax())"),
            "return the column in z",
        ),
        Wrong(_BEST.format(then="score = 2 * both / (n + present.sum()); " + _RARE.replace("<", "<=")), "as many as that are enough"),
        Wrong(_BEST.format(then="score = 1.0 * n; " + _RARE), "did you count all its firings"),
        Wrong(_BEST.format(then="score = both / n; return int(score.argmax())"), "is there a division by zero"),
        Wrong(_BEST.format(then="return 2 * both / (n + present.sum())"), "return one number"),
        Wrong("def best_latent(z, present, at_least):\n    return 3", "with three silent columns in front"),
    ],
}
