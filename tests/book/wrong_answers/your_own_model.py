"""Wrong answers to the exercises of "Your own model"."""

from wrong_answer import Wrong

WRONG = {
    "tokens_that_fit": [
        Wrong("def tokens_that_fit(free_bytes, d_model, n_hooks):\n    return free_bytes // (4 * d_model * n_hooks)", "float16 two"),
        Wrong("def tokens_that_fit(free_bytes, d_model, n_hooks):\n    return free_bytes // (d_model * n_hooks)", "took one byte"),
        Wrong("def tokens_that_fit(free_bytes, d_model, n_hooks):\n    return free_bytes // (2 * d_model)", "that is for one hook"),
        Wrong("def tokens_that_fit(free_bytes, d_model, n_hooks):\n    return -(-free_bytes // (2 * d_model * n_hooks))", "you round up"),
        Wrong(
            "def tokens_that_fit(free_bytes, d_model, n_hooks):\n    return round(free_bytes / (2 * d_model * n_hooks))", "to the nearest"
        ),
        Wrong(
            "def tokens_that_fit(free_bytes, d_model, n_hooks):\n    return free_bytes / (2 * d_model * n_hooks)", "a whole number is asked"
        ),
        Wrong("def tokens_that_fit(free_bytes, d_model, n_hooks):\n    free_bytes // (2 * d_model * n_hooks)", "is there a `return`"),
        Wrong("def tokens_that_fit(free_bytes, d_model, n_hooks):\n    return 1.0", "so 1,250 fit into a million; you find 1.0"),
        Wrong(
            """
def tokens_that_fit(free_bytes, d_model, n_hooks):
    return free_bytes // 2 / d_model // n_hooks
""",
            "which is no int",
        ),
    ],
    "overfit": [
        Wrong(
            """
def overfit(sae, seen, unseen):
    def fvu(x):
        return (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()

    return float(fvu(seen) / fvu(unseen))
""",
            "divide unseen by seen",
        ),
        Wrong(
            """
def overfit(sae, seen, unseen):
    def error(x):
        return (x - sae(x)).square().sum(1).mean()

    return float(error(unseen) / error(seen))
""",
            "not yet divided by the variance",
        ),
        Wrong(
            """
def overfit(sae, seen, unseen):
    def fvu(x):
        return (x - sae(x)).square().sum() / x.square().sum()

    return float(fvu(unseen) / fvu(seen))
""",
            "not of x minus its mean",
        ),
        Wrong(
            """
def overfit(sae, seen, unseen):
    mean = seen.mean(0)

    def fvu(x):
        return (x - sae(x)).square().sum() / (x - mean).square().sum()

    return float(fvu(unseen) / fvu(seen))
""",
            "unseen has a mean of its own",
        ),
        Wrong(
            """
def overfit(sae, seen, unseen):
    def fvu(x):
        return (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()

    return float(fvu(unseen) - fvu(seen))
""",
            "which is a difference",
        ),
        Wrong(
            """
def overfit(sae, seen, unseen):
    def error(x):
        return (x - sae(x)).square().sum()

    return float(error(unseen) / error(seen))
""",
            "the variances are not",
        ),
        Wrong("def overfit(sae, seen, unseen):\n    return 1.25 * 3", "so the answer is 1.25; you find 3.750"),
    ],
}
