"""Wrong answers to the exercises of "Explanations"."""

from wrong_answer import Wrong

SET = "def f1_of_set(hits, counts, n_fires, chosen):\n    "
STRETCHES = "def detects(fires, marks):\n    there, marked = fires.any(1), marks.any(1)\n    "

WRONG = {
    "f1_of_set": [
        Wrong(SET + "return hits[chosen].sum() / counts[chosen].sum()", "the precision alone"),
        Wrong(SET + "return hits[chosen].sum() / n_fires", "the recall alone"),
        Wrong(
            SET + "return (2 * hits[chosen] / (counts[chosen] + n_fires)).mean()",
            "add the counts and hits up",
        ),
        Wrong(
            SET + "own = hits[chosen].sum()\n    return 2 * own / (counts[chosen].sum() + own)",
            "ALL firings",
        ),
        Wrong(
            SET + "return hits[chosen].sum() / (counts[chosen].sum() + n_fires)",
            "twice the hits",
        ),
        Wrong(SET + "return 2 * hits[chosen].sum() / (counts.sum() + n_fires)", "only the marked"),
        Wrong(SET + "2 * hits[chosen].sum()", "return the F1"),
    ],
    "detects": [
        Wrong("def detects(fires, marks):\n    return (fires.any(1) == marks.any(1)).mean()", "each kind counts half"),
        Wrong("def detects(fires, marks):\n    return (marks[fires].mean() + (~marks[~fires]).mean()) / 2", "not for tokens"),
        Wrong("def detects(fires, marks):\n    return marks.any(1)[fires.any(1)].mean()", "the others count half"),
        Wrong(
            STRETCHES + "return (marked[there].mean() + marked[~there].mean()) / 2",
            "marked NOWHERE",
        ),
        Wrong(
            STRETCHES + "return marked[there].mean() + (~marked[~there]).mean()",
            "halve the sum",
        ),
        Wrong(
            STRETCHES + "return (there[marked].mean() + (~there[~marked]).mean()) / 2",
            "not of the marked ones",
        ),
    ],
    "bias_for": [
        Wrong("def bias_for(pre, n):\n    largest = np.sort(pre)[::-1]\n    return (largest[n - 1] + largest[n]) / 2", "the other sign"),
        Wrong("def bias_for(pre, n):\n    return -np.sort(pre)[::-1][n - 1]", "one too few"),
        Wrong("def bias_for(pre, n):\n    return -np.sort(pre)[::-1][n] + 1e9", "yours fires on"),
        Wrong("def bias_for(pre, n):\n    smallest = np.sort(pre)\n    return -(smallest[n - 1] + smallest[n]) / 2", "not the smallest"),
        Wrong("def bias_for(pre, n):\n    largest = np.sort(pre)[::-1]\n    -(largest[n - 1] + largest[n]) / 2", "return the bias"),
    ],
}
