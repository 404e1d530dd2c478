"""Wrong answers to the exercises of "What a hundred SAEs settle"."""

from wrong_answer import Wrong

OVER = """
def over_seeds(values, n_resamples, generator):
    means = []
    for _ in range(n_resamples):
        seeds, references = (generator.integers(n, size=n) for n in values.shape)
        means.append(values[np.ix_(seeds, references)].mean())
    return np.quantile(means, [0.025, 0.975])
"""

WRONG = {
    "over_seeds": [
        Wrong(OVER.replace("values[np.ix_(seeds, references)]", "values[seeds]"), "draw references anew, too"),
        Wrong(OVER.replace("values[np.ix_(seeds, references)]", "values[:, references]"), "draw seeds anew"),
        Wrong(OVER.replace("values[np.ix_(seeds, references)]", "generator.choice(values.ravel(), values.size)"), "not single values"),
        Wrong(OVER.replace("values[np.ix_(seeds, references)]", "values[seeds[0], references]"), "as many seeds as there are"),
        Wrong(OVER.replace("generator.integers(n, size=n)", "generator.permutation(n)"), "an interval of no width"),
        Wrong(OVER.replace("[0.025, 0.975]", "[0.25, 0.75]"), "0.025 and 0.975"),
        Wrong(OVER.replace("[0.025, 0.975]", "[0.975, 0.025]"), "the lower end comes first"),
        Wrong(OVER.replace("np.quantile(means, [0.025, 0.975])", "np.mean(means)"), "cannot be checked"),
    ],
    "moved_to": [
        Wrong("def moved_to(value, l0, target, slope):\n    return value * (l0 / target) ** slope", "or back?"),
        Wrong("def moved_to(value, l0, target, slope):\n    return value + slope * (target - l0)", "a line in the numbers"),
        Wrong("def moved_to(value, l0, target, slope):\n    return value * (1 + slope * (target - l0) / l0)", "a line in the numbers"),
        Wrong(
            "import math\n\n\ndef moved_to(value, l0, target, slope):\n    return math.log(value) + slope * math.log(target / l0)",
            "is it still a logarithm?",
        ),
        Wrong("def moved_to(value, l0, target, slope):\n    return value", "it is half, 0.04"),
    ],
}
