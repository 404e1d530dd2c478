"""Wrong answers to the exercises of "By the field's standard"."""

from wrong_answer import Wrong

FRACTION = """
def absorption_fraction(t, m, others):
    q = sum(sorted([a for a in others if a > 0], reverse=True)[:3])
    if m >= t or q < 0.4 * t:
        return 0.0
    if m <= 0:
        return 1.0
    r = min(q, t - m)
    return r / (r + m)
"""
OWN = """
def n_own_latents(f1, gain=0.03):
    count = 1
    while count < len(f1) and f1[count] > f1[count - 1] + gain:
        count += 1
    return count
"""

WRONG = {
    "absorption_fraction": [
        Wrong(FRACTION.replace("[:3]", ""), "do you count a fourth?"),
        Wrong(
            FRACTION.replace("sorted([a for a in others if a > 0], reverse=True)", "[a for a in others if a > 0]"),
            "the largest three count",
        ),
        Wrong(FRACTION.replace(" or q < 0.4 * t", ""), "less than 0.4"),
        Wrong(FRACTION.replace("[a for a in others if a > 0]", "others"), "what is negative does not count"),
        Wrong(FRACTION.replace("m >= t or ", ""), "carry all of it"),
        Wrong(FRACTION.replace("r = min(q, t - m)", "r = q"), "r is no more than t - m"),
        Wrong(FRACTION.replace("m <= 0", "m == 0"), "less than nothing"),
        Wrong(FRACTION.replace("    return r / (r + m)", ""), "on every way"),
    ],
    "n_own_latents": [
        Wrong(
            "def n_own_latents(f1, gain=0.03):\n    return 1 + sum(b > a + gain for a, b in zip(f1, f1[1:]))",
            "the first small gain ends the count",
        ),
        Wrong(OWN.replace("f1[count - 1]", "f1[0]"), "compare with one latent fewer"),
        Wrong(OWN.replace("gain:", "0.03:"), "the gain asked for is 0.15"),
        Wrong(OWN.replace("count < len(f1) and ", ""), "stops with IndexError"),
        Wrong(OWN.replace("count = 1", "count = 0"), "expected"),
        Wrong(OWN.replace("count - 1] + gain", "count - 1] + 0"), "which is less than `gain`"),
    ],
}
