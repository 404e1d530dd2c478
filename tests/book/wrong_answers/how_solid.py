"""Wrong answers to the exercises of "How solid is that?"."""

from wrong_answer import Wrong

ORDER = """
def average_precision(activation, concept):
    ordered = concept[np.argsort(-activation)]
    shares = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return shares[ordered].mean()
"""
ALIKE = """
def holes_of_look_alike(small, large, present, level):
    fires = small > level * small.max(0)
    f1 = 2 * fires[present].sum(0) / (fires.sum(0) + present.sum())
    best = small[:, f1.argmax()]
    match = max(large.T, key=lambda other: np.corrcoef(best, other)[0, 1])
    return 1 - (match > level * match.max())[present].mean()
"""
SEEDS = """
def over_seeds_and_stories(silent, n, rng):
    n_seeds, n_stories = silent.shape
    means = []
    for _ in range(2000):
        stories = rng.integers(n_stories, size=n_stories)
        seeds = rng.integers(n_seeds, size=n_seeds)
        rates = silent[:, stories].sum(1) / n[stories].sum()
        means.append(rates[seeds].mean())
    return np.quantile(means, [0.025, 0.975])
"""
OF_ITS_OWN = SEEDS.replace(
    "rates = silent[:, stories].sum(1) / n[stories].sum()",
    "drawn = rng.integers(n_stories, size=(n_seeds, n_stories)); rates = np.take_along_axis(silent, drawn, 1).sum(1) / n[drawn].sum(1)",
)
STORY_BY_STORY = SEEDS.replace("silent[:, stories].sum(1) / n[stories].sum()", "(silent[:, stories] / n[stories]).mean(1)")

WRONG = {
    "average_precision": [
        Wrong(ORDER.replace("-activation", "activation"), "You begin at the weakest token"),
        Wrong(ORDER.replace("shares[ordered].mean()", "shares.mean()"), "You average over every place of the list"),
        Wrong(ORDER.replace("shares[ordered].mean()", "shares[ordered].sum() / len(ordered)"), "you divide by all 8 tokens"),
        Wrong(ORDER.replace("concept[np.argsort(-activation)]", "concept"), "You take the tokens as they are given"),
        Wrong(ORDER.replace("np.cumsum(ordered)", "(np.cumsum(ordered) - ordered)"), "do not count the token itself"),
        Wrong(ORDER.replace("shares[ordered].mean()", "shares[ordered]"), "you return an array of shape (4,)"),
        Wrong("def average_precision(activation, concept):\n    return concept.mean()", "the share of the whole list"),
        Wrong("def average_precision(activation, concept):\n    return 1.0", "You find 1.000"),
        Wrong(ORDER.replace("return ", ""), "is there a `return`?"),
    ],
    "holes_of_look_alike": [
        Wrong(ALIKE.replace("return 1 - ", "return "), "0.375 is the share on which it fires"),
        Wrong(ALIKE.replace("(match > level * match.max())", "(best > level * best.max())"), "of the latent of `small` itself"),
        Wrong(ALIKE.replace("level * match.max()", "0"), "on a fourth it fires faintly"),
        Wrong(ALIKE.replace("np.corrcoef(best, other)[0, 1]", "other[present].sum()"), "you find no hole"),
        Wrong(ALIKE.replace("level * small.max(0)", "level"), "Is the bar a share of each latent's own largest activation?"),
        Wrong(ALIKE.replace("return 1 - ", "1 - "), "is there a `return`?"),
    ],
    "over_seeds_and_stories": [
        Wrong(SEEDS.replace("rates[seeds].mean()", "rates.mean()"), "you draw stories alone"),
        Wrong(SEEDS.replace("rng.integers(n_stories, size=n_stories)", "np.arange(n_stories)"), "you draw seeds alone"),
        Wrong(OF_ITS_OWN, "does each seed get stories of its own?"),
        Wrong(STORY_BY_STORY, "and not story by story"),
        Wrong(SEEDS.replace("[0.025, 0.975]", "[0, 1]"), "goes from one end to the other"),
        Wrong(SEEDS.replace("[0.025, 0.975]", "[0.975, 0.025]"), "low comes first"),
        Wrong(SEEDS.replace("[0.025, 0.975]", "[0.025, 0.5, 0.975]"), "two numbers are asked for"),
        Wrong("def over_seeds_and_stories(silent, n, rng):\n    return 0.25, 0.55", "nine SAEs agree in all"),
        Wrong(SEEDS.replace("return ", ""), "is there a `return`?"),
    ],
}
