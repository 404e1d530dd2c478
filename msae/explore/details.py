"""What a bundle says of each latent beyond its firings: its strongest tokens, its effect on the logits, and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from msae.explore.bundle import bar
from msae.explore.source import Source
from msae.firings.firings import Firings
from msae.support.letters import no_token

N_TOKENS, N_LOGITS = 10, 8

Latent: TypeAlias = tuple[str, int]
"""The name of an SAE, and a number there."""


class Kinds:
    """The kinds of token in a bundle, numbered: those of its texts, then others as they are named.

    Args:
        tokens: (n_tokens,) of the texts.
    """

    def __init__(self, tokens: np.ndarray):
        kinds, numbered = np.unique(tokens, return_inverse=True)
        self.numbered: np.ndarray = numbered.reshape(-1)
        """(n_tokens,) the kind of each token of the texts."""
        self._kind_of = {int(token): k for k, token in enumerate(kinds)}

    def of(self, token: int) -> int:
        """The number of a kind of token, a new one if need be."""
        return self._kind_of.setdefault(token, len(self._kind_of))

    @property
    def tokens(self) -> list[int]:
        """(n_kinds,) the token of each kind."""
        return list(self._kind_of)


def details_of(source: Source, latents: Sequence[Latent], kinds: Kinds, progress: bool) -> list[dict[str, Any]]:
    """One object for each latent, as `Bundle.details` has them."""
    tokens = source.texts.letters[0]
    occurring = {name: acts.occurrences(tokens) for name, acts in source.acts.items()}
    effects = _named_effects(source, latents)
    details: list[dict[str, Any]] = []
    for (name, number), effect in zip(bar(latents, "latent", progress), effects):
        acts = source.acts[name]
        top = acts.top_tokens(number, tokens, N_TOKENS, occurring[name])
        rows = [[kinds.of(t.token), t.n_firing, t.n, short(t.mean), short(t.max)] for t in top]
        details.append({"n": len(acts.of(number)[0]), "tokens": rows})
        if effect:
            details[-1]["logits"] = [[kinds.of(token), short(value)] for token, value in effect]
    for kind, found in _neighbours(source.acts, latents, source.directions.rows, source.sizes.n_neighbours).items():
        for detail, pairs in zip(details, found):
            detail[kind] = [list(pair) for pair in pairs]
    return details


def short(x: float) -> float:
    """A number to the digits that a page shows."""
    return float(f"{x:.4g}")


def _named_effects(source: Source, latents: Sequence[Latent]) -> Sequence[list[tuple[int, float]]]:
    """For each latent its largest effects on the logits, as (token, effect); none where the unembedding is not known."""
    if source.directions.unembed is None:
        return [[]] * len(latents)
    vocab = source.texts.str_tokens
    known = [i for i, token in enumerate(vocab[: source.directions.unembed.shape[1]]) if token != no_token(i)]
    found = _logit_effects(latents, source.directions.rows, source.directions.unembed[:, known], N_LOGITS)
    return [[(known[i], effect) for i, effect in each] for each in found]


def _neighbours(
    acts: Mapping[str, Firings], latents: Sequence[Latent], directions: Mapping[str, np.ndarray], k: int
) -> dict[str, list[list[tuple[int, float]]]]:
    """The k nearest of these latents to each, by co-firing and by cosine of their directions, or of their activations without any."""
    if not k or len(latents) < 2:
        return {}
    from scipy import sparse

    from msae.latents.relations import alike, cofiring, in_range

    matrices = {name: in_range(each) for name, each in acts.items()}
    columns = [matrices[name][:, rows] for name, rows in _rows(acts, latents)]
    matrix = sparse.hstack(columns, format="csc")
    if not directions:
        return {"cofiring": cofiring(matrix, k), "cosine": alike(matrix.T.tocsr(), k)}
    stacked = np.concatenate([directions[name][acts[name].latents[rows]] for name, rows in _rows(acts, latents)])
    return {"cofiring": cofiring(matrix, k), "cosine": alike(stacked, k)}


def _logit_effects(
    latents: Sequence[Latent], directions: Mapping[str, np.ndarray], unembed: np.ndarray, k: int
) -> list[list[tuple[int, float]]]:
    """For each latent the k tokens whose logits its direction raises most, then the k it lowers most, as (token, effect).

    The effect is that of one unit of activation, W_dec @ W_U, less its mean over the vocabulary, which no probability feels.
    """
    from msae.latents.relations import CHUNK, largest

    rows = np.stack([directions[name][number] for name, number in latents])
    out = []
    for first in range(0, len(rows), CHUNK):
        with np.errstate(over="ignore", invalid="ignore"):
            effects = rows[first : first + CHUNK] @ unembed
            effects -= effects.mean(1, keepdims=True)
        if not np.isfinite(effects).all():
            raise ValueError(f"directions @ unembed must be finite, got more than {effects.dtype} can hold: scale one of them")
        ends = np.concatenate([largest(effects, k), largest(-effects, k)], 1)
        out += [[(int(token), float(effect[token])) for token in tokens] for effect, tokens in zip(effects, ends)]
    return out


def _rows(acts: Mapping[str, Firings], latents: Sequence[Latent]) -> list[tuple[str, list[int]]]:
    """Runs of latents of one SAE, as rows of its activations."""
    out: list[tuple[str, list[int]]] = []
    for name, number in latents:
        if not out or out[-1][0] != name:
            out.append((name, []))
        out[-1][1].append(acts[name].column(number))
    return out
