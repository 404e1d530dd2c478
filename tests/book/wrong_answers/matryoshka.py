"""Wrong answers to the exercises of "The Matryoshka SAE on TinyStories"."""

from wrong_answer import Wrong

GAIN = """
def gain_per_latent(sae, x, m, n):
    with torch.no_grad():
        short, long = (metrics.fvu(x, sae.prefix(k)(x)) for k in (m, n))
    return (short - long) / (n - m)
"""
MATCH = """
def holes_of_match(small, large, present, level):
    fires = small > level * small.max(0)
    f1 = 2 * fires[present].sum(0) / (fires.sum(0) + present.sum())
    best = small[:, f1.argmax()]
    match = max(large.T, key=lambda other: np.corrcoef(best, other)[0, 1])
    return 1 - (match > level * match.max())[present].mean()
"""

WRONG = {
    "gain_per_latent": [
        Wrong(GAIN.replace(" / (n - m)", ""), "you return the whole fall"),
        Wrong(GAIN.replace("short - long", "long - short"), "a gain, so the result is positive"),
        Wrong(GAIN.replace(" / (n - m)", " / n"), "you divide by 3"),
        Wrong("def gain_per_latent(sae, x, m, n):\n    return 0.1", "you find 0.1"),
    ],
    "holes_of_match": [
        Wrong(MATCH.replace("return 1 - ", "return "), "0.375 is the share on which it fires"),
        Wrong(MATCH.replace("(match > level * match.max())", "(best > level * best.max())"), "of the latent of `small` itself"),
        Wrong(MATCH.replace("level * match.max()", "0"), "on a fourth it fires faintly"),
        Wrong(MATCH.replace("np.corrcoef(best, other)[0, 1]", "other[present].sum()"), "you find no hole"),
        Wrong(MATCH.replace("level * small.max(0)", "level"), "Is the bar a share of each latent's own largest activation?"),
        Wrong(MATCH.replace("return 1 - ", "1 - "), "is there a `return`?"),
    ],
}
