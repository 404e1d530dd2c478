"""Wrong answers to the exercises of "Absorption: holes you can count"."""

from wrong_answer import Wrong

WRONG: dict[str, list[Wrong]] = {
    "hole_rate": [
        Wrong("def hole_rate(z, features, latent, parent, children):\n    return 1.0", "it is 0.6: 3 holes among the 5"),
        Wrong("def hole_rate(z, features, latent, parent, children):\n    return 0.6", "does your answer depend on z?"),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    with_child = features[:, children].any(dim=1)\n"
            "    return ((z[:, latent] == 0) & with_child).float().mean()",
            "you divide by all inputs",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n    return (z[features[:, parent] > 0, latent] == 0).float().mean()",
            "you also count the inputs with the parent alone",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    with_child = features[:, children].any(dim=1)\n"
            "    return with_child[z[:, latent] == 0].float().mean()",
            "it is the other way round",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    with_child = features[:, children].any(dim=1)\n"
            "    return (z[with_child, latent] > 0).float().mean()",
            "the share on which the latent fires",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    with_child = features[:, children].any(dim=1)\n"
            "    return (z[with_child, parent] == 0).float().mean()",
            "the column of the latent",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    with_children = (features[:, children] > 0).all(dim=1)\n"
            "    return (z[with_children, latent] == 0).float().mean()",
            "no input has them all",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    rates = [(z[features[:, child] > 0, latent] == 0).float().mean() for child in children]\n"
            "    return sum(rates) / len(rates)",
            "count all inputs with a child together",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    return (z[features[:, children[0]] > 0, latent] == 0).float().mean()",
            "any child counts",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    with_child = features[:, children].any(dim=1)\n"
            "    return (z[with_child, latent] == 0).sum()",
            "that is the number of holes",
        ),
        Wrong(
            "def hole_rate(z, features, latent, parent, children):\n"
            "    with_child = features[:, children].any(dim=1)\n"
            "    return (z[with_child, latent] < 0.1).float().mean()",
            "a faint activation is not silent",
        ),
        Wrong("def hole_rate(z, features, latent, parent, children):\n    z[:, latent] == 0", "is there a `return`?"),
    ],
    "two_prices": [
        Wrong("def two_prices(k):\n    return k, (k + 1) ** 0.5", "the parent is active beside its 2 children"),
        Wrong("def two_prices(k):\n    return (k + 1) ** 0.5, k + 1", "in the wrong order"),
        Wrong("def two_prices(k):\n    return k + 1, k + 1", "add by Pythagoras"),
        Wrong("def two_prices(k):\n    return k + 1, 1", "a vector of norm 1"),
        Wrong("def two_prices(k):\n    return k + 1, k**0.5", "√2 is too short"),
        Wrong("def two_prices(k):\n    return k + 1, 1.41421356 * k**0.5", "k=2: a row of norm 1 needs the strength"),
        Wrong("def two_prices(k):\n    return 2, 2**0.5", "k=2: you return 2 for the truthful dictionary"),
        Wrong("def two_prices(k):\n    return k + 2, (k + 1) ** 0.5", "the price is 3; yours is 4"),
        Wrong("def two_prices(k):\n    return k + 1 - (k + 1) ** 0.5", "return two numbers"),
    ],
    "fair_penalty": [
        Wrong("def fair_penalty(z, W_dec):\n    return z.sum(1).mean()", "does not look at the norm of the rows"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z @ W_dec.norm(dim=1)).sum()", "not the sum"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z * W_dec.norm(dim=1)).mean()", "the mean over the latents too"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z * W_dec.norm(dim=1).detach()).sum(1).mean()", "no gradient reaches W_dec"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z.detach() * W_dec.norm(dim=1)).sum(1).mean()", "no gradient reaches z"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z * W_dec.norm(dim=1)).sum(1).mean().detach()", "the gradient is cut off"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z * W_dec.norm(dim=1)).sum(1).mean().item()", "return a tensor"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z * W_dec.square().sum(1)).sum(1).mean()", "multiplied by its row's norm, once"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z / W_dec.norm(dim=1)).sum(1).mean()", "multiplied by its row's norm, once"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z * W_dec.norm(dim=1)).sum(1)", "return one number for the batch"),
        Wrong("def fair_penalty(z, W_dec):\n    return (z * W_dec.norm(dim=0)).sum(1).mean()", "must match"),
    ],
}
