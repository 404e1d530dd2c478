"""Wrong answers to the exercises of "All prefixes at once"."""

from wrong_answer import Wrong

SQUARES = """
import torch


def pair_weights(widths):
    s = (torch.tensor(widths)[:, None] > torch.arange(widths[-1])).double().mean(0)
    return torch.minimum(s[:, None], s)
"""
GRADIENT = """
import torch


def gradient_of_z(y, z, D, s):
    pairs = (D @ D.T) * torch.minimum(s[:, None], s)
    return 2 * (pairs @ z - s * (D @ y))
"""


def changed(answer: str, before: str, after: str) -> str:
    assert before in answer
    return answer.replace(before, after)


WRONG = {
    "pair_weights": [
        Wrong(changed(SQUARES, ".double()", ".float()"), "return float64"),
        Wrong(changed(SQUARES, "torch.minimum(s[:, None], s)", "s[:, None] * s"), "as if they were independent"),
        Wrong(changed(SQUARES, "minimum", "maximum"), "as often as the later one"),
        Wrong(changed(SQUARES, ".mean(0)", ".sum(0)"), "divide by the number of widths"),
        Wrong(changed(SQUARES, "[:, None] > torch", "[:, None] >= torch"), "the ranks 0 to w - 1"),
        Wrong(changed(SQUARES, "torch.minimum(s[:, None], s)", "s"), "a row and a column for each rank"),
        Wrong(changed(SQUARES, "torch.minimum(s[:, None], s)", "torch.minimum(s[:, None], s).tolist()"), "return a tensor, not list"),
        Wrong(changed(SQUARES, "torch.minimum(s[:, None], s)", "torch.ones(len(s), len(s)).double()"), "M at (0, 2) is 0.500"),
    ],
    "gradient_of_z": [
        Wrong(changed(GRADIENT, "2 * (pairs", "(pairs"), "the factor 2 is missing"),
        Wrong(changed(GRADIENT, "(pairs @ z - s * (D @ y))", "(s * (D @ y) - pairs @ z)"), "the sign is turned"),
        Wrong(changed(GRADIENT, " - s * (D @ y)", ""), "the input is missing"),
        Wrong(changed(GRADIENT, "s * (D @ y)", "D @ y"), "the input's part counts"),
        Wrong(changed(GRADIENT, "torch.minimum(s[:, None], s)", "s[:, None] * s"), "not sᵢ sⱼ"),
        Wrong(changed(GRADIENT, "torch.minimum(s[:, None], s)", "s[:, None]"), "not sᵢ alone"),
        Wrong("def gradient_of_z(y, z, D, s):\n    return 2 * (D @ (z @ D - y))", "that is the plain loss"),
        Wrong(changed(GRADIENT, "2 * (pairs @ z - s * (D @ y))", "2 * z * (pairs @ z - s * (D @ y))"), "that is the gradient times z"),
        Wrong(changed(GRADIENT, "pairs @ z - s * (D @ y)", "z @ (pairs @ z) - z @ (s * (D @ y))"), "a number for each latent"),
    ],
}
