"""Wrong answers to the exercises of "TopK, BatchTopK, JumpReLU"."""

from wrong_answer import Wrong

KEPT = """
def smallest_kept(pre, k):
    return pre.flatten().topk(k * len(pre)).values[-1].item()
"""
LOSS = """
def weighted_loss(x, acts, W_dec, widths, weights):
    losses = [((x - acts[:, :m] @ W_dec[:m]) ** 2).sum(1).mean() for m in widths]
    return sum(w * loss for w, loss in zip(weights, losses)) / sum(weights)
"""
JUMP = """
def threshold_gradient(pre, grad, threshold, width):
    near = (pre - threshold).abs() < width / 2
    return -threshold / width * grad[near].sum()
"""
ABOVE = JUMP.replace("(pre - threshold).abs() < width / 2", "(pre > threshold) & (pre < threshold + width / 2)")

WRONG = {
    "smallest_kept": [
        Wrong(KEPT.replace("pre.flatten().topk(k * len(pre)).values[-1]", "pre.topk(k).values.min()"), "inputs compete with each other"),
        Wrong(KEPT.replace("k * len(pre)", "k"), "these are the k largest of the batch"),
        Wrong(KEPT.replace("values[-1]", "values[0]"), "this is the largest"),
        Wrong(KEPT.replace("k * len(pre)", "k * len(pre) + 1"), "this is the largest that is dropped"),
        Wrong("def smallest_kept(pre, k):\n    return 0.3", "on other numbers"),
    ],
    "weighted_loss": [
        Wrong(LOSS.replace(" / sum(weights)", ""), "divide by the sum of the weights"),
        Wrong(LOSS.replace("w * loss", "sum(weights) / len(weights) * loss"), "you count both prefixes alike"),
        Wrong(LOSS.replace("zip(weights, losses)", "zip(weights[::-1], losses)"), "the weights are turned round"),
        Wrong(LOSS.replace(".sum(1).mean()", ".mean()"), "sum the squares over d_model"),
        Wrong(LOSS.replace("for m in widths", "for m in (widths[0], widths[-1])"), "with three widths"),
        Wrong("def weighted_loss(x, acts, W_dec, widths, weights):\n    return 0.0", "for widths 2 and 6"),
    ],
    "threshold_gradient": [
        Wrong(JUMP.replace("-threshold / width", "threshold / width"), "the sign is turned round"),
        Wrong(JUMP.replace("< width / 2", "< width"), "the window is twice too wide"),
        Wrong(ABOVE, "below it counts, too"),
        Wrong(JUMP.replace("-threshold / width", "-1 / width"), "multiply with it"),
        Wrong(JUMP.replace(".sum()", ".sum() / len(pre)"), "sum over the batch"),
        Wrong(JUMP.replace("threshold / width", "0.5 / 0.4").replace("< width / 2", "< 0.2"), "with another threshold"),
    ],
}
