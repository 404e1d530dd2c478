"""Wrong answers to the exercises of "One of two"."""

from wrong_answer import Wrong

SLOPE = """
def slope(t, p, q, m):
    return p * m / (0.1 + (1 + t) * m) - q * m / (0.1 + (1 - t) * m)
"""

WRONG = {
    "cheapest": [
        Wrong("def cheapest(p):\n    return min(p)", "all the others need a latent"),
        Wrong("def cheapest(p):\n    return sum(p)", "one kind can do without"),
        Wrong("def cheapest(p):\n    return 0.0", "nothing paid, nothing said"),
        Wrong("def cheapest(p):\n    return sum(p) - min(p)", "which kind should go without saying?"),
        Wrong("def cheapest(p):\n    return sum(p[1:])", "which kind should go without saying?"),
        Wrong("def cheapest(p):\n    sum(p) - max(p)", "is there a `return`?"),
    ],
    "slope": [
        Wrong(SLOPE.replace(" - q", " + q"), "so its part is negative"),
        Wrong(SLOPE.replace("p * m", "-p * m").replace(" - q", " + q"), "the sign is turned"),
        Wrong(SLOPE.replace("p * m", "p").replace("q * m", "q"), "a factor m"),
        Wrong("def slope(t, p, q, m):\n    return p / (1 + (1 + t) * m / 0.1) - q / (1 + (1 - t) * m / 0.1)", "m / 0.1 and -m / 0.1"),
        Wrong("def slope(t, p, q, m):\n    return 0.0", "the slope is"),
    ],
}
