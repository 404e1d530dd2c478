"""Wrong answers to the exercises of "What a hole costs"."""

from wrong_answer import Wrong

TAKE_OUT = """
import torch

def take_out(x, sae, latents):
    with torch.no_grad():
        z = sae.encode(x)[..., latents]
        z[:, 0] = 0
        return x - z @ sae.W_dec[latents]
"""
COST = """
import numpy as np

def mean_cost(before, after, group):
    return float(np.nanmean((before - after)[group]))
"""

WRONG = {
    "take_out": [
        Wrong(TAKE_OUT.replace("        z[:, 0] = 0\n", ""), "the first place, [BEGIN], must stay"),
        Wrong(TAKE_OUT.replace("x - z", "x + z"), "subtract it"),
        Wrong(
            "def take_out(x, sae, latents):\n    z = sae.encode(x)\n    z[..., latents] = 0\n    return sae.decode(z)",
            "what the SAE does not explain is gone",
        ),
        Wrong(TAKE_OUT.replace("[..., latents]", "").replace("[latents]", ""), "every latent of the SAE"),
        Wrong(
            TAKE_OUT.replace("[..., latents]", "").replace("z[:, 0] = 0", "z[:, 0] = 0; z[..., latents] = 0").replace("[latents]", ""),
            "all latents but those that are listed",
        ),
        Wrong(TAKE_OUT.replace("sae.W_dec[latents]", "sae.W_enc[:, latents].T"), "this is its encoder column"),
        Wrong(TAKE_OUT.replace("sae.encode(x)", "(x @ sae.W_enc + sae.b_enc)"), "is the ReLU missing?"),
        Wrong(TAKE_OUT.replace("x - z @ sae.W_dec[latents]", "x - sae.W_dec[latents].sum(0)"), "as strongly as its latent fires"),
        Wrong(
            TAKE_OUT.replace("return x - z @ sae.W_dec[latents]", "x -= z @ sae.W_dec[latents]\n        return x"), "x itself has changed"
        ),
        Wrong("def take_out(x, sae, latents):\n    return x.clone()", "nothing has been taken out"),
        Wrong(TAKE_OUT.replace("return x - z @ sae.W_dec[latents]", "return z @ sae.W_dec[latents]"), "it differs from x minus"),
        Wrong(TAKE_OUT.replace("return x", "x"), "return a tensor"),
    ],
    "mean_cost": [
        Wrong(COST.replace("before - after", "after - before"), "the sign is turned round"),
        Wrong(COST.replace("np.nanmean", "np.mean"), "you return NaN"),
        Wrong(COST.replace("[group]", ""), "take those of the group"),
        Wrong(COST.replace("nanmean", "nansum"), "divide by the number of words"),
        Wrong(COST.replace("nanmean", "nansum").replace("[group]))", "[group]) / group.sum())"), "those with NaN do not count"),
        Wrong(
            COST.replace("np.nanmean((before - after)[group])", "np.nanmean(np.nanmean(np.where(group, before - after, np.nan), axis=1))"),
            "every word counts alike",
        ),
        Wrong(COST.replace("before - after", "np.exp(before) - np.exp(after)"), "a difference of probabilities"),
        Wrong(COST.replace("before - after", "np.log(-after) - np.log(-before)"), "no further logarithm"),
        Wrong(COST.replace("float(np.nanmean((before - after)[group]))", "(before - after)[group]"), "return one number"),
        Wrong("def mean_cost(before, after, group):\n    return 1.0", "on the mean 1.53; you find 1.00"),
    ],
}
