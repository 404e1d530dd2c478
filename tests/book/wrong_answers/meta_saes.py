"""Wrong answers to the exercises of "Meta-SAEs"."""

from wrong_answer import Wrong

FIRES = """
def fires_of(fires, member):
    return (fires.astype(int) @ member.astype(int)) > 0
"""
SHARED = """
def shared_part(rows):
    return (rows.mean(0) ** 2).sum()
"""
ADDED = """
import numpy as np
def change_of_error(acts, row, residual):
    return ((residual - np.outer(acts, row)) ** 2).sum() - (residual ** 2).sum()
"""

WRONG = {
    "fires_of": [
        Wrong(FIRES.replace(" > 0", ""), "True and False are asked for"),
        Wrong(FIRES.replace("> 0", "== 0"), "it is turned round"),
        Wrong(FIRES.replace("> 0", "== 1"), "two members may fire"),
        Wrong(FIRES.replace("> 0", "== member.sum(0)"), "one is enough"),
        Wrong(FIRES.replace("> 0", "> 0").replace("return ", "return ~~").replace(") > 0", ").T > 0"), "make (30, 5)"),
    ],
    "shared_part": [
        Wrong(SHARED.replace("(rows.mean(0) ** 2).sum()", "(rows.mean(0) ** 2).sum() ** 0.5"), "this is the length"),
        Wrong(SHARED.replace("(rows.mean(0) ** 2).sum()", "(rows ** 2).sum(1).mean()"), "first the mean of the rows"),
        Wrong(SHARED.replace("rows.mean(0)", "rows.sum(0)"), "their mean"),
        Wrong("def shared_part(rows):\n    return (rows[0] @ rows[1])", "left in the mean"),
    ],
    "change_of_error": [
        Wrong(ADDED.replace("return ", "return -(").replace("2).sum()\n", "2).sum())\n"), "turned round"),
        Wrong(ADDED.replace(" - (residual ** 2).sum()", ""), "take away what it was without"),
        Wrong(ADDED.replace("return ", "return (").replace("2).sum()\n", "2).sum()) / len(acts)\n"), "the sum is asked for"),
        Wrong(ADDED.replace("residual - np", "residual + np"), "taken off the residual"),
        Wrong("def change_of_error(acts, row, residual):\n    return (acts**2).sum() - 2 * (acts @ residual @ row)", "not length 1"),
        Wrong("def change_of_error(acts, row, residual):\n    return (acts**2).sum() * (row**2).sum() - acts @ residual @ row", "twice"),
    ],
}
