"""Letters that a tokenizer splits over several tokens, told by the letter: byte-level tokenizers, SentencePiece with byte tokens, bytes."""

from __future__ import annotations

import itertools
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordLevel, WordPiece
from transformers import PreTrainedTokenizerFast

import msae
from msae.patterns.matching import match
from msae.support.letters import PartOfLetter, as_token, join, vocabulary, words

TEXTS = ["Zoë ate a café.", "naïve café, 中文 😀 é", "é", "The word � is one token.", "señor\ncafé"]


def byte_level() -> PreTrainedTokenizerFast:
    """Every byte is a token, and nothing else."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({sign: i for i, sign in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def sentence_piece() -> PreTrainedTokenizerFast:
    """As Llama's: ▁ for a space, and byte tokens for what it has no piece for."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyzZTY.,", "▁a", "▁c", "▁ca", "ï"]
    merges = [("▁", "a"), ("▁", "c"), ("▁c", "a")]
    tokenizer = Tokenizer(BPE({piece: i for i, piece in enumerate(pieces)}, merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


TOKENIZERS = {
    "the bundled one": lambda: msae.load_language_model().tokenizer,
    "bytes": byte_level,
    "SentencePiece": sentence_piece,
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_texts_read_as_they_were_written_and_words_are_found_in_them(name):
    tokenizer = TOKENIZERS[name]()
    shown = vocabulary(tokenizer)
    assert len(set(map(type, shown)) - {str, PartOfLetter}) == 0
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        read = words(ids, shown)
        assert "".join(read) == text
        if "�" not in text:
            assert not any("�" in each for each in read)
        for word in ("café", "中文", "😀", "é", "Zoë"):
            marked = match(f'"{word}"', np.array([ids]), shown)
            assert marked.sum() == text.count(word) or word == "é"
            for end in np.flatnonzero(marked[0]):
                assert "".join(words(ids[: end + 1], shown)).endswith(word)
    assert all("�" not in each for each in shown if isinstance(each, PartOfLetter))


def test_a_token_that_is_part_of_a_letter_keeps_its_bytes():
    part = as_token(b"\xc3")
    assert (part, part.raw) == ("\\xc3", b"\xc3")
    assert pickle.loads(pickle.dumps(part)).raw == b"\xc3"
    assert as_token(b" caf\xc3\xa9") == " café"
    assert not isinstance(as_token("\\xc3"), PartOfLetter)


def test_vocabularies_with_holes_and_added_tokens():
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    assert vocabulary(tokenizer)[-1] == "<pad>"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    sparse = Tokenizer(BPE({sign: 3 * i for i, sign in enumerate(alphabet)}, []))
    sparse.decoder = decoders.ByteLevel()
    found = vocabulary(PreTrainedTokenizerFast(tokenizer_object=sparse))
    assert len(found) == 3 * 255 + 1
    assert found[1] == "[id 1]"
    assert found[3 * alphabet.index("a")] == "a"
    assert found[3 * alphabet.index("Ã")].raw == b"\xc3"


def test_tokens_between_which_decoding_puts_spaces_have_them():
    pieces = ["[UNK]", "[CLS]", "the", "cat", "##s", "##ë", "zo", ".", "#", "ca"]
    word_piece = Tokenizer(WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    word_piece.pre_tokenizer, word_piece.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=word_piece, cls_token="[CLS]")
    shown = vocabulary(tokenizer)
    assert shown == [" [UNK]", " [CLS]", " the", " cat", "s", "ë", " zo", " .", " #", " ca"]
    ids = np.array([tokenizer("the cats zoë the cat", add_special_tokens=False)["input_ids"]])
    assert "".join(words(ids[0], shown)) == " the cats zoë the cat"
    for pattern, marked in {"cat": [1, 6], '" cats"': [2], '" the cat"': [1, 6], '" zoë"': [4], "[space]": [0, 1, 3, 5, 6]}.items():
        assert np.flatnonzero(match(pattern, ids, shown)[0]).tolist() == marked, pattern
    plain = Tokenizer(WordLevel({"[UNK]": 0, "the": 1, "cat": 2, ".": 3}, unk_token="[UNK]"))
    assert vocabulary(PreTrainedTokenizerFast(tokenizer_object=plain)) == [" [UNK]", " the", " cat", " ."]


@given(st.text(alphabet="aé中😀\u2028 \n", max_size=12), st.integers(0, 2**16), st.binary(max_size=3))
@settings(max_examples=200, deadline=None)
def test_letters_cut_anywhere_come_back_and_stray_bytes_stay(text, seed, stray):
    rng = random.Random(seed)
    raw = text.encode()
    cuts = sorted({0, len(raw), *(k for k in range(1, len(raw)) if rng.random() < 0.6)})
    tokens = [raw[a:b] for a, b in itertools.pairwise(cuts)]
    assert "".join(words(range(len(tokens)), tokens)) == text
    with_stray = [*tokens, b"\xff", stray]
    assert "".join(words(range(len(with_stray)), with_stray)) == text + (b"\xff" + stray).decode("utf-8", "backslashreplace")
    numbers, pieces = join(np.arange(len(tokens)), np.array([0, len(tokens)]), tokens)
    for k, number in enumerate(numbers):
        if number < len(tokens):
            assert number == k
            tokens[k].decode()  # it is text by itself
        else:
            assert pieces[number - len(tokens)].token == k


def test_letters_do_not_reach_from_one_text_into_the_next():
    numbers, pieces = join(np.array([0, 1, 0]), np.array([0, 1, 3]), [b"\xc3", b"\xa9"])
    assert (numbers.tolist(), pieces) == ([0, 1, 0], [])
    numbers, pieces = join(np.array([0, 1, 0, 1]), np.array([0, 2, 4]), [b"\xc3", b"\xa9"])
    assert numbers.tolist() == [2, 3, 2, 3]
    assert [piece[:3] for piece in pieces] == [("é", 1, 2), ("é", 2, 2)]
