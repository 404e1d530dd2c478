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
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msae.explore.neuronpedia_rows import CREATOR_ID, Effects, Examples, Names, Row, explanation, features
from msae.explore.texts import Texts
from msae.firings.firings import Firings
from msae.firings.reading import latent_number
from msae.latents.latents import Latents
from msae.support import arguments
from msae.support.arguments import shown, text, whole
from msae.support.files import write_files

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

BATCH = 256
"""Latents in a file."""

NAME = re.compile(r"(?!.*(__|\.\.))[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


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
        labels: "name/number" → what to call a latent, as of `concept_labels`: its explanation.
        lm: the language model, for its W_U and its sizes.
        n_examples: texts for each latent.

    Returns:
        the folder of the source, `folder/model_id/LAYER-source_set`.

    Raises:
        ValueError: no such SAE or latent, names that an address cannot hold, a hook of no layer, or a place where other files lie.
        OSError: a place that cannot be written.

    Example:
        >>> import torch, types
        >>> sae = msae.SAE(2, 2, hook_name="blocks.0.hook_resid_pre", generator=torch.Generator().manual_seed(0))
        >>> x, tokens = torch.tensor([[1.0, 0], [0, 2], [3, 0]]), torch.tensor([[0, 1, 0]])
        >>> read = dict(x=x, tokens=tokens, mask=tokens >= 0, story=torch.zeros(1), str_tokens=["she", "he"], hook_name=None)
        >>> latents = msae.Latents({"S": sae}, types.SimpleNamespace(**read))
        >>> place = msae.explore.write_neuronpedia(latents, "S", "exports", model_id="tiny", creator="me")
        >>> sorted(path.name for path in place.iterdir())
        ['activations', 'features', 'model.jsonl', 'source.jsonl', 'sourceset.jsonl']
    """
    acts = _acts_of(latents, sae)
    source = _source(latents, sae, model_id, source_set)
    if not text("creator", creator).strip():
        raise ValueError(f"creator must not be empty, got {creator!r}")
    chosen, own = _chosen(acts, numbers), _labels_of(latents, sae, labels)
    examples = Examples(acts, Texts({sae: acts}, latents.tokens, latents.vocabulary), whole("n_examples", n_examples, 1))
    effects = Effects(lm, examples.texts.str_tokens, latents.saes[sae].W_dec.detach().cpu().double().numpy())
    place = arguments.new_folder("folder", folder) / source.model_id / source.id
    if place.is_dir() and any(place.iterdir()):
        raise ValueError(f"folder holds {source.model_id}/{source.id} already, got {folder}: give another folder, or delete that one")
    about = {f"{name}.jsonl": _lines([row]) for name, row in _about(source, creator, lm, latents).items()}
    write_files({place / name: found for name, found in (about | _batches(source, chosen, own, examples, effects)).items()})
    return place


def _batches(source: Names, chosen: Sequence[int], own: Mapping[int, str], examples: Examples, effects: Effects) -> dict[str, bytes]:
    """The files of latents; a table of which there is nothing has none."""
    found: dict[str, bytes] = {}
    for i, first in enumerate(range(0, len(chosen), BATCH)):
        some = chosen[first : first + BATCH]
        found[f"features/batch-{i}.jsonl.gz"] = _packed(features(source, some, effects, examples.acts))
        found[f"activations/batch-{i}.jsonl.gz"] = _packed(row for number in some for row in examples.of(source, number))
        found[f"explanations/batch-{i}.jsonl.gz"] = _packed(explanation(source, n, own[n]) for n in some if n in own)
    return {name: content for name, content in found.items() if content}


def _acts_of(latents: Latents, sae: str) -> Firings:
    if not isinstance(latents, Latents):
        raise ValueError(f"latents must be msae.Latents, got {shown(latents)}")
    return latents.only(sae).acts[sae]


def _source(latents: Latents, sae: str, model_id: str, source_set: str | None) -> Names:
    """The names, judged."""
    set_name = sae.replace("/", "") if source_set is None else source_set
    for name, value in (("model_id", model_id), ("source_set", set_name)):
        check_name(name, value)
    hook_name = str(latents.saes[sae].hook_name)
    layer = re.match(r"blocks\.([0-9]+)\.", hook_name)
    if layer is None:
        raise ValueError(f"latents: {sae} must read a hook of a layer, such as blocks.3.hook_resid_pre, got {hook_name!r}")
    return Names(model_id, f"{layer[1]}-{set_name}", set_name, hook_name)


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


def _labels_of(latents: Latents, sae: str, labels: Mapping[str, str] | None) -> dict[int, str]:
    """Number → label, of one of the SAEs."""
    if labels is not None and not isinstance(labels, Mapping):
        raise ValueError(f"labels must be a dict of latent → label, got {shown(labels)}")
    found = [(*latents.split(latent), text(f"labels[{latent!r}]", label)) for latent, label in (labels or {}).items()]
    return {number: label for name, number, label in found if name == sae}


def _about(source: Names, creator: str, lm: TransformerBridge | None, latents: Latents) -> dict[str, Row]:
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


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows).encode()


def _packed(rows: Iterable[Row]) -> bytes:
    """Compressed lines, the same bytes for the same rows; nothing for none."""
    content = _lines(rows)
    return gzip.compress(content, mtime=0) if content else b""
