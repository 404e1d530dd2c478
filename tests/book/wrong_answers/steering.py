"""Wrong answers to the exercises of "Ablating, clamping, steering"."""

from wrong_answer import Wrong

HOLD = """
import torch

def hold(x, sae, latent, value):
    with torch.no_grad():
        more = value - sae.encode(x)[..., latent]
        more[:, 0] = 0
        return x + more[..., None] * sae.W_dec[latent]
"""
KL = """
import torch

def kl(before, after):
    p, q = before.log_softmax(-1), after.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)
"""
TOP = """
def shared_top(a, b, k):
    one, other = (set(each.topk(k).indices.tolist()) for each in (a, b))
    return len(one & other)
"""

WRONG = {
    "hold": [
        Wrong(HOLD.replace("        more[:, 0] = 0\n", ""), "the first place, [BEGIN], must stay"),
        Wrong(HOLD.replace("value - sae.encode(x)[..., latent]", "value + 0 * sae.encode(x)[..., latent]"), "this is steering"),
        Wrong(HOLD.replace("value - sae", "-sae"), "you only switch the latent off"),
        Wrong(HOLD.replace("value - sae.encode(x)[..., latent]", "sae.encode(x)[..., latent] - value"), "the sign is turned round"),
        Wrong(
            "def hold(x, sae, latent, value):\n    z = sae.encode(x)\n    z[..., latent] = value\n    return sae.decode(z)",
            "what the SAE does not explain is gone",
        ),
        Wrong(HOLD.replace("sae.W_dec[latent]", "sae.W_enc[:, latent]"), "this is its encoder column"),
        Wrong(
            HOLD.replace("more[:, 0] = 0", "more[:, 0] = 0; more = more * (sae.encode(x)[..., latent] > 0)"),
            "you hold the latent only where",
        ),
        Wrong(
            HOLD.replace("return x + more[..., None] * sae.W_dec[latent]", "x += more[..., None] * sae.W_dec[latent]\n        return x"),
            "x itself has changed",
        ),
        Wrong("def hold(x, sae, latent, value):\n    return x.clone()", "nothing has been changed"),
        Wrong(HOLD.replace("return x", "x"), "return a tensor"),
    ],
    "kl": [
        Wrong(KL.replace("p, q =", "q, p ="), "the two are exchanged"),
        Wrong(KL.replace("(p - q)", "(q - p)"), "the sign is turned round"),
        Wrong(KL.replace(".sum(-1)", ".sum(-1) / 0.6931472"), "this is in bits"),
        Wrong(KL.replace(".sum(-1)", ".mean(-1)"), "take the sum"),
        Wrong(KL.replace("p.exp() * ", ""), "not weighted by p"),
        Wrong(KL.replace("(p - q)", "(before - after)"), "log_softmax comes first"),
        Wrong(KL.replace("log_softmax(-1)", "log_softmax(0)"), "it must run over the words"),
        Wrong(KL.replace(".sum(-1)", ".sum()"), "one number for each place"),
    ],
    "shared_top": [
        Wrong(TOP.replace("len(one & other)", "len(one & other) / k"), "this is the share"),
        Wrong(TOP.replace("topk(k)", "topk(k, largest=False)"), "these are the smallest"),
        Wrong(
            "def shared_top(a, b, k):\n    return int((a.topk(k).indices == b.topk(k).indices).sum())",
            "you compare place by place",
        ),
        Wrong(TOP.replace("topk(k)", "topk(len(a))"), "take the k largest"),
        Wrong(TOP.replace("len(one & other)", "one & other"), "return one number"),
        Wrong("def shared_top(a, b, k):\n    return 3", "shares all of its top"),
    ],
}
