"""Latents as a folder that Neuronpedia imports: its exports, of version "v1".

What the fields are is the database's own schema, `apps/webapp/prisma/schema.prisma` of https://github.com/hijohnnylin/neuronpedia (commit
008d5040), the models `Neuron`, `Activation`, `Explanation`, `Model`, `SourceSet` and `Source`. How files become rows is
`apps/webapp/lib/db/import.ts` there (commit f7bf18a4): the columns are those of a file's first line, so every line here has the same ones,
and null in none of them. The layout is that of https://docs.neuronpedia.org/api-and-data/exports:

    MODEL/SOURCE/model.jsonl, sourceset.jsonl, source.jsonl
    MODEL/SOURCE/features/batch-0.jsonl.gz, activations/batch-0.jsonl.gz, explanations/batch-0.jsonl.gz, …

A source is named LAYER-SET, such as "3-res-matryoshka". What is not measured here is left to the defaults of the database: nearest neurons
and features, direct feature attribution, examples from lower intervals of activation, maps.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.explore.details import short
from msae.explore.texts import Texts
from msae.firings.firings import Firings
from msae.firings.reading import latent_number
from msae.latents.latents import Latents
from msae.support import arguments
from msae.support.arguments import shown, text, whole
from msae.support.files import write_files
from msae.support.letters import no_token

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CREATOR_ID = "clkht01d40000jv08hvalcvly"
"""The user whom Neuronpedia's database is set up with, and whom its own tools take for the owner of what they import."""

BATCH, N_BARS, N_LOGITS = 256, 50, 10
TOP = -1
"""Where an example stands for the strongest ones and for no interval of activations."""

NAME = re.compile(r"(?!.*(__|\.\.))[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

Row = dict[str, Any]


class _Source(NamedTuple):
    """What is written, and under which names."""

    model_id: str
    id: str
    set_name: str
    hook_name: str

    @property
    def key(self) -> Row:
        """The columns by which rows of several tables find each other."""
        return {"modelId": self.model_id, "layer": self.id}


def write_neuronpedia(
    latents: Latents,
    sae: str,
    folder: str | os.PathLike[str],
    *,
    model_id: str,
    creator: str,
    source_set: str | None = None,
    numbers: Iterable[int] | None = None,
    labels: Mapping[str, str] | None = None,
    lm: TransformerBridge | None = None,
    n_examples: int = 20,
) -> Path:
    """Latents of one SAE on these stories, as files that Neuronpedia imports.

    Of each latent: its direction, how often and how strongly it fires, the texts on which it fires most, and with `lm` the tokens that its
    direction makes likelier or less likely. That is W_dec @ W_U, less its mean over the vocabulary: the direct path alone.

    Args:
        latents: SAEs on the activations of some stories.
        sae: the name of the one to write.
        folder: where; the files come to lie in `folder/model_id/source`.
        model_id: what Neuronpedia calls the language model, such as "gpt2-small".
        creator: who is named as the maker.
        source_set: what the SAE is called there; the name of the SAE where it is left out, with "S/2" as "S2".
        numbers: which latents; all where they are left out.
        labels: "name/number" → what to call a latent, as of `concept_labels`; they become explanations.
        lm: the language model, for its W_U and its sizes.
        n_examples: texts for each latent.

    Returns:
        the folder of the source, `folder/model_id/LAYER-source_set`.

    Raises:
        ValueError: no such SAE or latent; names that an address cannot hold; an SAE whose hook is of no layer; or a place where other files
            lie, which would be imported too.
        OSError: a place that cannot be written.

    Example:
        >>> import torch, types
        >>> sae = msae.SAE(2, 2, hook_name="blocks.0.hook_resid_pre")
        >>> x, tokens = torch.tensor([[1.0, 0], [0, 2], [3, 0]]), torch.tensor([[0, 1, 0]])
        >>> read = dict(x=x, tokens=tokens, mask=tokens >= 0, story=torch.zeros(1), str_tokens=["she", "he"], hook_name=None)
        >>> latents = msae.Latents({"S": sae}, types.SimpleNamespace(**read))
        >>> place = msae.explore.write_neuronpedia(latents, "S", "exports", model_id="tiny", creator="me")
        >>> sorted(path.name for path in place.iterdir())
        ['activations', 'features', 'model.jsonl', 'source.jsonl', 'sourceset.jsonl']
    """
    if not isinstance(latents, Latents):
        raise ValueError(f"latents must be msae.Latents, got {shown(latents)}")
    acts = latents.only(sae).acts[sae]
    source = _source(latents, sae, model_id, source_set)
    if not text("creator", creator).strip():
        raise ValueError(f"creator must not be empty, got {creator!r}")
    chosen = _chosen(acts, numbers)
    found = [(*latents.split(latent), text(f"labels[{latent!r}]", label)) for latent, label in _pairs(labels)]
    own = {number: label for name, number, label in found if name == sae}
    place = arguments.new_folder("folder", folder) / source.model_id / source.id
    if place.is_dir() and any(place.iterdir()):
        raise ValueError(f"folder holds {source.model_id}/{source.id} already, got {folder}: give another folder, or delete that one")
    texts = Texts({sae: acts}, latents.tokens, latents.vocabulary)
    examples = _Examples(acts, texts, whole("n_examples", n_examples, 1))
    directions = latents.saes[sae].W_dec.detach().cpu().double().numpy()
    effects = _Effects(lm, texts.str_tokens, directions.shape[1])
    contents = {f"{name}.jsonl": _lines([row]) for name, row in _about(source, creator, lm, latents).items()}
    for i, first in enumerate(range(0, len(chosen), BATCH)):
        some = chosen[first : first + BATCH]
        contents[f"features/batch-{i}.jsonl.gz"] = _packed(_features(source, some, directions[some], effects, acts))
        contents[f"activations/batch-{i}.jsonl.gz"] = _packed(row for number in some for row in examples.of(source, number))
        contents[f"explanations/batch-{i}.jsonl.gz"] = _packed(_explanation(source, n, own[n]) for n in some if n in own)
    write_files({place / name: content for name, content in contents.items() if content})
    return place


def _source(latents: Latents, sae: str, model_id: str, source_set: str | None) -> _Source:
    """The names, judged."""
    set_name = sae.replace("/", "") if source_set is None else source_set
    for name, value in (("model_id", model_id), ("source_set", set_name)):
        check_name(name, value)
    hook_name = str(latents.saes[sae].hook_name)
    layer = re.match(r"blocks\.([0-9]+)\.", hook_name)
    if layer is None:
        raise ValueError(f"latents: {sae} must read a hook of a layer, such as blocks.3.hook_resid_pre, got {hook_name!r}")
    return _Source(model_id, f"{layer[1]}-{set_name}", set_name, hook_name)


def check_name(name: str, value: object) -> None:
    """Refuse what cannot stand in an address of Neuronpedia; "__" divides a source's name there.

    Args:
        name: of the argument, for the error.
        value: what was given.

    Raises:
        ValueError: it cannot.
    """
    if not NAME.fullmatch(text(name, value)):
        raise ValueError(f"{name} must be of letters, digits, '-', '_' and '.', at most 128 and without '__', got {shown(value)}")


def _chosen(acts: Firings, numbers: Iterable[int] | None) -> list[int]:
    if numbers is None:
        return [int(number) for number in acts.latents]
    if isinstance(numbers, str) or not isinstance(numbers, Iterable):
        raise ValueError(f"numbers must be a list of latents, got {shown(numbers)}")
    chosen = [latent_number(number) for number in numbers]
    if len(set(chosen)) < len(chosen) or not chosen:
        raise ValueError(f"numbers must name each latent once, and one at least, got {shown(chosen)}")
    for number in chosen:
        acts.column(number)
    return chosen


def _pairs(labels: Mapping[str, str] | None) -> Iterable[tuple[str, str]]:
    if labels is not None and not isinstance(labels, Mapping):
        raise ValueError(f"labels must be a dict of latent → label, got {shown(labels)}")
    return (labels or {}).items()


def _about(source: _Source, creator: str, lm: TransformerBridge | None, latents: Latents) -> dict[str, Row]:
    """The model, the set and the source: what is there already under these names stays as it is."""
    of_all = {"creatorId": CREATOR_ID, "visibility": "PUBLIC"}
    cfg = getattr(lm, "cfg", None)
    sizes = {"layers": int(getattr(cfg, "n_layers", 0) or 0), "neuronsPerLayer": int(getattr(cfg, "d_mlp", 0) or 0)}
    shown_as = {"displayName": source.model_id, "displayNameShort": source.model_id, "owner": creator}
    n_texts, n_ctx = latents.tokens.shape
    notes = f"written by msae from {source.hook_name}"
    return {
        "model": {"id": source.model_id, **of_all, **shown_as, **sizes},
        "sourceset": {"modelId": source.model_id, "name": source.set_name, **of_all, "description": notes, "creatorName": creator},
        "source": {
            **{"id": source.id, "modelId": source.model_id, "setName": source.set_name, **of_all},
            **{"num_prompts": n_texts, "num_tokens_in_prompt": n_ctx, "notes": notes},
        },
    }


def _features(source: _Source, numbers: Sequence[int], directions: np.ndarray, effects: _Effects, acts: Firings) -> Iterator[Row]:
    """A row of `Neuron` for each latent."""
    density, largest = acts.density, acts.max
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


class _Effects:
    """What directions do to the logits; empty lists where the model is not known.

    Args:
        lm: has W_U, (d_model, n_vocab).
        str_tokens: the text of each token id.
        d_model: of the directions.
    """

    def __init__(self, lm: TransformerBridge | None, str_tokens: Sequence[str], d_model: int):
        self.known = [i for i, token in enumerate(str_tokens) if token != no_token(i)]
        self.str_tokens, self.unembed = str_tokens, None
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


class _Examples(NamedTuple):
    """The texts on which latents fire most."""

    acts: Firings
    texts: Texts
    n: int

    def of(self, source: _Source, number: int) -> Iterator[Row]:
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


def _explanation(source: _Source, number: int, label: str) -> Row:
    """A row of `Explanation`."""
    key = {"id": _id(source, number, "explanation"), **source.key, "index": str(number)}
    return {**key, "description": label, "authorId": CREATOR_ID}


def _id(source: _Source, number: int, what: str) -> str:
    """Of a row: the same when it is written again, so that the import of a folder twice adds nothing."""
    return "c" + hashlib.sha256(f"{source.model_id}/{source.id}/{number}/{what}".encode()).hexdigest()[:24]


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows).encode()


def _packed(rows: Iterable[Row]) -> bytes:
    """Compressed lines, the same bytes for the same rows; nothing for none."""
    content = _lines(rows)
    return gzip.compress(content, mtime=0) if content else b""
