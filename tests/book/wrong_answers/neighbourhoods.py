"""Wrong answers to the exercises of "Neighbourhoods"."""

from wrong_answer import Wrong

WRONG = {
    "readers": [
        Wrong("def readers(writers):\n    return writers", "0 with every other writer"),
        Wrong("def readers(writers):\n    return torch.linalg.pinv(writers)", "turn it"),
        Wrong("def readers(writers):\n    return torch.linalg.inv(writers @ writers.T)", "a row of width 6"),
        Wrong(
            "def readers(writers):\n    rows = torch.linalg.pinv(writers).T\n    return rows / rows.norm(dim=1, keepdim=True)",
            "do not bring the rows to length 1",
        ),
        Wrong(
            "def readers(writers):\n    rows = torch.linalg.pinv(writers).T\n    return rows + torch.linalg.svd(writers)[2][-1]",
            "longer than they need be",
        ),
        Wrong("def readers(writers):\n    torch.linalg.pinv(writers).T", "return the rows"),
    ],
    "log_ratio": [
        Wrong("def log_ratio(fires, concept):\n    return fires[concept].mean() / fires.mean()", "take the logarithm"),
        Wrong("def log_ratio(fires, concept):\n    return np.log2(fires[concept].mean() / fires.mean())", "not that of base 2"),
        Wrong("def log_ratio(fires, concept):\n    return np.log(fires.mean() / fires[concept].mean())", "turn it over"),
        Wrong("def log_ratio(fires, concept):\n    return np.log(fires[concept].mean() / fires[~concept].mean())", "over all tokens"),
        Wrong("def log_ratio(fires, concept):\n    return np.log(concept[fires].mean() / fires.mean())", "above the line, the share"),
        Wrong("def log_ratio(fires, concept):\n    return np.log(fires[concept].mean())", "the sensitivity alone"),
        Wrong("def log_ratio(fires, concept):\n    np.log(fires[concept].mean() / fires.mean())", "return the ratio"),
    ],
    "same_kind": [
        Wrong(
            "def same_kind(rows, kinds):\n    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)\n"
            "    return (kinds[(unit @ unit.T).argmax(1)] == kinds).mean()",
            "its own nearest",
        ),
        Wrong(
            "def same_kind(rows, kinds):\n    near = rows @ rows.T\n    np.fill_diagonal(near, -np.inf)\n"
            "    return (kinds[near.argmax(1)] == kinds).mean()",
            "bring them to length 1",
        ),
        Wrong(
            "def same_kind(rows, kinds):\n    near = -np.linalg.norm(rows[:, None] - rows, axis=2)\n    np.fill_diagonal(near, -np.inf)\n"
            "    return (kinds[near.argmax(1)] == kinds).mean()",
            "the nearest by distance",
        ),
        Wrong(
            "def same_kind(rows, kinds):\n    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)\n    near = np.abs(unit @ unit.T)\n"
            "    np.fill_diagonal(near, -np.inf)\n    return (kinds[near.argmax(1)] == kinds).mean()",
            "opposite directions are not near",
        ),
        Wrong(
            "def same_kind(rows, kinds):\n    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)\n    near = unit @ unit.T\n"
            "    np.fill_diagonal(near, -np.inf)\n    return (kinds[near.argmax(1)] == kinds).sum()",
            "not a number of latents",
        ),
    ],
}
