"""The article's language model: 44 million parameters, four layers, no layer norm, trained on TinyStories by Noa Nabeshima.

    lm = msae.load_language_model("tinymodel")

The weights come from the hub (`noanabeshima/tiny_model`), onto TransformerLens' native model. Its tokenizer is GPT-Neo's, cut to the
10,000 tokens of the model: the 9,996 most frequent ones of the training stories, [BEGIN], [END], [PAD] and [UNK] for all others.
Which ones these are ships with msae (`assets/tinymodel`), read from the author's package `tinymodel`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msae.lm.bridge import boot_native
from msae.lm.tinymodel_tokenizer import MODEL_REPO, SPECIAL, cut_tokenizer
from msae.support import arguments, hub
from msae.support.manifests import ASSETS, check_manifest
from msae.support.reasons import first_line
from msae.texts.tinystories import Source, load_rows

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase

MODEL_FILE = "tiny_model.pt"
TOKENIZER_REPO = "EleutherAI/gpt-neo-125m"
N_HEADS = 16
"""The one size that the weights do not tell."""

D_VOCAB = 10_000

INSTEAD = "use load_language_model('bundled'), which needs no network"

TOKENS = Source(
    "noanabeshima/TinyModelTokIds",
    {"train": "train.jsonl", "validation": "validation.jsonl"},
    column="tok_ids",
    what="the stories as tokens of the article's model",
    instead="use load_stories('bundled'), which needs no network, with the tokenizer of any model",
)


def load_tinymodel(device: str = "cpu") -> TransformerBridge:
    """The article's model with TransformerLens' hooks, in float32.

    Args:
        device: where the model runs.

    Raises:
        ConnectionError: weights or tokenizer could not be fetched.
        ValueError: a fetched file was altered, or does not hold this model.

    Example:
        >>> lm = msae.tinymodel.load_tinymodel()  # doctest: +SKIP
        >>> lm.to_str_tokens("Once upon a time")  # doctest: +SKIP
        ['[BEGIN]', 'Once', ' upon', ' a', ' time']
    """
    device = str(arguments.device("device", device))
    path = hub.fetch(MODEL_REPO, MODEL_FILE, "the article's model", INSTEAD)
    state = read_weights(path)
    return to_bridge(state, load_tokenizer(), device=device)


def load_tokenizer() -> PreTrainedTokenizerBase:
    """The model's tokenizer, as one of `transformers`.

    Raises:
        ConnectionError: it could not be fetched.
        ValueError: a fetched file was altered.
    """
    from tokenizers.models import BPE

    vocab, merges = (
        hub.fetch(TOKENIZER_REPO, name, "the tokenizer of the article's model", INSTEAD) for name in ("vocab.json", "merges.txt")
    )
    return cut_tokenizer(*BPE.read_file(str(vocab), str(merges)), frequent_tokens())


def frequent_tokens() -> list[int]:
    """GPT-Neo's ids of the model's tokens 0 to 9,995, roughly from the most frequent to the least."""
    folder = ASSETS / "tinymodel"
    check_manifest(folder, ("tokens.json",))
    tokens: list[int] = json.loads((folder / "tokens.json").read_text())
    return tokens


def load_tokens(n: int | None = None, split: str = "train") -> Tensor:
    """Stories as the model was given them: the author's own rows of tokens (`noanabeshima/TinyModelTokIds`, 2.6 million to train on).

    With n, the first n rows are streamed and kept; without, all are downloaded (1.4 GB). 100 million tokens, as the article's SAEs
    were trained on, are 788,000 rows.

    Args:
        n: the first n rows only.
        split: "train" or "validation".

    Returns:
        (n, 128) int32. Each row starts with [BEGIN]; what stands at [PAD] is no token of a story. `msae.Activations` takes the rows as
        they are, and leaves both out, and [END].

    Raises:
        ConnectionError: the data set could not be fetched.
        ValueError: n is not positive, the split is unknown, or rows are not of this kind.

    Example:
        >>> msae.tinymodel.load_tokens(100).shape  # doctest: +SKIP
        torch.Size([100, 128])
    """
    n = None if n is None else arguments.whole("n", n, 1, hint="leave it out for all rows")
    rows = load_rows(TOKENS, "tinymodel-tokens", n, split, lambda rows: rows)
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"{TOKENS.repo} should hold rows of one length, got {sorted({len(row) for row in rows})[:5]}")
    tokens = torch.tensor(rows, dtype=torch.int32)
    begin = D_VOCAB - len(SPECIAL)
    if tokens.min() < 0 or tokens.max() >= D_VOCAB or (tokens[:, 0] != begin).any():
        raise ValueError(
            f"{TOKENS.repo} should hold rows of tokens below {D_VOCAB:,} that start with [BEGIN], {begin}: got {rows[0][:8]}, …"
        )
    return tokens


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in the author's file. Nothing but tensors is read: a file that would run code is refused.

    Raises:
        ValueError: it holds anything else.
    """
    path = arguments.path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler stumbles over
        reason = first_line(error)[:300]
        raise ValueError(f"{path} is not a file of weights alone, and is not opened: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict: expected names and tensors, got {type(state).__name__}")
    return state


def to_bridge(
    state: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerBase | None = None, n_heads: int = N_HEADS, device: str = "cpu"
) -> TransformerBridge:
    """The author's weights on TransformerLens' native model.

    Args:
        state: names and tensors as in the author's file; sizes are read from them.
        tokenizer: for text; tokens alone need none.
        n_heads: attention heads.
        device: where the model runs.

    Raises:
        ValueError: a name is missing or unknown, or a size does not fit.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"state must map the names of the weights to tensors, got {arguments.shown(state)}")
    device = str(arguments.device("device", device))
    for name in ("embed.weight", "pos_embed", "torso.0.mlp.read_in.weight"):
        if name not in state:
            raise ValueError(f"the weights lack {name!r}: expected those of {MODEL_REPO}, got {', '.join(sorted(state)[:3])}, …")
    for name, value in state.items():
        arguments.tensor(f"state[{name!r}]", value, numbers="real", finite=True)
    d_vocab, d_model = arguments.tensor("state['embed.weight']", state["embed.weight"], ("d_vocab", "d_model")).shape
    arguments.tensor("state['pos_embed']", state["pos_embed"], (1, "n_ctx", d_model))
    n_heads = arguments.whole("n_heads", n_heads, 1)
    if d_model % n_heads:
        raise ValueError(f"n_heads must divide the width {d_model}, got {n_heads}")
    config = {
        "d_vocab": d_vocab,
        "d_model": d_model,
        "n_layers": len({name.split(".")[1] for name in state if name.startswith("torso.")}),
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": state["torso.0.mlp.read_in.weight"].shape[0],
        "n_ctx": state["pos_embed"].shape[1],
        "act_fn": "relu",
        "normalization_type": None,
        "positional_embedding_type": "standard",
    }
    return boot_native(config, _native_names(state), tokenizer, device, "tiny_model")


def _native_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of TransformerLens' native model; queries, keys and values get the bias zero, having none."""
    parts = {"Q": "q", "K": "k", "V": "v", "O": "o", "read_in": "fc_in", "write_out": "fc_out"}
    tops = {"embed": "tok_embed", "lm_head": "head"}
    native: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == "pos_embed":
            native["pos.weight"] = value[0]
            continue
        *path, part, kind = name.split(".")
        if path:
            native[".".join(["layers", *path[1:], parts.get(part, part), kind])] = value
            if part in "QKV":
                native[".".join(["layers", *path[1:], parts[part], "bias"])] = value.new_zeros(value.shape[0])
        else:
            native[f"{tops.get(part, part)}.{kind}"] = value
    return native
