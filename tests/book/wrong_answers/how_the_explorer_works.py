"""Wrong answers to the exercises of "How the explorer works"."""

from wrong_answer import Wrong

STEPS = """
def steps(activations):
    import numpy as np
    rounded = np.round(255 * activations / activations.max())
    return np.where(activations > 0, np.maximum(1, rounded), 0).astype(int)
"""
ENDS = """
def ends(one, other, text):
    import re
    return {m.start() for m in re.finditer(f"(?<=[{one}])[{other}]", text)}
"""

BOTH = "(?<=[{one}])[{other}]"

WRONG = {
    "steps": [
        Wrong(STEPS.replace("np.maximum(1, rounded)", "rounded"), "yours is lost as 0"),
        Wrong(STEPS.replace("np.where(activations > 0, np.maximum(1, rounded), 0)", "np.maximum(1, rounded)"), "Only firings become 1"),
        Wrong(STEPS.replace(" / activations.max()", ""), "Divide by the largest"),
        Wrong(STEPS.replace("np.round", "np.floor"), "cut the fraction off"),
        Wrong(STEPS.replace("np.round", "np.ceil"), "Round to the nearest, not up"),
        Wrong(STEPS.replace("np.round", "").replace(".astype(int)", ""), "whole numbers"),
        Wrong(STEPS.replace("return ", ""), "is there a `return`"),
    ],
    "ends": [
        Wrong(
            ENDS.replace(BOTH, "[{one}][{other}]").replace("m.start()", "m.end() - 1"),
            "Let the first letter be a lookbehind",
        ),
        Wrong(ENDS.replace(BOTH, "[{one}](?=[{other}])"), "you find where a match begins"),
        Wrong(ENDS.replace("m.start()", "m.end()"), "the place behind each match"),
        Wrong(ENDS.replace(BOTH, "(?<={one}){other}"), "Put it in brackets"),
        Wrong(ENDS.replace("{m.start() for", "[m.start() for").replace("text)}", "text)]"), "return a set of places"),
    ],
}
