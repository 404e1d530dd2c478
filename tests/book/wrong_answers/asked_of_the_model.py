"""Wrong answers to the exercises of "Open questions, asked of the model"."""

from wrong_answer import Wrong

WHICH = """
def bits_of_which(fires):
    p = fires.mean(0)
    p = p[(p > 0) & (p < 1)]
    return float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum())
"""
SAME = """
def on_same_words(words, strength):
    ordered = [word for _, word in sorted(zip(strength, words))]
    fifth = len(words) // 5
    strongest = set(ordered[-fifth:])
    return sum(word in strongest for word in ordered[:fifth]) / fifth
"""

WRONG = {
    "bits_of_which": [
        Wrong(WHICH.replace("    p = p[(p > 0) & (p < 1)]\n", ""), "costs 0 bits"),
        Wrong(WHICH.replace("log2", "log"), "these are nats"),
        Wrong(WHICH.replace(" + (1 - p) * np.log2(1 - p)", ""), "the part with 1 - p is missing"),
        Wrong(WHICH.replace(".sum())", ".sum() * len(fires))"), "bits a token"),
        Wrong(WHICH.replace(".sum())", ".sum() / fires.shape[1])"), "you take their mean"),
    ],
    "on_same_words": [
        Wrong(SAME.replace("in ordered[:fifth]", "in ordered[-fifth:]"), "on its own words"),
        Wrong(SAME.replace("sorted(zip(strength, words))", "zip(strength, words)"), "sort by strength first"),
        Wrong(SAME.replace(" / fifth\n", " / len(words)\n"), "not of all firings"),
        Wrong(SAME.replace("ordered[:fifth]", "set(ordered[:fifth])"), "b, b are the weakest"),
    ],
}
