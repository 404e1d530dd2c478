"""Wrong answers to the exercises of "Hovering"."""

from wrong_answer import Wrong

AGREEMENT = """
def agreement(push, activations, following, has_next, level):
    firing = has_next & (activations > level * activations.max())
    quiet = has_next & (activations == 0)
    difference = push[following[firing]].mean() - push[following[quiet]].mean()
    return difference / push.std()
"""

WRONG = {
    "agreement": [
        Wrong(AGREEMENT.replace(" / push.std()", ""), "divide by its standard deviation"),
        Wrong(AGREEMENT.replace("return difference", "return -difference"), "with the sign turned"),
        Wrong(AGREEMENT.replace("level * activations.max()", "level"), "faint firings among the clear ones"),
        Wrong(AGREEMENT.replace("(activations == 0)", "~firing"), "silent means exactly 0"),
        Wrong(AGREEMENT.replace("has_next & ", ""), "behind which nothing follows"),
        Wrong(AGREEMENT.replace(" - push[following[quiet]].mean()", ""), "without the silent places"),
        Wrong(AGREEMENT.replace("push[following[firing]]", "np.roll(push[following], 1, 1)[firing]"), "on the token that follows"),
        Wrong(AGREEMENT.replace("push[following[firing]]", "push[firing]"), "stops with IndexError"),
    ],
    "random_precision": [
        Wrong(
            "def random_precision(activations, present, k, generator):\n    return present[np.argsort(-activations)[:k]].mean()",
            "the share among the strongest firings",
        ),
        Wrong(
            "def random_precision(activations, present, k, generator):\n    return present[activations > 0].mean()",
            "do you draw with `generator`?",
        ),
        Wrong(
            """
def random_precision(activations, present, k, generator):
    return present[generator.choice(len(present), k, replace=False)].mean()
""",
            "where the latent is silent too",
        ),
        Wrong(
            """
def random_precision(activations, present, k, generator):
    drawn = generator.choice(len(present), size=k, p=activations / activations.sum())
    return present[drawn].mean()
""",
            "a strong firing is likelier",
        ),
        Wrong(
            """
def random_precision(activations, present, k, generator):
    return present[generator.choice(np.flatnonzero(activations), k)].mean()
""",
            "Draw none twice",
        ),
    ],
}
