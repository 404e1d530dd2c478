"""Wrong answers to the exercises of "The price"."""

from wrong_answer import Wrong

INTERVAL = """
def ratio_interval(errors_a, errors_b, number, n_resamples, generator):
    a, b = (np.bincount(number, weights=errors) for errors in (errors_a, errors_b))
    ratios = []
    for _ in range(n_resamples):
        drawn = generator.integers(len(a), size=len(a))
        ratios.append(a[drawn].sum() / b[drawn].sum())
    return np.quantile(ratios, [0.025, 0.975])
"""

WRONG = {
    "ratio_interval": [
        Wrong(
            INTERVAL.replace("(np.bincount(number, weights=errors) for errors in (errors_a, errors_b))", "errors_a, errors_b"),
            "draw whole stories, not tokens",
        ),
        Wrong(INTERVAL.replace("b[drawn]", "b[generator.integers(len(a), size=len(a))]"), "do you draw once for both SAEs?"),
        Wrong(INTERVAL.replace("a[drawn].sum() / b[drawn].sum()", "(a[drawn] / b[drawn]).mean()"), "the mean of each story's own ratio"),
        Wrong(INTERVAL.replace("[0.025, 0.975]", "[0.05, 0.95]"), "are the quantiles 0.025 and 0.975"),
        Wrong(INTERVAL.replace("[0.025, 0.975]", "[0.975, 0.025]"), "the lower end comes first"),
        Wrong(INTERVAL.replace("np.quantile(ratios, [0.025, 0.975])", "np.mean(ratios)"), "cannot be checked"),
        Wrong(INTERVAL.replace("a[drawn].sum() / b[drawn].sum()", "b[drawn].sum() / a[drawn].sum()"), "must lie inside"),
    ],
    "share_of_front": [
        Wrong("def share_of_front(acts, m):\n    return m / acts.shape[1]", "you count columns"),
        Wrong("def share_of_front(acts, m):\n    return (acts.toarray()[:, :m] > 0).any(1).mean()", "you count tokens"),
        Wrong("def share_of_front(acts, m):\n    return acts[:, :m].sum() / acts.sum()", "you add up activations"),
        Wrong("def share_of_front(acts, m):\n    return (acts.indices <= m).mean()", "the first two are latents 0 and 1"),
        Wrong(
            """
def share_of_front(acts, m):
    fires = acts.toarray() > 0
    return (fires[:, :m].sum(1) / fires.sum(1)).mean()
""",
            "a share for each token",
        ),
    ],
}
