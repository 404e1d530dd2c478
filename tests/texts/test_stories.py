"""Stories: every kind of file, the check for copied passages against brute force, and sampling against the model's own forward pass."""

from __future__ import annotations

import json
import os
import random
import re

import pytest
import torch
import unidecode
from hypothesis import given, settings
from hypothesis import strategies as st

from msae.lm import telling
from msae.lm.telling import sample_stories
from msae.lm.tokenizer import train_tokenizer
from msae.lm.transformer import KeyValueCache, Transformer, TransformerConfig
from msae.texts import stories as module
from msae.texts.copies import CopyIndex
from msae.texts.files import write_lines
from msae.texts.stories import load_stories, pack_stories, save_stories
from msae.texts.tinystories import clean_stories, clean_story

TEXTS = ["Lily has a cat.\nShe is happy.", "Sue — “yes” — runs.", "She sees Lily."]


@pytest.fixture(scope="module")
def tiny() -> tuple:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(TEXTS, 280)
    config = TransformerConfig(d_vocab=tokenizer.get_vocab_size(), d_model=16, n_layers=2, n_heads=2, n_ctx=12)
    return Transformer(config).eval(), tokenizer


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst"])
def test_what_is_saved_is_loaded(tmp_path, name):
    save_stories(TEXTS, tmp_path / name)
    assert load_stories(tmp_path / name) == TEXTS
    assert load_stories(str(tmp_path / name), n=2) == TEXTS[:2]


def test_text_files_split_at_the_end_of_text_mark_or_else_at_blank_lines(tmp_path):
    marked, blank = tmp_path / "marked.txt", tmp_path / "blank.txt"
    marked.write_text("One.\n\nStill one.\n<|endoftext|>\nTwo.\n<|endoftext|>\n")
    blank.write_text("One.\nStill one.\n \n\n\nTwo.\n")
    assert load_stories(marked) == ["One.\n\nStill one.", "Two."]
    assert load_stories(blank) == ["One.\nStill one.", "Two."]


def test_lines_may_be_plain_strings_and_parquet_has_a_column(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(text) + "\n" for text in TEXTS))
    assert load_stories(tmp_path / "a.jsonl") == TEXTS
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"text": TEXTS}), tmp_path / "a.parquet")
    assert load_stories(tmp_path / "a.parquet") == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text", "ends in .txt"),
        ("a.jsonl", '{"text": "x"}\n{"story": 1}\n', "line 2"),
        ("a.jsonl", "{", "line 1 .* not JSON"),
        ("a.jsonl.zst", "not compressed", "not a Zstandard file"),
        ("a.txt", " \n", "no stories"),
        ("a.txt", b"caf\xe9", "a.txt is not UTF-8"),
        ("a.jsonl", '{"text": "half \\ud800"}', "line 1 .* half of a surrogate pair"),
        ("a.jsonl", '["a"]', "line 1 .* is no story"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "caf\xe9"}\n', "line 2 .* is not UTF-8"),
    ],
)
def test_a_wrong_file_gets_one_clear_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load_stories(tmp_path / name)


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        load_stories(n=0)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_stories(tmp_path / "missing.txt")


def test_parts_of_a_compressed_file_are_all_read(tmp_path):
    """`cat a.zst b.zst` and parallel compressors write several frames; a reader that stops after the first would say nothing."""
    zstandard = pytest.importorskip("zstandard")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    frames = [zstandard.ZstdCompressor().compress(part) for part in (lines[:50], lines[50:51], lines[51:])]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    assert load_stories(tmp_path / "a.jsonl.zst") == TEXTS
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames)[:-3])
    with pytest.raises(ValueError, match=r"a\.jsonl\.zst is cut off"):
        load_stories(tmp_path / "a.jsonl.zst")


def test_damaged_parquet_files_are_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"story": TEXTS}), path)
    with pytest.raises(ValueError, match=r"a\.parquet has no column 'text', only story"):
        load_stories(path)
    pyarrow.parquet.write_table(pa.table({"text": [*TEXTS, None]}), path)
    with pytest.raises(ValueError, match=r"row 4 of .*a\.parquet is no story"):
        load_stories(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"a\.parquet is not a whole Parquet file"):
        load_stories(path)


def test_the_last_file_stays_where_a_new_one_fails(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    save_stories(TEXTS, path)

    def broken():
        yield {"text": "x"}
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        write_lines(path, broken())
    assert load_stories(path) == TEXTS
    assert list(tmp_path.iterdir()) == [path]


def test_saved_stories_have_the_mode_that_the_umask_gives_and_are_whole_or_not_there(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        save_stories(TEXTS, tmp_path / "a.jsonl.zst")
        pack_stories(tmp_path / "packed", TEXTS, manifest={})
    finally:
        os.umask(before)
    files = [tmp_path / "a.jsonl.zst", *(tmp_path / "packed").iterdir()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}
    content = [path.read_bytes() for path in files]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        pack_stories(tmp_path / "packed", TEXTS[:1], manifest={})
    assert [path.read_bytes() for path in files] == content
    assert len(list((tmp_path / "packed").iterdir())) == 2


def test_a_text_file_of_windows(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffOne.\r\n\r\nTwo.".encode())
    assert load_stories(tmp_path / "a.txt") == ["One.", "Two."]


def clean_by_the_authors_steps(text: str) -> str:
    """The data card's function (with the two steps whose result it forgets), then the package's."""
    if any(letter in text for letter in "â€»«"):
        return ""
    text = unidecode.unidecode(text).strip()
    text = "\n".join(line.strip() for line in text.split("\n"))
    text = re.sub(r"\n\n+", "\n", text)
    text = re.sub(r" +", " ", text)
    text = re.sub(r"\t", "  ", text)
    text = re.sub(r"[\s]+\n", "\n", text)
    return re.sub(r" +", " ", text)


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab \t\n“”’—…ñé½日â«"), max_size=30))
def test_stories_are_cleaned_by_the_authors_steps(text):
    assert clean_story(text) == clean_by_the_authors_steps(text)
    assert list(clean_stories([text, "Lily"])) == [*filter(None, [clean_story(text)]), "Lily"]


def test_the_bundled_stories_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASSETS", tmp_path)
    with pytest.raises(FileNotFoundError):
        load_stories("bundled")
    pack_stories(tmp_path / "stories", TEXTS, manifest={})
    assert load_stories("bundled") == TEXTS
    save_stories(TEXTS[:1], tmp_path / "stories" / "stories.jsonl.zst")
    with pytest.raises(ValueError, match="was altered"):
        load_stories("bundled")


def longest_shared(a: str, b: str) -> int:
    return max((n for n in range(len(a) + 1) for i in range(len(a) - n + 1) if a[i : i + n] in b), default=0)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.text("ab \U0001f600", max_size=14), max_size=4),
    st.lists(st.text("ab \U0001f600", max_size=14), max_size=4),
    st.integers(1, 8),
)
def test_copied_stories_are_those_with_a_long_shared_passage(samples, training, length):
    expected = [any(longest_shared(sample, story) >= length for story in training) for sample in samples]
    assert CopyIndex(training, length).copied(samples) == expected


def test_a_copy_of_exactly_the_length_counts_and_one_less_does_not():
    rng = random.Random(0)
    story = "".join(rng.choices("abcdefgh ", k=1000))
    fresh = "".join(rng.choices("ABCDEFGH", k=300))
    told = [fresh + story[500:600] + fresh, fresh + story[500:599] + fresh, fresh]
    assert CopyIndex(["x", story]).copied(told) == [True, False, False]
    assert CopyIndex([story[:99], story[900:]]).copied([story[900:] + story[:99]]) == [True]
    assert CopyIndex([story[950:], story[:99]]).copied([story[950:] + story[:99]]) == [False]  # none runs from one story into the next


@torch.no_grad()
def test_cached_logits_are_those_of_a_whole_forward_pass(tiny):
    model, _ = tiny
    config = model.config
    tokens = torch.randint(config.d_vocab, (3, config.n_ctx), generator=torch.Generator().manual_seed(0))
    cache = KeyValueCache(config, 3)
    expected = model(tokens)
    torch.testing.assert_close(model.next_logits(tokens[:, :5], cache), expected[:, 4])
    with pytest.raises(ValueError, match="must be one token behind 5"):
        model.next_logits(tokens[:, :2], cache)
    for position in range(5, config.n_ctx):
        found = model.next_logits(tokens[:, position : position + 1], cache)
        torch.testing.assert_close(found, expected[:, position])
    with pytest.raises(ValueError, match=f"at most {config.n_ctx} with them"):
        model.next_logits(tokens[:, :1], cache)


@torch.no_grad()
def test_sampling_equals_the_slow_way(tiny, monkeypatch):
    """One token at a time with whole forward passes, the window starting anew with [BEGIN] and the later half when it is full."""
    model, _ = tiny

    def most_likely_but_end(probabilities, *_, **__):
        probabilities = probabilities.clone()
        probabilities[:, 0] = 0
        return probabilities.argmax(-1, keepdim=True)

    seen: list[int] = []

    def remember(probabilities, *_, **__):
        seen.append(int(most_likely_but_end(probabilities)))
        return most_likely_but_end(probabilities)

    monkeypatch.setattr(torch, "multinomial", remember)
    anything = torch.ones(model.config.d_vocab, dtype=torch.bool)
    told, unfinished = telling._Teller(model, anything, 1.0, 0).tell(1, 30)
    assert (told, unfinished) == ([], 1)
    window, slow = [0], []
    for _ in range(30):
        if len(window) > model.config.n_ctx:
            window = [0, *window[-(model.config.n_ctx // 2) :]]
        slow.append(int(most_likely_but_end(model(torch.tensor([window]))[:, -1].softmax(-1))))
        window.append(slow[-1])
    assert seen == slow


def test_the_same_seed_tells_the_same_stories_and_copies_are_dropped(tiny):
    model, tokenizer = tiny
    with torch.no_grad():
        model.head.weight[0] *= 0
    how = {"batch_size": 8, "max_tokens": 200, "progress": False, "temperature": 1.0}
    first = sample_stories((model, tokenizer), 6, seed=1, **how)
    again = sample_stories((model, tokenizer), 6, seed=1, **how)
    other = sample_stories((model, tokenizer), 2, seed=2, **how)
    assert first == again
    assert first.stories[:2] != other.stories
    assert len(first.stories) == 6
    assert all(story[0].isupper() or story[0] in '"“‘' for story in first.stories)
    long = [story for story in first.stories if len(story) >= 100]
    without = sample_stories((model, tokenizer), 6, seed=1, training=long, **how)
    assert long
    assert without.n_copied >= 1
    assert not any(CopyIndex(long).copied(without.stories))


@pytest.mark.parametrize("wrong", [{"n": 0}, {"temperature": 0.0}, {"batch_size": 0}, {"max_tokens": 0}])
def test_impossible_sampling_is_refused(tiny, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        sample_stories(tiny, **({"n": 1, "progress": False} | wrong))
