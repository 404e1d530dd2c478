"""Wrong answers to the exercises of "Speed"."""

from wrong_answer import Wrong

SHIFTED = """
def shifted(x, W_enc, b_enc, W_dec, b_dec):
    shift = b_enc - b_dec @ W_enc
    acts = torch.relu(x @ W_enc + shift)
    return (x - acts @ W_dec - b_dec).square().sum(1).mean()
"""

WRONG = {
    "shifted": [
        Wrong(SHIFTED.replace("b_enc - b_dec @ W_enc", "b_enc - b_dec.detach() @ W_enc"), "the gradient of b_dec is not"),
        Wrong(SHIFTED.replace("b_enc - b_dec @ W_enc", "b_enc - b_dec @ W_enc.detach()"), "the gradient of W_enc is not"),
        Wrong(SHIFTED.replace("W_dec - b_dec)", "W_dec - b_dec.detach())"), "the gradient of b_dec is not"),
        Wrong(SHIFTED.replace("b_dec", "b_dec.detach()").replace("b_dec.detach())", "b_dec)", 1), "b_dec gets no gradient"),
        Wrong(SHIFTED.replace("b_enc - b_dec @ W_enc", "b_enc"), "what does b_dec do before the encoder"),
        Wrong(SHIFTED.replace("b_enc - b_dec", "b_enc + b_dec"), "what does b_dec do before the encoder"),
        Wrong(SHIFTED.replace(".sum(1).mean()", ".mean()"), "the loss is"),
        Wrong(SHIFTED.replace("x @ W_enc + shift", "(x - b_dec) @ W_enc + b_enc"), "Keep b_dec out of the (batch, d_model) input"),
        Wrong(SHIFTED.replace(".mean()", ".mean().item()"), "return the loss, one number"),
    ],
    "paired_ratio": [
        Wrong("def paired_ratio(ours, theirs):\n    return sum(ours) / sum(theirs)", "a median does not"),
        Wrong("def paired_ratio(ours, theirs):\n    return sum(a / b for a, b in zip(ours, theirs)) / len(ours)", "a median does not"),
        Wrong(
            "from statistics import median\n\n\ndef paired_ratio(ours, theirs):\n    return median(ours) / median(theirs)",
            "Divide within each round",
        ),
        Wrong(
            "from statistics import median\n\n\ndef paired_ratio(ours, theirs):\n    return median(b / a for a, b in zip(ours, theirs))",
            "which one stands above the line?",
        ),
        Wrong("def paired_ratio(ours, theirs):\n    return max(a / b for a, b in zip(ours, theirs))", "to 150.00"),
    ],
}
