"""Wrong answers to the exercises of "Dead latents"."""

from wrong_answer import Wrong

CARRIED = """
def carried(n_steps, beta1, beta2):
    total = 0.0
    for t in range(1, n_steps + 1):
        mean = (1 - beta1) * beta1 ** (t - 1){mean}
        square = (1 - beta2) * beta2 ** (t - 1){square}
        {total}
    return total
"""
MEAN, SQUARE = " / (1 - beta1**t)", " / (1 - beta2**t)"
LEFT_OVER = """
def left_over(pre, rows, left, dead, k):
    its = pre[:, dead]
    top = its.topk({k}, dim=1{which})
    acts = torch.zeros_like(its).scatter(1, top.indices, {values})
    return ({left} - acts @ rows[dead]).square(){reduce}
"""
RIGHT = {"k": "k", "which": "", "values": "top.values", "left": "left.detach()", "reduce": ".sum(1).mean()"}


def left_over(**wrong: str) -> str:
    return LEFT_OVER.format(**RIGHT | wrong)


WRONG = {
    "carried": [
        Wrong(CARRIED.format(mean="", square="", total="total += mean / square**0.5"), "divide both means"),
        Wrong(CARRIED.format(mean=MEAN, square=SQUARE, total="total -= mean / square**0.5"), "downhill counts as positive"),
        Wrong(CARRIED.format(mean=MEAN, square=SQUARE, total="total = mean / square**0.5"), "sum over all steps"),
        Wrong(CARRIED.format(mean=MEAN, square=SQUARE, total="total += mean / square"), "before the root is taken"),
        Wrong("def carried(n_steps, beta1, beta2):\n    return 1.0", "the means go on"),
        Wrong("def carried(n_steps, beta1, beta2):\n    pass", "return the distance"),
    ],
    "across": [
        Wrong("def across(grad, rows):\n    return grad", "as it was"),
        Wrong(
            "def across(grad, rows):\n    return (grad * rows).sum(1, keepdim=True) / rows.square().sum(1, keepdim=True) * rows",
            "take it away from the gradient",
        ),
        Wrong("def across(grad, rows):\n    return grad - (grad * rows).sum(1, keepdim=True) * rows", "divide by the square"),
        Wrong(
            "def across(grad, rows):\n    return grad - (grad * rows).sum(1, keepdim=True) / rows.norm(dim=1, keepdim=True) * rows",
            "stands in both factors",
        ),
        Wrong("def across(grad, rows):\n    return torch.zeros_like(grad)", "more has gone"),
        Wrong("def across(grad, rows):\n    grad - rows", "return the gradient"),
    ],
    "left_over": [
        Wrong(left_over(values="top.values.relu()"), "leaves dead latents without a gradient"),
        Wrong(left_over().replace("pre[:, dead]", "pre").replace("rows[dead]", "rows"), "latents that live take part"),
        Wrong(left_over(reduce=".mean()"), "sum over it"),
        Wrong(left_over(reduce=".sum()"), "the mean over inputs"),
        Wrong(left_over(which=", largest=False"), "takes the smallest"),
        Wrong(left_over(k="its.shape[1]"), "not k"),
        Wrong(left_over(left="left"), "a gradient reaches `left`"),
        Wrong(left_over(values="top.values.detach()"), "no gradient reaches pre"),
        Wrong(left_over().replace("return (", "(", 1), "return the loss"),
    ],
}
