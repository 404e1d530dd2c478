"""Wrong answers to the exercises of "The Matryoshka loss"."""

from wrong_answer import Wrong

_NESTED = "def loss_over_prefixes(x, b_dec, z, W_dec, p):\n    x_hat = (z[:, :, None] * W_dec).cumsum(1) + b_dec\n"
_BOXED = (
    "def loss_over_prefixes(x, b_dec, z, W_dec, p):\n"
    "    s, x_0 = p.flip(0).cumsum(0).flip(0), x - b_dec\n"
    "    single = -2 * (x_0 @ W_dec.T * z * s).sum(1)\n"
)

WRONG: dict[str, list[Wrong]] = {
    "inclusion_from": [
        Wrong("def inclusion_from(p):\n    return p.cumsum(0)", "you sum from the short end"),
        Wrong("def inclusion_from(p):\n    return 1 - p.cumsum(0)", "length r + 1 already holds rank r"),
        Wrong("def inclusion_from(p):\n    return p.flip(0).cumsum(0)", "right numbers, wrong order"),
        Wrong("def inclusion_from(p):\n    return p", "that is p itself"),
        Wrong("def inclusion_from(p):\n    return [sum(p[r:]) for r in range(len(p))]", "return a tensor, not list"),
        Wrong("def inclusion_from(p):\n    return p.sum()", "one probability per rank"),
        Wrong("import torch\n\n\ndef inclusion_from(p):\n    return torch.tensor([1.0, 0.5, 0.3])[: len(p)]", "does it work for any n"),
        Wrong("def inclusion_from(p):\n    return p.flip(0).cumsum(0).flip(0) / 2", "s_0 is 1; yours is 0.50"),
        Wrong("def inclusion_from(p):\n    return p.flip().cumsum(0).flip()", "inclusion_from stops with TypeError"),
    ],
    "break_even": [
        Wrong("def break_even(gap_1, gap_z, penalty_weight):\n    return gap_z / gap_1", "you forget λ: the penalty"),
        Wrong("def break_even(gap_1, gap_z, penalty_weight):\n    return gap_1 / gap_z", "you forget λ, and the fraction"),
        Wrong("def break_even(gap_1, gap_z, penalty_weight):\n    return gap_1 / (penalty_weight * gap_z)", "the fraction is upside down"),
        Wrong("def break_even(gap_1, gap_z, penalty_weight):\n    return penalty_weight * gap_1 / gap_z", "have changed places"),
        Wrong("def break_even(gap_1, gap_z, penalty_weight):\n    return -penalty_weight * gap_z / gap_1", "the sign: both gaps"),
        Wrong(
            "def break_even(gap_1, gap_z, penalty_weight):\n    return penalty_weight * gap_z / (gap_1 + penalty_weight * gap_z)",
            "the penalty is paid whatever the prefix",
        ),
        Wrong("def break_even(gap_1, gap_z, penalty_weight):\n    return penalty_weight", "the holes lose 0.060 by the error"),
        Wrong("def break_even(gap_1, gap_z, penalty_weight):\n    return 0.1 * gap_z / gap_1", "λ = 0.2: at your q"),
    ],
    "loss_over_prefixes": [
        Wrong(
            "def loss_over_prefixes(x, b_dec, z, W_dec, p):\n"
            "    return sum(p[m] * (x - b_dec - z[:, :m] @ W_dec[:m]).square().sum(1).mean() for m in range(len(p)))",
            "one latent too short",
        ),
        Wrong(_NESTED + "    return (x[:, None] - x_hat).square().sum(2).mean(0) @ p.flip(0)", "the wrong way round"),
        Wrong(_NESTED + "    return (x[:, None] - x_hat).square().sum(2).mean()", "all lengths count alike"),
        Wrong(_NESTED + "    return (x[:, None] - x_hat).square().sum(2).mean(0).sum()", "you sum over the lengths"),
        Wrong(_NESTED + "    return (x - x_hat[:, -1]).square().sum(1).mean()", "the plain loss"),
        Wrong(_NESTED + "    return (x[:, None] - x_hat + b_dec).square().sum(2).mean(0) @ p", "b_dec is missing"),
        Wrong(_NESTED + "    return (x[:, None] - x_hat).square().mean(2).mean(0) @ p", "the mean over d too"),
        Wrong(_NESTED + "    return ((x[:, None] - x_hat).square().sum(2) @ p).sum()", "take the mean"),
        Wrong(_NESTED + "    return (x[:, None] - x_hat).square().sum(2) @ p", "yours has shape (6,)"),
        Wrong(_NESTED + "    return ((x[:, None] - x_hat).square().sum(2).mean(0) @ p).item()", "not float"),
        Wrong(_NESTED + "    return ((x[:, None] - x_hat).square().sum(2).mean(0) @ p).detach()", "the gradient is cut off"),
        Wrong(
            "def loss_over_prefixes(x, b_dec, z, W_dec, p):\n"
            "    x_hat = (z[:, :, None] * W_dec.detach()).cumsum(1) + b_dec\n"
            "    return (x[:, None] - x_hat).square().sum(2).mean(0) @ p",
            "the gradient that reaches W_dec",
        ),
        Wrong(
            "def loss_over_prefixes(x, b_dec, z, W_dec, p):\n"
            "    parts = z[:, :, None] * W_dec\n"
            "    x_hat = parts + (parts.cumsum(1) - parts).detach() + b_dec\n"
            "    return (x[:, None] - x_hat).square().sum(2).mean(0) @ p",
            "the gradient that reaches z",
        ),
        Wrong(
            _BOXED + "    pairs = (W_dec @ W_dec.T) * s[:, None] * s\n"
            "    return (x_0.square().sum(1) + single + (z @ pairs * z).sum(1)).mean()",
            "it is min(s_i, s_j)",
        ),
    ],
}
