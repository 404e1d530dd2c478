"""The tokenizer of our language models: byte pairs, trained on their stories, with [BEGIN] before every text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msae.support.arguments import whole
from msae.support.origin import sha256_of_json
from msae.texts.given import check_stories

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

BEGIN = "[BEGIN]"
"""Stands before every story, as in the article's model; token 0."""


def train_tokenizer(stories: Sequence[str], d_vocab: int) -> Tokenizer:
    """Byte-level byte-pair encoding with [BEGIN] as token 0; every text can be encoded and decoded without loss.

    Args:
        stories: texts whose frequent pairs become tokens.
        d_vocab: tokens to have, at least [BEGIN] and the 256 bytes; few stories give fewer.

    Raises:
        ValueError: stories that are no texts, or a smaller d_vocab.

    Example:
        >>> tokenizer = train_tokenizer(["Lily", "Lily"], d_vocab=260)
        >>> tokenizer.encode("Lily").tokens
        ['Lily']
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    stories, d_vocab = check_stories(stories), whole("d_vocab", d_vocab, 257, hint="[BEGIN] and the 256 bytes")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab, special_tokens=[BEGIN], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(stories, trainer)
    return tokenizer


def train_full_tokenizer(stories: Sequence[str], d_vocab: int) -> Tokenizer:
    """`train_tokenizer`, and a ValueError where the stories are too few for so many tokens."""
    tokenizer = train_tokenizer(stories, d_vocab)
    if tokenizer.get_vocab_size() != d_vocab:
        raise ValueError(
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens, the model expects {d_vocab}: "
            f"give more stories, or d_vocab={tokenizer.get_vocab_size()}"
        )
    return tokenizer


def read_tokenizer(place: Path, sha256: str | None) -> Tokenizer:
    """The tokenizer that belongs to the checkpoint beside it.

    Args:
        place: its file.
        sha256: of its content, as the checkpoint has it.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or another one.
    """
    from tokenizers import Tokenizer

    fix = f"its run cannot go on: choose another folder, or delete {place.parent / 'checkpoint.safetensors'}"
    if not place.is_file():
        raise FileNotFoundError(f"{place.parent} holds a checkpoint and no tokenizer.json: {fix}")
    try:
        tokenizer = Tokenizer.from_file(str(place))
    except Exception as error:  # the library raises no other kind
        raise ValueError(f"{place} is no tokenizer ({error}): {fix}") from error
    if sha256_of_json(tokenizer.to_str()) != sha256:
        raise ValueError(f"{place} is not the tokenizer of the checkpoint beside it: {fix}")
    return tokenizer


def with_begin(tokenizer: Tokenizer, folder: Path) -> PreTrainedTokenizerFast:
    """The Hugging Face tokenizer around ours: [BEGIN] before every text, and [BEGIN] for its end and for padding too."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=BEGIN,
        pad_token=BEGIN,
        name_or_path=str(folder),
        add_bos_token=True,  # TransformerLens would else ask the hub for a variant that adds it
        clean_up_tokenization_spaces=False,
    )
