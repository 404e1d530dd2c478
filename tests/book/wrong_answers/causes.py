"""Wrong answers to the exercises of "Which latents cause a behaviour?"."""

from wrong_answer import Wrong

TAKE_OVER = """
import torch

def take_over(x, other, sae, latents):
    with torch.no_grad():
        change = (sae.encode(other) - sae.encode(x))[..., latents]
        return x + change @ sae.W_dec[latents]
"""
SHARE = """
def share_of_way(clean, other, patched):
    return (clean - patched).sum() / (clean - other).sum()
"""
FIRST_ORDER = """
def first_order(gradient, change, rows):
    return -((gradient @ rows.T) * change).sum(1).mean(0)
"""

WRONG = {
    "take_over": [
        Wrong("def take_over(x, other, sae, latents):\n    return x.clone()", "nothing has been taken over"),
        Wrong("def take_over(x, other, sae, latents):\n    return other", "the whole stream"),
        Wrong(TAKE_OVER.replace("[..., latents]", "").replace("[latents]", ""), "all latents are taken over"),
        Wrong(TAKE_OVER.replace("x + change", "x - change"), "the sign is turned round"),
        Wrong(TAKE_OVER.replace(" - sae.encode(x)", ""), "added on top"),
        Wrong(TAKE_OVER.replace("(sae.encode(other) - sae.encode(x))", "(-sae.encode(x))"), "switched off"),
        Wrong(
            "def take_over(x, other, sae, latents):\n    z = sae.encode(x)\n    z[..., latents] = sae.encode(other)[..., latents]\n"
            "    return sae.decode(z)",
            "this is a reconstruction",
        ),
        Wrong(TAKE_OVER.replace("sae.W_dec[latents]", "sae.W_enc[:, latents].T"), "this is its encoder column"),
        Wrong(TAKE_OVER.replace("[..., latents]", "[..., latents[:1]]").replace("[latents]", "[latents[:1]]"), "only the first latent"),
        Wrong(
            TAKE_OVER.replace("return x + change", "x += change").replace("[latents]", "[latents]\n        return x"),
            "x itself has changed",
        ),
    ],
    "share_of_way": [
        Wrong(
            "def share_of_way(clean, other, patched):\n    return ((clean - patched) / (clean - other)).mean()", "the mean of the shares"
        ),
        Wrong(SHARE.replace("return ", "return 1 - "), "how much is left"),
        Wrong(SHARE.replace(" / (clean - other).sum()", ""), "this is in logits"),
        Wrong(SHARE.replace(".sum() / (clean - other).sum()", ".mean()"), "the mean in logits"),
        Wrong(SHARE.replace("(clean - patched)", "(patched - clean)"), "the sign is turned round"),
        Wrong(SHARE.replace("(clean - other)", "clean"), "not by clean"),
        Wrong(SHARE.replace("(clean - patched)", "(other - patched)"), "from the counterfactual"),
        Wrong("def share_of_way(clean, other, patched):\n    return (patched < 0).float().mean()", "whose answer flips"),
        Wrong(SHARE.replace(".sum()", ""), "return one number"),
    ],
    "first_order": [
        Wrong(FIRST_ORDER.replace("return -", "return "), "the sign is turned round"),
        Wrong(FIRST_ORDER.replace(".mean(0)", ".sum(0)"), "the sum over pairs"),
        Wrong(FIRST_ORDER.replace(".sum(1)", ".mean(1)"), "over the tokens the effects add up"),
        Wrong(FIRST_ORDER.replace(" * change", ""), "the change is missing"),
        Wrong(FIRST_ORDER.replace("-((", "((").replace("change)", "change).abs()"), "sizes without signs"),
        Wrong(FIRST_ORDER.replace(".sum(1)", "[:, -1]"), "only the last token"),
        Wrong(
            "def first_order(gradient, change, rows):\n    return -(gradient.sum(1) @ rows.T * change.sum(1)).mean(0)",
            "the sums are multiplied",
        ),
        Wrong(FIRST_ORDER.replace(".mean(0)", ""), "one number for each latent"),
    ],
}
