"""Wrong answers to the exercises of "Walking in latent space"."""

from wrong_answer import Wrong

SPREAD = """
import math

def mean_and_spread(n_steps, length, width):
    return n_steps * length**2, length**2 * math.sqrt(2 * n_steps * (n_steps - 1) / width)
"""
WALK = """
import torch

def walk_along(start, rows, n_steps, length, generator):
    unit = rows / rows.norm(dim=1, keepdim=True)
    which = torch.randint(len(rows), (n_steps,), generator=generator)
    sign = 2 * torch.randint(2, (n_steps, 1), generator=generator) - 1
    steps = length * sign * unit[which]
    return start + torch.cat([torch.zeros_like(start)[None], steps.cumsum(0)])
"""
MEET = """
import torch

def meet(x, y, sae):
    with torch.no_grad():
        z, w = sae.encode(x), sae.encode(y)
        return x + (torch.minimum(z, w) - z) @ sae.W_dec
"""

WRONG = {
    "mean_and_spread": [
        Wrong(SPREAD.replace("n_steps * length**2,", "n_steps * length,"), "the length stands squared"),
        Wrong(SPREAD.replace("n_steps * length**2,", "(n_steps * length) ** 2,"), "the steps do not line up"),
        Wrong(SPREAD.replace("n_steps * length**2,", "math.sqrt(n_steps) * length,"), "leave the root out"),
        Wrong(SPREAD.replace("length**2 * math.sqrt(", "length**4 * ("), "take the root"),
        Wrong(SPREAD.replace("(n_steps - 1)", "n_steps"), "the limit of many steps"),
        Wrong(SPREAD.replace("math.sqrt(2 * n_steps", "math.sqrt(n_steps / 2"), "its variance counts four times"),
        Wrong(
            SPREAD.replace("length**2 * math.sqrt(2 * n_steps * (n_steps - 1) / width)", "math.sqrt(2 * (n_steps - 1) / n_steps / width)"),
            "relative to the mean",
        ),
        Wrong(SPREAD.replace(" / width", ""), "1 / width, not 1"),
        Wrong(SPREAD.replace(" / width", " / width**2"), "the variance of a product"),
        Wrong(SPREAD.replace("length**2 * math", "length * math"), "to the fourth power"),
        Wrong("def mean_and_spread(n_steps, length, width):\n    return 90, 42.69074841227312", "one step has no spread"),
    ],
    "walk_along": [
        Wrong(WALK.replace("torch.zeros_like(start)[None], ", ""), "the start is a stop, too"),
        Wrong(WALK.replace("return start + ", "return "), "the first row is the start"),
        Wrong(WALK.replace("steps.cumsum(0)", "steps"), "add the steps up"),
        Wrong(WALK.replace("rows / rows.norm(dim=1, keepdim=True)", "rows"), "bring the rows to length 1"),
        Wrong(WALK.replace("length * sign", "sign"), "a step must have length 0.5"),
        Wrong(WALK.replace("    unit =", "    rows = torch.eye(4)\n    unit ="), "not along a mixture"),
        Wrong(WALK.replace("torch.randint(len(rows), ", "torch.randint(len(rows) - 1, "), "some rows are never taken"),
        Wrong(WALK.replace("- 1\n", "- 1\n    sign = sign.abs()\n"), "all steps go the same way"),
        Wrong(WALK.replace("    unit =", "    generator.manual_seed(0)\n    unit ="), "another seed must walk another way"),
        Wrong(WALK.replace("generator=generator", "generator=None"), "draw everything with the generator"),
        Wrong(
            WALK.replace("torch.randint(len(rows),", "torch.randint(6,").replace("unit[which]", "unit[which.clamp(max=2)]"),
            "each is as likely as the other",
        ),
    ],
    "meet": [
        Wrong(MEET.replace("x + (torch.minimum(z, w) - z) @ sae.W_dec", "sae.decode(torch.minimum(z, w))"), "the error of x is gone"),
        Wrong(MEET.replace("torch.minimum(z, w)", "w"), "these are the latents of y"),
        Wrong(MEET.replace("minimum", "maximum"), "take the smaller"),
        Wrong(MEET.replace("x + (", "x - ("), "the sign is turned round"),
        Wrong("import torch\n\ndef meet(x, y, sae):\n    return torch.minimum(x, y)", "not the smaller activation"),
        Wrong("def meet(x, y, sae):\n    return (x + y) / 2", "half way on the straight line"),
        Wrong(MEET.replace("(torch.minimum(z, w) - z)", "-(z * (z > w))"), "not to 0"),
        Wrong(MEET.replace("(torch.minimum(z, w) - z)", "-(z * (w == 0))"), "those that are weaker at y sink"),
        Wrong(MEET.replace("x + (torch.minimum(z, w) - z)", "y + (torch.minimum(z, w) - w)"), "begin at x"),
        Wrong("def meet(x, y, sae):\n    return x.clone()", "nothing has been changed"),
        Wrong(MEET.replace("return x + ", "x += ") + "        return x\n", "x itself has changed"),
    ],
}
