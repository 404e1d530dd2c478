"""Wrong answers to the exercises of "Fragmentation"."""

from wrong_answer import Wrong

GREEDY = """
def cover(masks, present, share):
    left, chosen = present.copy(), []
    while (present & ~left).sum() < share * present.sum() - 1e-9:
        gains = [(fires & left).sum() for fires in masks]
        best = int(np.argmax(gains))
        if gains[best] == 0:
            return None
        left &= ~masks[best]
        chosen.append(best)
    return chosen
"""

WRONG = {
    "hole_share": [
        Wrong(
            """
def hole_share(activations, present, level):
    return ((activations <= level * activations.max()) & present).mean()
""",
            "divide by those of the concept",
        ),
        Wrong(
            """
def hole_share(activations, present, level):
    return (activations[present] > level * activations.max()).mean()
""",
            "the share on which the latent fires",
        ),
        Wrong(
            """
def hole_share(activations, present, level):
    return (activations[present] == 0).mean()
""",
            "count the zeros alone",
        ),
        Wrong(
            """
def hole_share(activations, present, level):
    return (activations[present] <= level).mean()
""",
            "your bar is 0.25 itself",
        ),
        Wrong(
            """
def hole_share(activations, present, level):
    there = activations[present]
    return (there <= level * there.max()).mean()
""",
            "*on the concept*",
        ),
        Wrong("def hole_share(activations, present, level):\n    return 1.0", "so the share is 0.375; you find 1.000"),
    ],
    "cover": [
        Wrong(  # sorted by own size: each adds what it covers, but is not chosen for what it adds
            """
def cover(masks, present, share):
    covered, chosen = np.zeros_like(present), []
    for k in sorted(range(len(masks)), key=lambda k: -(masks[k] & present).sum()):
        if covered.sum() >= share * present.sum() - 1e-9:
            break
        covered |= masks[k] & present
        chosen.append(k)
    return chosen if covered.sum() >= share * present.sum() - 1e-9 else None
""",
            "Count again what is still uncovered",
        ),
        Wrong(
            """
def cover(masks, present, share):
    left, chosen = np.ones_like(present), []
    while (present & ~left).sum() < share * present.sum() - 1e-9:
        best = int(np.argmax([(fires & left).sum() for fires in masks]))
        left &= ~masks[best]
        chosen.append(best)
    return chosen
""",
            "Count tokens of the concept",
        ),
        Wrong(
            GREEDY.replace("present.copy(), []", "present, []")
            .replace("(present & ~left).sum()", "n - left.sum()")
            .replace("    while", "    n = present.sum()\n    while")
            .replace("share * present.sum()", "share * n"),
            "changes `present`",
        ),
        Wrong(
            GREEDY.replace("        if gains[best] == 0:\n            return None\n", "        if gains[best] == 0:\n            break\n"),
            "gives None, not [0]",
        ),
        Wrong(GREEDY.replace(" < share * present.sum() - 1e-9", " <= share * present.sum()"), "do not go on"),
        Wrong(GREEDY.replace("    return chosen", "    chosen"), "is there a `return`?"),
        Wrong("def cover(masks, present, share):\n    return [0, 2]", "exactly the share of 0.6, and that is enough; you choose [0, 2]"),
    ],
}
