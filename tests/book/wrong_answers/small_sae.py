"""Wrong answers to the exercises of "Latents of a small SAE"."""

from wrong_answer import Wrong

WRONG = {
    "tokens_for_half": [
        Wrong(
            """
def tokens_for_half(ids, activations):
    running = np.cumsum(np.sort(np.bincount(ids, weights=activations)))
    return int(np.searchsorted(running, running[-1] / 2) + 1)
""",
            "begin with the largest",
        ),
        Wrong(
            """
def tokens_for_half(ids, activations):
    running = np.cumsum(np.sort(np.bincount(ids, weights=activations))[::-1])
    return int(np.searchsorted(running, running[-1] / 2))
""",
            "one too small",
        ),
        Wrong(
            """
def tokens_for_half(ids, activations):
    running = np.cumsum(np.sort(activations)[::-1])
    return int(np.searchsorted(running, running[-1] / 2) + 1)
""",
            "Add up all the places of a token",
        ),
        Wrong(
            """
def tokens_for_half(ids, activations):
    running = np.cumsum(np.sort(np.bincount(ids[activations > 0]))[::-1])
    return int(np.searchsorted(running, running[-1] / 2) + 1)
""",
            "count firings",
        ),
        Wrong(
            """
def tokens_for_half(ids, activations):
    running = np.cumsum(np.sort(np.bincount(ids, weights=activations))[::-1])
    return int((running <= running[-1] / 2).sum() + 1)
""",
            "exactly half, and that is enough",
        ),
        Wrong("def tokens_for_half(ids, activations):\n    return 2", "it takes 1 token, you say 2"),
    ],
    "best_level": [
        Wrong(
            """
def best_level(activations, present, levels):
    def f1(level):
        fires = activations > level
        return 2 * (fires & present).sum() / (fires.sum() + present.sum())
    return max(levels, key=f1)
""",
            "the bar is the level times the largest activation",
        ),
        Wrong(
            """
def best_level(activations, present, levels):
    def precision(level):
        fires = activations > level * activations.max()
        return present[fires].mean()
    return max(levels, key=precision)
""",
            "where precision is largest",
        ),
        Wrong(
            """
def best_level(activations, present, levels):
    def recall(level):
        return (activations > level * activations.max())[present].mean()
    return max(levels, key=recall)
""",
            "recall is largest",
        ),
        Wrong(
            """
def best_level(activations, present, levels):
    def f1(level):
        fires = activations > level * activations.max()
        return 2 * (fires & present).sum() / (fires.sum() + present.sum())
    return int(np.argmax([f1(level) for level in levels]))
""",
            "not its place in the list",
        ),
        Wrong(
            """
def best_level(activations, present, levels):
    def f1(level):
        fires = activations >= level * activations.max()
        return 2 * (fires & present).sum() / (fires.sum() + present.sum())
    return max(levels, key=f1)
""",
            "Does an activation of 0 count as a firing",
        ),
        Wrong(
            """
def best_level(activations, present, levels):
    levels = sorted(levels)
""",
            "is there a `return`?",
        ),
        Wrong("def best_level(activations, present, levels):\n    return 0.2", "is best at level 0; you say 0.2"),
    ],
}
