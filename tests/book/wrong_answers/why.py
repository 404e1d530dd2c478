"""Wrong answers to the exercises of "Why take a model apart?"."""

from __future__ import annotations

from wrong_answer import Wrong


def two_numbers(l0: str, fvu: str) -> str:
    """The answer that computes both so."""
    return (
        "def l0_and_fvu(x, z, D):\n"
        "    error = (x - z @ D).square().sum()\n"
        "    spread = (x - x.mean(0)).square().sum()\n"
        f"    return {l0}, {fvu}"
    )


RIGHT_L0, RIGHT_FVU = "(z > 0).sum(1).float().mean()", "error / spread"

WRONG = {
    "l0_and_fvu": [
        Wrong(two_numbers("z.sum(1).mean()", RIGHT_FVU), "you add up the activations"),
        Wrong(two_numbers("(z > 0).sum()", RIGHT_FVU), "L0 is their mean"),
        Wrong(two_numbers("(z > 0).float().mean()", RIGHT_FVU), "a share of the latents"),
        Wrong(two_numbers("1.0", RIGHT_FVU), "one, one, one and two latents fire"),
        Wrong(two_numbers(RIGHT_L0, "error / x.square().sum()"), "take their mean away first"),
        Wrong(two_numbers(RIGHT_L0, "error"), "you return the squared error"),
        Wrong(two_numbers(RIGHT_L0, "1 - error / spread"), "the share which is explained"),
        Wrong(two_numbers(RIGHT_L0, "error / (x - x.mean()).square().sum()"), "the mean input is a vector"),
        Wrong(two_numbers(RIGHT_L0, "spread / error"), "upside down"),
        Wrong(two_numbers(RIGHT_L0, "(error / spread).sqrt()"), "you take a root"),
        Wrong(two_numbers(RIGHT_L0, "(x - z @ D).square().mean() / x.var(0).mean()"), "take both as sums"),
        Wrong(two_numbers(RIGHT_L0, "error / len(x)"), "FVU should be"),
        Wrong("def l0_and_fvu(x, z, D):\n    return 1.25", "return two numbers"),
    ],
    "best_activation": [
        Wrong("def best_activation(x, row):\n    return 5.0", "another point of the row is nearer"),
        Wrong("def best_activation(x, row):\n    return x @ row / (row @ row)", "an activation is never negative"),
        Wrong("def best_activation(x, row):\n    return (x @ row).abs() / (row @ row)", "x lies behind the row"),
        Wrong("def best_activation(x, row):\n    return (x @ row).relu()", "you forget that the row is longer"),
        Wrong("def best_activation(x, row):\n    return (x @ row / row.norm()).relu()", "you divide by the norm once"),
        Wrong("def best_activation(x, row):\n    x @ row", "returns nothing"),
        Wrong("def best_activation(x, row):\n    return (x.norm() / row.norm())", "yours is 4.243"),
    ],
}
