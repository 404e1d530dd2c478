"""Wrong answers to the exercises of "Dead latents"."""

from wrong_answer import Wrong

GRADIENT = """
def encoder_gradient(x, pre, d_acts):
    return (d_acts * (pre > 0)).T @ x
"""
GHOST = """
def ghost_error(pre, rows, residual):
    out = pre.exp() @ rows
    out = out / out.norm(dim=1, keepdim=True) * residual.norm(dim=1, keepdim=True) / 2
    return ((out - residual) ** 2).sum(1).mean()
"""
SCALE = next(line for line in GHOST.splitlines(keepends=True) if "/ 2" in line)

WRONG = {
    "encoder_gradient": [
        Wrong(GRADIENT.replace("(d_acts * (pre > 0))", "d_acts"), "you leave the ReLU out"),
        Wrong(GRADIENT.replace("(d_acts * (pre > 0))", "pre.relu()"), "these are the activations"),
        Wrong(GRADIENT.replace("(pre > 0)", "pre.relu()"), "1 or 0, not the activation"),
        Wrong(GRADIENT.replace("@ x", "@ x / len(x)"), "sum over the batch"),
        Wrong(GRADIENT.replace("(d_acts * (pre > 0)).T @ x", "x.T @ (d_acts * (pre > 0))"), "make (6, 4)"),
    ],
    "ghost_error": [
        Wrong(GHOST.replace(SCALE, ""), "scale the sum"),
        Wrong(GHOST.replace("pre.exp()", "(pre.relu() + 1e-9)"), "silent once more"),
        Wrong(GHOST.replace("pre.exp()", "pre"), "as in AuxK"),
        Wrong(GHOST.replace(" / 2\n", "\n"), "not all of it"),
        Wrong(GHOST.replace("norm(dim=1, keepdim=True)", "norm()"), "each input by itself"),
        Wrong(GHOST.replace(".sum(1).mean()", ".mean()"), "you take their mean"),
    ],
}
