"""Copied passages, against brute force."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from msae.texts.copies import CopyIndex


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
