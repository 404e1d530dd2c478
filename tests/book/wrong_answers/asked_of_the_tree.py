"""Wrong answers to the exercises of "Open questions, asked of the tree"."""

from wrong_answer import Wrong

LOUDER = """
def louder(acts, parent, child):
    return (acts[parent & child].mean() / acts[parent & ~child].mean()).item()
"""
REACH = """
def reach(x, W_dec, share):
    along = x @ torch.nn.functional.normalize(W_dec, dim=1).T
    return (along > share * along.amax(0)).float().mean(0)
"""

WRONG = {
    "louder": [
        Wrong(
            LOUDER.replace(
                "acts[parent & child].mean() / acts[parent & ~child].mean()", "acts[parent & ~child].mean() / acts[parent & child].mean()"
            ),
            "it is turned round",
        ),
        Wrong(LOUDER.replace("parent & ~child", "~child"), "the parent must be there in both"),
        Wrong(LOUDER.replace("parent & ~child", "parent"), "only those without the child"),
        Wrong(LOUDER.replace("parent & child]", "child]"), "without its parent"),
    ],
    "reach": [
        Wrong(REACH.replace("along.amax(0)", "along.max()"), "each row has its own"),
        Wrong(REACH.replace("share * along.amax(0)", "share"), "not 0.5 itself"),
        Wrong(REACH.replace("share * along.amax(0)", "0"), "all that is positive"),
        Wrong(REACH.replace("mean(0)", "sum(0)"), "you count inputs"),
        Wrong(REACH.replace("mean(0)", "mean(1)"), "one number for each of five rows"),
    ],
}
