"""The article's language model: 44 million parameters, four layers, no layer norm, trained on TinyStories by Noa Nabeshima.

    lm = msae.load_language_model("tinymodel")

The weights come from the hub (`noanabeshima/tiny_model`), onto TransformerLens' native model. Its tokenizer is GPT-Neo's, cut to the
10,000 tokens of the model: the 9,996 most frequent ones of the training stories, [BEGIN], [END], [PAD] and [UNK] for all others.
Which ones these are ships with msae (`assets/tinymodel`), read from the author's package `tinymodel`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from msae.lm.bridge import boot_native
from msae.support import arguments, hub
from msae.support.manifests import ASSETS, check_manifest
from msae.texts.tinystories import Source, load_rows

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformer_lens.model_bridge import TransformerBridge

MODEL_REPO, MODEL_FILE = "noanabeshima/tiny_model", "tiny_model.pt"
TOKENIZER_REPO = "EleutherAI/gpt-neo-125m"
N_HEADS = 16
"""The one size that the weights do not tell."""

SPECIAL = ("[BEGIN]", "[END]", "[PAD]", "[UNK]")
"""The last tokens of the vocabulary, in this order. A training row is [BEGIN], a story, [END], and [PAD] to the end."""

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

    Raises:
        ConnectionError: weights or tokenizer could not be fetched.
        ValueError: a fetched file was altered, or does not hold this model.
    """
    device = str(arguments.device("device", device))
    path = hub.fetch(MODEL_REPO, MODEL_FILE, "the article's model", INSTEAD)
    state = read_weights(path)
    return to_bridge(state, load_tokenizer(), device=device)


def load_tokenizer() -> Any:
    """The model's tokenizer, as one of `transformers`. Raises as `load_tinymodel`."""
    from tokenizers.models import BPE

    vocab, merges = (
        hub.fetch(TOKENIZER_REPO, name, "the tokenizer of the article's model", INSTEAD) for name in ("vocab.json", "merges.txt")
    )
    return cut_tokenizer(*BPE.read_file(str(vocab), str(merges)), frequent_tokens())


def frequent_tokens() -> list[int]:
    """GPT-Neo's ids of the model's tokens 0 to 9,995, roughly from the most frequent to the least."""
    folder = ASSETS / "tinymodel"
    check_manifest(folder, ("tokens.json",))
    return json.loads((folder / "tokens.json").read_text())


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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ValueError(f"{path} is not a file of weights alone, and is not opened: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict: expected names and tensors, got {type(state).__name__}")
    return state


def to_bridge(state: Mapping[str, Tensor], tokenizer: Any = None, n_heads: int = N_HEADS, device: str = "cpu") -> TransformerBridge:
    """The author's weights on TransformerLens' native model.

    Args:
        state: names and tensors as in the author's file; sizes are read from them.
        tokenizer: for text; tokens alone need none.
        n_heads: attention heads.

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


def cut_tokenizer(vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], frequent: Sequence[int]) -> Any:
    """A byte-pair tokenizer whose rare tokens become [UNK].

    The text is cut by all merges, as before; only then is a token outside the frequent ones replaced. (With fewer merges the text would
    be cut otherwise.) So every token keeps an id of its own here: the frequent ones first, then the special ones, then the rare ones,
    and what is returned to the caller is [UNK] for each of the latter.

    Args:
        vocab: token to id.
        merges: pairs of tokens, in order of their rank.
        frequent: ids in `vocab` that the model knows, in its order.

    Raises:
        ValueError: `vocab` lacks one of these.
    """
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    if not isinstance(vocab, Mapping):
        raise ValueError(f"vocab must map tokens to ids, got {arguments.shown(vocab)}")
    for name, value in (("merges", merges), ("frequent", frequent)):
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise ValueError(f"{name} must be a list, got {arguments.shown(value)}")
    token_of = {i: token for token, i in vocab.items()}
    missing = [i for i in frequent if i not in token_of]
    if missing:
        raise ValueError(f"the tokenizer has no token {missing[0]}, one of the model's: expected GPT-Neo's with 50,257, got {len(vocab):,}")
    kept = set(frequent)
    order = [*(token_of[i] for i in frequent), *SPECIAL, *(token_of[i] for i in sorted(token_of) if i not in kept)]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(order)}, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return _with_unknown(tokenizer, len(frequent) + len(SPECIAL))


def _with_unknown(tokenizer: Tokenizer, d_vocab: int) -> Any:
    from transformers import PreTrainedTokenizerFast

    class TinyModelTokenizer(PreTrainedTokenizerFast):
        """[BEGIN] before every text; ids from d_vocab on are [UNK]."""

        def _convert_encoding(self, *args: Any, **kwargs: Any) -> Any:
            converted, encodings = super()._convert_encoding(*args, **kwargs)
            converted["input_ids"] = [[min(i, d_vocab - 1) for i in ids] for ids in converted["input_ids"]]
            return converted, encodings

        def __len__(self) -> int:
            return d_vocab

        @property
        def vocab_size(self) -> int:
            return d_vocab

        def get_vocab(self) -> dict[str, int]:
            return {token: i for token, i in super().get_vocab().items() if i < d_vocab}

    begin, end, pad, unknown = SPECIAL
    return TinyModelTokenizer(
        tokenizer_object=tokenizer,
        bos_token=begin,
        eos_token=end,
        pad_token=pad,
        unk_token=unknown,
        name_or_path=MODEL_REPO,
        add_bos_token=True,  # TransformerLens would else ask the hub for a variant that adds it
        clean_up_tokenization_spaces=False,
    )
