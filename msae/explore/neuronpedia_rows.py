"""Rows of Neuronpedia's tables: what a latent is, where it fires most, what it is called. Their columns are those that
`msae.explore.neuronpedia` names the source of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.explore.details import short
from msae.explore.texts import Texts
from msae.firings.firings import Firings
from msae.support.arguments import shown
from msae.support.letters import no_token

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CREATOR_ID = "clkht01d40000jv08hvalcvly"
"""The user whom Neuronpedia's database is set up with, and whom its own tools take for the owner of what they import."""

N_BARS, N_LOGITS = 50, 10
TOP = -1
"""Where an example stands for the strongest ones and for no interval of activations."""

Row = dict[str, Any]


class Names(NamedTuple):
    """What is written, and under which names."""

    model_id: str
    id: str
    set_name: str
    hook_name: str

    @property
    def key(self) -> Row:
        """The columns by which rows of several tables find each other."""
        return {"modelId": self.model_id, "layer": self.id}


def features(source: Names, numbers: Sequence[int], effects: Effects, acts: Firings) -> Iterator[Row]:
    """A row of `Neuron` for each latent."""
    density, largest = acts.density, acts.max
    directions = effects.directions[numbers]
    for number, direction, effect in zip(numbers, directions, effects.of(directions)):
        column = acts.column(number)
        strongest = short(largest[column])
        yield {
            **source.key,
            **{"index": str(number), "sourceSetName": source.set_name, "creatorId": CREATOR_ID, "hookName": source.hook_name},
            **{"hasVector": True, "vector": [short(x) for x in direction]},
            **{"maxActApprox": strongest, "vectorDefaultSteerStrength": strongest, "frac_nonzero": float(density[column])},
            **_bars("freq", acts.of(number)[1]),
            **effect,
        }


class Effects:
    """What directions do to the logits; empty lists where the model is not known.

    Args:
        lm: has W_U, (d_model, n_vocab).
        str_tokens: the text of each token id.
        directions: (n_latents, d_model) of the whole SAE.
    """

    def __init__(self, lm: TransformerBridge | None, str_tokens: Sequence[str], directions: np.ndarray):
        self.known = [i for i, token in enumerate(str_tokens) if token != no_token(i)]
        self.str_tokens, self.directions, self.unembed = str_tokens, directions, None
        d_model = directions.shape[1]
        if lm is not None:
            W_U = getattr(lm, "W_U", None)
            if W_U is None or W_U.ndim != 2 or W_U.shape[0] != d_model or W_U.shape[1] <= max(self.known, default=0):
                raise ValueError(f"lm must be the language model that the SAE reads, of width {d_model}, got {shown(lm)}")
            self.unembed = W_U.detach().cpu().double().numpy()[:, self.known]

    def of(self, directions: np.ndarray) -> Iterator[Row]:
        """The columns of `Neuron` for each direction (n, d_model)."""
        if self.unembed is None:
            empty: Row = {f"{sign}_{kind}": [] for sign in ("pos", "neg") for kind in ("str", "values")}
            yield from (empty | _bars("logits", np.zeros(0)) for _ in directions)
            return
        effects = directions @ self.unembed
        for effect in effects - effects.mean(1, keepdims=True):
            order = np.argsort(-effect, kind="stable")
            ends = {"pos": order[:N_LOGITS], "neg": order[::-1][:N_LOGITS]}
            tokens: Row = {f"{sign}_str": [self.str_tokens[self.known[i]] for i in end] for sign, end in ends.items()}
            values = {f"{sign}_values": [short(x) for x in effect[end]] for sign, end in ends.items()}
            yield tokens | values | _bars("logits", effect)


def _bars(kind: str, values: np.ndarray) -> Row:
    """A histogram: the height of each bar, and the middle of what it stands for."""
    heights, edges = np.histogram(values.astype(np.float64), N_BARS) if len(values) else (np.zeros(0), np.zeros(1))
    middles = (edges[1:] + edges[:-1]) / 2
    names = f"{kind}_hist_data_bar_heights", f"{kind}_hist_data_bar_values"
    return {names[0]: [int(n) for n in heights], names[1]: [short(x) for x in middles]}


class Examples(NamedTuple):
    """The texts on which latents fire most."""

    acts: Firings
    texts: Texts
    n: int

    def of(self, source: Names, number: int) -> Iterator[Row]:
        """A row of `Activation` for each text, strongest first: all its tokens that count."""
        n_ctx = self.acts.mask.shape[-1]
        dense = self.acts.dense(number)
        for k, (row, _) in enumerate(self.acts.top_texts(number, self.n)):
            counts = self.acts.mask[row]
            values = [short(x) for x in dense[row][counts]]
            most = max(values)
            yield {
                **{"id": _id(source, number, f"activation {k}"), **source.key, "index": str(number), "creatorId": CREATOR_ID},
                **{"tokens": [word for word, is_there in zip(self.texts.words(row, 0, n_ctx), counts) if is_there], "values": values},
                **{"maxValue": most, "maxValueTokenIndex": values.index(most), "minValue": min(values)},
                **{"binMin": TOP, "binMax": short(dense.max()), "binContains": TOP},
            }


def explanation(source: Names, number: int, label: str) -> Row:
    """A row of `Explanation`."""
    key = {"id": _id(source, number, "explanation"), **source.key, "index": str(number)}
    return {**key, "description": label, "authorId": CREATOR_ID}


def _id(source: Names, number: int, what: str) -> str:
    """Of a row: the same when it is written again, so that the import of a folder twice adds nothing."""
    return "c" + hashlib.sha256(f"{source.model_id}/{source.id}/{number}/{what}".encode()).hexdigest()[:24]
