"""From firings, tokens and directions to a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msae.explore.bundle import Bundle, bar, quantise
from msae.explore.sample import Pieces
from msae.firings.firings import Firings
from msae.latents.names import split_id
from msae.latents.relations import CHUNK, alike, best_parents, cofiring, in_range, largest
from msae.support.letters import Piece, no_token

N_TOKENS, N_LOGITS = 10, 8


def assemble(
    acts: Mapping[str, Firings],
    tokens: np.ndarray,
    str_tokens: Sequence[str],
    letters: Sequence[Piece],
    ids: Sequence[str],
    labels: Mapping[str, str],
    pieces: Pieces,
    edges: Sequence[tuple[str, str, float]],
    directions: Mapping[str, np.ndarray],
    unembed: np.ndarray | None,
    n_neighbours: int,
    about: Mapping[str, Any],
    progress: bool = False,
) -> Bundle:
    """The bundle of these latents on these pieces of the texts.

    Args:
        tokens: (n_texts, n_ctx) ids; from len(str_tokens) on they number the `letters`, tokens that hold parts of one.
        ids: latents, "name/number".
        directions: name → (n_latents, d_model) decoder rows, or empty. unembed: (d_model, n_columns).
    """
    n_vocab = len(str_tokens)
    n_ctx = tokens.shape[1]
    begins = pieces.text * n_ctx + pieces.first
    starts = np.concatenate([[0], np.cumsum(pieces.length)]).astype(np.int64)
    taken = np.repeat(begins - starts[:-1], pieces.length) + np.arange(starts[-1])  # positions in the corpus, in the order of the bundle
    where = np.full(tokens.size, -1, dtype=np.int64)
    where[taken] = np.arange(len(taken))
    kinds, numbered = np.unique(tokens.ravel()[taken], return_inverse=True)
    kind_of = {int(token): k for k, token in enumerate(kinds)}

    def small(token: int) -> int:
        return kind_of.setdefault(token, len(kind_of))

    largest, start, positions, q, details = [], [0], [], [], []
    occurring = {name: each.occurrences(tokens) for name, each in acts.items()}
    effects: Sequence[list[tuple[int, float]]] = [[]] * len(ids)
    if unembed is not None:
        known = [i for i, token in enumerate(str_tokens[: unembed.shape[1]]) if token != no_token(i)]
        effects = [[(known[i], effect) for i, effect in each] for each in logit_effects(ids, directions, unembed[:, known])]
    for latent_id, effect in zip(bar(ids, "latent", progress), effects):
        name, number = split_id(latent_id)
        at, values = acts[name].of(number)
        top = acts[name].top_tokens(number, tokens, N_TOKENS, occurring[name])
        here = where[at]
        order = np.argsort(here, kind="stable")[int((here < 0).sum()) :]
        largest.append(values.max(initial=0))
        positions.append(here[order].astype(np.uint32))
        q.append(quantise(values[order], largest[-1]) if len(order) else np.zeros(0, np.uint8))
        start.append(start[-1] + len(order))
        detail = {"n": len(at), "tokens": [[small(t.token), t.n_firing, t.n, _short(t.mean), _short(t.max)] for t in top]}
        if effect:
            detail["logits"] = [[small(token), _short(value)] for token, value in effect]
        details.append(detail)
    for kind, found in neighbours(acts, ids, directions, n_neighbours).items():
        for detail, pairs in zip(details, found):
            detail[kind] = [list(pair) for pair in pairs]
    index = {latent_id: k for k, latent_id in enumerate(ids)}
    best = best_parents(edges)
    kept = [edge for edge in edges if {edge[0], edge[1], best[edge[1]][0]} <= index.keys()]  # a second parent never stands in for the first
    return Bundle(
        vocab=[str(str_tokens[token]) if token < n_vocab else letters[token - n_vocab].shown for token in kind_of],
        vocab_ids=np.array([token if token < n_vocab else letters[token - n_vocab].token for token in kind_of], dtype=np.int64),
        tokens=numbered.reshape(-1),
        starts=starts,
        n_sample=pieces.n_sample,
        number=pieces.text,
        first=pieces.first,
        saes=[_about(name, each) for name, each in acts.items()],
        id=list(ids),
        label=[labels.get(latent_id, "") for latent_id in ids],
        max=np.array(largest, dtype=np.float32),
        start=np.array(start, dtype=np.int64),
        positions=np.concatenate(positions),
        q=np.concatenate(q),
        details=details,
        edges=[(index[parent], index[child], score) for parent, child, score in kept],
        parts=[
            (kind, piece.part, piece.n_parts, piece.text)
            for token, kind in kind_of.items()
            if token >= n_vocab and (piece := letters[token - n_vocab])
        ],
        about=dict(about) | ({"cosine_of": "directions" if directions else "activations"} if n_neighbours else {}),
    )


def neighbours(
    acts: Mapping[str, Firings], ids: Sequence[str], directions: Mapping[str, np.ndarray], k: int
) -> dict[str, list[list[tuple[int, float]]]]:
    """The k nearest of these latents to each, by co-firing and by cosine of their directions, or of their activations without any."""
    if not k or len(ids) < 2:
        return {}
    from scipy import sparse

    matrices = {name: in_range(each) for name, each in acts.items()}
    columns = [matrices[name][:, rows] for name, rows in _rows(acts, ids)]
    matrix = sparse.hstack(columns, format="csc")
    if not directions:
        return {"cofiring": cofiring(matrix, k), "cosine": alike(matrix.T.tocsr(), k)}
    stacked = np.concatenate([directions[name][acts[name].latents[rows]] for name, rows in _rows(acts, ids)])
    return {"cofiring": cofiring(matrix, k), "cosine": alike(stacked, k)}


def logit_effects(
    ids: Sequence[str], directions: Mapping[str, np.ndarray], unembed: np.ndarray, k: int = N_LOGITS
) -> list[list[tuple[int, float]]]:
    """For each latent the k tokens whose logits its direction raises most, then the k it lowers most, as (token, effect).

    The effect is that of one unit of activation, W_dec @ W_U, less its mean over the vocabulary, which no probability feels.
    """
    rows = np.stack([directions[name][number] for name, number in map(split_id, ids)])
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


def _rows(acts: Mapping[str, Firings], ids: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Runs of ids of one SAE, as rows of its activations."""
    out: list[tuple[str, list[int]]] = []
    for name, number in map(split_id, ids):
        if not out or out[-1][0] != name:
            out.append((name, []))
        out[-1][1].append(acts[name].column(number))
    return out


def _about(name: str, acts: Firings) -> dict[str, Any]:
    l0 = len(acts.positions) / max(1, acts.n_tokens)
    return {"id": name, "n_latents": len(acts.latents), "n_tokens": acts.n_tokens, "l0": _short(l0)}


def _short(x: float) -> float:
    return float(f"{x:.4g}")
