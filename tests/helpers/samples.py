"""Texts and firings drawn at random."""

import numpy as np


def sample(
    seed: int = 0, n_texts: int = 12, n_ctx: int = 30, n_latents: int = 9, n_vocab: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """tokens, activations (sparse, the last latent silent), and a mask: the first place and some padding do not count."""
    rng = np.random.default_rng(seed)
    acts = rng.gamma(2, 2, (n_texts, n_ctx, n_latents)) * (rng.random((n_texts, n_ctx, n_latents)) < 0.08)
    acts[..., -1] = 0
    mask = np.arange(n_ctx)[None] < rng.integers(2, n_ctx + 1, n_texts)[:, None]
    mask[:, 0] = False
    return rng.integers(0, n_vocab, (n_texts, n_ctx)), acts.astype(np.float32), mask
