"""The tokenizer of the article's language model: GPT-Neo's, with [UNK] for all but its 9,996 most frequent tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msae.support import arguments

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

MODEL_REPO = "noanabeshima/tiny_model"

SPECIAL = ("[BEGIN]", "[END]", "[PAD]", "[UNK]")
"""The last tokens of the vocabulary, in this order. A training row is [BEGIN], a story, [END], and [PAD] to the end."""


def cut_tokenizer(vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], frequent: Sequence[int]) -> PreTrainedTokenizerFast:
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


def _with_unknown(tokenizer: Tokenizer, d_vocab: int) -> PreTrainedTokenizerFast:
    """The Hugging Face tokenizer around it, whose tokens from d_vocab on are the one before."""
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
