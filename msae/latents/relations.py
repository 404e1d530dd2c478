"""Which latents belong together: parents and children across SAEs, neighbours by co-firing and by cosine. Sparse throughout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from msae.firings.firings import Firings
from msae.support.arguments import items, number, shown, text, whole

if TYPE_CHECKING:
    from scipy.sparse import csc_array

AnEdge = TypeVar("AnEdge", bound="tuple[str, str, float]")

METRICS = ("directed_cosine", "nabeshima2024")
CHUNK = 1024
"""Columns of a product at a time: 25,000 latents squared do not fit into memory at once."""


class Edge(NamedTuple):
    """A child and one of its parents.

    Example:
        >>> from msae.latents import Edge
        >>> Edge("S/0", "L/7", 0.9).parent
        'S/0'
    """

    parent: str
    """ "name/number" of the latent of the smaller SAE."""

    child: str
    """ "name/number" of the latent of the larger SAE."""

    score: float
    """How much the child fires where the parent does, by the metric of the tree."""


def latent_tree(
    acts: Mapping[str, Firings], metric: str = "directed_cosine", threshold: float = 0.6, n_parents: int = 3, min_firings: int = 1
) -> list[Edge]:
    """Edges from each SAE to its reference: the nearest before it that has fewer latents.

    So SAEs of growing size form a chain, and several large ones of one size all hang from the one before them. With a and b the
    activations of a possible parent and child, over the tokens t on which the child fires,

        directed_cosine = Σ a(t) b(t) / (√Σ a(t)² · √Σ b(t)²)

    The article's rule multiplies this by max(b) / max(a). Scores can then exceed 1, and weak parents are favoured.

    Args:
        acts: name → firings, from the smallest SAE to the largest.
        metric: "directed_cosine", or "nabeshima2024" for the article's rule.
        threshold: edges with lower scores are left out.
        n_parents: at most this many for each child, the best first.
        min_firings: a latent that fires more rarely is nobody's child. One that fires once has a cosine of 1 with whatever fires there.

    Returns:
        the edges, child after child; of one child the best parent first.

    Raises:
        ValueError: firings of different texts, another metric, or a number out of range.

    Example:
        >>> from msae.firings import Firings
        >>> from msae.latents import latent_tree
        >>> small, large = Firings.of_dense([[[1.0], [1.0]]]), Firings.of_dense([[[1.0, 0.0], [0.0, 0.0]]])
        >>> latent_tree({"S": small, "L": large})
        [Edge(parent='S/0', child='L/0', score=1.0)]

    Source: Nabeshima 2024, "Trees".
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {shown(metric)}")
    number("threshold", threshold)
    whole("n_parents", n_parents, 1)
    whole("min_firings", min_firings)
    if not isinstance(acts, Mapping) or not all(isinstance(each, Firings) for each in acts.values()):
        raise ValueError(f'acts must be {{"name": Firings}}, got {shown(acts)}')
    if len({each.mask.shape for each in acts.values()}) > 1:
        raise ValueError(f"acts must be of the same texts, got masks of shape {[each.mask.shape for each in acts.values()]}")
    edges = []
    for small, large in references(acts):
        counts = acts[large].counts
        for parent, child, score in _scores(acts[small], acts[large], metric):
            score = np.where(counts[child] < min_firings, -1, score)
            for below, above, value in _best(child, parent, score, n_parents, threshold):
                ids = acts[small].latents[above], acts[large].latents[below]
                edges.append(Edge(f"{small}/{ids[0]}", f"{large}/{ids[1]}", round(float(value), 4)))
    return edges


def _scores(small: Firings, large: Firings, metric: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(parents, children, scores) of all pairs that fire together, as columns; the children of a chunk at a time."""
    above, below = in_range(small), in_range(large)
    squares = above.power(2)
    norms = np.sqrt(np.asarray(below.power(2).sum(0)).ravel())
    largest = small.max, large.max
    for first in range(0, below.shape[1], CHUNK):
        part = below[:, first : first + CHUNK]
        product = (above.T @ part).tocoo()
        masked = (squares.T @ (part > 0).astype(np.float32)).tocsr()
        parent, child = product.row, first + product.col
        length = np.sqrt(np.asarray(masked[parent, product.col]).ravel()) * norms[child]
        score = product.data / np.maximum(length, 1e-12)
        if metric == "nabeshima2024":
            score = score * largest[1][child] / largest[0][parent]
        yield parent, child, score


def best_parents(edges: Sequence[AnEdge]) -> dict[str, AnEdge]:
    """child → the edge from its best parent, which comes first among its edges.

    Args:
        edges: (parent, child, score) each, as of `latent_tree`.

    Returns:
        child → (parent, child, score); a latent without a parent is left out.

    Example:
        >>> from msae.latents import best_parents
        >>> best_parents([("S/0", "L/7", 0.9), ("S/1", "L/7", 0.8)])
        {'L/7': ('S/0', 'L/7', 0.9)}
    """
    best: dict[str, AnEdge] = {}
    for edge in items("edges", edges):
        _check_edge("edges", edge)
        best.setdefault(edge[1], edge)
    return best


def children(latent: str, best: Mapping[str, tuple[str, str, float]]) -> list[str]:
    """The latents whose best parent this is, the best score first.

    Args:
        latent: "name/number".
        best: child → the edge from its best parent, as of `best_parents`.

    Returns:
        "name/number" of each.

    Example:
        >>> from msae.latents import children
        >>> children("S/0", {"L/7": ("S/0", "L/7", 0.8), "L/8": ("S/0", "L/8", 0.9)})
        ['L/8', 'L/7']
    """
    text("latent", latent)
    if not isinstance(best, Mapping):
        raise ValueError(f"best must be a dict of children and edges, as of best_parents, got {shown(best)}")
    for edge in best.values():
        _check_edge("best", edge)
    own = [edge for edge in best.values() if edge[0] == latent]
    return [edge[1] for edge in sorted(own, key=lambda edge: -edge[2])]


def _check_edge(name: str, edge: Any) -> None:
    if not isinstance(edge, Sequence) or isinstance(edge, str) or len(edge) != 3:
        raise ValueError(f"{name} must hold edges (parent, child, score), got {shown(edge)}")


def references(acts: Mapping[str, Firings]) -> list[tuple[str, str]]:
    """(reference, SAE) for each SAE that has one: the nearest before it with fewer latents."""
    names = list(acts)
    smaller = [[a for a in names[:k] if len(acts[a].latents) < len(acts[b].latents)] for k, b in enumerate(names)]
    return [(before[-1], name) for before, name in zip(smaller, names) if before]


def cofiring(matrix: csc_array, k: int) -> list[list[tuple[int, float]]]:
    """The k latents that fire most together with each latent: |both fire| / |either fires|, at least 0.01.

    Args:
        matrix: (n_tokens, n_latents) activations.
    """
    fires = (matrix > 0).astype(np.float32)
    counts = np.asarray(fires.sum(0)).ravel()
    out: list[list[tuple[int, float]]] = [[] for _ in range(matrix.shape[1])]
    for first in range(0, matrix.shape[1], CHUNK):
        both = (fires.T @ fires[:, first : first + CHUNK]).tocoo()
        row, column = both.row, both.col + first
        share = both.data / (counts[row] + counts[column] - both.data)
        _note(out, column, row, share, k=k, least=0.01)
    return out


def alike(directions: Any, k: int, least: float = 0.1) -> list[list[tuple[int, float]]]:
    """The k latents with the largest cosine to each latent, at least so large.

    Args:
        directions: (n_latents, width), decoder rows; or activations, one latent per row, sparse.
    """
    from scipy import sparse

    if sparse.issparse(directions):
        norms = np.sqrt(np.asarray(directions.power(2).sum(1)).ravel())
    else:
        norms = np.linalg.norm(directions, axis=1)
    unit = sparse.diags(1 / np.maximum(norms, 1e-12)) @ directions
    out: list[list[tuple[int, float]]] = [[] for _ in range(directions.shape[0])]
    for first in range(0, directions.shape[0], CHUNK):
        cosines = unit[first : first + CHUNK] @ unit.T
        if sparse.issparse(cosines):
            found = cosines.tocoo()
            _note(out, found.row + first, found.col, found.data, k=k, least=least)
            continue
        rows = np.arange(len(cosines))
        cosines[rows, rows + first] = -np.inf  # a latent is no neighbour of itself
        for row, columns in enumerate(largest(cosines, k)):
            out[first + row] = [(int(c), round(float(cosines[row, c]), 3)) for c in columns if cosines[row, c] >= max(least, -2)]
    return out


def largest(values: np.ndarray, k: int) -> np.ndarray:
    """(n_rows, k) columns of the k largest values of each row, largest first; of equal ones the first."""
    k = min(k, values.shape[1])
    some = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(values, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def in_range(acts: Firings) -> csc_array:
    """(n_inputs, n_latents) activations, in units in which squares neither overflow nor vanish."""
    largest = acts.values.max(initial=0)
    return acts.matrix if not largest or 1e-9 < largest < 1e9 else acts.matrix / largest


def _note(out: list[list[tuple[int, float]]], group: np.ndarray, other: np.ndarray, score: np.ndarray, *, k: int, least: float) -> None:
    apart = group != other
    for mine, theirs, value in _best(group[apart], other[apart], score[apart], k, least):
        out[mine].append((int(theirs), round(float(value), 3)))


def _best(group: np.ndarray, other: np.ndarray, score: np.ndarray, k: int, least: float) -> Iterator[tuple[int, int, float]]:
    """The k largest scores of each group, best first, as (group, other, score)."""
    enough = score >= least
    group, other, score = group[enough], other[enough], score[enough]
    order = np.lexsort((other, -score, group))
    group, other, score = group[order], other[order], score[order]
    begin = np.searchsorted(group, group)
    keep = np.arange(len(group)) - begin < k
    return zip(group[keep].tolist(), other[keep].tolist(), score[keep].tolist())
