"""Stories: every kind of file, cleaned and checked."""

from __future__ import annotations

import json
import os
import re

import pytest
import unidecode
from hypothesis import given, settings
from hypothesis import strategies as st

from msae.texts import stories as module
from msae.texts.files import write_lines
from msae.texts.stories import load_stories, pack_stories, save_stories
from msae.texts.tinystories import clean_stories, clean_story

TEXTS = ["Lily has a cat.\nShe is happy.", "Sue — “yes” — runs.", "She sees Lily."]


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
