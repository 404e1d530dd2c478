"""Wrong answers to the exercises of "Trees"."""

from wrong_answer import Wrong

MADE_UP = """
def made_up(parent, children):
    by_child = np.zeros(len(parent), dtype=bool)
    for child in children:
        by_child |= child > 0
    return by_child[parent > 0].mean()
"""

WRONG = {
    "descendants": [
        Wrong(
            "def descendants(latent, parent):\n    return {child for child, over in parent.items() if over == latent}",
            "the children alone",
        ),
        Wrong(
            """
def descendants(latent, parent):
    below = {latent}
    while True:
        more = {child for child, over in parent.items() if over in below} | below
        if more == below:
            return below
        below = more
""",
            "not its own descendant",
        ),
        Wrong(  # once through, right where parents come before their children
            """
def descendants(latent, parent):
    below = []
    for child, over in [*parent.items()][1:] + [*parent.items()][:1]:
        if over == latent or over in below:
            below.append(child)
    below += [child for child, over in parent.items() if over in below and child != "Lily's"]
    return below
""",
            "Once through the dictionary is not enough",
        ),
        Wrong("def descendants(latent, parent):\n    return set(parent) - {latent}", "dog is below animal"),
        Wrong("def descendants(latent, parent):\n    return parent[latent]", "stops with KeyError"),
        Wrong("def descendants(latent, parent):\n    return set()", "are children of who"),
    ],
    "made_up": [
        Wrong("def made_up(parent, children):\n    return sum((child[parent > 0] > 0).mean() for child in children)", "counts once"),
        Wrong("def made_up(parent, children):\n    return max((c[parent > 0] > 0).mean() for c in children)", "the best child alone"),
        Wrong(MADE_UP.replace("np.zeros", "np.ones").replace("|=", "&="), "one is enough"),
        Wrong(MADE_UP.replace("by_child[parent > 0].mean()", "(by_child & (parent > 0)).mean()"), "divide by all places"),
        Wrong(MADE_UP.replace("by_child[parent > 0].mean()", "by_child.sum() / (parent > 0).sum()"), "where the parent is silent"),
        Wrong(MADE_UP.replace("by_child[parent > 0].mean()", "(parent > 0)[by_child].mean()"), "the places where a child fires"),
        Wrong("def made_up(parent, children):\n    return (np.max(children, 0)[parent > 0] > 0).mean()", "stops with ValueError"),
    ],
}
